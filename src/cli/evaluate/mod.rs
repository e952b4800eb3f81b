//! `bespoke evaluate`: the product's own engines on anyone's file. One file per subcommand.

use std::process::ExitCode;

use clap::Subcommand;

pub mod arms;
pub mod clv;
pub mod decisions;
pub mod lift;
pub mod ope;
pub mod output;
pub mod policy;
pub mod recommend;
pub mod replay;

/// The exit code of an evaluation that the data cannot carry.
pub const REFUSED: u8 = 3;

/// Checks claims on a log: what a policy, a campaign or a model is worth.
#[derive(Debug, Subcommand)]
pub enum EvaluateCommand {
    /// What another policy would have earned, from the log of the one that ran.
    Ope(ope::OpeArgs),
    /// What a campaign changed: every arm against control, everybody as assigned.
    Lift(lift::LiftArgs),
    /// Customer lifetime value by BG/NBD and Gamma-Gamma, with a back-test on the time after a split.
    Clv(clv::ClvArgs),
    /// How good recommendations fitted on one file are on the next, beside mere popularity.
    Recommend(recommend::RecommendArgs),
    /// A learning policy over a randomised log, as if it had been running.
    Replay(replay::ReplayArgs),
    /// Fits on the past, decides for the future, and says what the decisions are worth.
    Policy(policy::PolicyArgs),
    /// What policies would have made of many A/B/n tests, from impressions and clicks.
    Arms(arms::ArmsArgs),
}

impl EvaluateCommand {
    /// Runs the evaluation that was asked for. 0: figures; 3: refused, because the data cannot carry an answer.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Ope(args) => args.run(),
            Self::Lift(args) => args.run(),
            Self::Clv(args) => args.run(),
            Self::Recommend(args) => args.run(),
            Self::Replay(args) => args.run(),
            Self::Policy(args) => args.run(),
            Self::Arms(args) => args.run(),
        }
    }
}
