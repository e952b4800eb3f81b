//! A mail server that keeps what it is sent: for the demo and for tests, on the loopback interface only.
//!
//! It is strict where real servers are lenient, and notes every breach of the protocol; and it fails on demand, in
//! any phase, by rules such as `rcpt@ada=550 5.1.1 no such user` (see [`Rule`]).

mod dialog;
mod script;
mod wire;

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use dialog::Dialog;
use script::Script;
pub use script::{Action, Rule, RuleError, Stage};

/// Connections served at a time; more are closed unanswered.
const CONNECTIONS_MAX: usize = 1_000;

/// Commands and breaches that are kept for [`Catcher::commands`] and [`Catcher::violations`], each.
const NOTES_MAX: usize = 100_000;

/// Called with each message that a catcher accepts.
pub type OnMessage = Arc<dyn Fn(&Caught) + Send + Sync>;

/// How a catcher behaves.
#[derive(Clone)]
pub struct CatcherOptions {
    /// Faults, the first that matches wins.
    pub rules: Vec<Rule>,
    /// Certificate and key, when it speaks TLS.
    pub tls: Option<CatcherTls>,
    /// User and password, when it demands a login.
    pub login: Option<(String, String)>,
    /// Keywords of EHLO that it does not offer.
    pub without: Vec<&'static str>,
    /// Bytes of messages kept in memory; later ones are counted and not kept.
    pub keep_bytes_max: usize,
    /// Called with each message, after it is recorded and before its 250.
    pub on_message: Option<OnMessage>,
}

impl Default for CatcherOptions {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            tls: None,
            login: None,
            without: Vec::new(),
            keep_bytes_max: 256 * 1024 * 1024,
            on_message: None,
        }
    }
}

impl Debug for CatcherOptions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatcherOptions")
            .field("rules", &self.rules)
            .field("tls", &self.tls)
            .field("without", &self.without)
            .finish_non_exhaustive()
    }
}

/// How a catcher speaks TLS.
#[derive(Clone)]
pub struct CatcherTls {
    acceptor: TlsAcceptor,
    start: TlsStart,
}

impl Debug for CatcherTls {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatcherTls").field("start", &self.start).finish_non_exhaustive()
    }
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStart {
    /// With the connection.
    Implicit,
    /// With STARTTLS.
    StartTls,
}

impl CatcherTls {
    /// TLS with the certificates and the key in PEM.
    ///
    /// # Errors
    ///
    /// When they cannot be read or do not belong together; the text says which.
    pub fn from_pem(chain: &str, key: &str, start: TlsStart) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| format!("certificate: {why}"))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|why| format!("key: {why}"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|why| why.to_string())?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), start })
    }
}

/// A message as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// Counts connections from 1.
    pub connection: u64,
    /// Of MAIL FROM, empty for a bounce.
    pub sender: String,
    /// Of RCPT TO, those that were accepted.
    pub recipients: Vec<String>,
    /// The message, dots unstuffed, with CRLF line ends as received.
    pub message: Vec<u8>,
    /// Whether it came over TLS.
    pub secured: bool,
}

/// A running catcher. Dropping it closes its port and all connections.
#[derive(Debug)]
pub struct Catcher {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// What all connections of a catcher write to.
#[derive(Debug)]
struct Shared {
    options: CatcherOptions,
    script: Mutex<Script>,
    caught: Mutex<Vec<Caught>>,
    kept_bytes: AtomicU64,
    accepted_count: AtomicU64,
    connections_count: AtomicU64,
    commands: Mutex<Vec<String>>,
    violations: Mutex<Vec<String>>,
}

impl Catcher {
    /// Listens on a free port of 127.0.0.1 and serves in the background.
    ///
    /// # Errors
    ///
    /// When no port can be opened.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(CatcherOptions::default()).await
    }

    /// [`Catcher::start`] with rules, TLS or a login.
    ///
    /// # Errors
    ///
    /// When no port can be opened.
    pub async fn start_with(options: CatcherOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(Script::new(options.rules.clone())),
            options,
            caught: Mutex::default(),
            kept_bytes: AtomicU64::new(0),
            accepted_count: AtomicU64::new(0),
            connections_count: AtomicU64::new(0),
            commands: Mutex::default(),
            violations: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, serving })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `smtp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The messages accepted so far that are kept, in order.
    pub fn messages(&self) -> Vec<Caught> {
        lock(&self.shared.caught).clone()
    }

    /// How many messages were accepted, kept or not.
    pub fn accepted_count(&self) -> u64 {
        self.shared.accepted_count.load(Ordering::Relaxed)
    }

    /// How many connections were made.
    pub fn connections_count(&self) -> u64 {
        self.shared.connections_count.load(Ordering::Relaxed)
    }

    /// The commands in the order of their arrival, without line ends; what follows the mechanism of AUTH is left out.
    pub fn commands(&self) -> Vec<String> {
        lock(&self.shared.commands).clone()
    }

    /// Breaches of the protocol by clients: none, for a client that is right.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }

    /// Replaces the rules; their counts start anew.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *lock(&self.shared.script) = Script::new(rules);
    }

    /// Closes the port and all connections, and waits until that is done.
    pub async fn stop(mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Accepts connections until aborted; the set then aborts their tasks.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut dialogs = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others must end first.
            dialogs.join_next().await;
            continue;
        };
        while dialogs.try_join_next().is_some() {}
        let connection = shared.connections_count.fetch_add(1, Ordering::Relaxed) + 1;
        if dialogs.len() < CONNECTIONS_MAX {
            dialogs.spawn(Dialog::run(stream, Arc::clone(&shared), connection));
        }
    }
}

impl Shared {
    /// What the script wants at this point; `data` is what rules match against.
    fn action(&self, stage: Stage, data: &[u8]) -> Option<Action> {
        lock(&self.script).action(stage, data)
    }

    fn accept(&self, caught: Caught) {
        self.accepted_count.fetch_add(1, Ordering::Relaxed);
        if let Some(on_message) = &self.options.on_message {
            on_message(&caught);
        }
        let bytes = caught.message.len() as u64;
        let kept = self.kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if kept <= self.options.keep_bytes_max as u64 {
            lock(&self.caught).push(caught);
        }
    }

    fn note_command(&self, command: String) {
        push(&self.commands, command);
    }

    fn note_violation(&self, violation: String) {
        push(&self.violations, violation);
    }

    fn offers(&self, keyword: &str) -> bool {
        !self.options.without.contains(&keyword)
    }
}

fn push(notes: &Mutex<Vec<String>>, note: String) {
    let mut notes = lock(notes);
    if notes.len() < NOTES_MAX {
        notes.push(note);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
