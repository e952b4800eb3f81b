//! One variant for one person, with its exact propensity.
//!
//! First what may be shown at all (stage, locale, `when`, inputs, offers, recency), then a policy draws.

pub mod eligible;
pub mod model;
pub mod policy;
pub mod recommend;

use jiff::Timestamp;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::catalog::variant::CampaignEntry;
use crate::catalog::variant::Variant;
use crate::decision::Candidate;
use crate::decision::Choice;
use crate::decision::NO_SEND;
use crate::decision::RuledOut;
use crate::decision::Slice;
use crate::decision::VariantId;
use crate::history::Mail;
use crate::stage::Stage;

/// Everything that a selection depends on. The same situation gives the same selection.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'e, 'a> {
    /// The campaign with its variants.
    pub entry: &'e CampaignEntry,
    /// What rules may ask.
    pub facts: &'a Value,
    /// What was sent to the person, for recency.
    pub mails: &'a [Mail],
    /// Where the person stands.
    pub stage: Stage,
    /// The person's locale.
    pub locale: Option<&'a str>,
    /// The slice of the traffic that the person is in.
    pub slice: Slice,
    /// The person's own place in [0, 1) in this campaign, for what must be sticky.
    pub position: f64,
    /// Offers whose coupons have run out.
    pub empty_offers: &'a [String],
    /// The time.
    pub now: Timestamp,
    /// Where the draw comes from.
    pub seed: u64,
}

/// What was selected, and everything that the decision record says about it.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// The variant; `None` = NO SEND.
    pub variant: Option<&'a Variant>,
    /// The exact probability with which it was drawn.
    pub propensity: f64,
    /// What could have been drawn.
    pub candidates: Vec<Candidate>,
    /// What could not, and by which rule.
    pub ruled_out: Vec<RuledOut>,
    /// The model's version; `-` without one.
    pub policy_version: String,
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
    let campaign = &situation.entry.campaign;
    let arms: Vec<policy::Arm<'_>> = variants.iter().map(|variant| arm(variant)).collect();
    let distribution = policy::distribution(
        campaign.policy,
        situation.slice,
        &arms,
        campaign.no_send_weight,
        situation.position,
    );
    let drawn = policy::draw(&distribution.probabilities, unit(situation.seed));
    let names = variants.iter().map(|variant| variant.id.clone()).chain([VariantId(NO_SEND.to_owned())]);
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
        candidates,
        ruled_out,
        policy_version: "-".to_owned(),
    }
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
