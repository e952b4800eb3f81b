//! No room on the disk for the database, the previews or the log, and no file handles left: nothing is sent that
//! cannot be written down, and the same worker goes on when there is room again.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;
use serde_json::json;

use crate::support::Database;
use crate::support::given::id;
use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::not_tested;
use crate::support::patience::until;
use crate::support::postgres::Server;
use crate::support::program::Program;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";

/// A small disk; unmounted when it is dropped.
struct Disk {
    folder: tempfile::TempDir,
}

/// `None`, said loudly, where this machine does not permit it.
fn disk(mib: u32) -> Option<Disk> {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
        .arg(folder.path())
        .output();
    match mounted {
        Ok(output) if output.status.success() => Some(Disk { folder }),
        other => {
            not_tested(&format!("full disks: a small one cannot be mounted here: {other:?}"));
            None
        }
    }
}

impl Disk {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        // It ends when the disk is full, and that is what it is for.
        let full = std::io::copy(&mut std::io::repeat(b'x'), &mut std::fs::File::create(&path).unwrap());
        assert!(full.is_err());
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.unwrap().success(), "{} stays mounted", self.path().display());
    }
}

/// A relay over each connection of which this many mails go.
fn relay(live: &Live, mails: u32) -> String {
    let (host, port) = (&live.host, live.port);
    format!("[[relay]]\nurl = \"smtp://{host}:{port}\"\nmax_messages_per_connection = {mails}\n")
}

/// No mail goes any more, long before all have gone: the log of a database has room for a moment.
fn is_quiet(live: &Live, sends: usize) {
    let mut quiet = (live.count("accept"), Instant::now());
    live.waits_until("it is quiet", || {
        let now = live.count("accept");
        if now > quiet.0 {
            quiet = (now, Instant::now());
        }
        quiet.1.elapsed() > Duration::from_secs(3)
    });
    eprintln!("{}: quiet after {} of {sends}", live.database.name(), quiet.0);
    assert!(quiet.0 < sends, "the disk was full before all were sent");
}

/// A worker at so many sends of each guarantee whose database has no room in mid-run, and then has room again: it goes on.
async fn runs_out_of_room(live: &mut Live, disk: &Disk, sends_each: usize) -> Running {
    live.given_sends(Guarantee::AtMostOnce, sends_each).await;
    live.given_sends(Guarantee::AtLeastOnce, sends_each).await;
    live.serve(0.02, &[]);
    let mut worker = live.worker();
    live.waits_until("mails go out", || live.count("accept") >= 50);
    let filler = disk.fill();
    is_quiet(live, 2 * sends_each);
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    std::fs::remove_file(filler).unwrap();
    worker
}

#[tokio::test]
async fn without_room_for_the_database_nothing_is_sent_and_with_room_again_everybody_has_one_mail() {
    let Some(disk) = disk(16) else { return };
    let Some(mut live) = Live::on(Database::empty_sqlite_in(disk.path()).await, WORKER).await else { return };
    let _worker = runs_out_of_room(&mut live, &disk, 300).await;
    live.hurries_until_all_are(&["sent"]).await;
    live.is_judged(0, 8);
    assert_eq!(live.count("accept"), 600);
    live.database.is_whole().await;
}

#[tokio::test]
async fn without_room_for_postgresql_nothing_is_sent_and_with_room_again_everybody_has_one_mail() {
    let Some(disk) = disk(160) else { return };
    let Some(mut server) = Server::own_in(disk.path()) else { return };
    let Some(mut live) = Live::on_server(&server, WORKER).await else { return };
    let mut worker = runs_out_of_room(&mut live, &disk, 500).await;
    // A server whose log has no room ends itself; whoever looks after it makes room and starts it.
    server.restart();
    live.hurries_until_all_are(&["sent"]).await;
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    live.is_judged(0, 8);
    assert_eq!(live.count("accept"), 1_000);
}

#[tokio::test]
async fn without_room_a_service_refuses_and_with_room_again_it_keeps_and_nothing_it_had_kept_is_lost() {
    let Some(disk) = disk(16) else { return };
    let database = Database::empty_sqlite_in(disk.path()).await;
    let program = Program::new(&format!("[database]\nurl = \"{}\"\n", database.url));
    let key = program.says(&["keys", "create", "web", "--scope", "ingest"]).await.trim().to_owned();
    let mut service = program.serves(&[]).await;
    let (client, url) = (reqwest::Client::builder().no_proxy().build().unwrap(), service.url.clone());
    let tells = async |message: usize| {
        let properties = json!({"note": "x".repeat(20_000)});
        let body = json!({"userId": "ana", "event": "Seen", "messageId": message.to_string(), "properties": properties});
        let answer =
            client.post(format!("{url}/v1/track")).bearer_auth(&key).json(&body).send().await.unwrap();
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), retry)
    };
    let mut kept = 0;
    while kept < 20 {
        assert_eq!(tells(kept).await, (200, None));
        kept += 1;
    }
    let filler = disk.fill();
    let refused = loop {
        match tells(kept).await {
            (200, _) => kept += 1,
            refused => break refused,
        }
    };
    assert_eq!(refused, (503, Some("5".to_owned())), "after {kept}");
    assert_eq!(tells(kept).await.0, 503, "as long as there is no room");
    std::fs::remove_file(filler).unwrap();
    until("there is room", async || (tells(kept).await.0 == 200).then_some(())).await;
    assert!(service.child.try_wait().unwrap().is_none(), "the service goes on");
    let ana = id("ana");
    let found = database.store.events_of(std::slice::from_ref(&ana)).await.unwrap();
    let found: BTreeSet<String> = found.into_values().flatten().map(|event| event.id).collect();
    assert_eq!(found, (0..=kept).map(|message| message.to_string()).collect());
    eprintln!("{kept} events kept before it was full");
    database.is_whole().await;
}

#[tokio::test]
async fn without_room_for_previews_mails_wait_and_with_room_again_each_is_written_once() {
    let Some(disk) = disk(1) else { return };
    let Some(live) = Live::on_sqlite(WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, 40).await;
    let filler = disk.fill();
    let mails = disk.path().join("mails");
    std::fs::create_dir(&mails).unwrap();
    let mut command = live.bespoke();
    command.arg("work").arg("--into").arg(&mails);
    let mut worker = Running(command.spawn().unwrap());
    live.waits_until("all wait", || live.states().get("deferred") == Some(&40));
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    let whole = |mails: &Path| {
        let files = std::fs::read_dir(mails).unwrap().map(|file| file.unwrap().path());
        let mut names: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|ending| ending == "eml")).collect();
        names.sort();
        names
    };
    assert_eq!(whole(&mails), Vec::<PathBuf>::new(), "no mail is half written");
    std::fs::remove_file(filler).unwrap();
    live.hurries_until_all_are(&["sent"]).await;
    assert_eq!(whole(&mails).len(), 40);
}

#[tokio::test]
async fn without_room_for_a_preview_whoever_asks_for_it_is_told_and_with_room_again_they_have_it() {
    let Some(disk) = disk(1) else { return };
    let Some(live) = Live::on_sqlite(WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, 40).await;
    let out = disk.path().join("preview");
    let preview = || {
        let mut command = live.bespoke();
        command.args(["preview", "--campaign", "news", "--sample", "40", "--out"]).arg(&out);
        command.output().unwrap()
    };
    let filler = disk.fill();
    let told = preview();
    let words = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.code() == Some(1) && words.contains("No space left"), "{told:?}");
    assert!(!out.join("index.html").exists(), "half a preview is none");
    std::fs::remove_file(filler).unwrap();
    let had = preview();
    assert!(had.status.success() && out.join("index.html").exists(), "{had:?}");
}

#[tokio::test]
async fn without_room_for_the_log_mails_go_out_all_the_same() {
    let Some(disk) = disk(1) else { return };
    let Some(mut live) = Live::on_sqlite(WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, 60).await;
    live.state_relays(&relay(&live, 5));
    live.serve(0.0, &["connect%4=421 4.3.0 a line in the log"]);
    disk.fill();
    let log = std::fs::File::options().create(true).append(true).open(disk.path().join("filler")).unwrap();
    let mut command = live.bespoke();
    command.env("RUST_LOG", "debug").stdout(Stdio::from(log.try_clone().unwrap())).stderr(Stdio::from(log));
    let mut worker = Running(command.arg("work").spawn().unwrap());
    live.hurries_until_all_are(&["sent"]).await;
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    worker.signal("TERM");
    assert_eq!(worker.ends(), Some(0), "and hears when it is told to stop");
    live.is_judged(0, 8);
}

fn limit_files(worker: &Running, most: u32) {
    let limited = Command::new("prlimit")
        .args(["--pid", &worker.0.id().to_string(), &format!("--nofile={most}:4096")])
        .status();
    assert!(limited.unwrap().success(), "prlimit");
}

#[tokio::test]
async fn without_file_handles_mails_wait_and_with_some_again_everybody_has_one() {
    for mut live in Live::on_each_database_if_long(WORKER).await {
        live.given_sends(Guarantee::AtMostOnce, 150).await;
        live.given_sends(Guarantee::AtLeastOnce, 150).await;
        // Every mail needs a connection of its own.
        live.state_relays(&relay(&live, 1));
        live.serve(0.02, &[]);
        let mut worker = live.worker();
        live.waits_until("mails go out", || live.count("accept") >= 20);
        limit_files(&worker, 4);
        Live::passes(Duration::from_secs(5));
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
        limit_files(&worker, 4_096);
        live.hurries_until_all_are(&["sent"]).await;
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
        live.is_judged(0, 8);
        assert_eq!(live.count("accept"), 300, "on {}", live.database.name());
    }
}
