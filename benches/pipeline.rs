//! The whole job for many recipients: claim, history, stage, select, decision saved, render, links signed, compose,
//! sign, mark, SMTP, outcome; to a sink in another process. Every guarantee is on.
//!
//! `cargo bench --bench pipeline -- [RECIPIENTS] [rate=PER_SECOND] [only=sqlite|postgres] [dkim=none|ed25519|rsa]`
//! prints a row per database and signature; 50,000 recipients where no number is given. Each row is measured in a
//! process of its own. PostgreSQL is started for it, with `fsync` on.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::clock::Clock;
use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::catcher::CatcherOptions;
use bespoke::demo::people::people;
use bespoke::demo::products::products;
use bespoke::profile::Profile;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Store;
use bespoke::worker::assemble;
use bespoke::worker::run::Until;
use bespoke::worker::run::Worker;
use jiff::Timestamp;
use jiff::ToSpan as _;
use sqlx::Connection as _;

#[expect(dead_code, reason = "tests restart and kill it too")]
#[path = "../tests/it/support/postgres.rs"]
mod postgres;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// PostgreSQL waits for the disk here, as it does where it is used.
pub(crate) const FSYNC: &str = "on";

/// A Tuesday morning at ten in London.
fn now() -> Timestamp {
    "2026-03-03T10:00:00Z".parse().expect("a time")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match arguments.first().map(String::as_str) {
        Some("sink") => runtime.block_on(sink()),
        Some("row") => runtime.block_on(row(&arguments[1..])),
        _ => table(&arguments),
    }
}

/// Accepts everything, keeps nothing, until standard input ends.
async fn sink() {
    let options = CatcherOptions { keep_bytes_max: 0, ..CatcherOptions::default() };
    let catcher = Catcher::start_with(options).await.expect("a port");
    println!("{}", catcher.port());
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
}

struct Sink(Child, String);

impl Sink {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("sink")
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

fn table(arguments: &[String]) {
    let option = |name: &str| arguments.iter().find_map(|text| text.strip_prefix(name)).map(str::to_owned);
    let count = arguments.iter().find_map(|text| text.parse::<usize>().ok()).unwrap_or(50_000);
    let rate = option("rate=").unwrap_or_default();
    println!(
        "{:<9} {:<8} {:>8} {:>9} {:>9} {:>12} {:>9} {:>6}",
        "database", "dkim", "mails", "seconds", "mails/s", "CPU us/mail", "RSS MB", "conns"
    );
    for database in ["sqlite", "postgres"] {
        if option("only=").is_some_and(|only| only != database) {
            continue;
        }
        for dkim in ["none", "ed25519", "rsa"] {
            if option("dkim=").is_some_and(|only| only != dkim) {
                continue;
            }
            let folder = tempfile::tempdir().expect("a folder");
            let url = match database {
                "sqlite" => format!("sqlite://{}", folder.path().join("bench.db").display()),
                _ => match schema(dkim) {
                    Some(url) => url,
                    None => continue,
                },
            };
            let sink = Sink::start();
            let status = Command::new(std::env::current_exe().expect("this program"))
                .args(["row", database, dkim, &count.to_string(), &sink.1, &url, &rate])
                .status()
                .expect("a row");
            assert!(status.success(), "{database} {dkim}");
        }
    }
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

/// One row: gives everything, works, and prints what it took.
async fn row(arguments: &[String]) {
    let [database, dkim, count, port, url, rate] = arguments else { panic!("six arguments") };
    let count: usize = count.parse().expect("a number");
    let config = config(dkim, port, rate);
    let store = Store::open(url).await.expect("a database");
    store.migrate(now()).await.expect("a schema");
    fill(&store, &config, count).await;
    let engine = assemble::engine(&config, &store).await.expect("an engine");
    let transport = assemble::transport(&config).expect("a relay");
    let relays = match &transport {
        bespoke::deliver::transport::Transport::Smtp(pool) => pool.clone(),
        _ => panic!("over SMTP"),
    };
    // A rate needs a clock that goes on.
    let clock = if rate.is_empty() { Clock::fixed(now()) } else { Clock::System };
    let worker = Worker::new(store.clone(), engine, transport, clock).expect("a worker");
    forget_peak();
    let (begun, cpu_before) = (Instant::now(), cpu());
    let progress = tokio::spawn(most_connections(relays));
    let tally = worker.run(Until::Idle).await.expect("a run");
    let (took, cpu) = (begun.elapsed(), cpu().saturating_sub(cpu_before));
    progress.abort();
    let connections = CONNECTIONS.load(std::sync::atomic::Ordering::Relaxed);
    let sent = tally.of(State::Sent);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let mails = sent.max(1) as f64;
    println!(
        "{database:<9} {dkim:<8} {sent:>8} {:>9.1} {:>9.0} {:>12.0} {:>9} {connections:>6}",
        took.as_secs_f64(),
        mails / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / mails,
        peak_mb()
    );
    std::io::stdout().flush().expect("standard output");
    assert_eq!(tally.of(State::Failed) + tally.of(State::Unknown), 0, "{:?}", tally.counts());
}

static CONNECTIONS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

async fn most_connections(pool: bespoke::deliver::smtp::Pool) {
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        let open = pool.status().iter().map(|relay| relay.open).sum();
        CONNECTIONS.fetch_max(open, std::sync::atomic::Ordering::Relaxed);
    }
}

fn config(dkim: &str, port: &str, rate: &str) -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bespoke.toml");
    let mut flags = vec![
        ("relay".to_owned(), format!("[{{ url = \"smtp://127.0.0.1:{port}\" }}]")),
        ("cap.lifecycle_mails".to_owned(), "1000".to_owned()),
        ("public.url".to_owned(), "https://mail.brindle.example".to_owned()),
    ];
    let key = match dkim {
        "ed25519" => Some(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)),
        "rsa" => Some(rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)),
        _ => None,
    };
    if let Some(key) = key {
        let pem = key.expect("a key").serialize_pem();
        let section = format!("[{{ domain = \"brindle.example\", selector = \"s\", key = '''{pem}''' }}]");
        flags.push(("dkim".to_owned(), section));
    }
    if !rate.is_empty() {
        flags.push(("rates.per_second".to_owned(), rate.to_owned()));
    }
    Config::load(Some(&file), &Environment::default(), &Overrides(flags)).expect("a configuration")
}

async fn fill(store: &Store, config: &Config, count: usize) {
    let text = |name: &str| config.shop.get(name).and_then(toml::Value::as_str).unwrap_or_default();
    store.upsert_products(&products(text("url"), text("currency")), now()).await.expect("products");
    for (round, size) in rounds(count) {
        let (mut profiles, mut events) = people(size, now(), round as u64);
        for profile in &mut profiles {
            profile.id = renamed(&profile.id, round);
        }
        for event in &mut events {
            event.profile = renamed(&event.profile, round);
            event.id = format!("{round}/{}", event.id);
        }
        for chunk in profiles.chunks(1_000) {
            store.upsert_profiles(chunk, now()).await.expect("profiles");
        }
        for chunk in events.chunks(1_000) {
            store.insert_events(chunk).await.expect("events");
        }
        let sends: Vec<ScheduledSend> = profiles.iter().map(send).collect();
        for chunk in sends.chunks(1_000) {
            store.plan(chunk).await.expect("a plan");
        }
    }
}

/// Ten thousand people at a time, so that giving them needs little memory.
fn rounds(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count.div_ceil(10_000)).map(move |round| (round, (count - round * 10_000).min(10_000)))
}

fn renamed(id: &bespoke::profile::ProfileId, round: usize) -> bespoke::profile::ProfileId {
    bespoke::profile::ProfileId::parse(&format!("{round:03}-{id}")).expect("an id")
}

fn send(profile: &Profile) -> ScheduledSend {
    let campaign = CampaignId("journey".to_owned());
    ScheduledSend {
        id: SendId::derive(now(), &campaign, &profile.id, "bench"),
        campaign,
        kind: Kind::Lifecycle,
        guarantee: Guarantee::AtMostOnce,
        profile: profile.id.clone(),
        occurrence: "bench".to_owned(),
        due_at: now(),
        expires_at: now() + 24_000.hours(),
        state: State::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: serde_json::Map::new(),
        to: None,
    }
}

/// What this process has used of all cores so far, in steps of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number of ticks");
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// The peak begins anew: giving the people is not the job. Where that is not permitted, the peak includes it.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
