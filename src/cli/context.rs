//! What every role needs: the configuration, the clock, and from them the store and the catalogue.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::config::Environment;
use crate::config::LogFormat;
use crate::config::Overrides;
use crate::store::Absence;
use crate::store::Store;
use crate::webhook::Messenger;

/// The file that is read where none is named and it is there.
const DEFAULT_FILE: &str = "bespoke.toml";

/// Flags of every role.
#[derive(Debug, Clone, Default, Args)]
pub struct Globals {
    /// The configuration file [default: bespoke.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "BESPOKE_CONFIG")]
    pub config: Option<PathBuf>,
    /// `sqlite://PATH` or `postgres://…`, instead of the configured one
    #[arg(long, global = true, value_name = "URL")]
    pub database: Option<String>,
    /// The folder of the templates, instead of the configured one; `builtin` for those of the binary
    #[arg(long, global = true, value_name = "DIR")]
    pub templates: Option<String>,
    /// Logs more: -v info, -vv debug
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What every role needs.
#[derive(Debug, Clone)]
pub struct Context {
    /// The configuration, checked.
    pub config: Config,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Context {
    /// Opens a database for a role that shows or changes what is there: a mistyped path should not become an empty one.
    pub async fn existing_store(&self) -> anyhow::Result<Store> {
        let url = self.config.database.url.expose_secret();
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = Path::new(path.strip_prefix("//").unwrap_or(path));
            anyhow::ensure!(
                path.exists(),
                "there is no database {}; `bespoke import` makes it, or --database names another",
                path.display()
            );
        }
        self.store().await
    }

    /// Opens the configured database and brings its schema up to date.
    pub async fn store(&self) -> anyhow::Result<Store> {
        self.store_or_wait(Absence::Told).await
    }

    /// The same for a role that goes on until it is stopped, which may start before its database.
    pub async fn store_of_service(&self) -> anyhow::Result<Store> {
        self.store_or_wait(Absence::WaitedFor).await
    }

    async fn store_or_wait(&self, absence: Absence) -> anyhow::Result<Store> {
        let store = Store::open_or_wait(self.config.database.url.expose_secret(), absence).await?;
        store.migrate(self.clock.now()).await?;
        if !self.config.webhook.is_empty() {
            store.keep_outcomes();
        }
        Ok(store)
    }
}

impl Context {
    /// Tells other systems what happens, where any is configured, until what comes back is dropped.
    pub async fn tell(&self, store: &Store) -> anyhow::Result<JoinSet<()>> {
        let mut telling = JoinSet::new();
        if let Some(messenger) = Messenger::new(&self.config).map_err(anyhow::Error::msg)? {
            messenger.begin(store).await?;
            telling.spawn(messenger.run(store.clone(), self.clock.clone()));
        }
        Ok(telling)
    }
}

impl Globals {
    /// Reads the configuration and starts the log. Called once per process.
    pub fn context(&self) -> anyhow::Result<Context> {
        let file = match &self.config {
            Some(file) => Some(file.as_path()),
            None => Some(Path::new(DEFAULT_FILE)).filter(|file| file.exists()),
        };
        let mut flags = Overrides::default();
        let mut flag = |path: &str, value: &Option<String>| {
            flags.0.extend(value.as_ref().map(|value| (path.to_owned(), value.clone())));
        };
        flag("database.url", &self.database);
        flag("templates.folder", &self.templates);
        flag(
            "log.level",
            &match self.verbose {
                0 => None,
                1 => Some("info".to_owned()),
                _ => Some("bespoke=debug".to_owned()),
            },
        );
        let config = Config::load(file, &Environment::of_process(), &flags)
            .map_err(|errors| anyhow::anyhow!("the configuration cannot be used\n{errors}"))?;
        start_log(&config)?;
        Ok(Context { config, clock: Clock::System })
    }
}

/// Runs an async role to its end on all cores. What it left undone, such as minutes of arithmetic for a model that
/// nobody waits for any more, ends with it.
pub fn block_on<T>(role: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let done = runtime.block_on(role);
    runtime.shutdown_background();
    done
}

/// Calls `stop` at the first signal to end; a second one ends the process where it stands.
pub async fn on_signal(stop: impl Fn() + Send) {
    use tokio::signal::unix::SignalKind;
    use tokio::signal::unix::signal;
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return tracing::error!("signals cannot be heard: the process can only be killed");
    };
    for round in 0.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if round > 0 {
            std::process::exit(130);
        }
        stop();
        // Whether anybody can read it or not.
        let _ =
            writeln!(std::io::stderr(), "stopping: waiting for what is in work, once more to end at once");
    }
}

/// Logs go to stderr, so that what a role prints can be piped.
fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(&config.log.level)
        .with_context(|| format!("log.level {:?} cannot be read", config.log.level))?;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A line that finds no room is lost. Told where there is no room either, it would take the send down that it is about.
    let log = log.log_internal_errors(false);
    // Colours are for people; on a terminal the library itself heeds NO_COLOR.
    let log = if std::io::stderr().is_terminal() { log } else { log.with_ansi(false) };
    let started = match config.log.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::block_on;

    #[test]
    fn a_role_does_not_wait_for_arithmetic_that_nobody_waits_for() {
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let role = async {
            tokio::task::spawn_blocking(move || {
                begin.send(()).unwrap();
                ended.recv_timeout(Duration::from_mins(1))
            });
            begun.recv_timeout(Duration::from_mins(1)).unwrap();
            Ok(())
        };
        block_on(role).unwrap();
        assert_eq!(end.send(()), Ok(()), "it was still at work");
    }
}
