//! What became of all sends: as the program exports it, and as `invariants.py` judges it by what the server took.

use std::collections::BTreeMap;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;
use serde_json::Value;

use super::live::Live;
use super::live::PATIENCE;
use super::live::SUPPRESSED;

/// States in which something is still to be done.
const OPEN: [&str; 4] = ["scheduled", "leased", "submitting", "deferred"];

impl Live {
    /// What the program exports of its sends.
    pub(crate) fn ledger(&self) -> Vec<Value> {
        let export = self.bespoke().args(["sends", "export"]).stdout(Stdio::piped()).output().unwrap();
        assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
        let text = String::from_utf8(export.stdout).unwrap();
        std::fs::write(self.path("ledger.jsonl"), &text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many sends are in each state; those to suppressed people are judged in the end and do not count.
    pub(crate) fn states(&self) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for line in self.ledger().iter().filter(|line| !is_to_a_suppressed(line)) {
            *states.entry(state(line).to_owned()).or_default() += 1;
        }
        states
    }

    /// Works until nothing is open any more.
    pub(crate) fn drains(&self) {
        let begun = Instant::now();
        while !self.works_until_idle() {
            assert!(begun.elapsed() < PATIENCE, "open for ever: {:?}", self.states());
            std::thread::park_timeout(Duration::from_millis(300));
        }
    }

    /// The same once the leases of dead workers have ended, and time for the relay to answer has passed: at once.
    pub(crate) async fn takes_over_and_drains(&self) {
        let begun = Instant::now();
        loop {
            self.dead_leases_end().await;
            if self.works_until_idle() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "open for ever: {:?}", self.states());
            std::thread::park_timeout(Duration::from_millis(300));
        }
    }

    /// All leases have ended ten minutes ago. For where all who held one are dead.
    pub(crate) async fn dead_leases_end(&self) {
        self.database
            .execute("update sends set lease_until = 0 where state in ('leased', 'submitting')")
            .await;
    }

    /// Whether nothing is open after that.
    fn works_until_idle(&self) -> bool {
        assert!(self.bespoke().args(["work", "--until-idle"]).status().unwrap().success());
        let states = self.states();
        !OPEN.iter().any(|state| states.contains_key(*state))
    }

    /// Lets the judge compare the ledger with the journal: nothing lost, doubled beyond the bound, recorded that was
    /// not, or sent to whom nobody may write to. Returns its first line.
    pub(crate) fn is_judged(&self, kills: usize, in_flight: usize) -> String {
        for line in self.ledger().iter().filter(|line| is_to_a_suppressed(line)) {
            assert!(["suppressed", "canceled"].contains(&state(line)), "{line}");
        }
        let addresses = SUPPRESSED.map(|(name, _)| format!("{name}@example.test\n"));
        std::fs::write(self.path("suppressed.txt"), addresses.concat()).unwrap();
        let judge = Command::new("python3")
            .arg(self.tools.join("invariants.py"))
            .args(["--kills", &kills.to_string(), "--inflight", &in_flight.to_string()])
            .arg("--ledger")
            .arg(self.path("ledger.jsonl"))
            .arg("--journal")
            .arg(self.path("journal.jsonl"))
            .arg("--suppressed")
            .arg(self.path("suppressed.txt"))
            .output()
            .unwrap();
        let verdict = String::from_utf8_lossy(&judge.stdout).into_owned();
        assert!(judge.status.success(), "{verdict}{}", String::from_utf8_lossy(&judge.stderr));
        let first = verdict.lines().next().unwrap_or_default().to_owned();
        eprintln!("{}: {first}", self.database.name());
        first
    }

    /// Everybody has their mail, by their guarantee: a death leaves nothing but `unknown`, and that only where it is
    /// promised.
    pub(crate) fn everybody_is_served(&self, guarantee: Guarantee, sends: usize) {
        let mut states = self.states();
        let name = self.database.name();
        let unknown = match guarantee {
            Guarantee::AtMostOnce => states.remove("unknown").unwrap_or(0),
            Guarantee::AtLeastOnce => 0,
        };
        assert_eq!(states, [("sent".to_owned(), sends - unknown)].into(), "on {name}, {unknown} unknown");
    }
}

fn state(line: &Value) -> &str {
    line["state"].as_str().unwrap()
}

fn is_to_a_suppressed(line: &Value) -> bool {
    line["rcpt"].as_str().is_some_and(|address| address.starts_with("suppressed"))
}
