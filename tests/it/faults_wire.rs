//! A server that stalls, closes, resets, drivels or answers late, in every phase, against the whole worker: what the
//! session makes of it, the database says in the end.

use bespoke::campaign::Guarantee;

use crate::support::live::Live;
use crate::support::live::Running;

const WORKER: &str = "[worker]\nin_flight = 4\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";
/// By each guarantee.
const SENDS: usize = 40;

/// Files that a worker may have open at the end, more than at its first mail: a connection for each slot and those of
/// the database's pool; the rules strike several times as often.
const FILES_MORE: usize = 12;

/// Where a fault strikes, and every how many times.
const PHASES: [(&str, usize); 8] = [
    ("connect", 8),
    ("ehlo", 9),
    ("mail", 5),
    ("rcpt", 7),
    ("data", 11),
    ("body", 13),
    ("dot", 17),
    ("reply", 19),
];

/// A relay whose phases have a second each.
fn relay(live: &Live) -> String {
    let phases = ["greeting", "ehlo", "mail", "rcpt", "data", "body", "dot", "quit"];
    let deadlines: Vec<String> = phases.iter().map(|phase| format!("{phase} = 1.0")).collect();
    let (host, port) = (&live.host, live.port);
    format!("[[relay]]\nurl = \"smtp://{host}:{port}\"\ndeadline_seconds = {{ {} }}\n", deadlines.join(", "))
}

/// How often a rule has struck in these phases.
fn faults(live: &Live, phases: &[&str]) -> usize {
    let journal = live.journal();
    let strikes = journal.iter().filter(|line| line["ev"] == "fault");
    strikes.filter(|line| phases.iter().any(|phase| line["phase"] == *phase)).count()
}

/// Files, sockets and whatever else a process has open.
fn open_files(worker: &Running) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", worker.0.id())).unwrap().count()
}

async fn survives(rules: &[String], what: &str) {
    for mut live in Live::on_each_database_if_long(WORKER).await {
        live.given_sends(Guarantee::AtMostOnce, SENDS).await;
        live.given_sends(Guarantee::AtLeastOnce, SENDS).await;
        live.state_relays(&relay(&live));
        live.serve(0.0, &rules.iter().map(String::as_str).collect::<Vec<_>>());
        let mut worker = live.worker();
        live.waits_until("it has begun", || live.count("accept") > 0);
        let files = open_files(&worker);
        live.hurries_until_all_are(&["sent", "unknown"]).await;
        assert!(worker.0.try_wait().unwrap().is_none(), "{what}: the worker goes on");
        let (most, on) = (open_files(&worker), live.database.name());
        eprintln!("{what} on {on}: {files} files open at the begin, {most} at the end");
        assert!(
            most <= files + FILES_MORE,
            "{what} on {on}: {files} files open at the begin, {most} at the end"
        );
        for phase in PHASES.map(|(phase, _)| phase) {
            let is_ruled = rules.iter().any(|rule| rule.starts_with(&format!("{phase}%")));
            assert_eq!(live.struck(phase), is_ruled, "{what}: whether {phase} was struck");
        }
        // After these only the server knows whether it has the mail; the judge itself counts those of its reply.
        live.is_judged(faults(&live, &["body", "dot"]), 1);
        let struck = faults(&live, &["body", "dot", "reply"]);
        let unknown = live.states().get("unknown").copied().unwrap_or(0);
        assert!(unknown <= struck, "{what}: {unknown} unknown, {struck} struck");
        let addresses: Vec<String> = (0..SENDS).map(|i| format!("p{i}@example.test")).collect();
        let suppressed = live.store().suppressions_of(&addresses).await.unwrap();
        assert!(suppressed.is_empty(), "{what}: {suppressed:?}");
    }
}

async fn in_every_phase(action: &str) {
    let rules: Vec<String> =
        PHASES.iter().map(|(phase, every)| format!("{phase}%{every}={action}")).collect();
    survives(&rules, action).await;
}

#[tokio::test]
async fn a_closed_or_reset_connection_in_any_phase_loses_and_doubles_nobody() {
    in_every_phase("drop").await;
    in_every_phase("rst").await;
}

#[tokio::test]
async fn silence_in_any_phase_loses_and_doubles_nobody() {
    in_every_phase("stall").await;
}

#[tokio::test]
async fn a_byte_at_a_time_in_any_phase_loses_and_doubles_nobody() {
    let rules: Vec<String> = PHASES
        .iter()
        .filter(|(phase, _)| !["body", "dot"].contains(phase))
        .map(|(phase, every)| format!("{phase}%{every}=slow:0.2"))
        .collect();
    survives(&rules, "a byte at a time").await;
}

#[tokio::test]
async fn garbage_and_endless_replies_in_any_phase_lose_and_double_nobody() {
    for action in ["garbage", "huge"] {
        let phases = PHASES.iter().filter(|(phase, _)| !["body", "dot"].contains(phase));
        let rules: Vec<String> = phases.map(|(phase, every)| format!("{phase}%{every}={action}")).collect();
        survives(&rules, action).await;
    }
}

#[tokio::test]
async fn a_reply_that_comes_after_its_deadline_is_never_taken_for_another() {
    let rules = ["mail%5", "rcpt%7", "data%11", "reply%13"].map(|at| format!("{at}=delay:1.5"));
    survives(&rules, "late").await;
}

#[tokio::test]
async fn an_acceptance_that_is_not_utf8_is_one() {
    let rules = ["reply%3=nonutf8".to_owned(), "mail%50=450 4.3.0 later".to_owned()];
    for mut live in Live::on_each_database_if_long(WORKER).await {
        live.given_sends(Guarantee::AtMostOnce, SENDS).await;
        live.serve(0.0, &rules.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(live.bespoke().args(["work", "--until-idle"]).status().unwrap().success());
        live.is_judged(0, 1);
        assert_eq!(live.states().get("sent"), Some(&SENDS), "on {}", live.database.name());
        assert_eq!(live.count("accept"), SENDS);
    }
}
