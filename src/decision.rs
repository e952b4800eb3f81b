//! Why this person got this mail: the record that is saved before anything is rendered.

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::campaign::CampaignId;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::stage::Stage;

/// The name of one variant: `<campaign>/<stage>/<file>` and, where it has slots, `+slot=option` for each in
/// alphabetical order, such as `picks/compare/versus+hero=photo+tone=warm`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VariantId(pub String);

impl VariantId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
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
    /// The exact probability with which it was chosen.
    pub propensity: f64,
    /// Which slice of the traffic this profile is in.
    pub slice: Slice,
    /// What could have been chosen, each with its score and probability; NO SEND is `no_send`.
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
    /// The facts that were used, exactly as the templates see them.
    pub inputs: Value,
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
    pub variants: Vec<String>,
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
