//! The whole job for many recipients: claim, history, stage, select, decision saved, render, links signed, compose,
//! sign, mark, SMTP, outcome; to a sink in another process. Every guarantee is on.
//!
//! `cargo bench --bench pipeline -- [RECIPIENTS] [only=sqlite|postgres] [dkim=none|ed25519|rsa] [rate=PER_SECOND]
//! [stop=SENT] [events=PER_PROFILE] [campaign=NAME] [sink=PORT] [KEY=VALUE …]` prints a row per
//! database and signature, with the processor time by step; 50,000 recipients where no number is given. Each row is measured in a process of its own.
//! PostgreSQL is started for it, with `fsync` on. `stop` ends the run early, so that most sends only wait; `events` are
//! given to everybody instead of the demonstration's own; `sink` is a server that runs already; any other key is one of
//! the configuration, such as `worker.in_flight=50` or `templates.folder=DIR`.

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

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::clock::Clock;
use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::deliver::smtp::Pool;
use bespoke::demo::people::people;
use bespoke::demo::products::products;
use bespoke::event::Event;
use bespoke::metrics::Metrics;
use bespoke::metrics::Step;
use bespoke::profile::Profile;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Store;
use bespoke::worker::assemble;
use bespoke::worker::run::Stop;
use bespoke::worker::run::Until;
use bespoke::worker::run::Worker;
use bespoke::worker::tally::Tally;
use jiff::Timestamp;
use jiff::ToSpan as _;
use sqlx::Connection as _;

#[expect(dead_code, reason = "tests restart and kill it too")]
#[path = "../tests/it/support/postgres.rs"]
mod postgres;
mod sink;

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
    if arguments.first().is_some_and(|first| first == "sink") {
        // One thread: what it leaves is the worker's.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(sink::serve());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match arguments.first().map(String::as_str) {
        Some("given") => runtime.block_on(given(&Options::of(&arguments[1..]))),
        Some("row") => runtime.block_on(row(&Options::of(&arguments[1..]))),
        _ => table(&arguments),
    }
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

/// What was asked for: `name=value` each.
#[derive(Clone)]
struct Options(Vec<(String, String)>);

/// Those that are not keys of the configuration.
const OWN: [&str; 9] = ["count", "only", "dkim", "rate", "stop", "events", "campaign", "sink", "database"];

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
    let options = Options::of(arguments);
    println!(
        "{:<9} {:<8} {:>8} {:>9} {:>9} {:>12} {:>9} {:>6}   CPU us/mail by step",
        "database", "dkim", "mails", "seconds", "mails/s", "CPU us/mail", "RSS MB", "conns"
    );
    for database in ["sqlite", "postgres"] {
        if options.get("only").is_some_and(|only| only != database) {
            continue;
        }
        for dkim in ["none", "ed25519", "rsa"] {
            if options.get("dkim").is_some_and(|only| only != dkim) {
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
            let sink = options.get("sink").is_none().then(Sink::start);
            let port = sink.as_ref().map_or_else(|| options.get("sink").unwrap_or_default(), |sink| &sink.1);
            let row = options.clone().with("only", database).with("dkim", dkim).with("sink", port);
            let arguments = row.with("database", &url).0;
            // Giving the people is not the job: its memory is another process's.
            for step in ["given", "row"] {
                let status = Command::new(std::env::current_exe().expect("this program"))
                    .arg(step)
                    .args(arguments.iter().map(|(name, value)| format!("{name}={value}")))
                    .status()
                    .expect("a row");
                assert!(status.success(), "{step} {database} {dkim}");
            }
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

/// Gives a row its people and sends.
async fn given(options: &Options) {
    let store = Store::open(options.get("database").expect("a URL")).await.expect("a database");
    store.migrate(now()).await.expect("a schema");
    fill(&store, &config(options), options).await;
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

async fn fill(store: &Store, config: &Config, options: &Options) {
    let count = options.number("count").unwrap_or(50_000);
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
        if let Some(each) = options.number("events") {
            events = repeated(&events, &profiles, each);
        }
        for chunk in profiles.chunks(1_000) {
            store.upsert_profiles(chunk, now()).await.expect("profiles");
        }
        for chunk in events.chunks(1_000) {
            store.insert_events(chunk).await.expect("events");
        }
        let campaign = options.get("campaign").unwrap_or("journey");
        let sends: Vec<ScheduledSend> = profiles.iter().map(|profile| send(profile, campaign)).collect();
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

/// `each` events of everybody, going round those of the demonstration, an hour apart.
fn repeated(events: &[Event], profiles: &[Profile], each: usize) -> Vec<Event> {
    let mut source = events.iter().cycle();
    let mut all = Vec::with_capacity(profiles.len() * each);
    for profile in profiles {
        for (number, event) in (0_i64..).zip(source.by_ref().take(each)) {
            let at = now() - number.hours();
            let id = format!("{number}/{}", event.id);
            all.push(Event { id, profile: profile.id.clone(), at, ..event.clone() });
        }
    }
    all
}

fn send(profile: &Profile, campaign: &str) -> ScheduledSend {
    let campaign = CampaignId(campaign.to_owned());
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
    ticks(&std::fs::read_to_string("/proc/self/stat").expect("Linux"))
}

fn ticks(stat: &str) -> Duration {
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number of ticks");
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// What the threads in which SQLite runs have used so far; on PostgreSQL there are none.
fn database_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains("(sqlx-sqlite"))
        .map(|stat| ticks(&stat))
        .sum()
}

/// Processor time of each step of a mail, of what the database takes in this process, and of all the rest: SMTP, reading
/// and saving, the runtime.
fn by_step(metrics: &Metrics, all_us: f64, database_us: f64) -> String {
    let text = metrics.text();
    let value = |name: &str, step: Step| -> f64 {
        let key = format!("bespoke_step_cpu_seconds_{name}{{step=\"{}\"}} ", step.as_str());
        text.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok()).unwrap_or(0.0)
    };
    let mean_us = |step| 1e6 * value("sum", step) / value("count", step).max(1.0);
    let steps = Step::ALL.map(|step| (step.as_str(), mean_us(step)));
    let rest_us = all_us - database_us - steps.iter().map(|(_, us)| us).sum::<f64>();
    let parts = steps.into_iter().chain([("database", database_us), ("rest", rest_us)]);
    parts.map(|(name, us)| format!("{name} {us:.0}")).collect::<Vec<_>>().join(", ")
}

/// The peak begins anew: loading templates takes more than to have them. Where that is not permitted, it counts.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
