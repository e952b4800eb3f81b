//! What a row begins with: people, what they did, their sends, and, where asked for, templates and a model.

use std::fmt::Write as _;
use std::path::Path;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::config::Config;
use bespoke::demo::people::people;
use bespoke::demo::products::products;
use bespoke::event::Event;
use bespoke::profile::Profile;
use bespoke::select::learnt::POLICY_MODEL;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Store;
use jiff::ToSpan as _;

use super::Options;
use super::config;
use super::now;

/// The campaign of [`templates`].
pub(crate) const MANY: &str = "many";
/// Stages that its variants are for, a quarter each.
const STAGES: [&str; 4] = ["discover", "educate", "compare", "purchase"];

/// Gives a row its people and sends.
pub(crate) async fn given(options: &Options) {
    let store = Store::open(options.get("database").expect("a URL")).await.expect("a database");
    store.migrate(now()).await.expect("a schema");
    fill(&store, &config(options), options).await;
    if let Some(from) = options.get("model") {
        let from = Store::open(from).await.expect("a database with a model");
        let model = from.newest_model(POLICY_MODEL).await.expect("a database that reads");
        store.put_model(&model.expect("`bespoke learn` has fitted one")).await.expect("a model");
    }
}

/// The shipped layouts, and a campaign of so many variants: two paragraphs and four products each.
pub(crate) fn templates(folder: &Path, variants: usize) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let is_file = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    for part in ["layouts", "blocks", "samples"] {
        for entry in
            std::fs::read_dir(shipped.join(part)).expect("the shipped templates").flatten().filter(is_file)
        {
            let text = std::fs::read_to_string(entry.path()).expect("a file");
            write(&format!("{part}/{}", entry.file_name().to_string_lossy()), &text);
        }
    }
    write("offers.toml", &std::fs::read_to_string(shipped.join("offers.toml")).expect("a file"));
    write(
        &format!("{MANY}/campaign.toml"),
        "kind = \"lifecycle\"\npolicy = \"weighted\"\ntopic = \"one-to-one\"\nholdout_percent = 0\ntrigger = { api = {} }\n",
    );
    for number in 0..variants {
        let mut text = format!("+++\nsubject = \"Number {number}\"\npreheader = \"Angle {number}\"\n+++\n");
        let _ = write!(
            text,
            "<mj-section><mj-column>\n<mj-text>Good day {{{{ profile.first_name or 'you' }}}}, this is angle {number}: what \
             we roast this week, and why it may be for you.</mj-text>\n\
             <mj-button href=\"https://brindle.example/a/{number}\">Have a look</mj-button>\n</mj-column></mj-section>\n\
             <mj-block name=\"product-list\" title=\"Picked for you {number}\" list=\"(recommended or popular)\" count=\"4\" />\n"
        );
        write(&format!("{MANY}/{}/v{number:04}.mjml", STAGES[number % STAGES.len()]), &text);
    }
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
