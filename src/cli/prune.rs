//! `bespoke prune`: deletes what is older than `[retention]` allows.

use std::process::ExitCode;

use clap::Args;
use indicatif::ProgressBar;
use jiff::SignedDuration;

use crate::cli::check::forgotten;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::config::Retention;
use crate::fault::render_all;
use crate::store::Pruned;
use crate::store::SOFT_BOUNCE_WINDOW_MS;
use crate::worker::assemble;

/// Deletes what is older than `[retention]` allows; may be stopped and run again at any time.
#[derive(Debug, Args)]
pub struct Prune {
    /// Only counts
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.existing_store().await?;
            let now = context.clock.now();
            if context.config.retention.sends_days.is_some() {
                let catalog = assemble::catalog(&context.config)?;
                if let Some(fault) = forgotten(&context.config, &catalog) {
                    anyhow::bail!("{}", render_all(&[fault]).trim());
                }
            }
            for what in Pruned::ALL {
                let Some(age) = kept_for(&context.config.retention, what) else {
                    say!("{:>10} {:<18} kept for ever", "-", what.table());
                    continue;
                };
                let before = now - age;
                let count = if self.dry_run {
                    store.count_prunable(what, before).await?
                } else {
                    let bar = ProgressBar::new_spinner().with_message(what.table());
                    let count = store.prune(what, before, &|count| bar.set_position(count)).await?;
                    bar.finish_and_clear();
                    count
                };
                let verb = if self.dry_run { "would go" } else { "deleted" };
                say!("{count:>10} {:<18} {verb}: older than {before:.0}", what.table());
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Days after which a question about consent is worthless, because the links in it have ended.
const CONSENT_REQUESTS_DAYS: u32 = 7;

/// How long rows of a table are kept; none: for ever.
fn kept_for(retention: &Retention, what: Pruned) -> Option<SignedDuration> {
    let days = match what {
        Pruned::Events => retention.events_days,
        Pruned::StageTransitions => retention.stage_transitions_days,
        Pruned::Sends => retention.sends_days,
        Pruned::Decisions | Pruned::WebDecisions => retention.decisions_days,
        Pruned::Hits => retention.hits_days,
        Pruned::Attachments => retention.attachments_days,
        Pruned::OutcomeLog | Pruned::WebhookMessages => retention.webhooks_days,
        Pruned::ConsentRequests => Some(CONSENT_REQUESTS_DAYS),
        Pruned::SoftBounces => return Some(SignedDuration::from_millis(SOFT_BOUNCE_WINDOW_MS)),
        Pruned::IdempotencyKeys => {
            return Some(SignedDuration::from_hours(i64::from(retention.idempotency_keys_hours)));
        }
    };
    days.map(|days| SignedDuration::from_hours(i64::from(days) * 24))
}
