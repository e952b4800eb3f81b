//! A worker that is killed again and again, judged by the server's own journal: nothing lost, nothing doubled beyond
//! what SMTP makes undecidable.

use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Store;
use jiff::Timestamp;
use jiff::ToSpan as _;
use serde_json::json;

use crate::support::app::CONFIG;
use crate::support::app::SHOP;
use crate::support::given;

/// Connections of the worker: sends in flight at a death, at most.
const CONNECTIONS: usize = 8;

/// The scripted server and the judge lie beside the project.
fn tools() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools");
    let python =
        Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if python && tools.join("faultsmtpd.py").exists() {
        return Some(tools);
    }
    eprintln!("SKIPPED: the kill loop needs python3 and ../shared/tools/faultsmtpd.py");
    None
}

/// Dropped, the process ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(tools: &Path, journal: &Path) -> (Running, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new("python3")
        .arg(tools.join("faultsmtpd.py"))
        .args(["--port", &port.to_string(), "--delay", "0.004", "--journal"])
        .arg(journal)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("listening"), "{said}");
    (Running(child), port)
}

fn write_program(folder: &Path) {
    for (path, text) in SHOP {
        let path = folder.join("templates").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let worker = format!(
        "[worker]\nin_flight = {CONNECTIONS}\nlease_seconds = 5\n[cap]\nlifecycle_mails = 1000\ndays = 7\n"
    );
    std::fs::write(folder.join("bespoke.toml"), format!("{CONFIG}{worker}")).unwrap();
}

async fn given_sends(url: &str, guarantee: Guarantee, count: usize) {
    let store = Store::open(url).await.unwrap();
    let now = bespoke::clock::Clock::System.now();
    store.migrate(now).await.unwrap();
    let people: Vec<_> = (0..count).map(|i| given::profile(&format!("p{i}"))).collect();
    for chunk in people.chunks(1_000) {
        store.upsert_profiles(chunk, now).await.unwrap();
    }
    let sends: Vec<_> = people.iter().map(|person| send(person.id.as_str(), guarantee, now)).collect();
    assert_eq!(store.plan(&sends).await.unwrap(), count as u64);
    store.close().await;
}

fn send(profile: &str, guarantee: Guarantee, now: Timestamp) -> ScheduledSend {
    let (campaign, kind) = match guarantee {
        Guarantee::AtMostOnce => ("news", Kind::Lifecycle),
        Guarantee::AtLeastOnce => ("receipt", Kind::Transactional),
    };
    let campaign = CampaignId(campaign.to_owned());
    ScheduledSend {
        id: SendId::derive(now, &campaign, &given::id(profile), "kill"),
        campaign,
        kind,
        guarantee,
        profile: given::id(profile),
        occurrence: "kill".to_owned(),
        due_at: now,
        expires_at: now + 24.hours(),
        state: State::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: json!({"order_id": "A-1"}).as_object().unwrap().clone(),
        to: None,
    }
}

fn bespoke(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bespoke"));
    command
        .current_dir(folder)
        .env("BESPOKE_SMTP_URL", format!("smtp://127.0.0.1:{port}"))
        .env("BESPOKE_WORKER__RETRY_MINUTES", "[1]")
        .stdout(Stdio::null());
    command
}

fn accepted(journal: &Path) -> usize {
    std::fs::read_to_string(journal).unwrap_or_default().matches("\"ev\": \"accept\"").count()
}

/// Starts a worker, lets the server take some mails from it, and kills it in the middle of the others.
fn work_and_be_killed(folder: &Path, port: u16, journal: &Path, mails: usize, enough: usize) {
    let mut worker = bespoke(folder, port).arg("work").spawn().unwrap();
    let before = accepted(journal);
    while accepted(journal) < (before + mails).min(enough) {
        assert!(worker.try_wait().unwrap().is_none(), "the worker ended by itself");
        std::thread::park_timeout(Duration::from_millis(3));
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
}

async fn kill_loop(guarantee: Guarantee, kills: usize, sends: usize) {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let journal = folder.join("journal.jsonl");
    write_program(folder);
    given_sends(&format!("sqlite://{}", folder.join("bespoke.db").display()), guarantee, sends).await;
    let (_server, port) = serve(&tools, &journal);
    for kill in 0..kills {
        work_and_be_killed(folder, port, &journal, 20 + kill % 17, sends);
    }
    // What was ambiguous under at-least-once is due again a little later: work until nothing is open.
    let ledger = folder.join("ledger.jsonl");
    for _ in 0..100 {
        let drained = bespoke(folder, port).args(["work", "--until-idle"]).status().unwrap();
        assert!(drained.success());
        let export = bespoke(folder, port).args(["sends", "export"]).stdout(Stdio::piped()).output().unwrap();
        std::fs::write(&ledger, export.stdout).unwrap();
        let text = std::fs::read_to_string(&ledger).unwrap();
        if !["scheduled", "leased", "submitting", "deferred"]
            .iter()
            .any(|s| text.contains(&format!("\"state\":\"{s}\"")))
        {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let judge = Command::new("python3")
        .arg(tools.join("invariants.py"))
        .args(["--kills", &kills.to_string(), "--inflight", &CONNECTIONS.to_string()])
        .arg("--ledger")
        .arg(&ledger)
        .arg("--journal")
        .arg(&journal)
        .output()
        .unwrap();
    let verdict = String::from_utf8_lossy(&judge.stdout);
    eprintln!("{kills} kills, {}: {}", guarantee.as_str(), verdict.lines().next().unwrap_or_default());
    assert!(judge.status.success(), "{verdict}{}", String::from_utf8_lossy(&judge.stderr));
}

/// `tests/run --faults` does the whole of it.
fn size() -> (usize, usize) {
    let long = std::env::var_os("BESPOKE_TEST_FAULTS").is_some();
    if long { (40, 6_000) } else { (8, 600) }
}

#[tokio::test]
async fn a_killed_worker_loses_and_doubles_nobody_at_most_once() {
    let (kills, sends) = size();
    kill_loop(Guarantee::AtMostOnce, kills, sends).await;
}

#[tokio::test]
async fn a_killed_worker_loses_nobody_and_repeats_the_same_bytes_at_least_once() {
    let (kills, sends) = size();
    kill_loop(Guarantee::AtLeastOnce, kills, sends).await;
}
