//! Reports for machines: RFC 3464 delivery status, RFC 5965 feedback, and the JSON that Amazon SES mails.

use serde_json::Value;

use super::classify::Stage;
use super::mime::Headers;
use super::scan;
use crate::deliver::smtp::EnhancedCode;

/// Groups of fields in one part that are looked at.
const GROUPS_MAX: usize = 200;

/// What one report says of one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// `Final-Recipient`, else `Original-Recipient`.
    pub(super) recipient: Option<String>,
    /// `Action`, in lower case: failed, delayed, delivered, relayed, expanded.
    pub(super) action: String,
    /// `Status`.
    pub(super) status: Option<EnhancedCode>,
    /// `Diagnostic-Code`.
    pub(super) diagnostic: String,
}

/// All recipients of a delivery-status part, or of a text that holds its fields.
pub(super) fn deliveries(text: &str) -> Vec<Delivery> {
    let mut found: Vec<Delivery> = Vec::new();
    for group in groups(text) {
        let recipient = ["final-recipient", "original-recipient"]
            .into_iter()
            .find_map(|name| group.get(name).and_then(scan::first_address));
        let status = group.get("status").and_then(|status| scan::enhanced_codes(status).first().copied());
        let action = group.get("action").and_then(|action| action.split_whitespace().next());
        let delivery = Delivery {
            recipient: recipient.map(str::to_owned),
            action: action.unwrap_or_default().to_ascii_lowercase(),
            status,
            diagnostic: group.get("diagnostic-code").unwrap_or_default().to_owned(),
        };
        let is_empty = delivery.status.is_none() && delivery.action.is_empty();
        match found.last_mut() {
            // A host that put an empty line into the middle.
            Some(last)
                if recipient.is_none() && !is_empty && last.action.is_empty() && last.status.is_none() =>
            {
                *last = Delivery { recipient: last.recipient.take(), ..delivery };
            }
            _ if recipient.is_some() || !is_empty => found.push(delivery),
            _ => {}
        }
    }
    // A group that only names a recipient reports nothing about it.
    found.retain(|delivery| {
        delivery.recipient.is_some()
            && (delivery.status.is_some() || !delivery.action.is_empty() || !delivery.diagnostic.is_empty())
    });
    found
}

/// Groups between empty lines; a second recipient begins a group too.
fn groups(text: &str) -> Vec<Headers> {
    let mut groups = Vec::new();
    let mut group = String::new();
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        let lower = line.to_ascii_lowercase();
        let again =
            lower.starts_with("final-recipient:") && group.to_ascii_lowercase().contains("final-recipient:");
        if (line.trim().is_empty() || again) && !group.is_empty() {
            groups.push(Headers::read(&group).0);
            group.clear();
        }
        if !line.trim().is_empty() {
            group.push_str(line);
            group.push('\n');
        }
        if groups.len() >= GROUPS_MAX {
            return groups;
        }
    }
    groups.push(Headers::read(&group).0);
    groups
}

/// Whether a text for people holds the fields of a delivery report.
pub(super) fn holds_fields(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start().to_ascii_lowercase();
        line.starts_with("final-recipient:") || line.starts_with("original-recipient:")
    })
}

/// Where in the conversation the host refused, as relays tell it to people.
pub(super) fn stage(text: &str) -> Stage {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let recipient = [
        "reply to rcpt to",
        "error from remote mail server after rcpt to",
        "error from remote server after rcpt",
        "smtp:rcpt host",
        "does not like recipient",
        ">>> rcpt to",
        "rcpt to:<",
    ];
    let message = [
        "reply to end of data",
        "reply to data",
        "after end of data",
        "after data",
        "failed after i sent the message",
        "smtp command data",
        "after pipelined end of data",
    ];
    match () {
        () if says(&message) => Stage::Message,
        () if says(&recipient) => Stage::Recipient,
        () => Stage::Unknown,
    }
}

/// What a feedback report says (RFC 5965).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Feedback {
    /// `Feedback-Type`, in lower case.
    pub(super) kind: String,
    /// Whom it is about, where the host tells.
    pub(super) recipient: Option<String>,
}

/// Reads a feedback-report part.
pub(super) fn feedback(text: &str) -> Option<Feedback> {
    let (fields, _) = Headers::read(text.trim_start());
    let kind = fields.get("feedback-type")?.to_ascii_lowercase();
    let recipient = ["original-rcpt-to", "removal-recipient", "redacted-address"]
        .into_iter()
        .find_map(|name| fields.get(name).and_then(scan::first_address))
        .map(str::to_owned);
    Some(Feedback { kind, recipient })
}

/// The notification of Amazon SES in a mail: the JSON object, where the text begins with one that is such.
pub(super) fn ses_notification(text: &str) -> Option<Value> {
    let start = text.trim_start();
    if !start.starts_with('{') {
        return None;
    }
    // Lines over 998 characters were folded on the way, wherever that fell; JSON has no line ends in its texts.
    let line: String = start.split(['\r', '\n']).collect();
    let value: Value = serde_json::Deserializer::from_str(&line).into_iter().next()?.ok()?;
    value.get("notificationType").is_some().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str, &str)]) {
        let found = deliveries(text);
        let found: Vec<_> = found
            .iter()
            .map(|d| {
                let status = d.status.map(|status| status.to_string()).unwrap_or_default();
                (d.recipient.clone().unwrap_or_default(), d.action.clone(), status)
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn recipients_are_read_in_whatever_groups_they_come() {
        check(
            "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.test\nAction: failed\nStatus: 5.1.1 (bad)\n\
             \nFinal-Recipient: rfc822;c@d.test\nAction: delayed\nStatus: 4.4.1\n",
            &[("a@b.test", "failed", "5.1.1"), ("c@d.test", "delayed", "4.4.1")],
        );
        check(
            "Final-Recipient: rfc822; a@b.test\n\nAction: failed\nStatus: 5.1.1\n",
            &[("a@b.test", "failed", "5.1.1")],
        );
        check(
            "Final-Recipient: a@b.test\nStatus: 5.1.1\nFinal-Recipient: c@d.test\nStatus: 5.2.2\n",
            &[("a@b.test", "", "5.1.1"), ("c@d.test", "", "5.2.2")],
        );
        check("Original-Recipient: <a@b.test>\nAction: failed\n", &[("a@b.test", "failed", "")]);
        check("Final-Recipient: rfc822; a@b.test\n", &[]);
        check("nothing: here\n\n\n", &[]);
    }
}
