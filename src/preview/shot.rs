//! What is kept of one mail: its parts, its headers, its decision, and what to look at.

use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::ruling::Answer;
use super::ruling::Ruling;
use super::warnings;
use crate::catalog::variant::CampaignEntry;
use crate::decision::Candidate;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::RuledOut;
use crate::decision::TemplateHash;
use crate::deliver::message::MailPurpose;
use crate::profile::mask;
use crate::send::Outcome;
use crate::send::State;
use crate::words::shortened;
use crate::worker::engine::Engine;

/// Candidates that the gallery shows of one mail, at most; all of them are in its .json file.
const CANDIDATES_SHOWN_MAX: usize = 12;
/// Names that the gallery shows of one rule that ruled variants out, at most.
const NAMES_SHOWN_MAX: usize = 6;
/// Longest text that the gallery shows of anything, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// One mail, or one send that would not become a mail.
#[derive(Debug)]
pub(super) struct Shot {
    /// What the gallery shows of it.
    pub(super) card: Card,
    /// The bytes of the mail, where there is one.
    pub(super) files: Option<Files>,
    /// Everything that is known of it, for its .json file.
    pub(super) record: Value,
}

/// The parts of a mail.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) html: String,
    pub(super) text: String,
    pub(super) eml: Vec<u8>,
}

/// What the gallery's page knows of one mail.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Card {
    /// Name of its files, without the ending; the folder gives it.
    pub(super) stem: String,
    pub(super) campaign: String,
    pub(super) profile: String,
    pub(super) to: String,
    pub(super) sample: Option<String>,
    pub(super) stage: Option<&'static str>,
    pub(super) stage_reason: String,
    pub(super) variant: Option<String>,
    /// Which of the variant's languages it was.
    #[serde(skip)]
    pub(super) template: Option<TemplateHash>,
    pub(super) locale: Option<String>,
    pub(super) sent: bool,
    pub(super) outcome: Option<[String; 3]>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) subject: String,
    pub(super) preheader: String,
    pub(super) html_bytes: usize,
    pub(super) text_bytes: usize,
    pub(super) eml_bytes: usize,
    pub(super) headers: Vec<(String, String)>,
    /// Whether a copy with the dark styles switched on is there.
    pub(super) dark: bool,
    pub(super) policy: String,
    pub(super) slice: &'static str,
    pub(super) propensity: f64,
    pub(super) reasons: Vec<String>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) candidates_total: usize,
    pub(super) ruled_out: Vec<RuledOut>,
}

/// Renders and composes by the worker's own code.
pub(super) fn take(engine: &Engine, entry: &CampaignEntry, ruling: Ruling) -> Shot {
    let mut card = Card {
        campaign: entry.campaign.id.to_string(),
        profile: ruling.profile.to_string(),
        to: mask(ruling.to.as_str()),
        sample: ruling.sample,
        stage: ruling.stage.as_ref().map(|(stage, _)| stage.as_str()),
        stage_reason: ruling.stage.map(|(_, reason)| reason).unwrap_or_default(),
        notes: ruling.notes,
        warnings: ruling.warnings,
        ..Card::default()
    };
    let (decision, outcome, files) = match ruling.answer {
        Answer::Nothing(outcome, decision) => (decision, Some(outcome), None),
        Answer::Mail(decision) => match develop(engine, entry, &decision, &ruling.to, &mut card) {
            Ok(files) => (Some(decision), None, Some(files)),
            Err(outcome) => (Some(decision), Some(outcome), None),
        },
    };
    card.sent = files.is_some();
    if let Some(decision) = &decision {
        explain(&mut card, decision);
    }
    card.outcome = outcome.as_ref().map(|o| [o.state.to_string(), o.reason.clone(), shorten(&o.detail)]);
    let record = json!({
        "campaign": card.campaign, "profile": card.profile, "sample": card.sample, "sent": card.sent,
        "outcome": outcome, "subject": card.subject, "preheader": card.preheader, "headers": card.headers,
        "bytes": {"html": card.html_bytes, "text": card.text_bytes, "eml": card.eml_bytes},
        "notes": card.notes, "warnings": card.warnings, "decision": decision,
    });
    Shot { card, files, record }
}

fn develop(
    engine: &Engine,
    entry: &CampaignEntry,
    decision: &Decision,
    to: &crate::profile::EmailAddress,
    card: &mut Card,
) -> Result<Files, Outcome> {
    let failed = |reason: &str, error: &dyn std::fmt::Display| {
        Outcome::terminal(State::Failed, reason, error.to_string())
    };
    let campaign = &entry.campaign;
    let (rendered, own) =
        engine.render(decision, campaign, None).map_err(|error| failed(error.reason(), &error))?;
    let mail = engine
        .sender
        .compose(decision, campaign, to, &rendered, &own, MailPurpose::Delivery.alone())
        .and_then(|mail| engine.sender.sign(mail, decision))
        .map_err(|error| failed("compose", &error))?;
    card.warnings.extend(warnings::warnings(&rendered));
    card.html_bytes = rendered.html.len();
    card.text_bytes = rendered.text.len();
    card.eml_bytes = mail.bytes.len();
    card.headers = headers(&mail.bytes);
    card.dark = warnings::has_dark_styles(&rendered.html);
    card.subject = shorten(&rendered.subject);
    card.preheader = shorten(&rendered.preheader);
    Ok(Files { html: rendered.html, text: rendered.text, eml: mail.bytes })
}

fn explain(card: &mut Card, decision: &Decision) {
    if let Choice::Variant { variant, template } = &decision.choice {
        card.variant = Some(variant.as_str().to_owned());
        card.template = Some(template.clone());
    }
    card.locale = decision.inputs["profile"]["locale"].as_str().map(shorten);
    card.policy.clone_from(&decision.policy);
    card.slice = decision.slice.as_str();
    card.propensity = decision.propensity;
    card.reasons = decision.reasons.iter().map(|reason| shorten(reason)).collect();
    card.candidates_total = decision.candidates.len();
    card.candidates.clone_from(&decision.candidates);
    // What was chosen stands first, so that it is never among those left out.
    let chosen = card.variant.clone();
    let is_chosen = |candidate: &Candidate| Some(candidate.variant.as_str()) == chosen.as_deref();
    card.candidates.sort_by(|left, right| {
        is_chosen(right).cmp(&is_chosen(left)).then_with(|| right.probability.total_cmp(&left.probability))
    });
    card.candidates.truncate(CANDIDATES_SHOWN_MAX);
    card.ruled_out = decision.ruled_out.iter().map(brief).collect();
}

fn brief(out: &RuledOut) -> RuledOut {
    let mut variants: Vec<_> = out.variants.iter().take(NAMES_SHOWN_MAX).cloned().collect();
    if out.variants.len() > NAMES_SHOWN_MAX {
        variants.push("…".into());
    }
    RuledOut { rule: out.rule.clone(), detail: shorten(&out.detail), variants }
}

fn shorten(text: &str) -> String {
    shortened(text, TEXT_CHARS_MAX).into_owned()
}

/// The header fields as they stand in the mail, folded lines joined.
fn headers(eml: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(eml);
    let block = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in block.split("\r\n") {
        match (line.strip_prefix([' ', '\t']), headers.last_mut(), line.split_once(':')) {
            (Some(more), Some((_, value)), _) => {
                value.push(' ');
                value.push_str(more.trim_start());
            }
            (None, _, Some((name, value))) => headers.push((name.to_owned(), value.trim().to_owned())),
            _ => {}
        }
    }
    for (_, value) in &mut headers {
        *value = shorten(value);
    }
    headers
}
