//! `bespoke evaluate`: the product's own engines on anyone's file. One file per subcommand.

use std::process::ExitCode;

use clap::Subcommand;

pub mod output;

/// Checks claims on a log: what a policy, a campaign or a model is worth.
#[derive(Debug, Subcommand)]
pub enum EvaluateCommand {}

impl EvaluateCommand {
    /// Runs the evaluation that was asked for. 0: figures; 3: refused, because the data cannot carry an answer.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {}
    }
}
