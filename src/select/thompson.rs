//! The default policy at work: the features of the eligible, one draw, and a record from which it can be made again.

use std::cell::RefCell;
use std::collections::HashMap;

use super::Situation;
use super::features;
use super::learnt::PolicyModel;
use super::model::Arm;
use super::model::ChoiceOptions;
use super::model::Chooser;
use super::model::SparseVector;
use super::model::Values;
use super::model::heads::Earned;
use crate::campaign::Kind;
use crate::catalog::variant::Variant;
use crate::decision::Candidate;
use crate::decision::Channel;
use crate::decision::Decision;
use crate::decision::NO_SEND;
use crate::decision::ScoredArm;
use crate::decision::ScoredDraw;
use crate::decision::VariantId;

/// Features that are told of a chosen variant, at most.
const TOLD_MAX: usize = 4;
/// A feature that moves the odds by less than this factor's logarithm is not told.
const TOLD_MIN: f64 = 0.02;

thread_local! {
    /// Room for draws, kept between decisions; nothing of one decision is read by the next.
    static ROOM: RefCell<Room> = RefCell::default();
}

#[derive(Default)]
struct Room {
    chooser: Chooser,
    /// As many of them as variants that can be drawn hold the features of one each.
    own: Vec<SparseVector>,
    /// What each of those is weighed with.
    scored: Vec<ScoredArm>,
    /// Which of the variants it is.
    indexes: Vec<usize>,
}

/// What was drawn.
pub(super) struct Drawn {
    /// Which of the variants; their number for NO SEND.
    pub(super) index: usize,
    /// The probability of the choice among all that was eligible.
    pub(super) propensity: f64,
    /// The number that chose.
    pub(super) at: f64,
    /// The shortlist.
    pub(super) candidates: Vec<Candidate>,
    /// The record.
    pub(super) draw: ScoredDraw,
    /// Why, for people.
    pub(super) reasons: Vec<String>,
}

/// How lately the person got which variant, and which file.
#[derive(Default)]
pub(super) struct Lately<'a> {
    variants: HashMap<&'a str, f64>,
    files: HashMap<&'a str, f64>,
}

impl<'a> Lately<'a> {
    pub(super) fn of(situation: &Situation<'_, 'a>) -> Self {
        let mut lately = Self::default();
        for mail in situation.mails.iter().filter(|mail| mail.at <= situation.now) {
            let days = situation.now.duration_since(mail.at).as_secs_f64() / 86_400.0;
            let fresh = features::recency(days);
            for (map, name) in
                [(&mut lately.variants, mail.variant.as_str()), (&mut lately.files, mail.variant.family())]
            {
                let known = map.entry(name).or_default();
                *known = known.max(fresh);
            }
        }
        lately
    }

    pub(super) fn recency(&self, variant: &VariantId) -> [f64; 2] {
        if self.variants.is_empty() {
            return [0.0; 2];
        }
        let of = |map: &HashMap<&str, f64>, name: &str| map.get(name).copied().unwrap_or(0.0);
        [of(&self.variants, variant.as_str()), of(&self.files, variant.family())]
    }
}

/// Draws one of the variants, or NO SEND where the campaign may leave people alone. `None` when there is nothing to
/// draw from, or the model is of another catalogue.
pub(super) fn draw(
    situation: &Situation<'_, '_>,
    variants: &[&Variant],
    lately: &Lately<'_>,
    model: &PolicyModel,
) -> Option<Drawn> {
    ROOM.with_borrow_mut(|room| draw_in(room, situation, variants, lately, model))
}

fn draw_in(
    room: &mut Room,
    situation: &Situation<'_, '_>,
    variants: &[&Variant],
    lately: &Lately<'_>,
    model: &PolicyModel,
) -> Option<Drawn> {
    let campaign = &situation.entry.campaign;
    let customer = &situation.customer;
    let shared = model.shared(&campaign.id, situation.stage, &customer.facts);
    let order_value = model.order_value_minor(customer.orders, customer.spend_minor);
    let (mail_cost, unsubscribe_loss) = match customer.channel() {
        Channel::Mail => (campaign.reward.cost_minor, campaign.reward.unsubscribe_cost_minor),
        Channel::Page => (0.0, 0.0),
    };
    let Room { chooser, own, scored, indexes } = room;
    scored.clear();
    indexes.clear();
    for (index, variant) in variants.iter().enumerate().filter(|(_, variant)| variant.weight > 0.0) {
        let recency = lately.recency(&variant.id);
        if own.len() == indexes.len() {
            own.push(SparseVector::EMPTY);
        }
        let features = &mut own[indexes.len()];
        if model.refill_arm(features, &variant.id, situation.stage, &customer.facts, recency).is_none() {
            continue;
        }
        let kept = 1.0 - variant.discount_depth.unwrap_or(0.0).clamp(0.0, 100.0) / 100.0;
        let (margin, cost) = match order_value {
            Some(value) => (value * campaign.reward.margin * kept, mail_cost),
            None => (1.0, 0.0),
        };
        scored.push(ScoredArm { margin, cost, share_max: model.share_max(&variant.id), recency });
        indexes.push(index);
    }
    if indexes.is_empty() {
        return None;
    }
    let values = match order_value {
        Some(_) => Values { earned: Earned::ByPurchase, unsubscribe_loss },
        None => Values { earned: Earned::ByClick, unsubscribe_loss: 0.0 },
    };
    let options = ChoiceOptions::new(values);
    let own = &own[..indexes.len()];
    let mut arms = arms(own, scored);
    if campaign.kind == Kind::Lifecycle {
        arms.push(Arm::NoSend);
    }
    let choice = chooser.choose(&arms, &shared, model.heads(), situation.seed, &options);
    let name = |arm: usize| indexes.get(arm).map_or_else(no_send, |index| variants[*index].id.clone());
    let candidates = choice.shortlist.iter().map(|arm| Candidate {
        variant: name(*arm),
        score: choice.scores[*arm],
        probability: choice.probabilities[*arm],
    });
    let chosen = own.get(choice.index);
    let click_probability =
        chosen.map_or(0.0, |own| model.heads().click.score(&shared.plus(own)).probability());
    let draw = ScoredDraw {
        eligible: indexes.len(),
        inclusion: choice.inclusion,
        click_probability,
        floor: options.floor,
        by_purchase: values.earned == Earned::ByPurchase,
        unsubscribe_loss: values.unsubscribe_loss,
        arms: choice.shortlist.iter().filter_map(|arm| scored.get(*arm).copied()).collect(),
    };
    let reasons = reasons(model, chosen, &draw, choice.scores[choice.index]);
    Some(Drawn {
        index: indexes.get(choice.index).copied().unwrap_or(variants.len()),
        propensity: choice.propensity(),
        at: choice.at,
        candidates: candidates.collect(),
        draw,
        reasons,
    })
}

fn no_send() -> VariantId {
    VariantId::new(NO_SEND)
}

fn arms<'a>(own: &'a [SparseVector], scored: &[ScoredArm]) -> Vec<Arm<'a>> {
    let arm = |(features, scored): (&'a SparseVector, &ScoredArm)| Arm::Send {
        features,
        margin: scored.margin,
        cost: scored.cost,
        share_max: scored.share_max,
    };
    own.iter().zip(scored).map(arm).collect()
}

fn reasons(model: &PolicyModel, chosen: Option<&SparseVector>, draw: &ScoredDraw, value: f64) -> Vec<String> {
    let unit = if draw.by_purchase { "minor units of money" } else { "clicks: no order was seen yet" };
    let Some(own) = chosen else {
        return vec![format!("no variant was worth more than leaving the person alone (in {unit})")];
    };
    let mut reasons = vec![format!(
        "the model expects a click with probability {:.4}, and a value of {value:.4} ({unit})",
        draw.click_probability
    )];
    let click = model.heads().click.posterior();
    let mut parts: Vec<(f64, &str)> = own
        .iter()
        .filter_map(|(id, value)| Some((value * click.mean(id.index())?, model.name(id))))
        .filter(|(effect, _)| effect.abs() >= TOLD_MIN)
        .collect();
    parts.sort_by(|one, two| two.0.abs().total_cmp(&one.0.abs()).then(one.1.cmp(two.1)));
    if !parts.is_empty() {
        let told: Vec<String> = parts
            .iter()
            .take(TOLD_MAX)
            .map(|(effect, name)| format!("{name} ×{:.2}", effect.exp()))
            .collect();
        reasons.push(format!("what moves its odds of a click most: {}", told.join(", ")));
    }
    reasons
}

/// The probabilities of a decision's candidates, made again from its record and the model that it names, which must
/// cover the variants of the decision's catalogue. `None` for a decision that was drawn without a model.
///
/// # Errors
/// The name of a candidate that the model does not know: it belongs to another catalogue.
pub fn rescore(decision: &Decision, model: &PolicyModel) -> Result<Option<Vec<f64>>, VariantId> {
    let Some(scoring) = &decision.scoring else { return Ok(None) };
    let Some(draw) = &scoring.draw else { return Ok(None) };
    let shared = model.shared(&decision.campaign, decision.stage, &scoring.customer);
    let mut own = Vec::with_capacity(draw.arms.len());
    let sends = decision.candidates.iter().filter(|candidate| candidate.variant.as_str() != NO_SEND);
    for (candidate, scored) in sends.zip(&draw.arms) {
        let features = model.arm(&candidate.variant, decision.stage, &scoring.customer, scored.recency);
        own.push(features.ok_or_else(|| candidate.variant.clone())?);
    }
    let mut arms = arms(&own, &draw.arms);
    if decision.candidates.iter().any(|candidate| candidate.variant.as_str() == NO_SEND) {
        arms.push(Arm::NoSend);
    }
    if arms.is_empty() {
        return Ok(None);
    }
    let earned = if draw.by_purchase { Earned::ByPurchase } else { Earned::ByClick };
    let values = Values { earned, unsubscribe_loss: draw.unsubscribe_loss };
    // The shortlist is given, so nothing is left to be drawn by lot.
    let options = ChoiceOptions { floor: draw.floor, best: arms.len(), others: 0, values };
    let choice = Chooser::default().choose(&arms, &shared, model.heads(), decision.seed, &options);
    Ok(Some(choice.probabilities))
}
