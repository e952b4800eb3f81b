//! Mails that came back: what the reader makes of real ones, and that nothing forged suppresses anybody.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bespoke::bounce;
use bespoke::bounce::Kind;

/// A line of `expected.tsv`: what another program, and its authors, say of a real mail.
struct Expected {
    file: String,
    recipient: String,
    reason: String,
    is_hard: bool,
}

/// How well the reader does on one group of mails.
#[derive(Default)]
struct Score {
    rows: usize,
    recipients: usize,
    agreed: usize,
    not_hard: usize,
    false_hard: usize,
}

impl Score {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.recipients += other.recipients;
        self.agreed += other.agreed;
        self.not_hard += other.not_hard;
        self.false_hard += other.false_hard;
    }

    fn line(&self, name: &str) -> String {
        format!(
            "{name:<14} {:>5} {:>10} {:>8} {:>9} {:>11}",
            self.rows, self.recipients, self.agreed, self.not_hard, self.false_hard
        )
    }
}

fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/bounces");
    if folder.join("expected.tsv").is_file() {
        return Some(folder);
    }
    eprintln!(
        "\n*** {} is not there: THE BOUNCE READER IS NOT MEASURED. Its unit tests ran all the same. ***\n",
        folder.display()
    );
    None
}

fn expected(folder: &std::path::Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(folder.join("expected.tsv")).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            Expected {
                file: fields[0].to_owned(),
                recipient: unquoted(fields[2]).to_lowercase(),
                reason: fields[5].to_owned(),
                is_hard: fields[6] == "true",
            }
        })
        .collect()
}

/// A field that holds quotation marks is quoted, and they are doubled.
fn unquoted(field: &str) -> String {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or(field.to_owned(), |inner| inner.replace("\"\"", "\""))
}

fn score(folder: &std::path::Path, row: &Expected, misses: &mut Vec<String>) -> Score {
    let bytes = std::fs::read(folder.join("mails").join(&row.file)).unwrap();
    let returned = bounce::read(&bytes);
    let named = |report: &&bounce::Report| {
        report.recipient.as_ref().is_some_and(|recipient| recipient.to_lowercase() == row.recipient)
    };
    let found = returned.reports.iter().find(named);
    let is_hard = match found {
        Some(report) => report.kind == Kind::HardBounce,
        None => returned.reports.iter().any(|report| report.kind == Kind::HardBounce),
    };
    let agrees = is_hard == row.is_hard && !returned.reports.is_empty();
    if found.is_none() || !agrees {
        let said: Vec<String> = returned
            .reports
            .iter()
            .map(|report| format!("{} {:?} {:?}", report.kind.as_str(), report.recipient, report.status))
            .collect();
        misses.push(format!("{} {} {} → {}", row.file, row.recipient, row.reason, said.join("; ")));
    }
    Score {
        rows: 1,
        recipients: usize::from(found.is_some()),
        agreed: usize::from(agrees),
        not_hard: usize::from(!row.is_hard),
        false_hard: usize::from(is_hard && !row.is_hard),
    }
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "a few hundred mails")]
fn real_bounces_name_their_recipient_and_suppress_no_good_address() {
    let Some(folder) = data() else { return };
    let mut misses = Vec::new();
    let mut by_reason: BTreeMap<String, Score> = BTreeMap::new();
    let mut all = Score::default();
    for row in expected(&folder) {
        let score = score(&folder, &row, &mut misses);
        all.add(&score);
        by_reason.entry(row.reason.clone()).or_default().add(&score);
    }
    println!("reason          rows recipients   agreed  not hard  false hard");
    for (reason, score) in &by_reason {
        println!("{}", score.line(reason));
    }
    println!("{}", all.line("all"));
    let recall = all.recipients as f64 / all.rows as f64;
    let agreement = all.agreed as f64 / all.rows as f64;
    let false_hard = all.false_hard as f64 / all.not_hard as f64;
    println!("recipient recall {recall:.3}, agreement {agreement:.3}, false suppression {false_hard:.4}");
    println!("differences:\n  {}", misses.join("\n  "));
    assert!(recall >= 0.90, "recipient recall {recall:.3}");
    assert!(agreement >= 0.90, "hard or not: {agreement:.3}");
    assert!(false_hard <= 0.01, "false suppression {false_hard:.4}");
}

fn kinds(mail: &str) -> Vec<Kind> {
    bounce::read(mail.as_bytes()).reports.iter().map(|report| report.kind).collect()
}

#[test]
fn mails_that_are_no_bounce_are_told_from_those_that_are() {
    for (mail, expected) in [
        (
            "Subject: Out of office\nAuto-Submitted: auto-replied\nFrom: ana@example.test\n\nback on 550",
            vec![Kind::AutoReply],
        ),
        ("Subject: =?utf-8?Q?Automatic_reply?=\nFrom: ana@example.test\n\nx", vec![Kind::AutoReply]),
        ("Subject: Please confirm your message\nFrom: ana@example.test\n\nx", vec![Kind::Challenge]),
        (
            "Subject: unsubscribe\nAuto-Submitted: auto-replied\nFrom: ana@example.test\n\nx",
            vec![Kind::Unsubscribe],
        ),
        (
            "Subject: Re: your mail\nFrom: ana@example.test\n\nuser unknown? 550 5.1.1 <bo@example.test>",
            vec![],
        ),
        ("", vec![]),
    ] {
        assert_eq!(kinds(mail), expected, "{mail}");
    }
}

#[test]
fn a_hostile_report_is_read_within_limits_and_kept_as_text() {
    let report =
        "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n";
    let script = format!(
        "{report}Final-Recipient: rfc822; a@b.test\nAction: failed\nStatus: 5.1.1\n\
         Diagnostic-Code: smtp; 550 5.1.1 <script>alert(1)</script> {}\n--b--\n",
        "x".repeat(100_000)
    );
    let returned = bounce::read(script.as_bytes());
    assert_eq!(returned.reports.len(), 1);
    assert!(returned.reports[0].diagnostic.len() <= bounce::DIAGNOSTIC_BYTES_MAX);
    let group = "Final-Recipient: rfc822; a@b.test\nAction: failed\nStatus: 5.1.1\n\n";
    let many = bounce::read(format!("{report}{}", group.repeat(10_000)).as_bytes());
    assert_eq!(many.reports.len(), bounce::REPORTS_MAX);
    for pattern in ["@", "b-", "5.1.1 ", "<a@b.test>:\n", "--\n", "=?a?b?c?= ", "Final-Recipient:", "<<<>>>"]
    {
        let mail =
            format!("Subject: failure notice\nFrom: <>\n\n{}", pattern.repeat(2_000_000 / pattern.len()));
        bounce::read(mail.as_bytes());
    }
}
