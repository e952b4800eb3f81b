//! A reader of mails that machines wrote badly: header fields, parts, decoded text. It never fails; what it cannot
//! read it leaves out. Every loop is bounded, because anybody can send anything to a return path.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;

/// Bytes of a mail that are looked at. A report stands before the mail that it returns.
const MAIL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Header fields of one part that are looked at.
const HEADER_FIELDS_MAX: usize = 1_000;
/// Parts of a mail that are looked at, those inside others included.
const PARTS_MAX: usize = 100;
/// How deep parts may lie in parts.
const DEPTH_MAX: usize = 8;

/// Base64 as mails have it: padding may be missing, and what a cut line leaves over is dropped.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Header fields in their order, names in lower case, values unfolded.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first field of this name (lower case).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first field of this name, its encoded words (RFC 2047) decoded, in lower case: for looking for words in it.
    pub(super) fn words(&self, name: &str) -> String {
        decoded_words(self.get(name).unwrap_or_default()).to_lowercase()
    }

    /// All fields of this name (lower case).
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads fields up to the first empty line; what follows comes back too.
    pub(super) fn read(text: &str) -> (Self, &str) {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':')
                && fields.len() < HEADER_FIELDS_MAX
            {
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        (Self(fields), rest)
    }
}

/// What a part is to a reader of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    /// Words for people.
    Text,
    /// The same as HTML.
    Html,
    /// `message/delivery-status` (RFC 3464).
    DeliveryStatus,
    /// `message/feedback-report` (RFC 5965).
    FeedbackReport,
    /// The mail that came back, or its header.
    Returned,
}

/// One leaf of a mail, decoded.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    pub(super) text: String,
}

/// A mail, taken apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Mail {
    pub(super) headers: Headers,
    pub(super) parts: Vec<Part>,
}

impl Mail {
    /// Takes a mail apart. Bytes that are no UTF-8 become U+FFFD: addresses, codes and ids are ASCII.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAIL_BYTES_MAX)]);
        let text = match text.strip_prefix("From ") {
            Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
            None => &text,
        };
        let (headers, body) = Headers::read(text);
        let mut parts = Vec::new();
        add_parts(&headers, body, DEPTH_MAX, &mut parts);
        Self { headers, parts }
    }

    /// The texts of all parts of this kind.
    pub(super) fn texts(&self, kind: PartKind) -> impl Iterator<Item = &str> {
        self.parts.iter().filter(move |part| part.kind == kind).map(|part| part.text.as_str())
    }
}

fn add_parts(headers: &Headers, body: &str, depth: usize, parts: &mut Vec<Part>) {
    if parts.len() >= PARTS_MAX {
        return;
    }
    let content_type = headers.get("content-type").unwrap_or("text/plain");
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind.starts_with("multipart/") {
        if depth > 0
            && let Some(boundary) = boundary(content_type, body)
        {
            for part in split(body, &boundary) {
                let (headers, body) = Headers::read(part);
                add_parts(&headers, body, depth - 1, parts);
            }
            return;
        }
        parts.push(Part { kind: PartKind::Text, text: body.to_owned() });
        return;
    }
    let kind = match kind.as_str() {
        "message/delivery-status" | "message/global-delivery-status" => PartKind::DeliveryStatus,
        "message/feedback-report" => PartKind::FeedbackReport,
        "message/rfc822"
        | "message/global"
        | "text/rfc822-headers"
        | "message/rfc822-headers"
        | "text/rfc822-header"
        | "message/partial"
        | "message/global-headers" => PartKind::Returned,
        "text/html" => PartKind::Html,
        text if text.starts_with("text/") || text.is_empty() || !text.contains('/') => PartKind::Text,
        _ => return,
    };
    let encoding = headers.get("content-transfer-encoding").unwrap_or_default();
    parts.push(Part { kind, text: decoded(body, encoding) });
}

/// The stated boundary, where the body has it; else the first line that looks like one.
fn boundary(content_type: &str, body: &str) -> Option<String> {
    let stated = parameter(content_type, "boundary")
        .filter(|boundary| !boundary.is_empty() && body.contains(&format!("--{boundary}")));
    stated.or_else(|| {
        let line = body.lines().map(str::trim_end).find(|line| line.len() > 4 && line.starts_with("--"))?;
        Some(line[2..].to_owned())
    })
}

/// The value of a parameter of a structured field, without its quotes.
pub(super) fn parameter(field: &str, name: &str) -> Option<String> {
    let start = field.to_ascii_lowercase().find(&format!("{name}="))? + name.len() + 1;
    let value = &field[start..];
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => value.split([';', ' ', '\t']).next().unwrap_or_default(),
    };
    Some(value.to_owned())
}

/// The parts between delimiter lines; what stands before the first is for readers without MIME.
fn split<'a>(body: &'a str, boundary: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    let mut offset = 0;
    for line in body.split_inclusive('\n') {
        let delimiter = line
            .trim_end()
            .strip_prefix("--")
            .and_then(|rest| rest.strip_prefix(boundary))
            .filter(|rest| rest.is_empty() || *rest == "--");
        if let Some(end) = delimiter {
            if let Some(start) = open {
                parts.push(&body[start..offset]);
            }
            open = end.is_empty().then_some(offset + line.len());
            if !end.is_empty() || parts.len() >= PARTS_MAX {
                return parts;
            }
        }
        offset += line.len();
    }
    parts.extend(open.map(|start| &body[start..]));
    parts
}

fn decoded(body: &str, encoding: &str) -> String {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "quoted-printable" => quoted_printable(body),
        "base64" => {
            let mut compact: Vec<u8> = body
                .bytes()
                .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
                .collect();
            if compact.len() % 4 == 1 {
                compact.pop();
            }
            let bytes = LENIENT.decode(compact).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => body.to_owned(),
    }
}

/// `=?utf-8?Q?Automatic_reply?=` → `Automatic reply`. Characters outside of ASCII may be lost.
fn decoded_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, word)) = rest.split_once("=?") {
        let parts: Vec<&str> = word.splitn(3, '?').collect();
        let [_, encoding, after] = parts[..] else { break };
        let Some((coded, after)) = after.split_once("?=") else { break };
        out.push_str(if before.trim().is_empty() { "" } else { before });
        let encoding = if encoding.eq_ignore_ascii_case("b") { "base64" } else { "quoted-printable" };
        out.push_str(&decoded(&coded.replace('_', " "), encoding));
        rest = after;
    }
    out + rest
}

fn quoted_printable(body: &str) -> String {
    let bytes = body.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest[0] != b'=' {
            out.push(rest[0]);
            at += 1;
        } else if rest.starts_with(b"=\r\n") {
            at += 3;
        } else if rest.starts_with(b"=\n") {
            at += 2;
        } else if let Some(byte) =
            rest.get(1..3).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
        {
            out.push(byte);
            at += 3;
        } else {
            out.push(b'=');
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mail: &str, expected: &[(PartKind, &str)]) {
        let mail = Mail::read(mail.as_bytes());
        let found: Vec<_> = mail.parts.iter().map(|part| (part.kind, part.text.trim_end())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn parts_are_found_decoded_and_named() {
        check("Subject: x\n\nhello", &[(PartKind::Text, "hello")]);
        check("Content-Transfer-Encoding: quoted-printable\n\na=\nb=3D=zz", &[(PartKind::Text, "ab==zz")]);
        check("Content-Transfer-Encoding: base64\n\naGVs\nbG8", &[(PartKind::Text, "hello")]);
        check(
            "Content-Type: multipart/report;\n boundary=\"b\"\n\npreamble\n--b\n\nwords\n--b\n\
             Content-Type: message/delivery-status\n\nStatus: 5.1.1\n--b\nContent-Type: message/rfc822\n\n\
             To: a@b.test\n\nx\n--b--\nepilogue",
            &[
                (PartKind::Text, "words"),
                (PartKind::DeliveryStatus, "Status: 5.1.1"),
                (PartKind::Returned, "To: a@b.test\n\nx"),
            ],
        );
    }

    #[test]
    fn encoded_words_are_decoded() {
        for (text, expected) in [
            ("=?utf-8?Q?Automatic_reply=3A?= x", "Automatic reply: x"),
            ("a =?UTF-8?B?aGVs?= =?utf-8?b?bG8=?=", "a hello"),
            ("=?broken", "=?broken"),
            ("=?a?b", "=?a?b"),
        ] {
            assert_eq!(decoded_words(text), expected);
        }
    }

    #[test]
    fn a_missing_or_wrong_boundary_is_guessed() {
        for field in ["multipart/mixed", "multipart/mixed; boundary=other"] {
            check(
                &format!("Content-Type: {field}\n\n--real-one\n\nwords\n--real-one--\n"),
                &[(PartKind::Text, "words")],
            );
        }
    }

    #[test]
    fn hostile_mails_are_read_within_limits() {
        let deep = (0..1_000).fold(String::new(), |mail, i| {
            mail + "Content-Type: multipart/mixed; boundary=b"
                + &i.to_string()
                + "\n\n--b"
                + &i.to_string()
                + "\n"
        });
        assert!(Mail::read(deep.as_bytes()).parts.len() <= PARTS_MAX);
        let wide = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(10_000));
        assert_eq!(Mail::read(wide.as_bytes()).parts.len(), PARTS_MAX);
        let fields = "X: y\n".repeat(100_000);
        assert_eq!(Mail::read(fields.as_bytes()).headers.0.len(), HEADER_FIELDS_MAX);
        let long = vec![b'a'; 10 * 1024 * 1024];
        assert!(Mail::read(&long).parts.iter().all(|part| part.text.len() <= MAIL_BYTES_MAX));
        for bytes in
            [&b""[..], b"\n", b":", b"From ", b"Content-Type: multipart/x\n\n--", b"\xff\xfe\n\n\xff"]
        {
            Mail::read(bytes);
        }
    }
}
