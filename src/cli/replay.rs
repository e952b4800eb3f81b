//! `bespoke replay`: who would get what under other templates or another policy.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::ValueEnum;
use indicatif::ProgressBar;
use jiff::Timestamp;

use crate::campaign::CampaignId;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::progress;
use crate::cli::report::write_text;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Overrides;
use crate::preview::replay::ReplayRequest;
use crate::preview::replay::replay;
use crate::report;
use crate::worker::assemble;

/// Tells who would get what under other templates or another policy: counts, variants, examples. Nothing is sent, nothing is
/// stored.
#[derive(Debug, Args)]
pub struct Replay {
    /// Which campaign; it must be there before and after
    #[arg(long, value_name = "NAME")]
    campaign: String,
    /// The folder with the other bespoke.toml and its templates
    #[arg(long, value_name = "CONFIG_DIR")]
    against: PathBuf,
    /// As if it were this time, such as 2026-11-24T09:00:00Z; now where none is stated
    #[arg(long, value_name = "TIME", value_parser = crate::clock::moment)]
    at: Option<Timestamp>,
    /// Decides every draw: the same seed, the same draws, the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// For this many people, the same ones each time; for everybody where none is stated
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Writes into this file instead of printing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How a replay is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned text for people.
    Table,
    /// Everything for programs.
    Json,
    /// One self-contained page.
    Html,
}

impl Replay {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let other = self.other_config(context)?;
        let request = ReplayRequest {
            campaign: CampaignId(self.campaign.clone()),
            now: self.at.unwrap_or_else(|| context.clock.now()),
            seed: self.seed,
            limit: self.limit,
        };
        let report = block_on(async {
            let store = context.existing_store().await?;
            let before = assemble::engine(&context.config, &store).await?;
            let after = assemble::engine(&other, &store).await;
            let after = after.with_context(|| format!("--against {}", self.against.display()))?;
            let bar = ProgressBar::new(0)
                .with_style(progress::style("{bar:30} {pos}/{len} people, {per_sec}, {eta} left")?);
            let progress = |done: usize, of: usize| {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            };
            let found = replay(&store, [&before, &after], &request, &progress).await;
            bar.finish_and_clear();
            store.close().await;
            Ok(found?.report(&request))
        })?;
        let text = match self.format {
            Format::Table => report::text::text(&report),
            Format::Json => serde_json::to_string_pretty(&report::machine::json(&report))? + "\n",
            Format::Html => report::html::html(&report),
        };
        write_text(self.out.as_deref(), &text)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The other configuration, on our database and with our keys: links that differ only by their signature would make
    /// every mail look changed.
    fn other_config(&self, context: &Context) -> anyhow::Result<Config> {
        let file = self.against.join("bespoke.toml");
        let mut other =
            Config::load(Some(&file), &Environment::default(), &Overrides::default()).map_err(|errors| {
                anyhow::anyhow!(
                    "--against {}: the configuration cannot be used\n{errors}",
                    self.against.display()
                )
            })?;
        other.database = context.config.database.clone();
        other.public.secret.clone_from(&context.config.public.secret);
        other.public.previous_secrets.clone_from(&context.config.public.previous_secrets);
        Ok(other)
    }
}
