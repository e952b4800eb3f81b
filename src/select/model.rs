//! The default policy's pure core: named sparse features, a Gaussian posterior per head, and a choice whose
//! propensity is exact.
//!
//! Design §7. Nothing here reads a clock, a file or its own randomness: the same model, features and seed give
//! the same choice, today and in an audit a year later.
//!
//! In reading order:
//! - [`space`]: a feature's name becomes a small number; the group it belongs to decides its prior.
//! - [`vector`]: the features of one customer, or of one arm.
//! - [`posterior`]: what is believed about the weights: `w ~ N(m, diag 1/q)`.
//! - [`newton`]: the mode of a posterior given new rows.
//! - [`shrink`]: how strong each group's prior should be, learnt from the data (empirical Bayes).
//! - [`delay`]: how much of an answer is to be expected by a given age.
//! - [`head`]: a posterior that learns from sends, once from each, and forgets.
//! - [`heads`]: click, purchase and unsubscribe together: the model that is stored as a versioned row.
//! - [`normal`], [`draws`]: 256 joint draws, in pairs that mirror each other, for up to 32 arms without an allocation.
//! - `shortlist`: which arms are candidates when there are hundreds; [`logistic`]: probabilities, fast.
//! - [`choose`]: Thompson sampling over values, the floor, the caps, and the one draw.
//! - [`caps`]: what a new variant and a new account may get.
//! - [`sequential`]: when an A/B test may stop, with p-values that stay valid however often one looks.

pub mod caps;
pub mod choose;
pub mod delay;
pub mod draws;
pub mod head;
pub mod heads;
pub mod logistic;
pub mod newton;
pub mod normal;
pub mod posterior;
pub mod sequential;
mod shortlist;
pub mod shrink;
pub mod space;
pub mod vector;

pub use choose::{Arm, Choice, ChoiceOptions, Chooser, thompson};
pub use head::{Head, Observation};
pub use heads::{Heads, Values};
pub use posterior::{Posterior, Score};
pub use space::{FeatureId, FeatureSpace, Kind};
pub use vector::SparseVector;
