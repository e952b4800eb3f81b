//! Which sort of mail it is, and what it then reports: the surest form first.

use super::Kind;
use super::Report;
use super::classify::Refusal;
use super::classify::classify;
use super::fields;
use super::fields::Delivery;
use super::mime::Mail;
use super::mime::PartKind;
use super::scan;
use super::ses;
use super::shortened;
use super::text;
use super::text::Mention;

/// Subjects of mails by which machines say that something was not delivered.
const FAILURE_SUBJECTS: [&str; 20] = [
    "undeliver",
    "returned mail",
    "failure notice",
    "delivery status",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "mail delivery",
    "mail failure",
    "mail system error",
    "message delivery",
    "returned to sender",
    "non delivery",
    "non-delivery",
    "nondeliverable",
    "warning: message",
    "could not be delivered",
    "delivery error",
    "delivery problem",
    "delivery report",
];

/// Subjects of machines that answer for somebody who is away.
const AWAY_SUBJECTS: [&str; 9] = [
    "out of office",
    "out of the office",
    "automatic reply",
    "auto reply",
    "autoreply",
    "auto-reply",
    "automatische antwort",
    "vacation",
    "abwesen",
];

/// Subjects of machines that want a proof of humanity.
const CHALLENGE_SUBJECTS: [&str; 5] = [
    "please confirm your message",
    "verify your email to",
    "sender verification",
    "challenge",
    "confirm you are human",
];

/// Everything that a mail reports.
pub(super) fn reports(mail: &Mail) -> Vec<Report> {
    let (words, returned) = text::words_and_returned(mail);
    let feedback: Vec<Report> = mail
        .texts(PartKind::FeedbackReport)
        .filter_map(|part| {
            let feedback = fields::feedback(part)?;
            let recipient = feedback.recipient.or_else(|| text::only_recipient(&returned));
            Some(Report::plain(feedback_kind(&feedback.kind), recipient, &feedback.kind))
        })
        .collect();
    if !feedback.is_empty() {
        return feedback;
    }
    if let Some(notification) = mail.texts(PartKind::Text).find_map(fields::ses_notification) {
        return ses::reports(&notification);
    }
    let mut deliveries: Vec<Delivery> =
        mail.texts(PartKind::DeliveryStatus).flat_map(fields::deliveries).collect();
    if deliveries.is_empty() && fields::holds_fields(&words) {
        deliveries = fields::deliveries(&words);
    }
    if !deliveries.is_empty() {
        return deliveries.iter().map(|delivery| of_delivery(delivery, &words)).collect();
    }
    if let Some(kind) = other_kind(mail, &words) {
        let from = mail.headers.get("from").and_then(scan::first_address).map(str::to_owned);
        return vec![Report::plain(kind, from, mail.headers.get("subject").unwrap_or_default())];
    }
    if !looks_like_failure(mail) && !says_failure(&words) {
        return Vec::new();
    }
    text::mentions(mail, &words, &returned).iter().map(|mention| of_mention(mail, mention)).collect()
}

fn feedback_kind(kind: &str) -> Kind {
    match kind.split(';').next().unwrap_or_default().trim() {
        "not-spam" | "auth-failure" | "dmarc" => Kind::Notice,
        "opt-out" | "opt-out-list" | "unsubscribe" => Kind::Unsubscribe,
        _ => Kind::Complaint,
    }
}

fn of_delivery(delivery: &Delivery, words: &str) -> Report {
    let recipient = delivery.recipient.clone();
    let about = about(words, recipient.as_deref());
    let stage = fields::stage(&about);
    // Where the machine's part says nothing, the words for people may.
    let diagnostic = if delivery.diagnostic.is_empty() { words } else { &delivery.diagnostic };
    let refusal = Refusal { status: delivery.status, diagnostic, stage, recipient: recipient.as_deref() };
    let (kind, code, reply_code) = classify(&refusal);
    let kind = match delivery.action.as_str() {
        "delayed" => Kind::Delayed,
        "delivered" | "relayed" | "expanded" => Kind::Delivered,
        _ => kind,
    };
    let status = code.map(|code| code.to_string());
    Report { kind, recipient, status, reply_code, diagnostic: shortened(diagnostic) }
}

/// The words that are about this recipient: from where it is named, to the next address in angle brackets at the
/// start of a line; all words where it is not named.
fn about(words: &str, recipient: Option<&str>) -> String {
    let Some(start) = recipient.and_then(|recipient| words.find(&format!("<{recipient}>"))) else {
        return words.to_owned();
    };
    let rest = &words[start..];
    let end = rest[1..].find("\n<").map_or(rest.len(), |end| end + 1);
    rest[..end].to_owned()
}

fn of_mention(mail: &Mail, mention: &Mention) -> Report {
    let stage = fields::stage(&mention.words);
    let subject = mail.headers.words("subject");
    let (kind, code, reply_code) = classify(&Refusal {
        status: None,
        diagnostic: &mention.words,
        stage,
        recipient: Some(&mention.recipient),
    });
    let words = mention.words.to_lowercase();
    let still_tries =
        subject.starts_with("warning") || subject.contains("delay") || words.contains("will be retried");
    Report {
        kind: if still_tries && kind != Kind::HardBounce { Kind::Delayed } else { kind },
        recipient: Some(mention.recipient.clone()),
        status: code.map(|code| code.to_string()),
        reply_code,
        diagnostic: shortened(&mention.words),
    }
}

/// Automatic answers, challenges, and people who write "unsubscribe".
fn other_kind(mail: &Mail, words: &str) -> Option<Kind> {
    let header = |name: &str| mail.headers.get(name).unwrap_or_default().to_ascii_lowercase();
    let subject = mail.headers.words("subject");
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| subject.contains(phrase));
    if subject.trim() == "unsubscribe"
        || (subject.is_empty() && words.trim().eq_ignore_ascii_case("unsubscribe"))
    {
        return Some(Kind::Unsubscribe);
    }
    if looks_like_failure(mail) {
        return None;
    }
    let automatic = header("auto-submitted").starts_with("auto-")
        || ["x-autoreply", "x-autorespond", "x-auto-response-suppress"]
            .iter()
            .any(|name| !header(name).is_empty())
        || header("precedence").contains("auto");
    match () {
        () if says(&CHALLENGE_SUBJECTS) => Some(Kind::Challenge),
        () if automatic || says(&AWAY_SUBJECTS) => Some(Kind::AutoReply),
        () => None,
    }
}

/// Whether a machine says that something was not delivered.
fn looks_like_failure(mail: &Mail) -> bool {
    let subject = mail.headers.words("subject");
    let from = mail.headers.get("from").unwrap_or_default().to_lowercase();
    let machine = ["mailer-daemon", "postmaster", "post_master", "mail delivery", "mail deliver"];
    let report = mail.headers.get("content-type").is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        kind.contains("multipart/report") && kind.contains("delivery-status")
    });
    report
        || mail.headers.get("x-failed-recipients").is_some()
        || mail.headers.get("return-path").is_some_and(|path| path.trim() == "<>") && from_no_person(&from)
        || machine.iter().any(|name| from.contains(name))
        || from.trim() == "<>"
        || FAILURE_SUBJECTS.iter().any(|phrase| subject.contains(phrase))
}

/// What a host without a telling subject says in its first lines.
fn says_failure(words: &str) -> bool {
    let start = words[..words.floor_char_boundary(2_000)].to_lowercase();
    let start = start.split_whitespace().collect::<Vec<_>>().join(" ");
    ["not be delivered", "delivery failed", "not delivered to", "undeliverable"]
        .iter()
        .any(|said| start.contains(said))
}

fn from_no_person(from: &str) -> bool {
    ["no-reply", "noreply", "admin", "system", "daemon"].iter().any(|word| from.contains(word))
}
