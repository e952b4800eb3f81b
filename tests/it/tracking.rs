//! Who is classed as what: crawlers as a list that nobody here wrote has them, and people's own programs.

use std::path::Path;

use bespoke::tracking::Agent;
use bespoke::tracking::agent;

use crate::support::not_tested;

/// The npm package `crawler-user-agents` (MIT), which `tests/run` installs; nothing of it is in this project.
const CRAWLERS: &str = "target/node/node_modules/crawler-user-agents/crawler-user-agents.json";

#[test]
fn crawlers_are_known_and_people_are_not_taken_for_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let people = std::fs::read_to_string(root.join("tests/fixtures/human_agents.txt")).unwrap();
    let taken: Vec<&str> = people.lines().filter(|text| agent(text) != Agent::Person).collect();
    assert_eq!((people.lines().count(), taken), (50, vec![]));

    let Ok(list) = std::fs::read(root.join(CRAWLERS)) else {
        return not_tested(&format!(
            "crawlers: {CRAWLERS} is not there; run tests/run, or `npm install --prefix target/node \
             crawler-user-agents@1.60.0`"
        ));
    };
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let crawlers: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|entry| entry["instances"].as_array().unwrap())
        .map(|text| text.as_str().unwrap())
        .collect();
    let missed: Vec<&&str> = crawlers.iter().filter(|text| agent(text) == Agent::Person).collect();
    println!("{} of {} crawlers known; missed: {missed:#?}", crawlers.len() - missed.len(), crawlers.len());
    assert!(
        crawlers.len() > 2_000 && missed.len() * 20 <= crawlers.len(),
        "{} missed: {missed:#?}",
        missed.len()
    );
}
