//! Fields become a suppression: lists of other programs, by the words that those use.

use jiff::Timestamp;

use super::fields::Fields;
use super::nouns::Shop;
use super::nouns::name;
use super::nouns::plausible_time;
use super::nouns::quoted;
use super::nouns::required;
use crate::profile::EmailAddress;
use crate::send::LISTED_REASONS;
use crate::send::PAUSE;
use crate::send::PAUSE_TOPIC;
use crate::send::Suppression;
use crate::send::usual_topic;

/// Other words for our reasons, in lower case with `_` between words.
const WORDS: &[(&str, &[&str])] = &[
    (
        "hard_bounce",
        &["hardbounce", "hard_bounced", "hard", "bounce", "bounced", "permanent", "invalid", "cleaned"],
    ),
    ("soft_bounces", &["soft_bounce", "softbounce", "soft"]),
    (
        "complaint",
        &["complained", "spam", "spam_complaint", "spamcomplaint", "spam_report", "spamreport", "abuse"],
    ),
    ("unsubscribe", &["unsubscribed", "opt_out", "opted_out", "optout"]),
    (
        "manual",
        &[
            "manual_suppression",
            "manualsuppression",
            "admin",
            "blocked",
            "blocklist",
            "blacklist",
            "do_not_contact",
        ],
    ),
];

/// A suppression. Where nothing is stated of it, an operator put the address on the list, and it stops everything.
pub(super) fn suppression(mut fields: Fields, shop: &Shop, now: Timestamp) -> Result<Suppression, String> {
    let text = required(&mut fields, "address")?;
    let address =
        EmailAddress::parse(&text).map_err(|error| format!("address {}: {error}", quoted(&text)))?.key();
    let stated = fields.take_text("reason")?.or_else(|| shop.reason.clone());
    let topic = fields.take_text("topic")?.or_else(|| shop.topic.clone());
    // Another tool's clock, or its zone, may be ahead of ours: that is no reason to write to somebody.
    let at = plausible_time(&mut fields, "at")?.unwrap_or(now).min(now);
    let until = plausible_time(&mut fields, "until")?;
    let (reason, usual) = match stated.as_deref().map(|text| reason(text).ok_or(text)) {
        None => ("manual", usual_topic("manual")),
        Some(Ok(PAUSE)) if until.is_none() => return Err("until is missing: a pause has an end".to_owned()),
        Some(Ok(reason)) => (reason, usual_topic(reason)),
        Some(Err(text)) => {
            let known: Vec<&str> = LISTED_REASONS.iter().map(|(reason, _)| *reason).collect();
            let known = known.join(", ");
            return Err(format!(
                "reason {} is none of {known}; a map can say which it is: reason = {{ constant = \"hard_bounce\" }}",
                quoted(text)
            ));
        }
    };
    if until.is_some() && reason != PAUSE {
        return Err(format!("until: only a pause ends by itself, and this is of reason {reason}"));
    }
    let topic = name(topic.unwrap_or_else(|| usual.to_owned()), "topic")?;
    if (topic == PAUSE_TOPIC) != (reason == PAUSE) {
        return Err(format!("topic {} and reason {reason} do not go together", quoted(&topic)));
    }
    Ok(Suppression { address, topic, reason: reason.to_owned(), at, send: None, until })
}

/// Our word for a reason.
fn reason(text: &str) -> Option<&'static str> {
    let word = text.trim().to_lowercase().replace([' ', '-'], "_");
    if word == PAUSE {
        return Some(PAUSE);
    }
    let known = LISTED_REASONS.iter().map(|(reason, _)| *reason);
    known.into_iter().find(|reason| {
        let others = WORDS.iter().find(|(of, _)| of == reason).map_or(&[][..], |(_, words)| words);
        *reason == word || others.contains(&word.as_str())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::suppression;
    use crate::ingest::Fields;
    use crate::ingest::Noun;
    use crate::ingest::Shop;

    fn check(row: &serde_json::Value, expected: Result<(&str, &str, &str), &str>) {
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        let shop = Shop { reason: None, ..Shop::default() };
        let fields = Fields::of_object(Noun::Suppressions, row.as_object().unwrap());
        let found = suppression(fields, &shop, now);
        let found = found.as_ref().map(|one| (one.address.as_str(), one.reason.as_str(), one.topic.as_str()));
        assert_eq!(found.map_err(String::as_str), expected, "{row}");
    }

    #[test]
    fn lists_of_other_programs_are_read_by_their_own_words() {
        let ana = "ana@example.test";
        check(&json!({"Email Address": "Ana@Example.test"}), Ok((ana, "manual", "*")));
        check(&json!({"EmailAddress": ana, "Reason": "COMPLAINT"}), Ok((ana, "complaint", "lifecycle")));
        check(&json!({"Recipient": ana, "SuppressionReason": "HardBounce"}), Ok((ana, "hard_bounce", "*")));
        check(
            &json!({"email": ana, "type": "opted-out", "list": "picks"}),
            Ok((ana, "unsubscribe", "picks")),
        );
        // Written by a clock, or in a zone, that is ahead.
        check(&json!({"address": ana, "at": "2026-11-23 09:00:00"}), Ok((ana, "manual", "*")));
        check(
            &json!({"address": ana, "reason": "pause", "topic": "pause", "until": "2026-12-01"}),
            Ok((ana, "pause", "pause")),
        );
    }

    #[test]
    fn a_row_that_would_stop_something_else_than_it_says_is_refused() {
        let known = "hard_bounce, soft_bounces, complaint, unsubscribe, manual";
        let ana = "ana@example.test";
        check(&json!({"reason": "spam"}), Err("address is missing"));
        check(&json!({"address": "ana"}), Err("address \"ana\": the address has no @"));
        check(
            &json!({"address": ana, "reason": "550 5.1.1"}),
            Err(&format!(
                "reason \"550 5.1.1\" is none of {known}; a map can say which it is: reason = {{ constant = \"hard_bounce\" }}"
            )),
        );
        check(&json!({"address": ana, "reason": "pause"}), Err("until is missing: a pause has an end"));
        check(
            &json!({"address": ana, "until": "2026-12-01"}),
            Err("until: only a pause ends by itself, and this is of reason manual"),
        );
        check(
            &json!({"address": ana, "topic": "pause"}),
            Err("topic \"pause\" and reason manual do not go together"),
        );
    }
}
