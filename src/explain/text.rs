//! The explanation as a page of text.

use super::Content;
use super::Explanation;
use super::draw;
use super::facts;
use super::wrap::harmless;
use super::wrap::paragraph;
use crate::campaign::Guarantee;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::RuledOut;
use crate::send::State;
use crate::store::StoredSend;

/// Width of the first column.
const LABEL: usize = 12;
/// Names that are told of one rule, at most.
const NAMES_MAX: usize = 6;

/// The page, at most 100 columns wide.
pub fn text(explanation: &Explanation) -> String {
    let mut out = String::new();
    let send = &explanation.send.send;
    let mut tell = |label: &str, text: &str| paragraph(&mut out, 0, label, LABEL, text);
    tell("send", send.id.as_str());
    tell("outcome", &outcome(&explanation.send));
    tell("to", &person(explanation));
    tell("campaign", &campaign(&explanation.send));
    for found in &explanation.suppressions {
        tell("suppressed", &format!("{} since {} (topic {})", found.reason, found.at, found.topic));
    }
    match &explanation.decision {
        None => tell("decision", &undecided(&explanation.send)),
        Some(decision) => decided(&mut out, explanation, decision),
    }
    attempts(&mut out, explanation);
    out
}

fn outcome(stored: &StoredSend) -> String {
    let state = stored.send.state.as_str();
    let reason = stored.reason.as_deref().filter(|reason| *reason != state);
    let at = stored.submitted_at.or(stored.finished_at);
    let parts = [
        Some(state.to_owned()),
        reason.map(|reason| format!(", {reason}")),
        at.map(|at| format!(", at {at}")),
        stored.relay.as_ref().map(|relay| format!(", by relay {relay}")),
        stored.detail.as_ref().filter(|detail| !detail.is_empty()).map(|detail| format!(": {detail}")),
        stored.opened_at.map(|at| format!("; opened at {at}")),
        stored.clicked_at.map(|at| format!("; clicked at {at}")),
    ];
    parts.into_iter().flatten().collect()
}

fn person(explanation: &Explanation) -> String {
    let address = explanation.send.recipient.as_deref().unwrap_or("no address");
    let id = &explanation.send.send.profile;
    let Some(profile) = &explanation.profile else {
        return format!("{id}, {address}; this profile is not in the database any more");
    };
    let locale = profile.locale.as_deref().unwrap_or("no locale");
    let zone = profile.time_zone.as_deref().unwrap_or("no time zone");
    format!("{id}, {address}, {locale}, {zone}, consent {}", profile.consent.as_str())
}

fn campaign(stored: &StoredSend) -> String {
    let send = &stored.send;
    let guarantee = match send.guarantee {
        Guarantee::AtMostOnce => "never twice",
        Guarantee::AtLeastOnce => "never lost",
    };
    let claims = match send.attempt {
        0 => "not tried yet".to_owned(),
        1 => "tried once".to_owned(),
        times => format!("tried {times} times"),
    };
    format!(
        "{} ({}, {guarantee}), occurrence {}, due {}, deadline {}, {claims}",
        send.campaign,
        send.kind.as_str(),
        send.occurrence,
        send.due_at,
        send.expires_at
    )
}

/// Why there is no decision.
fn undecided(stored: &StoredSend) -> String {
    let why = stored.detail.as_deref().unwrap_or_default();
    match stored.send.state {
        State::Scheduled => format!("none yet: it waits for its time, {}", stored.send.due_at),
        State::Leased | State::Submitting => "none yet: a worker has just taken it".to_owned(),
        State::Deferred => format!("none yet: it was put off, {why}"),
        _ => format!("none: the gate stopped it before anything was chosen, {why}"),
    }
}

fn decided(out: &mut String, explanation: &Explanation, decision: &Decision) {
    let mut tell = |label: &str, text: &str| paragraph(out, 0, label, LABEL, text);
    tell("stage", &format!("{}: {}", decision.stage, decision.stage_reason));
    tell("chosen", &chosen(decision));
    for reason in decision.reasons.iter().filter(|reason| **reason != decision.stage_reason) {
        tell("", reason);
    }
    for (label, sentence) in draw::sentences(decision) {
        tell(label, &sentence);
    }
    if let Some(code) = explanation.coupon() {
        tell("coupon", &format!("{code}, this person's own"));
    }
    if !explanation.send.products.is_empty() {
        tell("products", &explanation.send.products.join(", "));
    }
    tell("versions", &versions(decision, explanation.content));
    draw::candidates(out, decision);
    ruled_out(out, &decision.ruled_out);
    let facts = facts::lines(&decision.inputs);
    if !facts.is_empty() {
        out.push_str("\nfacts used\n");
        for fact in facts {
            paragraph(out, 2, "", 0, &fact);
        }
    }
}

fn chosen(decision: &Decision) -> String {
    match &decision.choice {
        Choice::Variant { variant, .. } => variant.as_str().to_owned(),
        Choice::NoSend => "nothing: this person was left alone".to_owned(),
    }
}

fn versions(decision: &Decision, content: Content) -> String {
    let catalog: String = decision.catalog_version.chars().take(12).collect();
    let policy = match decision.policy_version.as_str() {
        "-" => "no model".to_owned(),
        version => format!("model {version}"),
    };
    let template = match &decision.choice {
        Choice::Variant { template, .. } => template.0.chars().take(12).collect::<String>(),
        Choice::NoSend => return format!("catalogue {catalog}, {policy}"),
    };
    let kept = if content == Content::Kept { "kept as it was sent" } else { "not kept" };
    format!("catalogue {catalog}, {policy}, template {template} ({kept})")
}

fn ruled_out(out: &mut String, ruled_out: &[RuledOut]) {
    if ruled_out.is_empty() {
        return;
    }
    out.push_str("\nruled out\n");
    for rule in ruled_out {
        paragraph(out, 2, &harmless(&rule.rule), 10, &rule.detail);
        let names = rule.variants.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = rule.variants.len().saturating_sub(NAMES_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        paragraph(out, 12, "", 0, &format!("{names}{more}"));
    }
}

fn attempts(out: &mut String, explanation: &Explanation) {
    if explanation.attempts.is_empty() {
        return;
    }
    out.push_str("\nattempts\n");
    for attempt in &explanation.attempts {
        let times = if attempt.times > 1 { format!(" ({} times)", attempt.times) } else { String::new() };
        let relay = attempt.relay.as_ref().map(|relay| format!(" by relay {relay}")).unwrap_or_default();
        let told =
            format!("{} {}, {}{times}{relay}: {}", attempt.at, attempt.state, attempt.reason, attempt.detail);
        paragraph(out, 2, &attempt.attempt.to_string(), 4, &told);
    }
}
