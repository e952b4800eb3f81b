//! Signs of which send of ours a mail is about. They are only signs: see [`crate::feedback`].

use super::mime::Headers;
use super::mime::Mail;
use super::mime::PartKind;
use super::scan;
use super::text;

/// Signs of one kind that are kept.
const SIGNS_MAX: usize = 20;
/// `b-`, 32 hex digits of the send, `-`, 26 hex digits of key id and MAC (see [`crate::token`]).
const RETURN_PATH_BYTES: usize = 2 + 32 + 1 + 26;

/// What a mail shows of where it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Local parts of the addresses that it was sent to.
    pub addressed: Vec<String>,
    /// What looks like a return path of ours in the mail that came back.
    pub return_paths: Vec<String>,
    /// Message-IDs of the mail that came back, without angle brackets.
    pub message_ids: Vec<String>,
}

impl Origin {
    pub(super) fn of(mail: &Mail) -> Self {
        let mut origin = Self::default();
        for name in ["x-original-to", "delivered-to", "envelope-to", "x-envelope-to", "x-rcpt-to", "to", "cc"]
        {
            for (_, address) in mail.headers.all(name).flat_map(scan::addresses) {
                let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
                add(&mut origin.addressed, local);
            }
        }
        let (words, returned) = text::words_and_returned(mail);
        for text in mail.texts(PartKind::FeedbackReport).chain([returned.as_str(), words.as_str()]) {
            for path in return_paths(text) {
                add(&mut origin.return_paths, path);
            }
        }
        for returned in mail.texts(PartKind::Returned).chain([returned.as_str()]) {
            let (headers, _) = Headers::read(returned.trim_start());
            for id in headers.all("message-id") {
                add(&mut origin.message_ids, id.trim().trim_matches(['<', '>']));
            }
        }
        origin
    }
}

fn add(signs: &mut Vec<String>, sign: &str) {
    if signs.len() < SIGNS_MAX && !sign.is_empty() && !signs.iter().any(|known| known == sign) {
        signs.push(sign.to_owned());
    }
}

/// Everything in the text that has the form of a return path of ours.
fn return_paths(text: &str) -> impl Iterator<Item = &str> {
    let begins = |at: &usize| *at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric();
    let candidates = text.match_indices(['b', 'B']).map(|(at, _)| at).filter(begins);
    candidates.filter_map(move |at| {
        let path = text.get(at..at + RETURN_PATH_BYTES)?;
        let bytes = path.as_bytes();
        let hex = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_hexdigit);
        (bytes[1] == b'-' && bytes[34] == b'-' && hex(2..34) && hex(35..RETURN_PATH_BYTES)).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_paths_are_found_by_their_form() {
        let path = format!("b-{}-{}", "0a".repeat(16), "1f".repeat(13));
        let text = format!("Return-Path: <{path}@shop.example>\nab-{path} x{path}");
        assert_eq!(return_paths(&text).collect::<Vec<_>>(), [path.as_str(), path.as_str()]);
        assert_eq!(return_paths("b-, b-00, B").count(), 0);
    }
}
