//! Reports that are written for people only: qmail, Exim, old Exchange, Notes, gateways of all kinds.
//!
//! What they share: the address that failed begins a line of its own, the host's words follow it, and below some line
//! of dashes the mail itself comes back.

use super::mime::Headers;
use super::mime::Mail;
use super::mime::PartKind;
use super::scan;

/// Lines that are looked at.
const LINES_MAX: usize = 5_000;

/// Words in the line above a returned mail. The line begins with dashes, or is a short sentence of these words.
const RETURNED_MARKS: [&str; 13] = [
    "copy of the message",
    "copy of your message",
    "original message",
    "original mail",
    "returned message",
    "unsent message",
    "header of the original",
    "headers of the original",
    "message header",
    "below this line",
    "original email",
    "included message",
    "message follows",
];

/// One recipient that a text names, and the host's words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) recipient: String,
    pub(super) words: String,
}

/// What a mail says to people, without the mail that it returns; and what it returns.
pub(super) fn words_and_returned(mail: &Mail) -> (String, String) {
    let mut words = String::new();
    let mut returned = String::new();
    let has_text = mail.texts(PartKind::Text).any(|text| !text.trim().is_empty());
    for part in &mail.parts {
        match part.kind {
            PartKind::Text => {
                let (before, after) = cut(&part.text);
                words.push_str(&before);
                words.push('\n');
                returned.push_str(after);
                returned.push('\n');
            }
            PartKind::Html if !has_text => {
                words.push_str(&without_tags(&part.text));
                words.push('\n');
            }
            PartKind::Returned => {
                returned.push_str(&part.text);
                returned.push('\n');
            }
            _ => {}
        }
    }
    (words, returned)
}

/// The text up to the line that announces the returned mail, and what follows it. Marks of quoting are taken away.
fn cut(text: &str) -> (String, &str) {
    let mut before = String::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n').take(LINES_MAX) {
        let after = offset + line.len();
        if announces_returned(line) {
            return (before, &text[after..]);
        }
        before.push_str(line.trim_start_matches(['>', ' ']));
        if !line.ends_with('\n') {
            before.push('\n');
        }
        offset = after;
    }
    (before, "")
}

fn announces_returned(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    let dashed = line.starts_with("--") || line.starts_with("==") || line.starts_with("__");
    let alone = |mark: &str| line.starts_with(mark) && line.len() <= 40 && line.ends_with(['.', ':']);
    RETURNED_MARKS.iter().any(|mark| dashed && line.contains(mark) || alone(mark))
}

fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    for piece in html.split('<') {
        let (tag, text) = piece.split_once('>').unwrap_or(("", piece));
        let breaks = ["br", "p", "/p", "div", "/div", "tr", "li"];
        let name = tag.split(|c: char| c.is_whitespace()).next().unwrap_or_default().to_ascii_lowercase();
        out.push(if breaks.contains(&name.trim_end_matches('/')) { '\n' } else { ' ' });
        out.push_str(text);
    }
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", " ").replace("&amp;", "&")
}

/// The recipients that failed, by the words for people.
pub(super) fn mentions(mail: &Mail, words: &str, returned: &str) -> Vec<Mention> {
    let ours = own_addresses(mail);
    let lines: Vec<&str> = words.lines().take(LINES_MAX).collect();
    let mut starts: Vec<(usize, String)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if let Some(address) = begins_with_address(line) {
            starts.push((number, address.to_owned()));
        }
    }
    keep_strangers(&mut starts, &ours);
    if starts.is_empty() {
        starts = named_within(&lines);
        keep_strangers(&mut starts, &ours);
        starts.truncate(1);
    }
    let failed: Vec<&str> = mail
        .headers
        .all("x-failed-recipients")
        .flat_map(|list| scan::addresses(list))
        .map(|(_, address)| address)
        .collect();
    if !failed.is_empty() {
        starts.retain(|(_, address)| failed.iter().any(|known| known.eq_ignore_ascii_case(address)));
        let missing: Vec<(usize, String)> = failed
            .iter()
            .filter(|known| !starts.iter().any(|(_, address)| known.eq_ignore_ascii_case(address)))
            .map(|known| (0, (*known).to_owned()))
            .collect();
        starts.extend(missing);
    }
    if starts.is_empty()
        && let Some(address) = only_recipient(returned)
    {
        starts.push((0, address));
    }
    with_words(&lines, starts)
}

/// Each recipient with the words from its line to the next recipient's; with all words where those say nothing.
fn with_words(lines: &[&str], mut starts: Vec<(usize, String)>) -> Vec<Mention> {
    starts.sort();
    let ends: Vec<usize> = starts.iter().skip(1).map(|(start, _)| *start).chain([lines.len()]).collect();
    let mut mentions: Vec<Mention> = Vec::new();
    for ((start, recipient), end) in starts.into_iter().zip(ends) {
        let own = lines[start.min(end)..end].join("\n");
        let says = !scan::enhanced_codes(&own).is_empty() || !scan::reply_codes(&own).is_empty();
        let words = if says { own } else { lines.join("\n") };
        match mentions.iter_mut().find(|known| known.recipient.eq_ignore_ascii_case(&recipient)) {
            Some(known) if says => known.words.push_str(&words),
            Some(_) => {}
            None => mentions.push(Mention { recipient, words }),
        }
    }
    mentions
}

/// `<a@b.test>: …`, `"a@b.test":`, `a@b.test`, `a@b.test [User unknown]`.
fn begins_with_address(line: &str) -> Option<&str> {
    let line = line.trim();
    let (start, address) = *scan::addresses(line).first()?;
    let before = line[..start].trim_start_matches(['<', '"', '\'', '(', '*', '-', ' ']);
    let after = &line[start + address.len()..];
    let plain = after.is_empty() || after.starts_with(['>', '"', '\'', ':', ' ', '\t', '.', ')', ',']);
    (before.is_empty() && plain).then_some(address)
}

/// Addresses in the middle of lines, those beside a telling word first.
fn named_within(lines: &[&str]) -> Vec<(usize, String)> {
    const TELLING: [&str; 9] =
        ["recipient", "rcpt", "to:", "user", "undeliverable", "deliver", "mailbox", "address", "affected"];
    let mut found: Vec<(bool, usize, String)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let lower = line.to_lowercase();
        if lower.contains("contact") || lower.starts_with("from:") || lower.contains("sender") {
            continue;
        }
        let telling = TELLING.iter().any(|word| lower.contains(word));
        found.extend(scan::addresses(line).into_iter().map(|(_, a)| (!telling, number, a.to_owned())));
    }
    found.sort();
    found.into_iter().map(|(_, number, address)| (number, address)).collect()
}

/// The sender of the mail that came back is told of its own mail; it is not the one who did not get it, unless
/// nobody else is named.
fn keep_strangers(starts: &mut Vec<(usize, String)>, ours: &[String]) {
    let is_ours = |address: &str| ours.iter().any(|own| own.eq_ignore_ascii_case(address));
    if starts.iter().any(|(_, address)| !is_ours(address)) {
        starts.retain(|(_, address)| !is_ours(address));
    }
}

fn own_addresses(mail: &Mail) -> Vec<String> {
    ["to", "delivered-to", "envelope-to", "x-original-to", "from", "reply-to", "return-path"]
        .into_iter()
        .flat_map(|name| mail.headers.all(name))
        .flat_map(scan::addresses)
        .map(|(_, address)| address.to_owned())
        .collect()
}

/// The one address that a returned mail was for.
pub(super) fn only_recipient(returned: &str) -> Option<String> {
    let (headers, _) = Headers::read(returned.trim_start());
    let to = ["x-hmxmroriginalrecipient", "x-original-to", "delivered-to", "to"]
        .into_iter()
        .find_map(|name| headers.get(name))?;
    match scan::addresses(to).as_slice() {
        [(_, address)] => Some((*address).to_owned()),
        _ => None,
    }
}
