//! `bespoke reference`: every key of the configuration, of campaigns, heads and offers.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

/// The page, of which a test knows that it names every key and states the defaults as they are.
pub const REFERENCE: &str = include_str!("../../REFERENCE.md");

/// Prints every key of bespoke.toml, campaign.toml, heads and offers, with its default.
#[derive(Debug, Args)]
pub struct Reference {}

impl Reference {
    #[expect(clippy::unused_self, reason = "every role has the same shape")]
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        std::io::stdout().write_all(REFERENCE.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
