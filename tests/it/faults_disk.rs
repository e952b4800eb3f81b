//! No room on the disk for the database, the previews or the log, and no file handles left: nothing is sent that
//! cannot be written down, and the same worker goes on when there is room again.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;

use crate::support::Database;
use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::not_tested;

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

#[tokio::test]
async fn without_room_for_the_database_nothing_is_sent_and_with_room_again_everybody_has_one_mail() {
    let Some(disk) = disk(16) else { return };
    let Some(mut live) = Live::on(Database::empty_sqlite_in(disk.path()).await, WORKER).await else { return };
    live.given_sends(Guarantee::AtMostOnce, 300).await;
    live.given_sends(Guarantee::AtLeastOnce, 300).await;
    live.serve(0.02, &[]);
    let mut worker = live.worker();
    live.waits_until("mails go out", || live.count("accept") >= 50);
    let filler = disk.fill();
    // The log of the database has room for a moment; then it is quiet.
    let mut quiet = (live.count("accept"), Instant::now());
    live.waits_until("it is quiet", || {
        let now = live.count("accept");
        if now > quiet.0 {
            quiet = (now, Instant::now());
        }
        quiet.1.elapsed() > Duration::from_secs(3)
    });
    assert!(quiet.0 < 600, "the disk was full before all were sent");
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    std::fs::remove_file(filler).unwrap();
    live.hurries_until_all_are(&["sent"]).await;
    live.is_judged(0, 8);
    assert_eq!(live.count("accept"), 600);
    live.database.is_whole().await;
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
