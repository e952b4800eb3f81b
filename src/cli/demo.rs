//! `bespoke demo`: the main job on a fresh machine, nothing else to install, nothing leaves it.

mod told;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use futures_util::TryStreamExt as _;
use indicatif::ProgressBar;
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::cli::context::block_on;
use crate::cli::init;
use crate::cli::learn::learn_all;
use crate::cli::learn::learn_items;
use crate::cli::learn::read_sales;
use crate::cli::say::say;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Overrides;
use crate::deliver::catcher::Catcher;
use crate::demo::people::people;
use crate::demo::products::products;
use crate::demo::week::Delivered;
use crate::demo::week::WEEK;
use crate::demo::week::week;
use crate::preview;
use crate::profile::ProfileId;
use crate::report::REPORTS;
use crate::report::ReportError;
use crate::report::Sources;
use crate::report::html::html;
use crate::report::scope::Scope;
use crate::send::State;
use crate::store::RecordedHit;
use crate::store::SendFilter;
use crate::store::Store;
use crate::store::StoredSend;
use crate::tracking::Class;
use crate::tracking::HitKind;
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

/// When it is asked what came of the day: everybody's week is over.
const LATER: SignedDuration = SignedDuration::from_hours(24).saturating_add(WEEK);
/// When the demonstration's people were last seen, after the midnight that its day begins with.
const MORNING: SignedDuration = SignedDuration::from_mins(9 * 60 + 45);

/// Runs the whole job once: a shop, its people, their mails. Mail goes to a catcher on loopback.
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder that everything goes into; an earlier demonstration there is replaced
    #[arg(long, value_name = "DIR", default_value = "bespoke-demo")]
    out: PathBuf,
    /// How many customers
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = RangedU64ValueParser::<usize>::new().range(20..=1_000_000))]
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
            let day = tuesday_before(wall);
            store.migrate(day).await?;

            let morning = day + MORNING;
            let (people, events) = self.import(&store, &config, morning).await?;
            say!("1. imported     {} customers and {events} events of their histories", people.len());
            let sales = read_sales(&store, config.minor_digits(), morning).await?;
            let learnt = learn_items(&store, sales, morning).await?;
            say!("2. learnt       {} pairs of products that go together", learnt.neighbours);
            let engine = assemble::engine(&config, &store).await?;
            let variants = engine.catalog.variants().count();
            // As if a planner had run at midnight: what fell due since is caught up.
            for entry in engine.catalog.campaigns() {
                store.set_plan_cursor(&entry.campaign.id, "until", &day.to_string()).await?;
            }
            let horizon = Horizon { now: morning, ahead: SignedDuration::from_hours(10) };
            let planned = plan(&store, &engine, None, horizon, &|_, _| {}).await?;
            let scheduled: u64 = planned.iter().map(|planned| planned.scheduled).sum();
            say!(
                "3. planned      {scheduled} sends for {}, out of {variants} variants",
                day.strftime("%A, %-d %B %Y")
            );
            let took = self.work(&store, &config, day).await?;
            let caught = catcher.accepted_count();
            say!("4. delivered    {caught} mails over SMTP in {took:.1} s, to a catcher on loopback");
            let summary = self.preview(&store, &config, day).await?;
            say!("5. previewed    {summary} mails in {}", self.out.join("previews").display());
            let sends: Vec<StoredSend> = store.export_sends(SendFilter::default()).try_collect().await?;
            self.week(&store, &sends, &people, day).await?;
            let learnt = learn_all(&store, &config, day + LATER).await?;
            let clicks = learnt.policy.map_or(0, |taught| taught.fit.click.absorbed);
            say!("7. learnt       from {clicks} mails whose time to be clicked is over");
            let reports = self.report(&store, &config, day + LATER).await?;
            say!("8. reported     {reports} reports in {}", self.out.join("reports").display());
            told::who_got_what(&store, &sends).await?;
            self.look_next(&sends, started);
            anyhow::ensure!(
                catcher.violations().is_empty(),
                "the catcher saw a breach of SMTP: {:?}; please report it",
                catcher.violations()
            );
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }

    async fn import(
        &self,
        store: &Store,
        config: &Config,
        now: Timestamp,
    ) -> anyhow::Result<(Vec<ProfileId>, usize)> {
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
        Ok((profiles.into_iter().map(|profile| profile.id).collect(), events.len()))
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

    /// Lets a week pass, in which people and machines do what they do with mails.
    async fn week(
        &self,
        store: &Store,
        sends: &[StoredSend],
        people: &[ProfileId],
        day: Timestamp,
    ) -> anyhow::Result<()> {
        let delivered = sends.iter().filter_map(|stored| {
            Some(Delivered {
                send: &stored.send.id,
                profile: &stored.send.profile,
                variant: stored.variant.as_ref()?,
                products: &stored.products,
                at: stored.submitted_at?,
            })
        });
        let came = week(delivered, people, day, self.seed);
        let (mut opened, mut clicked, mut machines) = (0, 0, 0);
        for hit in &came.hits {
            match (store.record_hit(hit).await?, hit.kind) {
                (RecordedHit::Kept(Class::Human), HitKind::Open) => opened += 1,
                (RecordedHit::Kept(Class::Human), _) => clicked += 1,
                (RecordedHit::Kept(_), _) => machines += 1,
                (RecordedHit::NotKept, _) => {}
            }
        }
        store.insert_events(&came.orders).await?;
        say!(
            "6. a week on    people opened {opened} and clicked {clicked} times and ordered {} times; {machines} hits \
             were machines'",
            came.orders.len()
        );
        Ok(())
    }

    /// Writes every report that the data can carry.
    async fn report(&self, store: &Store, config: &Config, until: Timestamp) -> anyhow::Result<usize> {
        let folder = self.out.join("reports");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let scope = Scope { since: None, until, campaign: None, zone: TimeZone::UTC, days: 7, split: None };
        let mut written = 0;
        for kind in REPORTS {
            let sources = Sources { store, config, scope: &scope, progress: &|_, _| {} };
            let report = match (kind.make)(&sources).await {
                Err(ReportError::Data(_)) => continue,
                made => made?,
            };
            let file = folder.join(kind.name).with_extension("html");
            std::fs::write(&file, html(&report))
                .with_context(|| format!("cannot write {}", file.display()))?;
            written += 1;
        }
        Ok(written)
    }

    fn look_next(&self, sends: &[StoredSend], started: Instant) {
        let example = sends.iter().find(|stored| stored.send.state == State::Sent);
        let out = self.out.display();
        say!("\nWhere to look next");
        say!("  {}", self.out.join("previews").join("index.html").display());
        say!(
            "      the gallery: every mail at desktop and phone width, light and dark, and why it was chosen"
        );
        if let Some(example) = example {
            say!("  bespoke --config {out}/bespoke.toml explain {}", example.send.id);
            say!("      why this customer got this mail");
        }
        say!("  {}", self.out.join("reports").join("lift.html").display());
        say!(
            "      what the mails changed, against those who got none; funnel, variants, kpi … lie beside it"
        );
        say!("  bespoke --config {out}/bespoke.toml model show");
        say!("      what the policy has learnt of subjects, blocks and offers");
        say!("  bespoke --config {out}/bespoke.toml sends list --state skipped");
        say!("      who got nothing, and why");
        say!("  bespoke --config {out}/bespoke.toml check");
        say!("      proves every template; edit one under {out}/templates and run it again");
        say!("\nDone in {:.1} s. Nothing left this machine.", started.elapsed().as_secs_f64());
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

/// Midnight (UTC) of the last Tuesday, the day of the shop's weekly mail, whose week is over.
fn tuesday_before(now: Timestamp) -> Timestamp {
    let today = (now - LATER).to_zoned(TimeZone::UTC).date();
    let days =
        (0..7).find(|days| (today - SignedDuration::from_hours(24 * days)).weekday() == Weekday::Tuesday);
    let tuesday = today - SignedDuration::from_hours(24 * days.unwrap_or(0));
    tuesday.to_zoned(TimeZone::UTC).map_or(now, |midnight| midnight.timestamp())
}
