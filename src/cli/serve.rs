//! `bespoke serve`: the HTTP service, and with `--work` a worker in the same process.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::watch;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::context::on_signal;
use crate::cli::work::worker;
use crate::config::Config;
use crate::http::Listening;
use crate::http::Service;
use crate::store::Store;
use crate::worker::assemble;
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
            let store = context.store().await?;
            let engine = assemble::engine(&config, &store).await?;
            let service = Service::new(store.clone(), engine, context.clock.clone());
            let worker = if self.work {
                Some(worker(context, &config, &store, assemble::transport(&config)?).await?)
            } else {
                None
            };
            if let Some(worker) = &worker {
                service.count_in(worker.metrics());
            }
            let listening = Listening::new(service.clone()).await.with_context(|| {
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
            let refreshing = tokio::spawn(refresh(service, config.clone(), store.clone()));
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
            refreshing.abort();
            drop(telling);
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Takes up what was learnt and imported meanwhile. What does not load leaves the old one in use. Never returns.
async fn refresh(service: Service, config: Config, store: Store) {
    let every = Duration::from_secs(config.worker.learn_every_minutes.max(1) * 60);
    loop {
        tokio::time::sleep(every).await;
        match assemble::engine(&config, &store).await {
            Ok(engine) => service.replace_engine(Arc::new(engine)),
            Err(error) => {
                tracing::error!("cannot take up what was learnt, going on with what is here: {error}");
            }
        }
    }
}

/// Done when the process was told to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
