//! `bespoke serve`: the HTTP service, and with `--work` a worker in the same process.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::context::on_signal;
use crate::cli::work::worker;
use crate::http::Listening;
use crate::http::Service;
use crate::worker::assemble;
use crate::worker::in_use::EngineInUse;
use crate::worker::run::Until;

/// Answers over HTTP until it is stopped.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port, instead of the configured one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Claims and delivers sends in the same process
    #[arg(long)]
    work: bool,
}

impl Serve {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut config = context.config.clone();
        if let Some(listen) = &self.listen {
            config.http.listen.clone_from(listen);
        }
        block_on(async {
            let store = context.store_of_service().await?;
            let engine = EngineInUse::from(assemble::engine(&config, &store).await?);
            let service = Service::new(store.clone(), engine.clone(), context.clock.clone());
            let worker = if self.work {
                Some(worker(context, &store, engine.clone(), assemble::transport(&config)?)?)
            } else {
                None
            };
            if let Some(worker) = &worker {
                service.count_in(worker.metrics());
            }
            let listening = Listening::new(service).await.with_context(|| {
                format!(
                    "cannot listen on {}; choose another with --listen or [http] listen",
                    config.http.listen
                )
            })?;
            eprintln!("listening on http://{}, described at /docs", listening.address()?);
            let (stop, stopped) = watch::channel(false);
            let ended = stop.clone();
            tokio::spawn(on_signal(move || {
                stop.send_replace(true);
            }));
            let telling = context.tell(&store).await?;
            // A worker that learns refreshes the engine that both use.
            let mut refreshing = JoinSet::new();
            let minutes = config.worker.learn_every_minutes;
            if worker.is_none() || minutes == 0 {
                refreshing.spawn(engine.refresh(store.clone(), Duration::from_secs(minutes.max(1) * 60)));
            }
            let serving = listening.serve(until(stopped.clone()));
            if let Some(worker) = worker {
                let handle = worker.stop_handle();
                tokio::spawn(async move {
                    until(stopped).await;
                    handle.stop();
                });
                // A worker that cannot go on must not leave a server that takes sends nobody delivers.
                let working = async {
                    let tally = worker.run(Until::Stopped).await;
                    ended.send_replace(true);
                    tally
                };
                let ((), tally) = tokio::join!(serving, working);
                tally?;
            } else {
                serving.await;
            }
            drop(refreshing);
            drop(telling);
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Done when the process was told to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
