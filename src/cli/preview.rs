//! `bespoke preview`: mails in a folder, for people to look at, before anything is sent.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use indicatif::ProgressBar;
use jiff::Timestamp;

use crate::campaign::CampaignId;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::progress;
use crate::cli::say::say;
use crate::preview::Gate;
use crate::preview::PREVIEWS_MAX;
use crate::preview::PreviewRequest;
use crate::preview::PreviewSummary;
use crate::preview::Whom;
use crate::preview::preview;
use crate::profile::ProfileId;
use crate::words::noun;
use crate::worker::assemble;

/// Renders what would be sent into a folder with a gallery: nothing is sent, no state is written.
#[derive(Debug, Args)]
pub struct Preview {
    /// Which campaigns; all of them where none is named
    #[arg(long, value_name = "NAME")]
    campaign: Vec<String>,
    #[command(flatten)]
    whom: WhomArgs,
    /// The folder: new, empty, or an earlier preview, which is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// As if it were this time, such as 2026-11-24T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = crate::clock::moment)]
    at: Option<Timestamp>,
    /// Shows mails that consent, suppression, cap or holdout would stop, with the reason beside them
    #[arg(long)]
    ignore_gate: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhomArgs {
    /// For these people
    #[arg(long, value_name = "ID", num_args = 1..)]
    profile: Vec<String>,
    /// For this many people of each campaign, the same ones each time; at most 10000 mails go into one folder
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=PREVIEWS_MAX as u64))]
    sample: Option<usize>,
    /// Every variant, for the sample recipients of the templates
    #[arg(long)]
    coverage: bool,
}

impl WhomArgs {
    fn whom(&self) -> anyhow::Result<Whom> {
        if self.coverage {
            return Ok(Whom::Coverage);
        }
        if let Some(count) = self.sample {
            return Ok(Whom::Sample(count));
        }
        let parse = |id: &String| ProfileId::parse(id).with_context(|| format!("--profile {id:?}"));
        Ok(Whom::Profiles(self.profile.iter().map(parse).collect::<anyhow::Result<_>>()?))
    }
}

impl Preview {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let request = PreviewRequest {
            campaigns: self.campaign.iter().cloned().map(CampaignId).collect(),
            whom: self.whom.whom()?,
            now: self.at.unwrap_or_else(|| context.clock.now()),
            gate: if self.ignore_gate { Gate::Ignored } else { Gate::Kept },
        };
        block_on(async {
            // The sample recipients of the templates need no people.
            let store = match request.whom {
                Whom::Coverage => context.store().await?,
                _ => context.existing_store().await?,
            };
            let engine = assemble::engine(&context.config, &store).await?;
            let bar = ProgressBar::new(0)
                .with_style(progress::style("{bar:30} {pos}/{len} mails, {per_sec}, {eta} left")?);
            let progress = |done: usize, of: usize| {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            };
            let summary = preview(&store, &engine, &request, &self.out, &progress).await;
            bar.finish_and_clear();
            print_summary(&summary?, &self.out);
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn print_summary(summary: &PreviewSummary, out: &std::path::Path) {
    let mails = noun(summary.mails, "mail");
    say!("{:>8} {mails}, {} of them with warnings", summary.mails, summary.with_warnings);
    for (reason, count) in &summary.not_sent {
        say!("{count:>8} not sent  ({reason})");
    }
    say!("{:>8} of {} variants were never chosen", summary.variants_never_chosen, summary.variants);
    say!("look at {}", out.join("index.html").display());
}
