//! `bespoke demo`: the main job on a fresh machine, nothing else to install, nothing leaves it.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use futures_util::TryStreamExt as _;
use indicatif::ProgressBar;
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::cli::context::block_on;
use crate::cli::init;
use crate::cli::learn::digits;
use crate::cli::learn::learn_items;
use crate::cli::learn::read_sales;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Overrides;
use crate::decision::Decision;
use crate::decision::VariantId;
use crate::deliver::catcher::Catcher;
use crate::demo::people::people;
use crate::demo::products::products;
use crate::preview;
use crate::send::SendId;
use crate::send::State;
use crate::stage::Stage;
use crate::store::SendFilter;
use crate::store::Store;
use crate::store::StoredSend;
use crate::worker::assemble;
use crate::worker::plan::Horizon;
use crate::worker::plan::plan;
use crate::worker::run::Until;
use crate::worker::run::Worker;

/// Marks a folder as one that a demonstration made, and may make anew.
const MARKER: &str = ".bespoke-demo";
/// Rows of one statement.
const BATCH_ROWS: usize = 1_000;
/// Mails shown per campaign in the gallery.
const PREVIEWS_PER_CAMPAIGN: usize = 12;
/// The hours (UTC) at which the demonstration's day is looked at: eight in the morning in Europe, then in America.
const HOURS: [i8; 2] = [10, 15];

/// When the demonstration's people were last seen, after the midnight that its day begins with.
const MORNING: SignedDuration = SignedDuration::from_mins(9 * 60 + 45);

/// Runs the whole job once: a shop, its people, their mails. Mail goes to a catcher on loopback.
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder that everything goes into; an earlier demonstration there is replaced
    #[arg(long, value_name = "DIR", default_value = "bespoke-demo")]
    out: PathBuf,
    /// How many customers
    #[arg(long, default_value_t = 2_000)]
    customers: usize,
    /// The same seed, the same shop
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Demo {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let started = Instant::now();
            let wall = Clock::System.now();
            fresh_folder(&self.out)?;
            let catcher = Catcher::start().await.context("cannot open a port on loopback")?;
            let config = config(&self.out, &catcher.url())?;
            let store = Store::open(&format!("sqlite://{}", self.out.join("bespoke.db").display())).await?;
            let day = next_tuesday(wall);
            store.migrate(day).await?;

            let morning = day + MORNING;
            let (people, events) = self.import(&store, &config, morning).await?;
            println!("1. imported     {people} customers and {events} events of their histories");
            let sales = read_sales(&store, digits(&config), morning).await?;
            let learnt = learn_items(&store, sales, morning).await?;
            println!("2. learnt       {} pairs of products that go together", learnt.neighbours);
            let engine = assemble::engine(&config, &store).await?;
            let variants = engine.catalog.variants().count();
            // As if a planner had run at midnight: what fell due since is caught up.
            for entry in engine.catalog.campaigns() {
                store.set_plan_cursor(&entry.campaign.id, "until", &day.to_string()).await?;
            }
            let horizon = Horizon { now: morning, ahead: SignedDuration::from_hours(10) };
            let planned = plan(&store, &engine, None, horizon, &|_, _| {}).await?;
            let scheduled: u64 = planned.iter().map(|planned| planned.scheduled).sum();
            println!(
                "3. planned      {scheduled} sends for {}, out of {variants} variants",
                day.strftime("%A, %-d %B %Y")
            );
            let took = self.work(&store, &config, day).await?;
            let caught = catcher.accepted_count();
            println!("4. delivered    {caught} mails over SMTP in {took:.1} s, to a catcher on loopback");
            let summary = self.preview(&store, &config, day).await?;
            println!("5. previewed    {summary} mails in {}", self.out.join("previews").display());
            report(&store).await?;
            self.look_next(&store, started).await?;
            anyhow::ensure!(
                catcher.violations().is_empty(),
                "the catcher saw a breach of SMTP: {:?}; please report it",
                catcher.violations()
            );
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }

    async fn import(&self, store: &Store, config: &Config, now: Timestamp) -> anyhow::Result<(usize, usize)> {
        let text = |name: &str| config.shop.get(name).and_then(toml::Value::as_str).unwrap_or_default();
        store.upsert_products(&products(text("url"), text("currency")), now).await?;
        let (profiles, events) = people(self.customers, now, self.seed);
        for chunk in profiles.chunks(BATCH_ROWS) {
            store.upsert_profiles(chunk, now).await?;
        }
        for chunk in events.chunks(BATCH_ROWS) {
            store.insert_events(chunk).await?;
        }
        let codes: Vec<String> =
            (0..self.customers).map(|i| format!("FIRST-{:05}", (i * 7_919) % 100_000)).collect();
        store.import_coupons("first-order", &codes).await?;
        Ok((profiles.len(), events.len()))
    }

    /// Works through the day: the clock stands at each hour until nothing is due.
    async fn work(&self, store: &Store, config: &Config, day: Timestamp) -> anyhow::Result<f64> {
        let started = Instant::now();
        let bar = ProgressBar::new_spinner().with_message("delivering");
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        for hour in HOURS {
            let clock = Clock::fixed(day + SignedDuration::from_hours(i64::from(hour)));
            let engine = assemble::engine(config, store).await?;
            let worker = Worker::new(store.clone(), engine, assemble::transport(config)?, clock)?;
            worker.run(Until::Idle).await?;
        }
        bar.finish_and_clear();
        Ok(started.elapsed().as_secs_f64())
    }

    async fn preview(&self, store: &Store, config: &Config, day: Timestamp) -> anyhow::Result<usize> {
        let engine = assemble::engine(config, store).await?;
        let request = preview::PreviewRequest {
            campaigns: Vec::new(),
            whom: preview::Whom::Sample(PREVIEWS_PER_CAMPAIGN),
            now: day + SignedDuration::from_hours(10),
            gate: preview::Gate::Ignored,
        };
        let done = preview::preview(store, &engine, &request, &self.out.join("previews"), &|_, _| {}).await?;
        Ok(done.mails)
    }

    async fn look_next(&self, store: &Store, started: Instant) -> anyhow::Result<()> {
        let filter = SendFilter { state: Some(State::Sent), ..SendFilter::default() };
        let example = store.sends(&filter, None, 1).await?.into_iter().next();
        let out = self.out.display();
        println!("\nWhere to look next");
        println!("  {}", self.out.join("previews").join("index.html").display());
        println!(
            "      the gallery: every mail at desktop and phone width, light and dark, and why it was chosen"
        );
        if let Some(example) = example {
            println!("  bespoke --config {out}/bespoke.toml explain {}", example.send.id);
            println!("      why this customer got this mail");
        }
        println!("  bespoke --config {out}/bespoke.toml sends list --state skipped");
        println!("      who got nothing, and why");
        println!("  bespoke --config {out}/bespoke.toml check");
        println!("      proves every template; edit one under {out}/templates and run it again");
        println!("\nDone in {:.1} s. Nothing left this machine.", started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Makes the folder, with the shipped program in it. An earlier demonstration is removed; anything else is not.
fn fresh_folder(folder: &Path) -> anyhow::Result<()> {
    if folder.join(MARKER).exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    init::write_folder(folder)?;
    let marker = folder.join(MARKER);
    std::fs::write(&marker, "made by `bespoke demo`, which may remove this folder\n")
        .with_context(|| format!("cannot write {}", marker.display()))
}

/// The written configuration, pointed at the catcher. The environment is not asked: a demonstration must not send.
fn config(folder: &Path, smtp_url: &str) -> anyhow::Result<Config> {
    let flags = Overrides(vec![
        ("relay".to_owned(), format!("[{{ url = {smtp_url:?}, max_connections = 8 }}]")),
        ("database.url".to_owned(), "sqlite://bespoke.db".to_owned()),
    ]);
    Config::load(Some(&folder.join("bespoke.toml")), &Environment::default(), &flags)
        .map_err(|errors| anyhow::anyhow!("{errors}"))
}

/// Midnight (UTC) of the next Tuesday, today included: the day of the shop's weekly mail.
fn next_tuesday(now: Timestamp) -> Timestamp {
    let today = now.to_zoned(TimeZone::UTC).date();
    let days = (0..7).find(|days| {
        let day = today + SignedDuration::from_hours(24 * days);
        day.weekday() == Weekday::Tuesday
    });
    let tuesday = today + SignedDuration::from_hours(24 * days.unwrap_or(0));
    tuesday.to_zoned(TimeZone::UTC).map_or(now, |midnight| midnight.timestamp())
}

/// What was sent to whom, and why.
async fn report(store: &Store) -> anyhow::Result<()> {
    let sends: Vec<StoredSend> = store.export_sends(SendFilter::default()).try_collect().await?;
    let mut by_campaign: BTreeMap<&str, BTreeMap<State, usize>> = BTreeMap::new();
    let mut by_reason: BTreeMap<(State, &str), usize> = BTreeMap::new();
    let mut by_stage: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for stored in &sends {
        *by_campaign
            .entry(stored.send.campaign.as_str())
            .or_default()
            .entry(stored.send.state)
            .or_default() += 1;
        if let Some(reason) = stored.reason.as_deref().filter(|_| stored.send.state != State::Sent) {
            *by_reason.entry((stored.send.state, reason)).or_default() += 1;
        }
        let variant = stored.variant.as_ref().filter(|_| stored.send.state == State::Sent);
        if let Some(family) = variant.map(VariantId::family) {
            let stage = family.split('/').nth(1).unwrap_or_default();
            *by_stage.entry(stage).or_default().entry(family).or_default() += 1;
        }
    }
    println!("\nWhat became of them");
    for (campaign, states) in &by_campaign {
        let counts: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        println!("  {campaign:<20} {}", counts.join(", "));
    }
    println!("\nWhy some got nothing");
    for ((state, reason), count) in &by_reason {
        println!("  {count:>6} {state}: {reason}");
    }
    println!("\nWho got what: one mail, many angles");
    for stage in Stage::ALL {
        let families = by_stage.get(stage.as_str());
        let total: usize = families.into_iter().flat_map(BTreeMap::values).sum();
        let mut ranked: Vec<_> = families.into_iter().flatten().collect();
        ranked.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let most: Vec<String> = ranked
            .iter()
            .take(3)
            .map(|(family, count)| format!("{} ({count})", family.rsplit('/').next().unwrap_or_default()))
            .collect();
        println!(
            "  {:<9} {total:>5} mails, {:>3} files; most often {}",
            stage.as_str(),
            ranked.len(),
            most.join(", ")
        );
    }
    tell_three(store, &sends).await
}

/// Three people at different stages, with the reason for their mail.
async fn tell_three(store: &Store, sends: &[StoredSend]) -> anyhow::Result<()> {
    println!("\nThree of them");
    for stage in [Stage::Educate, Stage::Compare, Stage::Purchase] {
        let marker = format!("/{stage}/");
        let found = sends.iter().find(|stored| {
            stored.send.state == State::Sent
                && stored.variant.as_ref().is_some_and(|variant| variant.as_str().contains(&marker))
        });
        let Some(stored) = found else { continue };
        let ids: [SendId; 1] = [stored.send.id.clone()];
        let Some(decision) = store.decisions(&ids).await?.remove(&ids[0]) else { continue };
        println!("  {}", story(stored, &decision));
    }
    Ok(())
}

fn story(stored: &StoredSend, decision: &Decision) -> String {
    let name = decision.inputs["profile"]["first_name"].as_str().unwrap_or("somebody").to_owned();
    let variant = stored.variant.as_ref().map(|variant| variant.family().to_owned()).unwrap_or_default();
    format!(
        "{name} ({}): {}\n      got {variant}, one of {} that fitted, with probability {:.3}",
        stored.send.profile,
        decision.stage_reason,
        decision.candidates.len(),
        decision.propensity,
    )
}
