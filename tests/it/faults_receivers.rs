//! Receivers that nobody here wrote: Postfix, strict about everything that it can be strict about, and its `smtp-sink`.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use bespoke::campaign::Guarantee;

use crate::support::judge::python_with;
use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::live::is_long;
use crate::support::not_tested;

const WORKER: &str = "[worker]\nin_flight = 20\npoll_ms = 50\n";
const SENDS: usize = 500;

/// A program of Postfix; `None`, said loudly, without it.
fn postfix(program: &str) -> Option<PathBuf> {
    let path = Path::new("/usr/sbin").join(program);
    if path.exists() {
        return Some(path);
    }
    not_tested(&format!("real receivers: {} is missing; tests/run --faults installs it", path.display()));
    None
}

/// Postfix with a configuration and folders of its own, on the loopback alone; stopped when it is dropped.
struct Postfix {
    script: PathBuf,
    folder: tempfile::TempDir,
}

impl Postfix {
    fn start(script: PathBuf, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let started =
            Command::new(&script).arg("start").arg(folder.path()).arg(port.to_string()).output().unwrap();
        assert!(started.status.success(), "{started:?}");
        Self { script, folder }
    }

    /// What it has delivered, one file a mail.
    fn mails(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join("mail/all/new"))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let stopped = Command::new(&self.script).arg("stop").arg(self.folder.path()).status();
        assert!(stopped.unwrap().success(), "Postfix does not stop");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path()).collect()
}

/// A DKIM key in the folder of the shop; its public half as it stands in DNS.
fn dkim_key(live: &Live) -> PathBuf {
    let make = |command: &str| {
        let made = Command::new("sh").args(["-c", command]).current_dir(live.path(".")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    make("openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out dkim.pem");
    make("openssl pkey -in dkim.pem -pubout -outform DER | openssl base64 -A > dkim.pub");
    live.path("dkim.pub")
}

#[tokio::test]
async fn a_strict_postfix_takes_every_mail_and_its_signature_verifies_there() {
    let Some(python) = python_with("dkim") else { return };
    let dkim = "[[dkim]]\ndomain = \"shop.test\"\nselector = \"s1\"\nkey_file = \"dkim.pem\"\n";
    for mut live in Live::on_each_database_if_long(&format!("{WORKER}{dkim}")).await {
        let tools = live.tools.clone();
        let Some(_) = postfix("postfix").filter(|_| is_long()) else { return };
        let public = dkim_key(&live);
        let names: Vec<String> = (0..SENDS)
            .map(|i| format!("p{i}"))
            .chain(["550-gone".to_owned(), "451-later".to_owned()])
            .collect();
        live.given_sends_to(Guarantee::AtMostOnce, &names, |_| {}).await;
        let postfix = Postfix::start(tools.join("postfix_sink.sh"), live.port);
        live.state_relays(&format!("[[relay]]\nurl = \"smtp://127.0.0.1:{}\"\n", live.port));
        assert!(live.bespoke().args(["work", "--until-idle"]).status().unwrap().success());
        let expected = [("deferred", 1), ("failed", 1), ("sent", SENDS)];
        let expected = expected.map(|(state, count)| (state.to_owned(), count)).into();
        assert_eq!(live.states(), expected, "on {}", live.database.name());
        live.waits_until("Postfix has delivered all", || postfix.mails().len() >= SENDS);
        let mails = postfix.mails();
        assert_eq!(mails.len(), SENDS);
        let message_ids: std::collections::BTreeSet<String> = mails
            .iter()
            .map(|path| {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned()
            })
            .collect();
        assert_eq!(message_ids.len(), SENDS, "each once");
        // Postfix keeps lines by a bare LF, and writes three lines of its own in front: as they were on the wire.
        let wire: Vec<PathBuf> = mails.iter().map(|path| on_the_wire(path, &live)).collect();
        let judged = Command::new(&python)
            .arg(tools.join("judge_dkim.py"))
            .args(&wire)
            .args(["--key", &format!("s1._domainkey.shop.test={}", public.display())])
            .output()
            .unwrap();
        let verdict = String::from_utf8_lossy(&judged.stdout);
        let faults: Vec<&str> = verdict.lines().filter(|line| !line.ends_with(" OK")).collect();
        assert!(judged.status.success() && faults.is_empty(), "{faults:?}");
        eprintln!(
            "Postfix on {}: {SENDS} sent, {} delivered, all signatures verify",
            live.database.name(),
            mails.len()
        );
    }
}

fn on_the_wire(path: &Path, live: &Live) -> PathBuf {
    let text = std::fs::read_to_string(path).unwrap().replace('\n', "\r\n");
    let wire = live.path(&format!("{}.eml", path.file_name().unwrap().to_str().unwrap()));
    std::fs::write(&wire, text).unwrap();
    wire
}

#[tokio::test]
async fn smtp_sink_of_postfix_has_as_many_as_were_sent() {
    let Some(sink) = postfix("smtp-sink").filter(|_| is_long()) else { return };
    for live in Live::on_each_database(WORKER).await {
        live.given_sends(Guarantee::AtMostOnce, SENDS).await;
        live.given_sends(Guarantee::AtLeastOnce, SENDS).await;
        let dump = live.path("dump");
        std::fs::create_dir(&dump).unwrap();
        let mut command = Command::new(&sink);
        command
            .args(["-u", "nobody", "-d", "dump/%s."])
            .arg(format!("127.0.0.1:{}", live.port))
            .arg("100")
            .current_dir(live.path("."))
            .stdout(Stdio::null());
        make_writable_for_all(&live.path("."));
        make_writable_for_all(&dump);
        let _sink = Running(command.spawn().unwrap());
        live.waits_until("it listens", || std::net::TcpStream::connect(("127.0.0.1", live.port)).is_ok());
        assert!(live.bespoke().args(["work", "--until-idle"]).status().unwrap().success());
        live.drains();
        let name = live.database.name();
        assert_eq!(live.states(), [("sent".to_owned(), 2 * SENDS)].into(), "on {name}");
        let mails = files(&dump).iter().filter(|path| std::fs::metadata(path).unwrap().len() > 1_000).count();
        eprintln!("smtp-sink on {name}: {} sent, {mails} there", 2 * SENDS);
        assert_eq!(mails, 2 * SENDS, "on {name}");
    }
}

/// It gives up its rights before it writes.
fn make_writable_for_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}
