//! `bespoke plan`: campaign × audience → scheduled sends.

use std::process::ExitCode;

use clap::Args;
use indicatif::ProgressBar;
use jiff::SignedDuration;

use crate::campaign::Campaign;
use crate::campaign::Trigger;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::progress;
use crate::cli::say::say;
use crate::worker::assemble;
use crate::worker::guard;
use crate::worker::plan::Horizon;
use crate::worker::plan::plan;

/// Schedules what falls due. Planning twice adds nothing.
#[derive(Debug, Args)]
pub struct Plan {
    /// Only this campaign
    #[arg(long, value_name = "NAME")]
    campaign: Option<String>,
    /// Occurrences due within this many hours from now are planned
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(..=8_784))]
    ahead_hours: u32,
}

impl Plan {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.store().await?;
            let engine = assemble::engine(&context.config, &store).await?;
            if let Some(name) = &self.campaign {
                engine.catalog.known_campaign(name).map_err(anyhow::Error::msg)?;
            }
            if let Some(note) = context.config.without_pages() {
                eprintln!("{note}");
            }
            let people = store.count_profiles().await?;
            let bar = ProgressBar::new(people)
                .with_style(progress::style("{msg:20} [{bar:30}] {pos}/{len} {per_sec} {eta}")?);
            let progress = |campaign: &Campaign, looked_at: u64| {
                if bar.message() != campaign.id.as_str() {
                    bar.set_message(campaign.id.to_string());
                    // How many events there are is not known before they are read.
                    match campaign.trigger {
                        Trigger::Cron { .. } | Trigger::DateTrait { .. } => bar.set_length(people),
                        _ => bar.unset_length(),
                    }
                    bar.reset();
                }
                bar.inc(looked_at);
            };
            let horizon = Horizon {
                now: context.clock.now(),
                ahead: SignedDuration::from_hours(i64::from(self.ahead_hours)),
            };
            let planned = plan(&store, &engine, self.campaign.as_deref(), horizon, &progress).await?;
            bar.finish_and_clear();
            say!("{:<24} {:>10} {:>10}", "campaign", "looked at", "new sends");
            for done in &planned {
                say!("{:<24} {:>10} {:>10}", done.campaign, done.looked_at, done.scheduled);
            }
            for found in guard::review(&store, &engine.catalog, horizon.now).await? {
                say!("{found}");
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
