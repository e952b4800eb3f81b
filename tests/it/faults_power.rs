//! Power that fails: what lies on the disk at any moment knows of every mail that the server had by then.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use bespoke::campaign::Guarantee;
use serde_json::Value;

use crate::support::live::IN_FLIGHT;
use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::not_tested;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\n";
const TIMES: usize = 5;

/// Stops every thread of it where it stands.
fn freeze(live: &Live, worker: &Running) {
    worker.signal("STOP");
    let stands = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('T')
    };
    live.waits_until("every thread stands", || {
        std::fs::read_dir(format!("/proc/{}/task", worker.0.id())).unwrap().all(stands)
    });
}

/// What the server has accepted.
fn accepted(live: &Live) -> BTreeSet<String> {
    let accepts = live.journal().into_iter().filter(|line| line["ev"] == "accept");
    accepts.map(|line| text(&line, "mid")).collect()
}

fn text(line: &Value, name: &str) -> String {
    line[name].as_str().unwrap().to_owned()
}

/// The file and its log, without the memory that processes share.
fn copy(from: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let name = |path: &Path| format!("{}{ending}", path.display());
        std::fs::copy(name(from), name(to)).unwrap();
    }
}

#[tokio::test]
async fn a_copy_of_the_file_at_any_moment_is_whole_and_knows_of_every_mail_and_goes_on_from_there() {
    let Some(mut live) = Live::on_sqlite(WORKER).await else { return };
    let sends = 100 * TIMES;
    live.given_sends(Guarantee::AtMostOnce, sends / 2).await;
    live.given_sends(Guarantee::AtLeastOnce, sends / 2).await;
    live.serve(0.01, &[]);
    let mut worker = live.worker();
    let original = live.database.url.clone();
    for time in 1..=TIMES {
        live.waits_until("mails go out", || live.count("accept") >= time * sends / (TIMES + 1));
        freeze(&live, &worker);
        let accepted = accepted(&live);
        let to = live.path(&format!("copy{time}.db"));
        copy(Path::new(original.strip_prefix("sqlite://").unwrap()), &to);
        if time == TIMES {
            // The power is gone.
            worker.kill();
        } else {
            worker.signal("CONT");
        }
        live.database.url = format!("sqlite://{}", to.display());
        live.database.is_whole().await;
        let went = live.ledger().into_iter().filter(|line| {
            let state = &line["state"];
            state == "submitting" || state == "sent"
        });
        let went: BTreeSet<String> = went.map(|line| text(&line, "message_id")).collect();
        let unknown: Vec<_> = accepted.difference(&went).collect();
        assert!(unknown.is_empty(), "{unknown:?} were accepted and the copy does not know of them");
        eprintln!("{} accepted, {} on the wire or sent", accepted.len(), went.len());
        assert!(went.len() <= accepted.len() + IN_FLIGHT, "{} accepted, {} went", accepted.len(), went.len());
        if time < TIMES {
            live.database.url.clone_from(&original);
        }
    }
    live.drains();
    live.is_judged(1, IN_FLIGHT);
    let states = live.states();
    let unknown = states.get("unknown").copied().unwrap_or(0);
    assert_eq!(states["sent"] + unknown, sends, "{states:?}");
}

/// What the lines of `strace` say, in their order.
enum Call<'a> {
    /// The disk has what was written before.
    Synced,
    /// The relay is asked for leave to send a body, over this socket.
    Asks(&'a str),
    /// A body and its dot leave over this socket.
    Body(&'a str),
    Other,
}

fn call(line: &str) -> Call<'_> {
    let (_, call) = line.split_once(' ').unwrap_or_default();
    let call = call.trim();
    let is_sync =
        ["fsync(", "fdatasync(", "<... fsync", "<... fdatasync"].iter().any(|name| call.starts_with(name));
    if is_sync && call.ends_with("= 0") {
        return Call::Synced;
    }
    let socket =
        call.split_once('(').and_then(|(_, rest)| rest.split_once(',')).map_or("", |(socket, _)| socket);
    if call.contains("DATA\\r\\n\"") {
        Call::Asks(socket)
    } else if call.contains("\\r\\n.\\r\\n\"") {
        Call::Body(socket)
    } else {
        Call::Other
    }
}

#[tokio::test]
async fn no_body_leaves_before_the_disk_has_its_mark() {
    let Some(mut live) = Live::on_sqlite("[worker]\nin_flight = 1\nbatch = 100\n").await else { return };
    live.given_sends(Guarantee::AtMostOnce, 40).await;
    live.serve(0.0, &[]);
    let trace = live.path("trace");
    let calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg";
    let strace = ["strace", "-f", "-s", "100000", "-e", calls, "-o", trace.to_str().unwrap()];
    let worked = live.bespoke_behind(&strace).args(["work", "--until-idle"]).output();
    if !worked.as_ref().is_ok_and(|output| output.status.success()) {
        return not_tested(&format!("the order of disk and wire: strace cannot be used here: {worked:?}"));
    }
    let mut asked: BTreeMap<&str, bool> = BTreeMap::new();
    let mut bodies = 0;
    let text = std::fs::read_to_string(&trace).unwrap();
    for line in text.lines() {
        match call(line) {
            Call::Synced => asked.values_mut().for_each(|is_synced| *is_synced = true),
            Call::Asks(socket) => drop(asked.insert(socket, false)),
            Call::Body(socket) => {
                assert_eq!(asked.remove(socket), Some(true), "{line}");
                bodies += 1;
            }
            Call::Other => {}
        }
    }
    assert_eq!(bodies, 40);
}
