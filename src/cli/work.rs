//! `bespoke work`: claims, decides, renders, delivers, records.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use jiff::Timestamp;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::context::on_signal;
use crate::cli::learn::learn_all;
use crate::cli::progress;
use crate::config::Config;
use crate::config::TransportKind;
use crate::deliver::smtp::Pool;
use crate::deliver::transport::Transport;
use crate::http::MetricsPage;
use crate::send::State;
use crate::store::Store;
use crate::words::counted;
use crate::worker::assemble;
use crate::worker::in_use::EngineInUse;
use crate::worker::lead::Duties;
use crate::worker::run::Until;
use crate::worker::run::Worker;
use crate::worker::tally::Tally;

/// Claims scheduled sends and delivers them, until it is stopped.
#[derive(Debug, Args)]
pub struct Work {
    /// Ends when nothing is due
    #[arg(long)]
    until_idle: bool,
    /// Mails go as .eml files into this folder instead of over SMTP, and count as sent; `bespoke preview` is the dry run
    #[arg(long, value_name = "DIR")]
    into: Option<std::path::PathBuf>,
    /// Answers GET /metrics here, for whoever can reach it
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,
}

impl Work {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut config = context.config.clone();
        if let Some(folder) = &self.into {
            config.transport.kind = TransportKind::Directory;
            config.transport.directory = Some(folder.clone());
        }
        block_on(async {
            let store =
                if self.until_idle { context.store().await? } else { context.store_of_service().await? };
            let transport = assemble::transport(&config)?;
            let pool = match &transport {
                Transport::Smtp(pool) => Some(pool.clone()),
                _ => None,
            };
            let engine = assemble::engine(&config, &store).await?;
            let worker = worker(context, &store, engine, transport)?;
            if let Some(address) = &self.metrics {
                let metrics = MetricsPage::new(worker.metrics(), store.clone(), context.clock.clone());
                let address =
                    metrics.listen(address).await.with_context(|| format!("cannot listen on {address}"))?;
                eprintln!("metrics at http://{address}/metrics");
            }
            if let Some(note) = config.without_pages() {
                eprintln!("{note}");
            }
            let stop = worker.stop_handle();
            tokio::spawn(on_signal(move || stop.stop()));
            let telling = context.tell(&store).await?;
            let progress = tokio::spawn(show_progress(worker.tally(), pool));
            let until = if self.until_idle { Until::Idle } else { Until::Stopped };
            let tally = worker.run(until).await;
            progress.abort();
            drop(telling);
            // What was done is done, whether anybody can read it or not.
            let _ = print_summary(&*tally?, std::io::stdout());
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// A worker with everything that a leader does, not yet running.
pub(super) fn worker(
    context: &Context,
    store: &Store,
    engine: impl Into<EngineInUse>,
    transport: Transport,
) -> anyhow::Result<Worker> {
    let engine = engine.into();
    let config = Arc::new(engine.get().config.clone());
    let duties = Duties {
        plan_every: Duration::from_secs(config.worker.plan_every_seconds),
        learn_every: Duration::from_secs(config.worker.learn_every_minutes * 60),
        learn: Box::new(move |store, now| Box::pin(learn(store, Arc::clone(&config), now))),
    };
    let worker = Worker::new(store.clone(), engine, transport, context.clock.clone())?;
    Ok(worker.with_duties(duties))
}

/// What `bespoke learn` does, by the worker that leads.
async fn learn(store: Store, config: Arc<Config>, now: Timestamp) -> Result<String, String> {
    let learnt = learn_all(&store, &config, now).await.map_err(|error| format!("{error:#}"))?;
    let mails = learnt.policy.map_or(0, |taught| taught.sends);
    Ok(format!(
        "learnt from {} and {}",
        counted(learnt.items.order_lines, "order line"),
        counted(mails, "mail")
    ))
}

async fn show_progress(tally: Arc<Tally>, pool: Option<Pool>) {
    let style = progress::style("{spinner} {msg}  {per_sec}");
    let bar = ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        bar.set_position(tally.of(State::Sent));
        let open: usize = pool.iter().flat_map(Pool::status).map(|relay| relay.open).sum();
        let mut counts: Vec<String> = State::ALL
            .into_iter()
            .map(|state| (state, tally.of(state)))
            .filter(|(_, count)| *count > 0)
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        if open > 0 {
            counts.push(format!("{open} connections"));
        }
        bar.set_message(if counts.is_empty() { "waiting".to_owned() } else { counts.join(", ") });
    }
}

fn print_summary(tally: &Tally, mut to: impl std::io::Write) -> std::io::Result<()> {
    let counts = tally.counts();
    if counts.is_empty() {
        return writeln!(to, "nothing was due");
    }
    for ((state, reason), count) in counts {
        let reason = if reason == state.as_str() { String::new() } else { format!("  ({reason})") };
        writeln!(to, "{count:>8} {state}{reason}")?;
    }
    Ok(())
}
