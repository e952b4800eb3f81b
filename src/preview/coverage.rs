//! Every variant once, for a sample recipient who may get it: what can be chosen at all, whether or not it was drawn.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;

use super::ruling::Answer;
use super::ruling::PLACEHOLDER_CODE;
use super::ruling::Ruling;
use super::ruling::no_address;
use super::subject::hypothetical;
use crate::catalog::offer::OfferKind;
use crate::catalog::sample::Sample;
use crate::catalog::variant::CampaignEntry;
use crate::catalog::variant::Variant;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::Slice;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::select;
use crate::select::Selection;
use crate::select::Situation;
use crate::select::eligible::eligible;
use crate::select::features::Customer;
use crate::stage::Stage;
use crate::words::counted;
use crate::worker::decide::seed;
use crate::worker::engine::Engine;

/// A sample recipient in a campaign, at a stage, in a language.
struct Visitor<'e> {
    sample: &'e Sample,
    facts: Value,
    stage: Stage,
    locale: Option<String>,
    /// Whether stage and language are the sample's own, not put on for the occasion.
    own: bool,
}

/// One ruling per variant that some sample may get, in the order of the campaign's variants.
pub(super) fn decide(engine: &Engine, entry: &CampaignEntry, now: Timestamp) -> Vec<Ruling> {
    let visitors = visitors(engine, entry);
    let mut may_get: HashMap<*const Variant, Vec<usize>> = HashMap::new();
    for (index, visitor) in visitors.iter().enumerate() {
        let send = hypothetical(&entry.campaign, &profile_id(visitor.sample), now);
        for variant in eligible(&situation(entry, visitor, seed(&send.id), now)).variants {
            may_get.entry(std::ptr::from_ref(variant)).or_default().push(index);
        }
    }
    let rulings = entry.variants().enumerate().filter_map(|(turn, variant)| {
        let mut able = may_get.remove(&std::ptr::from_ref(variant))?;
        // Who is at home there is more believable; and not always the same person.
        if able.iter().any(|index| visitors[*index].own) {
            able.retain(|index| visitors[*index].own);
        }
        let visitor = &visitors[able[turn % able.len()]];
        Some(show(engine, entry, variant, visitor, now))
    });
    rulings.collect()
}

/// Every sample as itself, and in every stage and language that the campaign has variants for.
fn visitors<'e>(engine: &'e Engine, entry: &CampaignEntry) -> Vec<Visitor<'e>> {
    let mut locales: Vec<Option<&str>> = entry.variants().map(|variant| variant.locale.as_deref()).collect();
    locales.sort_unstable();
    locales.dedup();
    let mut visitors = Vec::new();
    for sample in engine.catalog.samples_for(&entry.campaign) {
        let own_stage = sample.facts["stage"].as_str().and_then(Stage::parse);
        let own_locale = sample.facts["profile"]["locale"].as_str();
        for stage in Stage::ALL {
            let other = locales.iter().flatten().copied().filter(|locale| Some(*locale) != own_locale);
            for locale in std::iter::once(own_locale).chain(other.map(Some)) {
                let mut facts = sample.facts_for(&entry.campaign, Some(stage));
                if locale != own_locale {
                    facts["profile"]["locale"] = Value::from(locale);
                }
                // A rule that cannot be evaluated lets nobody in, as in the worker.
                let inside = entry.audience.as_ref().is_none_or(|rule| rule.holds(&facts) == Ok(true));
                if inside {
                    let own = Some(stage) == own_stage && locale == own_locale;
                    visitors.push(Visitor { sample, facts, stage, locale: locale.map(str::to_owned), own });
                }
            }
        }
    }
    visitors
}

fn situation<'e, 'a>(
    entry: &'e CampaignEntry,
    visitor: &'a Visitor<'_>,
    seed: u64,
    now: Timestamp,
) -> Situation<'e, 'a> {
    Situation {
        entry,
        facts: &visitor.facts,
        mails: &[],
        customer: Customer::default(),
        model: None,
        stage: visitor.stage,
        locale: visitor.locale.as_deref(),
        slice: Slice::Policy,
        position: 0.0,
        no_coupons: &[],
        now,
        seed,
    }
}

fn profile_id(sample: &Sample) -> ProfileId {
    let id = sample.facts["profile"]["id"].as_str().unwrap_or_default();
    ProfileId::parse(id)
        .or_else(|_| ProfileId::parse(&sample.name))
        .or_else(|_| ProfileId::parse("sample"))
        .expect("a constant that is short and printable")
}

fn show(
    engine: &Engine,
    entry: &CampaignEntry,
    variant: &Variant,
    visitor: &Visitor<'_>,
    now: Timestamp,
) -> Ruling {
    let sample = visitor.sample;
    let profile = profile_id(sample);
    let send = hypothetical(&entry.campaign, &profile, now);
    let selection = select::select(&situation(entry, visitor, seed(&send.id), now));
    let address = sample.facts["profile"]["email"].as_str().and_then(|text| EmailAddress::parse(text).ok());
    let reason = format!("the sample {} is looked at as somebody at {}", sample.name, visitor.stage);
    let mut ruling = Ruling {
        profile,
        send: send.id.clone(),
        to: address.unwrap_or_else(no_address),
        stage: Some((visitor.stage, reason.clone())),
        sample: Some(sample.name.clone()),
        notes: Vec::new(),
        warnings: Vec::new(),
        answer: Answer::Nothing(
            crate::send::Outcome::terminal(crate::send::State::Failed, "offer", ""),
            None,
        ),
    };
    match inputs(engine, variant, &visitor.facts, now) {
        Ok(inputs) => {
            let decision = decision(engine, entry, variant, &selection, &ruling, reason, inputs, now);
            ruling.answer = Answer::Mail(Box::new(decision));
        }
        Err(problem) => {
            let outcome = crate::send::Outcome::terminal(crate::send::State::Failed, "offer", problem);
            ruling.answer = Answer::Nothing(outcome, None);
        }
    }
    ruling
}

/// The sample's facts with the values of the variant's offer.
fn inputs(engine: &Engine, variant: &Variant, facts: &Value, now: Timestamp) -> Result<Value, String> {
    let mut facts = facts.clone();
    if let Some(offer) = variant.offer.as_deref().and_then(|name| engine.catalog.offer(name)) {
        let mut values: Map<String, Value> = offer.values(&facts, now).map_err(|error| error.to_string())?;
        if offer.kind == OfferKind::Coupon {
            values.insert("code".to_owned(), Value::from(PLACEHOLDER_CODE));
        }
        facts["offer"] = Value::Object(values);
    }
    Ok(facts)
}

#[expect(clippy::too_many_arguments, reason = "one record of many parts, made in one place")]
fn decision(
    engine: &Engine,
    entry: &CampaignEntry,
    variant: &Variant,
    selection: &Selection<'_>,
    ruling: &Ruling,
    stage_reason: String,
    inputs: Value,
    now: Timestamp,
) -> Decision {
    let own = selection.candidates.iter().find(|candidate| candidate.variant == variant.id);
    let propensity = own.map_or(0.0, |candidate| candidate.probability);
    let place = format!(
        "shown for coverage, not drawn: of {} it would be drawn with probability {propensity:.4}",
        counted(selection.candidates.len(), "candidate")
    );
    Decision {
        send: ruling.send.clone(),
        campaign: entry.campaign.id.clone(),
        profile: ruling.profile.clone(),
        at: now,
        stage: ruling.stage.as_ref().map_or(Stage::Discover, |(stage, _)| *stage),
        reasons: vec![stage_reason.clone(), place],
        stage_reason,
        choice: Choice::Variant { variant: variant.id.clone(), template: variant.template.clone() },
        propensity,
        slice: Slice::Policy,
        candidates: selection.candidates.clone(),
        ruled_out: selection.ruled_out.clone(),
        policy: entry.campaign.policy.as_str().to_owned(),
        policy_version: selection.policy_version.clone(),
        catalog_version: engine.catalog.version.clone(),
        seed: seed(&ruling.send),
        drawn_at: None,
        withdrawn: Vec::new(),
        scoring: None,
        inputs,
    }
}
