//! What the database costs for a mail: claim, load, decision, mark, outcome, in batches of 500.
//!
//! Budgets, one core beside the database's own thread, SQLite with `synchronous=FULL`: claim, decision (4 KB of
//! inputs), mark and outcome together 60 µs a mail; the load of profile, 100 events, 5 mails and stage 400 µs. The
//! figures are CPU time of this process, of all its threads, so that a busy machine does not change them much. Run with
//! `BESPOKE_BENCH_DATABASE_URL=postgres://…` (a schema of its own) to measure this side of PostgreSQL.

use std::hint::black_box;
use std::time::Duration;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::decision::Candidate;
use bespoke::decision::Choice;
use bespoke::decision::Decision;
use bespoke::decision::Slice;
use bespoke::decision::TemplateHash;
use bespoke::decision::VariantId;
use bespoke::event::Event;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::profile::ProfileId;
use bespoke::send::LeaseToken;
use bespoke::send::Outcome;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::stage::Stage;
use bespoke::store::Cap;
use bespoke::store::Claimed;
use bespoke::store::ConsentNeeded;
use bespoke::store::GroupCommit;
use bespoke::store::Mark;
use bespoke::store::Settlement;
use bespoke::store::Store;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use jiff::Timestamp;
use jiff::ToSpan;
use serde_json::json;
use tokio::runtime::Runtime;

const SENDS: usize = 10_000;
const BATCH: usize = 500;
const EVENTS_PER_PROFILE: usize = 100;
const CAPS: [Cap; 1] = [Cap { count: 1, within_ms: 24 * 3_600_000 }];

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn now() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().expect("a time")
}

struct Bench {
    runtime: Runtime,
    store: Store,
    profiles: Vec<ProfileId>,
    round: usize,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        #[expect(clippy::disallowed_methods, reason = "benches have no configuration to read this from")]
        let url = std::env::var("BESPOKE_BENCH_DATABASE_URL")
            .unwrap_or_else(|_| format!("sqlite://{}", folder.path().join("bench.db").display()));
        let store = runtime.block_on(async {
            let store = Store::open(&url).await.expect("a database");
            store.migrate(now()).await.expect("a schema");
            store
        });
        let profiles = (0..SENDS).map(|n| ProfileId::parse(&format!("p{n:05}")).expect("an id")).collect();
        Self { runtime, store, profiles, round: 0, _folder: folder }
    }

    fn fill(&self) {
        let people: Vec<Profile> = self.profiles.iter().map(person).collect();
        self.runtime.block_on(async {
            self.store.upsert_profiles(&people, now()).await.expect("profiles");
        });
    }

    fn fill_events(&self, profiles: usize) {
        for profile in &self.profiles[..profiles] {
            let events: Vec<Event> = (0..EVENTS_PER_PROFILE).map(|n| event(profile, n)).collect();
            self.runtime.block_on(self.store.insert_events(&events)).expect("events");
        }
    }

    /// Plans a fresh 10,000 and returns how long `work` took for them.
    fn time(&mut self, work: &impl AsyncFn(&Store, &[Claimed], Timestamp)) -> Duration {
        self.round += 1;
        let occurrence = self.round.to_string();
        // Two days later, so that the cap has room.
        let at = now() + i64::try_from(48 * self.round).expect("small").hours();
        let sends: Vec<ScheduledSend> =
            self.profiles.iter().map(|profile| send(profile, &occurrence)).collect();
        self.runtime.block_on(async {
            self.store.plan(&sends).await.expect("a plan");
            let begin = cpu();
            for batch in 0.. {
                let token = LeaseToken(format!("{occurrence}.{batch}"));
                let claimed = self.store.claim(at, 600_000, BATCH, &token).await.expect("a claim");
                if claimed.is_empty() {
                    break;
                }
                work(&self.store, &claimed, at).await;
            }
            cpu().saturating_sub(begin)
        })
    }
}

fn cpu_of(times: u64, mut work: impl FnMut()) -> Duration {
    let begin = cpu();
    (0..times).for_each(|_| work());
    cpu().saturating_sub(begin)
}

/// What this process has used of all cores so far, in steps of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number of ticks");
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

fn person(id: &ProfileId) -> Profile {
    Profile {
        id: id.clone(),
        address: Some(EmailAddress::parse(&format!("{id}@example.test")).expect("an address")),
        traits: json!({"first_name": "Ana", "city": "Wien"}).as_object().expect("an object").clone(),
        locale: Some("en".to_owned()),
        time_zone: Some("Europe/Vienna".to_owned()),
        consent: Consent::Granted,
        created_at: now(),
        updated_at: now(),
    }
}

fn event(profile: &ProfileId, n: usize) -> Event {
    let properties = json!({"product_id": format!("product-{}", n % 30), "quantity": 1, "price": 12.5,
        "url": "https://shop.example/some/page", "referrer": ""});
    Event {
        id: format!("{n:032x}"),
        profile: profile.clone(),
        name: "Product Viewed".to_owned(),
        at: now() - i64::try_from(n).expect("small").hours(),
        properties: properties.as_object().expect("an object").clone(),
    }
}

fn send(profile: &ProfileId, occurrence: &str) -> ScheduledSend {
    let campaign = CampaignId("picks".to_owned());
    ScheduledSend {
        id: SendId::derive(now(), &campaign, profile, occurrence),
        campaign,
        kind: Kind::Lifecycle,
        guarantee: Guarantee::AtMostOnce,
        profile: profile.clone(),
        occurrence: occurrence.to_owned(),
        due_at: now() - 1_000.hours(),
        expires_at: now() + 72.hours(),
        state: State::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: serde_json::Map::new(),
        to: None,
    }
}

fn decision(send: &ScheduledSend) -> Decision {
    let candidates = (0..24).map(|n| Candidate {
        variant: VariantId::new(format!("picks/compare/versus+hero=photo-{n}+tone=warm")),
        score: 0.031_4,
        probability: 1.0 / 24.0,
    });
    Decision {
        send: send.id.clone(),
        campaign: send.campaign.clone(),
        profile: send.profile.clone(),
        at: now(),
        stage: Stage::Compare,
        stage_reason: "three looks in two days".to_owned(),
        choice: Choice::Variant {
            variant: VariantId::new("picks/compare/versus+hero=photo-1+tone=warm"),
            template: TemplateHash("0".repeat(64)),
        },
        propensity: 1.0 / 24.0,
        slice: Slice::Policy,
        candidates: candidates.collect(),
        ruled_out: Vec::new(),
        reasons: Vec::new(),
        policy: "thompson".to_owned(),
        policy_version: "7".to_owned(),
        catalog_version: "c".to_owned(),
        seed: 1,
        drawn_at: Some(0.25),
        withdrawn: Vec::new(),
        scoring: None,
        inputs: json!({"profile": {"first_name": "Ana"}, "text": "a believable kilobyte of facts … ".repeat(110)}),
    }
}

fn mark(claimed: &Claimed) -> Mark {
    Mark {
        send: claimed.send.id.clone(),
        token: claimed.token.clone(),
        to: EmailAddress::parse(&format!("{}@example.test", claimed.send.profile)).expect("an address"),
        topic: "picks".to_owned(),
        variant: VariantId::new("picks/compare/versus"),
        products: vec!["p1".to_owned()],
        domain_group: "example.test".to_owned(),
        consent: ConsentNeeded::Granted,
    }
}

fn settlement(claimed: &Claimed) -> Settlement {
    Settlement {
        send: claimed.send.id.clone(),
        token: claimed.token.clone(),
        to: None,
        outcome: Outcome::terminal(State::Sent, "sent", "250 2.0.0 ok: queued as 4ZxQ"),
    }
}

async fn commit(store: &Store, group: GroupCommit, at: Timestamp) {
    black_box(store.commit_group(&group, &CAPS, 3, at).await.expect("a group"));
}

async fn decide(store: &Store, claimed: &[Claimed], at: Timestamp) {
    let decisions = claimed.iter().map(|claimed| decision(&claimed.send)).collect();
    commit(store, GroupCommit { decisions, ..GroupCommit::default() }, at).await;
}

async fn mark_all(store: &Store, claimed: &[Claimed], at: Timestamp) {
    commit(store, GroupCommit { marks: claimed.iter().map(mark).collect(), ..GroupCommit::default() }, at)
        .await;
}

async fn settle(store: &Store, claimed: &[Claimed], at: Timestamp) {
    let settlements = claimed.iter().map(settlement).collect();
    commit(store, GroupCommit { settlements, ..GroupCommit::default() }, at).await;
}

fn writes(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    bench.fill();
    let mut group = criterion.benchmark_group("store, 10,000 sends in batches of 500");
    group.sample_size(10);
    let per_iteration = |bench: &mut Bench, iterations: u64, work: &dyn Fn(&mut Bench) -> Duration| {
        (0..iterations).map(|_| work(bench)).sum::<Duration>()
    };
    group.bench_function("claim", |b| {
        b.iter_custom(|n| {
            per_iteration(&mut bench, n, &|bench| {
                bench.time(&async |_: &Store, _: &[Claimed], _: Timestamp| {})
            })
        });
    });
    group.bench_function("claim + outcome", |b| {
        b.iter_custom(|n| per_iteration(&mut bench, n, &|bench| bench.time(&settle)));
    });
    group.bench_function("claim + mark + outcome", |b| {
        let work = async |store: &Store, claimed: &[Claimed], at: Timestamp| {
            mark_all(store, claimed, at).await;
            settle(store, claimed, at).await;
        };
        b.iter_custom(|n| per_iteration(&mut bench, n, &|bench| bench.time(&work)));
    });
    group.bench_function("claim + decision + mark + outcome", |b| {
        let work = async |store: &Store, claimed: &[Claimed], at: Timestamp| {
            decide(store, claimed, at).await;
            mark_all(store, claimed, at).await;
            settle(store, claimed, at).await;
        };
        b.iter_custom(|n| per_iteration(&mut bench, n, &|bench| bench.time(&work)));
    });
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let bench = Bench::new();
    bench.fill();
    bench.fill_events(BATCH);
    let profiles = &bench.profiles[..BATCH];
    let mut group = criterion.benchmark_group("store, load of 500 profiles");
    group.sample_size(10);
    let Bench { runtime, store, .. } = &bench;
    group.bench_function("profile", |b| {
        b.iter_custom(|n| cpu_of(n, || drop(runtime.block_on(store.profiles(profiles)).expect("profiles"))));
    });
    group.bench_function("100 events", |b| {
        b.iter_custom(|n| cpu_of(n, || drop(runtime.block_on(store.events_of(profiles)).expect("events"))));
    });
    group.bench_function("mails", |b| {
        b.iter_custom(|n| cpu_of(n, || drop(runtime.block_on(store.mails_of(profiles)).expect("mails"))));
    });
    group.bench_function("stage", |b| {
        b.iter_custom(|n| cpu_of(n, || drop(runtime.block_on(store.stages_of(profiles)).expect("stages"))));
    });
    group.finish();
}

criterion_group!(benches, writes, reads);
criterion_main!(benches);
