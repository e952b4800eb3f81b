//! Files that come along with a mail: which names and types may, and how much.

use lettre::message::header::ContentType;

use crate::deliver::message::Attachment;
use crate::deliver::message::header_text;

/// Files of one mail, at most.
pub const ATTACHMENTS_MAX: usize = 20;
/// Bytes of all files of one mail together, at most.
pub const ATTACHMENT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Longest file name, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 200;
/// Longest media type, in bytes.
pub const MEDIA_TYPE_BYTES_MAX: usize = 200;

/// Endings of programs: the large mailbox hosts refuse mails with such files, whatever else is in them.
const REFUSED_ENDINGS: [&str; 34] = [
    "ade", "adp", "apk", "appx", "bat", "cab", "chm", "cmd", "com", "cpl", "dll", "dmg", "exe", "hta", "ins",
    "iso", "isp", "jar", "js", "jse", "lib", "lnk", "mde", "msc", "msi", "msix", "msp", "pif", "ps1", "scr",
    "sct", "vb", "vbs", "wsf",
];

impl Attachment {
    /// Checks name and media type. The fault is a sentence for whoever sent it.
    pub fn checked(name: &str, content_type: &str, bytes: Vec<u8>) -> Result<Self, String> {
        check_name(name)?;
        check_type(content_type)?;
        Ok(Self { name: name.to_owned(), content_type: content_type.to_owned(), bytes })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX {
        return Err(format!("name: a file name has 1 to {FILE_NAME_BYTES_MAX} bytes"));
    }
    // What a header would change cannot be what the sender meant.
    if name.contains(['/', '\\', '"']) || name.starts_with('.') || header_text(name) != name {
        return Err(
            "name: a file name holds no slash, quote, control or direction mark, and begins with no dot"
                .to_owned(),
        );
    }
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    if REFUSED_ENDINGS.contains(&ending.as_str()) {
        return Err(format!("name: mailbox hosts refuse mails with .{ending} files; send a link instead"));
    }
    Ok(())
}

fn check_type(content_type: &str) -> Result<(), String> {
    let refused = || {
        "content_type: write a media type such as application/pdf; multipart and message are not files"
            .to_owned()
    };
    let (kind, rest) = content_type.split_once('/').ok_or_else(refused)?;
    let subtype = rest.split(';').next().unwrap_or_default().trim_end();
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let printable = content_type.bytes().all(|b| (b' '..=b'~').contains(&b));
    let composite = ["multipart", "message"].iter().any(|composite| kind.eq_ignore_ascii_case(composite));
    if content_type.len() > MEDIA_TYPE_BYTES_MAX || !printable || composite || !token(kind) || !token(subtype)
    {
        return Err(refused());
    }
    ContentType::parse(content_type).map(|_| ()).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::Attachment;

    #[test]
    fn names_and_types_that_a_mail_can_carry_are_taken() {
        for (name, content_type, expected) in [
            ("invoice 4711.pdf", "application/pdf", true),
            ("Rechnung für März.pdf", "application/pdf", true),
            ("termin.ics", "text/calendar; charset=utf-8; method=REQUEST", true),
            ("a.json", "application/vnd.shop+json", true),
            ("", "application/pdf", false),
            ("../../etc/passwd", "text/plain", false),
            ("..\\x.txt", "text/plain", false),
            (".bashrc", "text/plain", false),
            ("a\r\nBcc: x@y.test", "text/plain", false),
            ("a\u{202e}fdp.exe.pdf", "application/pdf", false),
            ("setup.EXE", "application/octet-stream", false),
            ("x.eml", "message/rfc822", false),
            ("x", "Multipart/mixed; boundary=a", false),
            ("x", "text", false),
            ("x", "text/plain\r\nBcc: a@b.test", false),
            ("x", "text/", false),
        ] {
            assert_eq!(
                Attachment::checked(name, content_type, vec![1]).is_ok(),
                expected,
                "{name} {content_type}"
            );
        }
    }
}
