//! The mail becomes bytes: headers and MIME of RFC 5322, the envelope of RFC 5321.

use std::io::Write as _;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
pub use lettre::address::Envelope;
use lettre::message::Body;
use lettre::message::Mailbox;
use lettre::message::Mailboxes;
use lettre::message::SinglePart;
use lettre::message::header;
use lettre::message::header::ContentDisposition;
use lettre::message::header::ContentTransferEncoding;
use lettre::message::header::ContentType;
use lettre::message::header::Header;
use lettre::message::header::HeaderName;
use lettre::message::header::HeaderValue;
use lettre::message::header::Headers;

use crate::campaign::Kind;
use crate::deliver::quoted_printable;
use crate::deliver::seven_bit;
use crate::deliver::seven_bit::Markup;
use crate::profile::EmailAddress;
use crate::send::SendId;

use super::encoded_words::encoded_words;
use super::encoded_words::is_mistakable;

/// Longest header value that is composed, in bytes; what people put into names and subjects is cut there.
const HEADER_TEXT_BYTES_MAX: usize = 900;
/// Longest name that is written as a quoted string, in bytes: it fits a line.
const QUOTED_NAME_BYTES_MAX: usize = 60;
/// Lines of headers should not be longer (RFC 5322 2.1.1), in bytes.
const LINE_BYTES_MAX: usize = 78;

/// Everything a mail is made of. The same values give the same bytes.
#[derive(Debug)]
pub struct Mail<'a> {
    /// Its send: Message-ID and MIME boundary come from it.
    pub send: &'a SendId,
    /// Whom it is from.
    pub from: &'a Mailbox,
    /// Where answers go.
    pub reply_to: Option<&'a Mailbox>,
    /// To whom.
    pub to: &'a EmailAddress,
    /// The recipient's name, as they wrote it.
    pub to_name: Option<&'a str>,
    /// The Date header.
    pub date: Timestamp,
    /// One line.
    pub subject: &'a str,
    /// The HTML part.
    pub html: &'a str,
    /// The plain text part.
    pub text: &'a str,
    /// Where bounces go: the envelope's sender.
    pub return_path: &'a EmailAddress,
    /// Domain of the Message-ID.
    pub message_id_domain: &'a str,
    /// Lifecycle or transactional.
    pub kind: Kind,
    /// Headers of a list mail (RFC 2369, 2919, 8058); none on transactional mail.
    pub list: Option<ListHeaders<'a>>,
    /// `Feedback-ID`: `campaign:variant:kind:sender`, by which mailbox hosts report complaints.
    pub feedback_id: &'a str,
    /// Files that come along.
    pub attachments: &'a [Attachment],
    /// Marks a test mail in its headers.
    pub purpose: MailPurpose,
    /// What Postmark's webhooks are to give back, since it replaces return paths. It takes this header off the mail.
    pub postmark_metadata: Option<&'a str>,
}

/// Whether a mail is meant for its reader or for its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailPurpose {
    /// Meant for its reader.
    Delivery,
    /// Sent by `bespoke send-test`.
    Test,
}

/// What a mail is beside its content.
#[derive(Debug, Clone, Copy)]
pub struct Extras<'a> {
    /// For whom it is meant.
    pub purpose: MailPurpose,
    /// Files that come along.
    pub attachments: &'a [Attachment],
}

impl MailPurpose {
    /// Such a mail, without files.
    pub fn alone(self) -> Extras<'static> {
        Extras { purpose: self, attachments: &[] }
    }
}

/// What makes a mail one that people can leave by one click.
#[derive(Debug, Clone, Copy)]
pub struct ListHeaders<'a> {
    /// `topic.domain`, for List-Id.
    pub list_id: &'a str,
    /// The one https address of RFC 8058; none where no public address is configured.
    pub unsubscribe_url: Option<&'a str>,
    /// An address whose mails are unsubscribes.
    pub unsubscribe_address: &'a str,
}

/// A file that comes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name, checked.
    pub name: String,
    /// MIME type, checked.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A mail that is ready to be signed.
#[derive(Debug, Clone)]
pub struct ComposedMail {
    /// From whom to whom, for SMTP.
    pub envelope: Envelope,
    /// Headers and body, lines ended by CRLF.
    pub bytes: Vec<u8>,
}

/// Why a mail could not be composed: a fault of ours, never of its reader.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A header that no mail can carry.
    #[error("the header {name} cannot be written: {reason}")]
    Header {
        /// Which.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// Lettre refused the envelope.
    #[error("the mail cannot be composed: {0}")]
    Envelope(#[from] lettre::error::Error),
}

/// The Message-ID of a send, with its angle brackets.
pub fn message_id(send: &SendId, domain: &str) -> String {
    format!("<{send}@{domain}>")
}

impl Mail<'_> {
    /// Composes. Everything that comes from people is cleaned here, whatever was done before.
    pub fn compose(&self) -> Result<ComposedMail, ComposeError> {
        let envelope = Envelope::new(Some(self.return_path.to_lettre()), vec![self.to.to_lettre()])?;
        // Room for the parts, the headers, and a signature.
        let mut bytes =
            Vec::with_capacity(self.html.len() + self.html.len() / 8 + 2 * self.text.len() + 4_096);
        write(&mut bytes, format_args!("{}", self.headers()?));
        self.body(&mut bytes)?;
        Ok(ComposedMail { envelope, bytes })
    }

    fn headers(&self) -> Result<Headers, ComposeError> {
        let name = self.to_name.map(header_text).filter(|name| !name.is_empty());
        let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.date.as_millisecond()).unwrap_or(0));
        let mut headers = Headers::with_capacity(12);
        set_mailbox::<header::From>(&mut headers, clean(self.from));
        set_mailbox::<header::To>(&mut headers, Mailbox::new(name, self.to.to_lettre()));
        set_subject(&mut headers, header_text(self.subject));
        headers.set(header::Date::from(date));
        headers.set(header::MessageId::from(message_id(self.send, self.message_id_domain)));
        if let Some(reply_to) = self.reply_to {
            set_mailbox::<header::ReplyTo>(&mut headers, clean(reply_to));
        }
        for (name, value) in self.extra_headers() {
            headers.insert_raw(raw_header(name, value)?);
        }
        headers.set(header::MIME_VERSION_1_0);
        Ok(headers)
    }

    fn extra_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::with_capacity(6);
        if let Some(list) = &self.list {
            headers.push(("List-Id", format!("<{}>", list.list_id)));
            let by_mail = format!("<mailto:{}?subject=unsubscribe>", list.unsubscribe_address);
            match list.unsubscribe_url {
                Some(url) => {
                    headers.push(("List-Unsubscribe", format!("<{url}>, {by_mail}")));
                    headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
                }
                None => headers.push(("List-Unsubscribe", by_mail)),
            }
        }
        if self.kind == Kind::Transactional {
            headers.push(("Auto-Submitted", "auto-generated".to_owned()));
        }
        if self.purpose == MailPurpose::Test {
            headers.push(("X-Bespoke-Test", "yes".to_owned()));
        }
        if let Some(metadata) = self.postmark_metadata {
            headers.push(("X-PM-KeepID", "true".to_owned()));
            headers.push(("X-PM-Metadata-send", metadata.to_owned()));
        }
        headers.push(("Feedback-ID", self.feedback_id.to_owned()));
        headers
    }

    /// Text and HTML as alternatives; attachments around them. Boundaries begin with `=_`, which no part that is
    /// written here has behind a hyphen.
    fn body(&self, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        if self.attachments.is_empty() {
            self.alternative(out);
            return Ok(());
        }
        let boundary = format!("=_{}_m", self.send);
        begin_multipart(out, "mixed", &boundary);
        write(out, format_args!("--{boundary}\r\n"));
        self.alternative(out);
        for file in self.attachments {
            write(out, format_args!("--{boundary}\r\n"));
            out.extend_from_slice(&attached(file)?.formatted());
        }
        write(out, format_args!("--{boundary}--\r\n"));
        Ok(())
    }

    fn alternative(&self, out: &mut Vec<u8>) {
        let boundary = format!("=_{}_a", self.send);
        begin_multipart(out, "alternative", &boundary);
        for (kind, text, markup) in
            [("text/plain", self.text, Markup::None), ("text/html", self.html, Markup::Html)]
        {
            write(out, format_args!("--{boundary}\r\nContent-Type: {kind}; charset=utf-8\r\n"));
            part(out, text, markup);
        }
        write(out, format_args!("--{boundary}--\r\n"));
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

fn begin_multipart(out: &mut Vec<u8>, kind: &str, boundary: &str) {
    write(out, format_args!("Content-Type: multipart/{kind};\r\n boundary=\"{boundary}\"\r\n\r\n"));
}

/// The text in the encoding that suits it, which depends on nothing else: a retry gives the same bytes.
fn part(out: &mut Vec<u8>, text: &str, markup: Markup) {
    let start = out.len();
    out.extend_from_slice(b"Content-Transfer-Encoding: 7bit\r\n\r\n");
    if seven_bit::append(out, text, markup).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        quoted_printable::append(out, text);
    }
    out.extend_from_slice(b"\r\n");
}

fn attached(file: &Attachment) -> Result<SinglePart, ComposeError> {
    let content_type = ContentType::parse(&file.content_type).map_err(|error| ComposeError::Header {
        name: "Content-Type",
        reason: format!("{}: {error}", file.name),
    })?;
    let disposition = ContentDisposition::attachment(&header_text(&file.name));
    let encoded = Body::new_with_encoding(file.bytes.clone(), ContentTransferEncoding::Base64)
        .unwrap_or_else(Body::new);
    Ok(SinglePart::builder().header(disposition).content_type(content_type).body(encoded))
}

fn raw_header(name: &'static str, value: String) -> Result<HeaderValue, ComposeError> {
    if value.chars().any(char::is_control) {
        return Err(ComposeError::Header { name, reason: "it holds a control character".to_owned() });
    }
    if value.len() > HEADER_TEXT_BYTES_MAX {
        return Err(ComposeError::Header { name, reason: format!("it has {} bytes", value.len()) });
    }
    Ok(HeaderValue::new(HeaderName::new_from_ascii_str(name), value))
}

fn clean(mailbox: &Mailbox) -> Mailbox {
    let name = mailbox.name.as_deref().map(header_text).filter(|name| !name.is_empty());
    Mailbox::new(name, mailbox.email.clone())
}

fn set_mailbox<H: Header + From<Mailboxes>>(headers: &mut Headers, mailbox: Mailbox) {
    match quoted(H::name(), &mailbox) {
        Some(header) => headers.insert_raw(header),
        None => headers.set(H::from(Mailboxes::from(mailbox))),
    }
}

/// A mailbox whose name is ASCII but more than words, as a quoted string of RFC 5322: lettre writes `Salt & Co` in base64,
/// which people cannot read in logs and filters hold against a mail. `None` for those that lettre writes well.
fn quoted(header: HeaderName, mailbox: &Mailbox) -> Option<HeaderValue> {
    let name = mailbox.name.as_deref()?;
    let written_well = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.\"\\".contains(&byte);
    // Many readers decode it within quotes too.
    if is_mistakable(name) {
        return None;
    }
    if name.bytes().all(written_well) || !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    if name.len() > QUOTED_NAME_BYTES_MAX {
        return None;
    }
    let raw = format!("\"{name}\" <{}>", mailbox.email);
    let fits = header.len() + ": ".len() + raw.len() <= LINE_BYTES_MAX;
    let line = if fits { raw.clone() } else { raw.replacen("\" <", "\"\r\n <", 1) };
    Some(HeaderValue::dangerous_new_pre_encoded(header, raw, line))
}

fn set_subject(headers: &mut Headers, text: String) {
    if !is_mistakable(&text) {
        return headers.set(header::Subject::from(text));
    }
    let words = encoded_words(&text);
    let name = HeaderName::new_from_ascii_str("Subject");
    headers.insert_raw(HeaderValue::dangerous_new_pre_encoded(name, text, words));
}

/// One line of text for a header: controls, line and paragraph separators and the marks that reorder text are
/// dropped (lettre panics on CR, LF and NUL in names), runs of white space become one space, length is bounded.
pub fn header_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(HEADER_TEXT_BYTES_MAX));
    for character in text.chars() {
        if out.len() + character.len_utf8() > HEADER_TEXT_BYTES_MAX {
            break;
        }
        if character.is_whitespace() || character.is_control() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !reorders(character) {
            out.push(character);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The bidirectional controls of UAX #9: a name that holds them can dress a sender up as another.
fn reorders(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}
