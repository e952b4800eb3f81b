//! What must not grow, and what must not take long, at a million.
//!
//! `cargo bench --bench scale -- [claim] [plan] [campaigns] [sqlite|postgres] [SIZE]` measures, on SQLite and on a
//! PostgreSQL of its own (with `fsync` on): a claim of 500 behind 10,000, 1,000,000 and SIZE finished sends; one campaign
//! planned for SIZE profiles, a million where none is given, with the peak of memory; and a thousand campaigns planned
//! together for a thousandth of SIZE profiles each, and the claim of 500 of all that is due then. Aims: the claims within
//! a factor of two up to 10,000,000; a million planned under 60 s and 200 MB.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::profile::ProfileId;
use bespoke::send::LeaseToken;
use bespoke::store::Store;
use bespoke::worker::assemble;
use bespoke::worker::plan::Horizon;
use bespoke::worker::plan::plan;
use jiff::SignedDuration;
use jiff::Timestamp;
use sqlx::Connection as _;

#[expect(dead_code, reason = "tests restart and kill it too")]
#[path = "../tests/it/support/postgres.rs"]
mod postgres;

/// Says that something is not measured, and why.
pub(crate) fn not_tested(why: &str) {
    eprintln!("\n*** NOT MEASURED: {why} ***\n");
}

/// PostgreSQL waits for the disk here, as it does where it is used.
pub(crate) const FSYNC: &str = "on";
/// Claims of one measurement.
const CLAIMS: usize = 20;
/// Sends of one claim.
const CLAIM_ROWS: usize = 500;
/// Campaigns that are planned together.
const CAMPAIGNS: usize = 1_000;

fn now() -> Timestamp {
    "2026-03-03T09:00:00Z".parse().expect("a time")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if arguments.first().is_some_and(|text| text == "row") {
        return runtime.block_on(row(&arguments[1..]));
    }
    let wants = |name: &str| arguments.iter().any(|text| text == name);
    let all = !["claim", "plan", "campaigns"].into_iter().any(wants);
    let databases = ["sqlite", "postgres"];
    let every = !databases.iter().any(|name| wants(name));
    let size = arguments.iter().find_map(|text| text.parse::<usize>().ok()).unwrap_or(1_000_000);
    for database in databases.into_iter().filter(|name| every || wants(name)) {
        let mut rows: Vec<(&str, usize)> = Vec::new();
        if all || wants("claim") {
            let sizes = [10_000, 1_000_000].into_iter().chain((size > 1_000_000).then_some(size));
            rows.extend(sizes.map(|size| ("claim", size)));
        }
        if all || wants("plan") {
            rows.push(("plan", size));
        }
        if all || wants("campaigns") {
            rows.push(("campaigns", size / CAMPAIGNS));
        }
        for (index, (what, size)) in rows.into_iter().enumerate() {
            let folder = tempfile::tempdir().expect("a folder");
            let url = match database {
                "sqlite" => format!("sqlite://{}", folder.path().join("bench.db").display()),
                _ => match runtime.block_on(schema(&format!("scale_{index}"))) {
                    Some(url) => url,
                    None => continue,
                },
            };
            // Giving the people is not the job: its memory is another process's.
            for step in (what != "claim").then_some("people").into_iter().chain([what]) {
                let status = Command::new(std::env::current_exe().expect("this program"))
                    .args(["row", database, step, &size.to_string(), &url])
                    .status()
                    .expect("a row");
                assert!(status.success(), "{database} {step} {size}");
            }
        }
    }
}

/// A fresh schema on the server of this run.
async fn schema(name: &str) -> Option<String> {
    let server = postgres::url()?;
    execute(&server, &format!("create schema {name}")).await;
    Some(format!("{server}?options[search_path]={name}"))
}

async fn execute(url: &str, sql: &str) {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite:") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.expect("the file");
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("the statements");
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.expect("the server");
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("the statements");
    }
}

async fn row(arguments: &[String]) {
    let [database, what, size, url] = arguments else { panic!("four arguments") };
    let size: usize = size.parse().expect("a number");
    let store = Store::open(url).await.expect("a database");
    store.migrate(now()).await.expect("a schema");
    match what.as_str() {
        "claim" => {
            let claim = claim(&store, url, size).await;
            println!("{database:<9} claim of {CLAIM_ROWS} behind {size:>9} finished sends: {claim:.1?}");
        }
        "people" => give_people(&store, size).await,
        _ => {
            let campaigns = if what == "campaigns" { CAMPAIGNS } else { 1 };
            let (took, scheduled) = plan_all(&store, campaigns).await;
            println!(
                "{database:<9} {scheduled} sends of {campaigns} campaigns planned for {size} profiles: {took:.1?}, \
                 peak {} MB",
                peak_mb()
            );
            if campaigns > 1 {
                execute(url, "analyze").await;
                let claim = claims(&store, now() + SignedDuration::from_hours(24)).await;
                println!("{database:<9} claim of {CLAIM_ROWS} of {scheduled} that are due: {claim:.1?}");
            }
        }
    }
}

/// The median of some claims.
async fn claim(store: &Store, url: &str, finished: usize) -> Duration {
    let open = CLAIMS * CLAIM_ROWS * 2;
    let fill = format!(
        "insert into sends (id, campaign, profile_id, occurrence, kind, guarantee, priority, due_at, first_due_at,
           expires_at, state, data, submitted_at, finished_at)
         with recursive n(n) as (select 1 union all select n + 1 from n where n < {})
         select case when n < 10 then '0000000' when n < 100 then '000000' when n < 1000 then '00000'
             when n < 10000 then '0000' when n < 100000 then '000' when n < 1000000 then '00'
             when n < 10000000 then '0' else '' end
             || n || '0123456789abcdef01234567',
           'picks', 'p' || n, 'o', 'lifecycle', 'amo', 10, n, n, n + 1000000000000000,
           case when n <= {finished} then 'sent' else 'scheduled' end, '{{}}',
           case when n <= {finished} then n end, case when n <= {finished} then n end
         from n",
        finished + open
    );
    execute(url, &fill).await;
    execute(url, "analyze").await;
    claims(store, now()).await
}

/// The median of some claims of what is due at `now`.
async fn claims(store: &Store, now: Timestamp) -> Duration {
    let mut times = Vec::new();
    for index in 0..CLAIMS {
        let token = LeaseToken(index.to_string());
        let begun = Instant::now();
        let claimed = store.claim(now, 60_000, CLAIM_ROWS, &token).await.expect("a claim");
        times.push(begun.elapsed());
        assert_eq!(claimed.len(), CLAIM_ROWS);
    }
    times.sort();
    times[CLAIMS / 2]
}

/// A layout, and what a campaign is made of.
const LAYOUT: &str = "<mjml><mj-head><mj-title>x</mj-title></mj-head><mj-body><mj-content /><mj-section><mj-column>\
     <mj-text><a href=\"{{ links.unsubscribe }}\">Unsubscribe</a></mj-text></mj-column></mj-section></mj-body></mjml>";
const CAMPAIGN: &str = "kind = \"lifecycle\"\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n";
const VARIANT: &str = "+++\nsubject = \"Hello\"\n+++\n\
     <mj-section><mj-column><mj-text>Dear friend</mj-text></mj-column></mj-section>";

async fn give_people(store: &Store, size: usize) {
    for begin in (0..size).step_by(5_000) {
        let people: Vec<Profile> = (begin..size.min(begin + 5_000)).map(person).collect();
        store.upsert_profiles(&people, now()).await.expect("profiles");
    }
}

/// So many campaigns for everybody.
async fn plan_all(store: &Store, campaigns: usize) -> (Duration, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = (0..campaigns).flat_map(|number| {
        [(format!("news{number}/campaign.toml"), CAMPAIGN), (format!("news{number}/any/hello.mjml"), VARIANT)]
    });
    for (path, text) in files.chain([("layouts/default.mjml".to_owned(), LAYOUT)]) {
        let path = folder.path().join("templates").join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    let file = folder.path().join("bespoke.toml");
    std::fs::write(&file, "[shop]\nname = \"Shop\"\nurl = \"https://shop.test\"\n").expect("a file");
    let config = Config::load(Some(&file), &Environment::default(), &Overrides::default()).expect("a config");
    let engine = assemble::engine(&config, store).await.expect("an engine");
    let begun = Instant::now();
    let horizon = Horizon { now: now(), ahead: SignedDuration::from_hours(24) };
    let planned = plan(store, &engine, None, horizon, &|_, _| {}).await.expect("a plan");
    let took = begun.elapsed();
    let again = plan(store, &engine, None, horizon, &|_, _| {}).await.expect("a plan");
    assert_eq!(again.iter().map(|planned| planned.scheduled).sum::<u64>(), 0, "nothing twice");
    (took, planned.iter().map(|planned| planned.scheduled).sum())
}

fn person(number: usize) -> Profile {
    let id = ProfileId::parse(&format!("p{number:07}")).expect("an id");
    Profile {
        address: Some(EmailAddress::parse(&format!("{id}@example.test")).expect("an address")),
        traits: serde_json::Map::new(),
        locale: Some("en".to_owned()),
        time_zone: Some("Europe/Vienna".to_owned()),
        consent: Consent::Granted,
        created_at: now(),
        updated_at: now(),
        id,
    }
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
