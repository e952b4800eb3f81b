//! The whole job for many recipients: claim, history, stage, select, decision saved, render, links signed, compose,
//! sign, mark, SMTP, outcome; to a sink in another process. Every guarantee is on.
//!
//! `cargo bench --bench pipeline -- [RECIPIENTS] [NAME=VALUE …]` prints a row per database and signature: mails, their
//! processor time by step, peak memory behind loading, connections. 50,000 recipients where no number is given. Each row
//! is measured in a process of its own; PostgreSQL is started for it, with `fsync` on.
//!
//! | name | value |
//! |---|---|
//! | `only` | `sqlite` or `postgres`, instead of both |
//! | `dkim` | `none`, `ed25519` or `rsa`, instead of all |
//! | `workers` | so many processes at the same work, on PostgreSQL |
//! | `rate` | mails a second that are stated |
//! | `rtt_ms` | the sink answers so late |
//! | `stop` | ends the run after so many mails, so that most sends only wait |
//! | `events` | so many for everybody, instead of the demonstration's own |
//! | `campaign` | another one than `journey` |
//! | `variants` | a catalogue of so many, instead of the shipped templates |
//! | `model` | the database whose policy model chooses, such as the demonstration's; without, all variants are as likely |
//! | `peers` | a folder with what a user would pick instead, which is run into the same sink |
//! | `sink` | the port of a server that runs already |
//!
//! Any other name is a key of the configuration, such as `worker.in_flight=50` or `templates.folder=DIR`.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bespoke::clock::Clock;
use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::deliver::smtp::Pool;
use bespoke::send::State;
use bespoke::store::Store;
use bespoke::worker::assemble;
use bespoke::worker::run::Stop;
use bespoke::worker::run::Until;
use bespoke::worker::run::Worker;
use bespoke::worker::tally::Tally;
use jiff::Timestamp;
use sqlx::Connection as _;

mod given;
mod measure;
mod peers;
#[expect(dead_code, reason = "tests restart and kill it too")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
mod sink;

use measure::by_step;
use measure::cpu;
use measure::database_cpu;
use measure::forget_peak;
use measure::peak_mb;
use measure::server_cpu;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Says that something is not measured, and why.
pub(crate) fn not_tested(why: &str) {
    eprintln!("\n*** NOT MEASURED: {why} ***\n");
}

/// PostgreSQL waits for the disk here, as it does where it is used.
pub(crate) const FSYNC: &str = "on";

/// A Tuesday morning at ten in London.
fn now() -> Timestamp {
    "2026-03-03T10:00:00Z".parse().expect("a time")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "sink") {
        // One thread: what it leaves is the worker's.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let delay = Options::of(&arguments[1..]).number("rtt_ms").unwrap_or(0);
        return runtime.block_on(sink::serve(Duration::from_millis(delay as u64)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match arguments.first().map(String::as_str) {
        Some("given") => runtime.block_on(given::given(&Options::of(&arguments[1..]))),
        Some("row") => runtime.block_on(row(&Options::of(&arguments[1..]))),
        _ => table(&arguments),
    }
}

struct Sink(Child, String);

impl Sink {
    fn start(rtt_ms: &str) -> Self {
        let mut child = this(&["sink"], &[("rtt_ms".to_owned(), rtt_ms.to_owned())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sink");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut port).expect("a port");
        Self(child, port.trim().to_owned())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was asked for: `name=value` each.
#[derive(Debug, Clone)]
struct Options(Vec<(String, String)>);

/// Those that are not keys of the configuration.
const OWN: [&str; 14] = [
    "count", "only", "dkim", "rate", "stop", "events", "campaign", "sink", "database", "workers", "rtt_ms",
    "variants", "model", "peers",
];

impl Options {
    fn of(arguments: &[String]) -> Self {
        let pair = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => ("count".to_owned(), text.clone()),
        };
        Self(arguments.iter().map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.get(name).map(|text| text.parse().expect("a number"))
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn table(arguments: &[String]) {
    let mut options = Options::of(arguments);
    let catalogue = tempfile::tempdir().expect("a folder");
    if let Some(variants) = options.number("variants") {
        given::templates(catalogue.path(), variants);
        let folder = catalogue.path().display().to_string();
        options = options.with("templates.folder", &folder).with("campaign", given::MANY);
    }
    println!(
        "{:<9} {:<8} {:>8} {:>9} {:>9} {:>12} {:>9} {:>6}   CPU us/mail by step",
        "database", "dkim", "mails", "seconds", "mails/s", "CPU us/mail", "RSS MB", "conns"
    );
    let wanted = |name: &str, value: &str| options.get(name).is_none_or(|only| only == value);
    for database in ["sqlite", "postgres"].into_iter().filter(|database| wanted("only", database)) {
        for dkim in ["none", "ed25519", "rsa"].into_iter().filter(|dkim| wanted("dkim", dkim)) {
            let folder = tempfile::tempdir().expect("a folder");
            let url = match database {
                "sqlite" => format!("sqlite://{}", folder.path().join("bench.db").display()),
                _ => match schema(dkim) {
                    Some(url) => url,
                    None => continue,
                },
            };
            let sink = Sink::start(options.get("rtt_ms").unwrap_or("0"));
            let port = options.get("sink").unwrap_or(&sink.1);
            let row = options.clone().with("only", database).with("dkim", dkim).with("sink", port);
            rows(&row.with("database", &url));
        }
    }
    if let Some(folder) = options.get("peers") {
        let sink = Sink::start("0");
        peers::run(Path::new(folder), &sink.1, options.number("count").unwrap_or(10_000));
    }
}

/// This program, in a process of its own.
fn this(step: &[&str], options: &[(String, String)]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(step).args(options.iter().map(|(name, value)| format!("{name}={value}")));
    command
}

/// A row of each worker. Giving the people is not the job: its memory is another process's.
fn rows(options: &Options) {
    let status = this(&["given"], &options.0).status().expect("people");
    assert!(status.success(), "{options:?}");
    let url = options.get("database").expect("a URL");
    let workers = options.number("workers").unwrap_or(1);
    let (server_before, log_before, begun) = (server_cpu(), log_bytes(url), Instant::now());
    let children: Vec<Child> = (0..workers)
        .map(|_| this(&["row"], &options.0).stdout(Stdio::piped()).spawn().expect("a worker"))
        .collect();
    let mut mails = 0.0;
    for child in children {
        let output = child.wait_with_output().expect("a worker");
        assert!(output.status.success(), "{options:?}");
        let line = String::from_utf8(output.stdout).expect("a row is text");
        print!("{line}");
        mails += line.split_whitespace().nth(2).and_then(|mails| mails.parse().ok()).unwrap_or(0.0);
    }
    if workers > 1 {
        println!(
            "          together {mails:>8} mails in {:.1} s, loading included",
            begun.elapsed().as_secs_f64()
        );
    }
    if let (Some(before), Some(after)) = (log_before, log_bytes(url)) {
        println!(
            "          the server: {:.0} us of processor a mail, {:.1} KB of write-ahead log",
            server_cpu().saturating_sub(server_before).as_secs_f64() * 1e6 / mails,
            (after - before) / 1_024.0 / mails
        );
    }
}

/// Where PostgreSQL's write-ahead log ends.
fn log_bytes(url: &str) -> Option<f64> {
    if url.starts_with("sqlite:") {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bytes = runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(url).await.expect("the server");
        let query = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
        sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a place")
    });
    Some(bytes)
}

/// A fresh schema on the server of this run.
fn schema(name: &str) -> Option<String> {
    let server = postgres::url()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(&server).await.expect("the server");
        let sql = sqlx::AssertSqlSafe(format!("create schema bench_{name}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("a schema");
    });
    Some(format!("{server}?options[search_path]=bench_{name}"))
}

/// One row: works, and prints what it took.
async fn row(options: &Options) {
    let (database, dkim) = (options.get("only").expect("a name"), options.get("dkim").expect("a name"));
    let config = config(options);
    let store = Store::open(options.get("database").expect("a URL")).await.expect("a database");
    let engine = assemble::engine(&config, &store).await.expect("an engine");
    let transport = assemble::transport(&config).expect("a relay");
    let relays = match &transport {
        bespoke::deliver::transport::Transport::Smtp(pool) => pool.clone(),
        _ => panic!("over SMTP"),
    };
    // A rate needs a clock that goes on.
    let clock = if options.get("rate").is_none() { Clock::fixed(now()) } else { Clock::System };
    let worker = Worker::new(store.clone(), engine, transport, clock).expect("a worker");
    forget_peak();
    let progress = tokio::spawn(watch(relays, worker.tally(), worker.stop_handle(), options.number("stop")));
    let metrics = worker.metrics();
    let (begun, cpu_before, database_before) = (Instant::now(), cpu(), database_cpu());
    let tally = worker.run(Until::Idle).await.expect("a run");
    let (took, cpu) = (begun.elapsed(), cpu().saturating_sub(cpu_before));
    let database_cpu = database_cpu().saturating_sub(database_before);
    progress.abort();
    let connections = CONNECTIONS.load(std::sync::atomic::Ordering::Relaxed);
    let sent = tally.of(State::Sent);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let mails = sent.max(1) as f64;
    let each_us = |time: Duration| time.as_secs_f64() * 1e6 / mails;
    println!(
        "{database:<9} {dkim:<8} {sent:>8} {:>9.1} {:>9.0} {:>12.0} {:>9} {connections:>6}   {}",
        took.as_secs_f64(),
        mails / took.as_secs_f64(),
        each_us(cpu),
        peak_mb(),
        by_step(&metrics, each_us(cpu), each_us(database_cpu))
    );
    std::io::stdout().flush().expect("standard output");
    assert_eq!(tally.of(State::Failed) + tally.of(State::Unknown), 0, "{:?}", tally.counts());
}

static CONNECTIONS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Counts connections, and says stop when enough was sent.
async fn watch(pool: Pool, tally: Arc<Tally>, stop: Stop, enough: Option<usize>) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        let open = pool.status().iter().map(|relay| relay.open).sum();
        CONNECTIONS.fetch_max(open, std::sync::atomic::Ordering::Relaxed);
        if enough.is_some_and(|enough| tally.of(State::Sent) >= enough as u64) {
            stop.stop();
        }
    }
}

fn config(options: &Options) -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bespoke.toml");
    let port = options.get("sink").expect("a port");
    let mut flags = vec![
        ("relay".to_owned(), format!("[{{ url = \"smtp://127.0.0.1:{port}\" }}]")),
        ("cap.lifecycle_mails".to_owned(), "1000".to_owned()),
        ("public.url".to_owned(), "https://mail.brindle.example".to_owned()),
        // None: PostgreSQL has its own clock, by which they would be over at once, again and again.
        ("quiet_hours.start".to_owned(), "00:00".to_owned()),
        ("quiet_hours.end".to_owned(), "00:00".to_owned()),
    ];
    if let Some(rate) = options.get("rate") {
        flags.push(("rates.per_second".to_owned(), rate.to_owned()));
    }
    flags.extend(options.0.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).cloned());
    let key = match options.get("dkim").unwrap_or_default() {
        "ed25519" => Some(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)),
        "rsa" => Some(rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)),
        _ => None,
    };
    if let Some(key) = key {
        let pem = key.expect("a key").serialize_pem();
        let section = format!("[{{ domain = \"brindle.example\", selector = \"s\", key = '''{pem}''' }}]");
        flags.push(("dkim".to_owned(), section));
    }
    Config::load(Some(&file), &Environment::default(), &Overrides(flags)).expect("a configuration")
}
