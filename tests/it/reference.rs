//! `bespoke reference` against the program: it names every key, and its defaults are the program's.

use std::collections::BTreeSet;

use bespoke::campaign::Campaign;
use bespoke::campaign::CampaignId;
use bespoke::catalog::Catalog;
use bespoke::catalog::CatalogSettings;
use bespoke::catalog::contract::Contract;
use bespoke::catalog::files::Files;
use bespoke::catalog::reference;
use bespoke::cli::reference::REFERENCE;
use bespoke::config::Config;
use bespoke::facts;
use bespoke::history::CartLine;
use bespoke::history::History;
use bespoke::history::Purchased;
use bespoke::product::Product;
use bespoke::product::ProductIndex;
use bespoke::profile::Profile;
use bespoke::select::recommend::Recommendations;
use bespoke::stage::Stage;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use toml::Table;

use crate::support::given;

/// The TOML of the page: bespoke.toml, what may be added to it, campaign.toml, a head, offers, texts of pages.
fn blocks() -> [&'static str; 6] {
    let blocks: Vec<&str> =
        REFERENCE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    blocks.try_into().unwrap()
}

/// With the keys that stand behind `#`, because they have no default.
fn with_examples(block: &str) -> String {
    let is_key = |rest: &str| {
        let name = rest.split(" = ").next().unwrap_or_default();
        rest.starts_with('[')
            || rest.contains(" = ") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let lines = block.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that a message lists behind "expected".
fn expected(message: &str) -> BTreeSet<String> {
    let (_, list) = message.split_once("expected").unwrap_or_else(|| panic!("{message}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn config_names(text: &str) -> Option<BTreeSet<String>> {
    let error = toml::from_str::<Config>(text).err()?;
    error.message().contains("unknown field").then(|| expected(error.message()))
}

fn keys(table: &Table) -> BTreeSet<String> {
    table.keys().cloned().collect()
}

#[test]
fn every_key_of_the_configuration_is_there_and_its_default_is_the_one_that_holds() {
    let [stated, added, ..] = blocks();
    let config: Config = toml::from_str(stated).unwrap();
    assert_eq!(format!("{config:#?}"), format!("{:#?}", Config::default()));
    let whole = with_examples(&format!("{stated}{added}"));
    toml::from_str::<Config>(&whole).unwrap();
    let table: Table = toml::from_str(&whole).unwrap();
    let sections = config_names("zzz = 1").unwrap();
    assert_eq!(keys(&table), sections);
    let mut checked = 0;
    for section in &sections {
        let (names, shown) = match table[section].as_array() {
            Some(several) => {
                (config_names(&format!("[[{section}]]\nzzz = 1")), several[0].as_table().unwrap())
            }
            None => (config_names(&format!("[{section}]\nzzz = 1")), table[section].as_table().unwrap()),
        };
        // What templates know of the shop, and traits, are called as their author likes.
        let Some(names) = names else { continue };
        assert_eq!(keys(shown), names, "[{section}]");
        checked += 1;
    }
    assert_eq!(checked, sections.len() - 2);
    let of_domain = config_names("[rates.domain.gmail]\nzzz = 1").unwrap();
    assert_eq!(keys(table["rates"]["domain"]["gmail"].as_table().unwrap()), of_domain);
}

#[test]
fn every_key_of_a_campaign_is_there_and_its_default_is_the_one_that_holds() {
    let [_, _, stated, ..] = blocks();
    let must = "kind = \"lifecycle\"\ntrigger = { cron = { schedule = \"0 9 * * TUE\" } }\n";
    assert_eq!(toml::from_str::<Campaign>(stated).unwrap(), toml::from_str::<Campaign>(must).unwrap());
    let whole = with_examples(stated);
    toml::from_str::<Campaign>(&whole).unwrap();
    let table: Table = toml::from_str(&whole).unwrap();
    let names =
        |text: &str| expected(toml::from_str::<Campaign>(&format!("{text}\nzzz = 1")).unwrap_err().message());
    assert_eq!(keys(&table), names(must));
    for section in ["reward", "guard", "pilot"] {
        let known = names(&format!("{must}[{section}]"));
        assert_eq!(keys(table[section].as_table().unwrap()), known, "[{section}]");
    }
    for trigger in names("kind = \"lifecycle\"\n[trigger]") {
        assert!(stated.contains(&format!("{trigger} = {{")), "{trigger}");
    }
}

#[test]
fn every_key_of_a_head_and_of_an_offer_is_there() {
    let [.., head, offers, _] = blocks();
    let files = [
        ("a/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
        ("a/any/x.mjml", "+++\nzzz = 1\n+++\n"),
        ("offers.toml", "[first-order]\nzzz = 1\n"),
    ];
    let files = Files::from_pairs(files.map(|(path, text)| (path.to_owned(), text.to_owned())));
    let faults = Catalog::from_files(&files, &CatalogSettings::default()).unwrap_err();
    let known = |path: &str| {
        let of_file = |fault: &&bespoke::fault::Fault| {
            fault.message.contains("no key `zzz`")
                && fault.file.as_ref().is_some_and(|file| file.path.as_path() == std::path::Path::new(path))
        };
        let help = faults.iter().find(of_file).and_then(|fault| fault.help.clone()).unwrap();
        help.trim_start_matches("known here: ").split(", ").map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(keys(&toml::from_str(&with_examples(head)).unwrap()), known("a/any/x.mjml"));
    let offers: Table = toml::from_str(&with_examples(offers)).unwrap();
    assert_eq!(keys(offers["first-order"].as_table().unwrap()), known("offers.toml"));
}

/// The contract of a shop that declares nothing.
fn contract() -> Contract {
    let settings = CatalogSettings::of_config(&Config::default());
    Contract::new(&settings.traits, &settings.own_events, &settings.shop)
}

#[test]
fn the_page_ends_with_everything_that_templates_and_rules_may_name() {
    let parts = [reference::facts(&contract()), reference::filters(), reference::rules(), reference::pages()];
    let expected = parts.join("\n");
    let (_, told) = REFERENCE.split_once("\n## Facts\n").unwrap_or_default();
    let help = "write what `bespoke reference facts`, `filters`, `rules` and `pages` print, where no bespoke.toml is, \
                with an empty line between them, to the end of REFERENCE.md";
    assert!(
        format!("## Facts\n{told}") == expected,
        "REFERENCE.md does not say what the program says: {help}"
    );
}

#[test]
fn the_facts_of_people_are_those_that_are_told() {
    let product = |id: &str, list_price| -> Product {
        let body = json!({"id": id, "name": id, "price_minor": 100, "list_price_minor": list_price});
        serde_json::from_value(body).unwrap()
    };
    let products: ProductIndex = [product("a", None), product("b", Some(200))].into_iter().collect();
    let ids = || vec!["a".to_owned(), "b".to_owned(), "gone".to_owned()];
    let rich = History {
        viewed_products: ids(),
        wish_list: ids(),
        purchased: vec![Purchased { product_id: "b".to_owned(), quantity: 1, orders: 1, days_since: 1 }],
        cart: vec![CartLine { product_id: "a".to_owned(), quantity: 2, price: 90 }],
        ..History::default()
    };
    let recommended =
        Recommendations { for_you: ids(), related: ids(), related_to: Some("a".to_owned()), popular: ids() };
    let nobody = Profile::nameless(given::id("nobody"), given::profile("ana").created_at);
    let campaign = "kind = \"lifecycle\"\ntrigger = { api = {} }";
    let campaign = Campaign { id: CampaignId("news".to_owned()), ..toml::from_str(campaign).unwrap() };
    let mut roots: BTreeSet<String> = BTreeSet::new();
    for (profile, history, recommendations) in
        [(given::profile("ana"), rich, recommended), (nobody, History::default(), Recommendations::default())]
    {
        let profile = Profile { traits: Map::new(), ..profile };
        let sources = facts::Sources {
            profile: &profile,
            history: &history,
            stage: Stage::Discover,
            campaign: &campaign,
            products: &products,
            recommendations: &recommendations,
            data: &Map::new(),
            shop: &Map::new(),
            now: profile.created_at,
        };
        let facts = facts::build(&sources, |_| true);
        // Counts of events are as many as the configuration knows; each has the same shape.
        let told = contract().without(&["offer", "links", "history"]);
        let mut shown = facts.clone();
        shown.as_object_mut().unwrap().remove("history");
        assert_eq!(told.breaches(&shown, 100), Vec::<String>::new());
        let Value::Object(fields) = facts else { panic!("{facts}") };
        roots.extend(fields.keys().cloned());
        for name in fields.keys() {
            assert!(REFERENCE.contains(&format!("| `{name}")), "{name} is not told");
        }
    }
    let told: BTreeSet<String> = REFERENCE
        .split("\n| `")
        .filter_map(|line| line.split('`').next())
        .filter(|path| path.contains('.') && !path.contains(['(', ' ', '"']))
        .filter_map(|path| path.split('.').next().map(str::to_owned))
        .collect();
    let unknown: Vec<&String> = told
        .iter()
        .filter(|root| !roots.contains(*root) && !["offer", "links"].contains(&root.as_str()))
        .collect();
    assert_eq!(unknown, Vec::<&String>::new());
}
