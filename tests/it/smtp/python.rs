//! The same faults from another hand: the scripted server in Python, whose journal is the truth.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bespoke::deliver::classify::{Disposition, classify};
use bespoke::deliver::smtp::{Phase, Relay};
use serde_json::Value;

use crate::support::not_tested;

use super::helpers::{hurried, pool, relay, send};

const RULES: [&str; 9] = [
    "mail%13=450 4.2.0 later",
    "rcpt@unknown=550 5.1.1 no such user",
    "rcpt@late=delay:2",
    "data%17=drop",
    "body@halfway=drop",
    "dot@spam=554 5.7.1 spam",
    "dot@cut=rst",
    "reply@lost=drop",
    "reply@foreign=nonutf8",
];

/// The server, until it is dropped.
struct Server {
    child: Child,
    port: u16,
    journal: PathBuf,
}

impl Server {
    fn start(folder: &Path) -> Option<Self> {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/faultsmtpd.py");
        if !tool.exists() {
            not_tested(&format!("sessions against another server: {} is not there", tool.display()));
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let journal = folder.join("journal.jsonl");
        let mut command = Command::new("python3");
        command.arg(tool).args(["--port", &port.to_string(), "--journal"]).arg(&journal).arg("--no-fsync");
        for rule in RULES {
            command.args(["--rule", rule]);
        }
        let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
            not_tested("sessions against another server: python3 is not there");
            return None;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening"), "{line}");
        Some(Self { child, port, journal })
    }

    fn events(&self) -> Vec<Value> {
        let journal = std::fs::read_to_string(&self.journal).unwrap();
        journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn every_result_agrees_with_the_journal_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = Server::start(folder.path()) else { return };
    let pool = pool(hurried(Relay { max_connections: 4, ..relay(server.port) }, Phase::Rcpt, 1500));
    let kinds = ["good", "unknown", "spam", "cut", "lost", "foreign", "halfway", "fine", "plain"];
    let mut results = BTreeMap::new();
    for number in 0..180 {
        let kind = if number == 50 { "late" } else { kinds[number % kinds.len()] };
        let to = format!("{kind}{number}@x.test");
        let result = send(&pool, &to).await;
        results.insert(to, result);
    }
    pool.close().await;

    let events = server.events();
    let mut accepted: BTreeMap<String, u32> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ev"] == "accept") {
        let command = event["rcpt"][0].as_str().unwrap();
        *accepted.entry(command.split(['<', '>']).nth(1).unwrap().to_owned()).or_default() += 1;
    }
    for (to, result) in &results {
        let copies = accepted.get(to).copied().unwrap_or(0);
        match result {
            Ok(_) => assert_eq!(copies, 1, "{to}"),
            Err(failure) if failure.is_ambiguous() => {
                assert!(
                    ["cut", "lost", "halfway"].iter().any(|kind| to.starts_with(kind)),
                    "{to}: {failure}"
                );
                assert_eq!(copies, u32::from(to.starts_with("lost")), "{to}: {failure}");
            }
            Err(failure) => assert_eq!(copies, 0, "{to}: {failure}"),
        }
        if let (true, Err(failure)) = (to.starts_with("unknown"), result) {
            let expected = [Disposition::HardBounce, Disposition::Deferred];
            assert!(expected.contains(&classify(failure)), "{to}: {failure}");
        }
    }
    let sent = results.values().filter(|result| result.is_ok()).count();
    assert!((60..120).contains(&sent), "{sent} of 180 were sent");
    let violations: Vec<_> = events.iter().filter(|event| event["ev"] == "violation").collect();
    assert_eq!(violations, Vec::<&Value>::new());
}
