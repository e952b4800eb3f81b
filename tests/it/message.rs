//! Composed mail, read back by a parser that nobody here wrote, and signatures, verified by another implementation.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use bespoke::campaign::Kind;
use bespoke::deliver::dkim::DkimKey;
use bespoke::deliver::dkim::sign;
use bespoke::deliver::message::Attachment;
use bespoke::deliver::message::ListHeaders;
use bespoke::deliver::message::Mail;
use bespoke::deliver::message::MailPurpose;
use bespoke::deliver::message::header_text;
use bespoke::profile::EmailAddress;
use bespoke::send::SendId;
use jiff::Timestamp;
use lettre::message::Mailbox;
use mail_parser::Message;
use mail_parser::MessageParser;
use mail_parser::MimeHeaders as _;
use mail_parser::PartType;

use crate::support::judge::python_with;

const SEND: &str = "0193f0a1b2c3d4e5f60718293a4b5c6d";

struct Parts {
    send: SendId,
    from: Mailbox,
    to: EmailAddress,
    return_path: EmailAddress,
}

impl Parts {
    fn new(to: &str) -> Self {
        Self {
            send: SendId::parse(SEND).unwrap(),
            from: "Shop, the <hello@shop.test>".parse::<Mailbox>().unwrap_or_else(|_| {
                Mailbox::new(Some("Shop, the".into()), "hello@shop.test".parse().unwrap())
            }),
            to: EmailAddress::parse(to).unwrap(),
            return_path: EmailAddress::parse("b-x@bounce.shop.test").unwrap(),
        }
    }

    fn mail(&self) -> Mail<'_> {
        Mail {
            send: &self.send,
            from: &self.from,
            reply_to: None,
            to: &self.to,
            to_name: Some("Ana"),
            date: date(),
            subject: "Hello",
            html: "<p>Hi = there</p>",
            text: "Hi = there",
            return_path: &self.return_path,
            message_id_domain: "shop.test",
            kind: Kind::Lifecycle,
            list: Some(ListHeaders {
                list_id: "news.shop.test",
                unsubscribe_url: Some("https://m.shop.test/u/abc"),
                unsubscribe_address: "unsubscribe@shop.test",
            }),
            feedback_id: "journey:compare:lifecycle:shop",
            attachments: &[],
            purpose: MailPurpose::Delivery,
            postmark_metadata: None,
        }
    }
}

fn date() -> Timestamp {
    "2026-11-22T09:30:00Z".parse().unwrap()
}

fn headers(message: &Message<'_>) -> Vec<String> {
    message.headers().iter().map(|header| header.name().to_owned()).collect()
}

#[test]
fn names_in_ascii_are_readable_as_they_are_sent() {
    let long = format!("{} & {}", "A".repeat(26), "B".repeat(26));
    let two_lines = format!("From: \"{long}\"\r\n <hello@shop.test>\r\n");
    for (name, line) in [
        ("Salt & Pepper", "From: \"Salt & Pepper\" <hello@shop.test>\r\n"),
        ("O'Neill, Ana (Shop)", "From: \"O'Neill, Ana (Shop)\" <hello@shop.test>\r\n"),
        ("A \"quoted\" \\ name & more", "From: \"A \\\"quoted\\\" \\\\ name & more\" <hello@shop.test>\r\n"),
        ("x\" <eve@evil.test>, \"y!", "From: \"x\\\" <eve@evil.test>, \\\"y!\" <hello@shop.test>\r\n"),
        (long.as_str(), two_lines.as_str()),
        ("Käse & Brot", "From: =?utf-8?b?S8Okc2UgJiBCcm90?= <hello@shop.test>\r\n"),
        (&format!("{} &", "C".repeat(200)), "From: =?utf-8?b?"),
    ] {
        let mut parts = Parts::new("ana@example.test");
        parts.from = Mailbox::new(Some(name.to_owned()), "hello@shop.test".parse().unwrap());
        let mut mail = parts.mail();
        mail.reply_to = Some(&parts.from);
        mail.to_name = Some(name);
        let bytes = mail.compose().unwrap().bytes;
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(line), "{name}: {text}");
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(head.lines().all(|line| line.len() <= 78), "{head}");
        let message = MessageParser::new().parse(&bytes).unwrap();
        let mailbox = |header: Option<&mail_parser::Address<'_>>| {
            let addresses = header.unwrap().as_list().unwrap().to_vec();
            assert_eq!(addresses.len(), 1, "{name}");
            (addresses[0].name().unwrap().to_owned(), addresses[0].address().unwrap().to_owned())
        };
        let own = (name.to_owned(), "hello@shop.test".to_owned());
        assert_eq!((mailbox(message.from()), mailbox(message.reply_to())), (own.clone(), own));
        assert_eq!(mailbox(message.to()), (name.to_owned(), "ana@example.test".to_owned()));
    }
}

#[test]
fn a_lifecycle_mail_has_just_the_headers_that_it_should() {
    let parts = Parts::new("ana@example.test");
    let composed = parts.mail().compose().unwrap();
    let message = MessageParser::new().parse(&composed.bytes).unwrap();
    let mut names = headers(&message);
    names.sort();
    assert_eq!(
        names,
        [
            "Content-Type",
            "Date",
            "Feedback-ID",
            "From",
            "List-ID",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ]
    );
    assert_eq!(message.message_id(), Some(format!("{SEND}@shop.test").as_str()));
    assert_eq!(message.date().unwrap().to_rfc3339(), "2026-11-22T09:30:00Z");
    assert_eq!(message.subject(), Some("Hello"));
    assert_eq!(message.header_raw("List-Unsubscribe-Post").unwrap().trim(), "List-Unsubscribe=One-Click");
    let unsubscribe = message.header_raw("List-Unsubscribe").unwrap();
    assert!(unsubscribe.contains("<https://m.shop.test/u/abc>"), "{unsubscribe}");
    let envelope = &composed.envelope;
    assert_eq!(envelope.from().unwrap().to_string(), "b-x@bounce.shop.test");
    assert_eq!(envelope.to()[0].to_string(), "ana@example.test");
}

#[test]
fn a_transactional_mail_says_that_no_person_wrote_it_and_has_no_list_headers() {
    let parts = Parts::new("ana@example.test");
    let mail = Mail { kind: Kind::Transactional, list: None, ..parts.mail() };
    let composed = mail.compose().unwrap();
    let message = MessageParser::new().parse(&composed.bytes).unwrap();
    assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    assert!(!headers(&message).iter().any(|name| name.starts_with("List-")));
}

#[test]
fn text_and_html_come_back_as_they_were() {
    let text = format!("Grüße 🎉 = .\n.\n..leading dot\n{}\ntrailing \t\nend", "long ".repeat(500));
    let html = format!("<p>{}</p>", "x".repeat(5_000));
    let parts = Parts::new("ana@example.test");
    let composed = Mail { text: &text, html: &html, ..parts.mail() }.compose().unwrap();
    let message = MessageParser::new().parse(&composed.bytes).unwrap();
    let body = |part: usize| match &message.parts[part].body {
        PartType::Text(text) | PartType::Html(text) => text.replace("\r\n", "\n"),
        _ => String::new(),
    };
    assert_eq!(body(1), text);
    assert_eq!(body(2), html);
    clean_on_the_wire(&composed.bytes);
}

#[test]
fn the_same_mail_is_the_same_bytes() {
    let parts = Parts::new("ana@example.test");
    assert_eq!(parts.mail().compose().unwrap().bytes, parts.mail().compose().unwrap().bytes);
}

#[test]
fn hostile_names_and_subjects_change_no_header() {
    let parts = Parts::new("ana@example.test");
    let expected = {
        let composed = parts.mail().compose().unwrap();
        headers(&MessageParser::new().parse(&composed.bytes).unwrap())
    };
    for hostile in [
        "a\r\nBcc: victim@x.test",
        "a\nBcc: victim@x.test",
        "\0\u{1}\u{7f}",
        "\u{202e}gnp.exe",
        "\u{2028}x",
        "\"quoted\" <evil@x.test>, b",
        "=?utf-8?q?=0d=0aBcc:x?=",
        "🎉🎉🎉",
        "مرحبا",
        "<script>alert(1)</script>",
        "{{ 7*7 }}",
        &"x".repeat(10_000),
        &"é".repeat(10_000),
        "a, b; c: d (e) [f] @g",
    ] {
        let mail = Mail { to_name: Some(hostile), subject: hostile, ..parts.mail() };
        let composed = mail.compose().unwrap();
        clean_on_the_wire(&composed.bytes);
        let message = MessageParser::new().parse(&composed.bytes).unwrap();
        assert_eq!(headers(&message), expected, "{hostile:?}");
        let to = message.to().unwrap();
        assert_eq!(to.iter().count(), 1, "{hostile:?}");
        assert_eq!(to.first().unwrap().address(), Some("ana@example.test"), "{hostile:?}");
        let shown = header_text(hostile);
        assert_eq!(message.subject().unwrap_or_default(), shown, "people read what was typed");
        assert_eq!(to.first().unwrap().name().unwrap_or_default(), shown, "{hostile:?}");
    }
}

#[test]
fn attachments_come_along_unchanged() {
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let file = Attachment {
        name: "Rechnung März.pdf".into(),
        content_type: "application/pdf".into(),
        bytes: bytes.clone(),
    };
    let parts = Parts::new("ana@example.test");
    let composed = Mail { attachments: &[file], ..parts.mail() }.compose().unwrap();
    clean_on_the_wire(&composed.bytes);
    let message = MessageParser::new().parse(&composed.bytes).unwrap();
    let attachment = message.attachments().next().unwrap();
    assert_eq!(attachment.contents(), bytes);
    assert_eq!(attachment.attachment_name(), Some("Rechnung März.pdf"));
    assert_eq!(message.attachment_count(), 1);
}

/// Lines of at most 998 bytes, ended by CRLF, ASCII only, no NUL.
fn clean_on_the_wire(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        assert!(line.len() <= 999, "a line of {} bytes", line.len());
        assert!(!line[..line.len().saturating_sub(1)].contains(&b'\r'), "a bare CR");
        assert!(line.is_empty() || line.ends_with(b"\r"), "a bare LF");
    }
    assert!(bytes.iter().all(|byte| byte.is_ascii() && *byte != 0));
}

/// dkimpy's verdict on every signature of every mail; the key of each selector is handed over, DNS is not asked.
pub(crate) const VERIFY: &str = "
import dkim, json, sys
keys = json.load(open(sys.argv[1]))
bad = 0
for path in sys.argv[2:]:
    raw = open(path, 'rb').read()
    for index in range(2):
        name_of = lambda name, timeout=5: keys.get(name.decode().rstrip('.'), '').encode() or None
        try:
            ok = dkim.DKIM(raw).verify(idx=index, dnsfunc=name_of)
        except Exception as error:
            ok, _ = False, print(path, index, repr(error))
        if not ok:
            bad += 1
            print(path, 'signature', index, 'does not verify')
sys.exit(1 if bad else 0)
";

#[test]
fn both_signatures_verify_by_another_implementation() {
    let Some(python) = python_with("dkim, nacl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let keys = [
        DkimKey::generate_rsa("shop.test", "r1").unwrap(),
        DkimKey::generate_ed25519("shop.test", "e1").unwrap(),
    ];
    let records: std::collections::BTreeMap<_, _> =
        keys.iter().map(|key| key.dns_record().unwrap()).collect();
    let key_file = folder.path().join("keys.json");
    std::fs::write(&key_file, serde_json::to_string(&records).unwrap()).unwrap();
    let bodies = [
        "",
        "\n",
        "plain",
        "  leading and  double  \n\n\n",
        "tab\tand trailing \n. \n\n",
        "é 🎉 = x",
        "<p>\n  a\n</p>\n",
    ];
    let mut files = Vec::new();
    for (i, body) in bodies.iter().enumerate() {
        let parts = Parts::new("ana@example.test");
        let mail = Mail { text: body, html: body, subject: body, ..parts.mail() };
        let signed = sign(&mail.compose().unwrap().bytes, &keys, date()).unwrap();
        let path = folder.path().join(format!("{i}.eml"));
        std::fs::File::create(&path).unwrap().write_all(&signed).unwrap();
        files.push((path, signed));
    }
    let verdict = |paths: &[&Path]| {
        let output = Command::new(&python).arg("-c").arg(VERIFY).arg(&key_file).args(paths).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let paths: Vec<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    let (good, said) = verdict(&paths);
    assert!(good, "{said}");

    let (path, signed) = &files[2];
    for (from, to) in [("plain", "paid!"), ("List-Unsubscribe-Post: List", "List-Unsubscribe-Post: Lost")] {
        let altered = String::from_utf8(signed.clone()).unwrap().replacen(from, to, 2);
        assert_ne!(altered.as_bytes(), signed);
        std::fs::write(path, altered).unwrap();
        let (good, _) = verdict(&[path]);
        assert!(!good, "a mail with {from:?} changed to {to:?} still verifies");
    }
}
