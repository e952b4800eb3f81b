//! Why this person got this mail: the record that is saved before anything is rendered.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::campaign::CampaignId;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::stage::Stage;

mod stored;

pub use stored::KeptCandidates;
pub use stored::StoredDecision;

/// The name of one variant: `<campaign>/<stage>/<file>` and, where it has slots, `+slot=option` for each in
/// alphabetical order, such as `picks/compare/versus+hero=photo+tone=warm`. Shared: every decision names hundreds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VariantId(Arc<str>);

impl VariantId {
    /// By this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text.
    pub fn shared(&self) -> &Arc<str> {
        &self.0
    }

    /// The file's part of the name, without the chosen options.
    pub fn family(&self) -> &str {
        self.0.split('+').next().unwrap_or_default()
    }
}

/// Names a compiled template by its content: hex SHA-256 over subject, preheader, HTML and text templates.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateHash(pub String);

/// One decision, frozen at the first claim. Everything that a retry renders comes from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The send that it was made for.
    pub send: SendId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// For whom.
    pub profile: ProfileId,
    /// When. Also the Date of the mail and the time of its signature.
    pub at: Timestamp,
    /// Where the profile stood.
    pub stage: Stage,
    /// Why it stood there.
    pub stage_reason: String,
    /// What was chosen.
    pub choice: Choice,
    /// The exact probability with which it was chosen, by the last draw from what was left then.
    pub propensity: f64,
    /// Which slice of the traffic this profile is in.
    pub slice: Slice,
    /// What could have been chosen, each with its score and probability; NO SEND is `no_send`.
    #[serde(deserialize_with = "stored::read_candidates")]
    pub candidates: Vec<Candidate>,
    /// What could not, and by which rule.
    pub ruled_out: Vec<RuledOut>,
    /// Sentences for people, in the order in which they were found.
    pub reasons: Vec<String>,
    /// The policy's word.
    pub policy: String,
    /// The model's version, or `-` for policies without a model.
    pub policy_version: String,
    /// The catalogue's version: a hash over all its files.
    pub catalog_version: String,
    /// The seed from which the draw came.
    pub seed: u64,
    /// The number in [0, 1) that chose: the candidates share the line from 0 to 1 in their order, each as much of it as
    /// its probability, and this number lies in the part of the chosen one. Absent where nothing was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_at: Option<f64>,
    /// Draws that were made before, and came to nothing: each has a seed of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawn>,
    /// What the learning policy knew; absent for policies that do not learn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring: Option<Scoring>,
    /// The facts that were used, exactly as the templates see them.
    pub inputs: Value,
}

/// A draw that came to nothing: the coupons of what was drawn had just run out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// What was drawn.
    pub variant: VariantId,
    /// With which probability.
    pub propensity: f64,
    /// As in [`Decision::seed`].
    pub seed: u64,
    /// As in [`Decision::drawn_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_at: Option<f64>,
    /// The offer that had no coupon left; the next draw was made without its variants.
    pub offer: String,
}

/// What the learning policy knew when it decided, so that it can learn from the decision, and anybody can score it again.
///
/// Together with the stored model ([`Decision::policy_version`]) and the variants of the stored catalogue
/// ([`Decision::catalog_version`]) it gives the probabilities of the candidates to 1e-9.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scoring {
    /// Which definition of the features this is.
    pub features_version: u32,
    /// The person as numbers, in the order of that definition.
    pub customer: Vec<f64>,
    /// How lately the person got the chosen variant, and its file: 2^(−days/15), 0 for never.
    pub recency: [f64; 2],
    /// What was drawn from; absent while every variant is as likely as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<ScoredDraw>,
}

/// The draw of a learnt policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredDraw {
    /// What was eligible; the candidates are those of them that came into the shortlist.
    pub eligible: usize,
    /// The probability with which the chosen variant came into the shortlist.
    pub inclusion: f64,
    /// Predicted probability of a click on the chosen variant; 0 for NO SEND.
    pub click_probability: f64,
    /// Spread evenly over all candidates.
    pub floor: f64,
    /// Whether margins are earned by purchases; by clicks otherwise, while no order was seen.
    pub by_purchase: bool,
    /// What an unsubscribe costs, in minor units.
    pub unsubscribe_loss: f64,
    /// By candidate, NO SEND left out.
    pub arms: Vec<ScoredArm>,
}

/// What a candidate was weighed with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoredArm {
    /// What a purchase (or click) earns, in minor units.
    pub margin: f64,
    /// What the send costs, in minor units.
    pub cost: f64,
    /// The largest share that a new variant may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_max: Option<f64>,
    /// As in [`Scoring::recency`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recency: [f64; 2],
}

fn is_zero(recency: &[f64; 2]) -> bool {
    recency.iter().all(|value| value.to_bits() == 0)
}

/// Where what was chosen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// In a mail.
    Mail,
    /// In a page: it costs no mail, and there is nothing to unsubscribe from.
    Page,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// This variant, compiled from this content.
    Variant {
        /// Its name.
        variant: VariantId,
        /// The content that it had at the time.
        template: TemplateHash,
    },
    /// Nothing: this person is better left alone now.
    NoSend,
}

/// A variant that could have been chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The variant's name, or [`NO_SEND`].
    pub variant: VariantId,
    /// The policy's predicted value (its weight, for `weighted`).
    pub score: f64,
    /// The exact probability of choosing it.
    pub probability: f64,
}

/// The name under which NO SEND stands among candidates.
pub const NO_SEND: &str = "no_send";

/// Variants that one rule kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuledOut {
    /// `stage`, `when`, `locale`, `inputs`, `recency`, `offer`.
    pub rule: String,
    /// The rule in words, with the facts that decided it.
    pub detail: String,
    /// Families (or full variants, for recency) that it kept out.
    pub variants: Vec<Arc<str>>,
}

/// Which slice of the traffic a profile is in, by stable hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// The policy decides.
    Policy,
    /// An even draw over the eligible, to learn from.
    Uniform,
    /// No mail, to measure lift against.
    Holdout,
}

impl Slice {
    /// The word that reports and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Uniform => "uniform",
            Self::Holdout => "holdout",
        }
    }
}
