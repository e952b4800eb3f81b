//! `bespoke reference`: every key, and everything that a template may name.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use clap::ValueEnum;

use crate::catalog::CatalogSettings;
use crate::catalog::contract::Contract;
use crate::catalog::reference;
use crate::cli::context::Globals;

/// The page, of which a test knows that it names every key, states the defaults as they are, and ends with the other
/// parts.
pub const REFERENCE: &str = include_str!("../../REFERENCE.md");

/// Prints every key of bespoke.toml, campaign.toml, heads and offers with its default, and everything that templates and
/// rules may name.
#[derive(Debug, Args)]
pub struct Reference {
    /// One part of it; all of them where none is named
    #[arg(value_enum)]
    part: Option<Part>,
}

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What templates and rules may name, with the traits, events and [shop] of the configuration here
    Facts,
    /// What may stand behind `|`
    Filters,
    /// What `when` and `audience` may call
    Rules,
    /// What the pages behind the links of a mail say
    Pages,
}

impl Reference {
    pub(super) fn run(&self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let text = match self.part {
            None => REFERENCE.to_owned(),
            Some(Part::Facts) => {
                let settings = CatalogSettings::of_config(&globals.context()?.config);
                reference::facts(&Contract::new(&settings.traits, &settings.own_events, &settings.shop))
            }
            Some(Part::Filters) => reference::filters(),
            Some(Part::Rules) => reference::rules(),
            Some(Part::Pages) => reference::pages(),
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
