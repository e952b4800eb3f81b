//! One variant for one person, with its exact propensity.
//!
//! First what may be shown at all (stage, locale, `when`, inputs, offers, recency), then a policy draws.

pub mod eligible;
pub mod features;
pub mod learnt;
pub mod model;
pub mod policy;
pub mod recommend;
pub mod slices;
pub mod thompson;

use jiff::Timestamp;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::campaign::PolicyKind;
use crate::catalog::variant::CampaignEntry;
use crate::catalog::variant::Variant;
use crate::decision::Candidate;
use crate::decision::Choice;
use crate::decision::NO_SEND;
use crate::decision::RuledOut;
use crate::decision::Scoring;
use crate::decision::Slice;
use crate::decision::VariantId;
use crate::history::Mail;
use crate::stage::Stage;

use features::Customer;
use features::FEATURES_VERSION;
use learnt::PolicyModel;
use model::caps::Account;
use model::caps::ColdStart;
use thompson::Lately;

/// Everything that a selection depends on. The same situation gives the same selection.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'e, 'a> {
    /// The campaign with its variants.
    pub entry: &'e CampaignEntry,
    /// What rules may ask.
    pub facts: &'a Value,
    /// What was sent to the person, for recency.
    pub mails: &'a [Mail],
    /// The person as the learning policy sees them.
    pub customer: Customer,
    /// The published model; without one, `thompson` draws evenly.
    pub model: Option<&'a PolicyModel>,
    /// Where the person stands.
    pub stage: Stage,
    /// The person's locale.
    pub locale: Option<&'a str>,
    /// The slice of the traffic that the person is in.
    pub slice: Slice,
    /// The person's own place in [0, 1) in this campaign, for what must be sticky.
    pub position: f64,
    /// Offers of which the person can get no coupon.
    pub no_coupons: &'a [NoCoupon],
    /// The time.
    pub now: Timestamp,
    /// Where the draw comes from.
    pub seed: u64,
}

/// An offer of which somebody can get no coupon: its variants are ruled out before anything is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCoupon {
    /// None is left of this offer.
    Left(String),
    /// Coupons of this offer are for people with an address: visitors of a page would empty the pool.
    Visitor(String),
}

impl NoCoupon {
    /// Of which offer.
    pub fn offer(&self) -> &str {
        match self {
            Self::Left(offer) | Self::Visitor(offer) => offer,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Left(offer) => format!("no coupon is left for offer {offer}"),
            Self::Visitor(offer) => format!("coupons of offer {offer} are for people with an address"),
        }
    }
}

/// What was selected, and everything that the decision record says about it.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// The variant; `None` = NO SEND.
    pub variant: Option<&'a Variant>,
    /// The exact probability with which it was drawn.
    pub propensity: f64,
    /// The number in [0, 1) that chose; see [`crate::decision::Decision::drawn_at`].
    pub drawn_at: f64,
    /// What could have been drawn.
    pub candidates: Vec<Candidate>,
    /// What could not, and by which rule.
    pub ruled_out: Vec<RuledOut>,
    /// The model's version; `-` without one.
    pub policy_version: String,
    /// What the learning policy knew.
    pub scoring: Option<Scoring>,
    /// What the policy says for itself, for people.
    pub reasons: Vec<String>,
}

impl Selection<'_> {
    /// The choice as it is recorded.
    pub fn choice(&self) -> Choice {
        self.variant.map_or(Choice::NoSend, |variant| Choice::Variant {
            variant: variant.id.clone(),
            template: variant.template.clone(),
        })
    }
}

/// Selects.
pub fn select<'e>(situation: &Situation<'e, '_>) -> Selection<'e> {
    let eligible::Eligible { variants, ruled_out } = eligible::eligible(situation);
    if situation.entry.campaign.policy != PolicyKind::Thompson {
        return Selection { ruled_out, ..drawn_by_shares(situation, &variants) };
    }
    let lately = Lately::of(situation);
    let learnt = situation.model.filter(|model| model.account() == Account::Learnt);
    let drawn = match (situation.slice, learnt) {
        (Slice::Policy, Some(model)) => thompson::draw(situation, &variants, &lately, model),
        _ => None,
    };
    let (selection, draw) = if let Some(drawn) = drawn {
        let selection = Selection {
            variant: variants.get(drawn.index).copied(),
            propensity: drawn.propensity,
            drawn_at: drawn.at,
            candidates: drawn.candidates,
            policy_version: learnt.map_or_else(no_version, |model| model.version.clone()),
            reasons: drawn.reasons,
            ruled_out,
            scoring: None,
        };
        (selection, Some(drawn.draw))
    } else {
        let reasons = early(situation);
        (Selection { ruled_out, reasons, ..drawn_by_shares(situation, &variants) }, None)
    };
    let scoring = Scoring {
        features_version: FEATURES_VERSION,
        customer: situation.customer.facts.to_vec(),
        recency: selection.variant.map_or([0.0; 2], |variant| lately.recency(&variant.id)),
        draw,
    };
    Selection { scoring: Some(scoring), ..selection }
}

/// Why the learning policy draws evenly.
fn early(situation: &Situation<'_, '_>) -> Vec<String> {
    if situation.slice != Slice::Policy {
        return Vec::new();
    }
    let why = match situation.model {
        None => "no model was fitted yet (`bespoke learn`): every variant is equally likely".to_owned(),
        Some(model) => format!(
            "every variant is equally likely until {} mails were sent; {} were when the model was fitted",
            ColdStart::default().uniform_account_sends,
            model.body().account_sends
        ),
    };
    vec![why]
}

/// Draws without a model, for those policies that have none and while there is none.
fn drawn_by_shares<'e>(situation: &Situation<'e, '_>, variants: &[&'e Variant]) -> Selection<'e> {
    let campaign = &situation.entry.campaign;
    let arms: Vec<policy::Arm<'_>> = variants.iter().map(|variant| arm(variant)).collect();
    let distribution = policy::distribution(campaign.policy, situation.slice, &arms, campaign.no_send_weight);
    let at = policy::place(campaign.policy, situation.slice, situation.position, unit(situation.seed));
    let drawn = policy::draw(&distribution.probabilities, at);
    let names = variants.iter().map(|variant| variant.id.clone()).chain([VariantId::new(NO_SEND)]);
    let candidates = names
        .zip(distribution.scores.iter().zip(&distribution.probabilities))
        .map(|(variant, (score, probability))| Candidate {
            variant,
            score: *score,
            probability: *probability,
        })
        .filter(|candidate| candidate.score > 0.0 || candidate.probability > 0.0)
        .collect();
    Selection {
        variant: variants.get(drawn).copied(),
        propensity: distribution.probabilities[drawn],
        drawn_at: at,
        candidates,
        ruled_out: Vec::new(),
        policy_version: no_version(),
        scoring: None,
        reasons: Vec::new(),
    }
}

fn no_version() -> String {
    "-".to_owned()
}

fn arm(variant: &Variant) -> policy::Arm<'_> {
    policy::Arm {
        variant: &variant.id,
        template: &variant.template,
        weight: variant.weight,
        order: variant.order.unwrap_or(i64::MAX),
    }
}

/// The one number that a draw needs.
fn unit(seed: u64) -> f64 {
    ChaCha8Rng::seed_from_u64(seed).random()
}
