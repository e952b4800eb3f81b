//! `bespoke reference` against the program: it names every key, and its defaults are the program's.

use std::collections::BTreeSet;

use bespoke::campaign::Campaign;
use bespoke::catalog::Catalog;
use bespoke::catalog::CatalogSettings;
use bespoke::catalog::files::Files;
use bespoke::cli::reference::REFERENCE;
use bespoke::config::Config;
use toml::Table;

/// The TOML of the page: bespoke.toml, what may be added to it, campaign.toml, a head, offers.
fn blocks() -> [&'static str; 5] {
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
    let [.., head, offers] = blocks();
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
