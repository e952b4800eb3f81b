//! A worker that runs out of memory with mails on the wire: nothing is lost, nothing goes out twice.

use std::collections::BTreeMap;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;

use crate::support::live::IN_FLIGHT;
use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::not_tested;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";
const PEOPLE: usize = 40;
/// Room beyond what a worker takes that waits for replies.
const ROOM_BYTES: u64 = 24 << 20;
/// In this time it comes to the mail that it has no room for.
const GIVEN: Duration = Duration::from_secs(5);

/// The address space that a process takes.
fn space_bytes(worker: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

fn ends_within(worker: &mut Running, time: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        if let Some(status) = worker.0.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    None
}

#[tokio::test]
async fn a_worker_that_runs_out_of_memory_loses_and_doubles_nothing() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return not_tested("a worker without memory: it needs prlimit (util-linux)");
    }
    // Over PostgreSQL all memory is our allocator's, which reserves a gigabyte when it begins: what bursts that aborts, and
    // is a death like any other.
    let Some(mut live) = Live::on_sqlite(WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, PEOPLE).await;
    // One of them has 48 MB of name, and comes due when others are on the wire.
    let name = "hex(zeroblob(24000000))";
    let sql =
        format!("update profiles set traits = '{{\"first_name\":\"' || {name} || '\"}}' where id = 'p7'");
    live.database.execute(&sql).await;
    live.database.execute("update sends set due_at = due_at + 3600000 where profile_id = 'p7'").await;
    live.serve(0.0, &["dot=stall"]);
    let mut command = live.bespoke();
    let words = live.path("words.txt");
    let log = std::fs::File::create(&words).unwrap();
    let mut worker = Running(command.arg("work").stderr(Stdio::from(log)).spawn().unwrap());
    live.waits_until("mails are on the wire", || live.count("fault") >= IN_FLIGHT);
    let limit = space_bytes(&worker) + ROOM_BYTES;
    let limited = Command::new("prlimit")
        .args([format!("--pid={}", worker.0.id()), format!("--as={limit}:{limit}")])
        .status();
    assert!(limited.unwrap().success(), "prlimit");
    live.database.execute("update sends set due_at = due_at - 3600000 where profile_id = 'p7'").await;
    // SQLite says that there is no memory, or a thread of its driver dies of it: either way the worker may go on.
    let ended = ends_within(&mut worker, GIVEN);
    let words = std::fs::read_to_string(words).unwrap();
    assert!(ended.is_none_or(|status| !status.success()), "{ended:?}: {words}");
    assert!(ended.is_some() || words.contains("out of memory"), "it never ran out of memory: {words}");
    worker.kill();
    assert_eq!(live.count("accept"), 0);

    // The next has room for it: that nothing could be read of somebody is no reason to skip them.
    live.serve(0.0, &[]);
    live.takes_over_and_drains().await;
    live.is_judged(1, IN_FLIGHT);
    let found = live.states();
    let unknown = found.get("unknown").copied().unwrap_or_default();
    assert!((1..=IN_FLIGHT).contains(&unknown), "{found:?}");
    let sent = PEOPLE - unknown;
    let expected = [("sent", sent), ("unknown", unknown)];
    let expected: BTreeMap<String, usize> = expected.map(|(state, count)| (state.to_owned(), count)).into();
    assert_eq!(found, expected);
    assert_eq!(live.count("accept"), sent);
}
