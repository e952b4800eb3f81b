//! The mail becomes bytes: headers and MIME of RFC 5322, the envelope of RFC 5321.

use std::time::Duration;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use lettre::Message;
use lettre::address::Envelope;
use lettre::message::Body;
use lettre::message::Mailbox;
use lettre::message::MultiPart;
use lettre::message::SinglePart;
use lettre::message::header::ContentDisposition;
use lettre::message::header::ContentTransferEncoding;
use lettre::message::header::ContentType;
use lettre::message::header::HeaderName;
use lettre::message::header::HeaderValue;

use crate::campaign::Kind;
use crate::deliver::quoted_printable;
use crate::profile::EmailAddress;
use crate::send::SendId;

/// Longest header value that is composed, in bytes; what people put into names and subjects is cut there.
const HEADER_TEXT_BYTES_MAX: usize = 900;

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
    /// Lettre refused the whole.
    #[error("the mail cannot be composed: {0}")]
    Message(#[from] lettre::error::Error),
}

/// The Message-ID of a send, with its angle brackets.
pub fn message_id(send: &SendId, domain: &str) -> String {
    format!("<{send}@{domain}>")
}

impl Mail<'_> {
    /// Composes. Everything that comes from people is cleaned here, whatever was done before.
    pub fn compose(&self) -> Result<ComposedMail, ComposeError> {
        let envelope = Envelope::new(Some(self.return_path.to_lettre()), vec![self.to.to_lettre()])?;
        let name = self.to_name.map(header_text).filter(|name| !name.is_empty());
        let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.date.as_millisecond()).unwrap_or(0));
        let mut message = Message::builder()
            .envelope(envelope.clone())
            .from(clean(self.from))
            .to(Mailbox::new(name, self.to.to_lettre()))
            .subject(header_text(self.subject))
            .date(date)
            .message_id(Some(message_id(self.send, self.message_id_domain)));
        if let Some(reply_to) = self.reply_to {
            message = message.reply_to(clean(reply_to));
        }
        for (name, value) in self.extra_headers() {
            message = message.raw_header(header(name, value)?);
        }
        let bytes = message.multipart(self.body()?)?.formatted();
        Ok(ComposedMail { envelope, bytes })
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

    /// Text and HTML as alternatives; attachments around them. Boundaries hold `=_`, which quoted-printable never writes.
    fn body(&self) -> Result<MultiPart, ComposeError> {
        let alternative = MultiPart::alternative()
            .boundary(format!("=_{}_a", self.send))
            .singlepart(part(ContentType::TEXT_PLAIN, self.text))
            .singlepart(part(ContentType::TEXT_HTML, self.html));
        if self.attachments.is_empty() {
            return Ok(alternative);
        }
        let mut mixed = MultiPart::mixed().boundary(format!("=_{}_m", self.send)).multipart(alternative);
        for file in self.attachments {
            let content_type = ContentType::parse(&file.content_type).map_err(|error| {
                ComposeError::Header { name: "Content-Type", reason: format!("{}: {error}", file.name) }
            })?;
            let disposition = ContentDisposition::attachment(&header_text(&file.name));
            let encoded = Body::new_with_encoding(file.bytes.clone(), ContentTransferEncoding::Base64)
                .unwrap_or_else(Body::new);
            mixed = mixed.singlepart(
                SinglePart::builder().header(disposition).content_type(content_type).body(encoded),
            );
        }
        Ok(mixed)
    }
}

fn part(content_type: ContentType, text: &str) -> SinglePart {
    let encoded = quoted_printable::encode(text);
    SinglePart::builder()
        .content_type(content_type)
        .body(Body::dangerous_pre_encoded(encoded, ContentTransferEncoding::QuotedPrintable))
}

fn header(name: &'static str, value: String) -> Result<HeaderValue, ComposeError> {
    if value.chars().any(char::is_control) {
        return Err(ComposeError::Header { name, reason: "it holds a control character".to_owned() });
    }
    if value.len() > HEADER_TEXT_BYTES_MAX {
        return Err(ComposeError::Header { name, reason: format!("it has {} bytes", value.len()) });
    }
    let header_name = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|error| ComposeError::Header { name, reason: error.to_string() })?;
    Ok(HeaderValue::new(header_name, value))
}

fn clean(mailbox: &Mailbox) -> Mailbox {
    let name = mailbox.name.as_deref().map(header_text).filter(|name| !name.is_empty());
    Mailbox::new(name, mailbox.email.clone())
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
