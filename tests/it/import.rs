//! `bespoke import` as its user meets it: real files by maps, files that are wrong, and an import that dies.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bespoke::store::Store;
use flate2::read::MultiGzDecoder;

use crate::support::Database;
use crate::support::not_tested;
use crate::support::stores;

mod faults;
mod real;

/// However long a file is, an import never holds more.
const PEAK_KB_MAX: u64 = 200 * 1024;

/// A folder for a test, and what the program printed in it.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn command(&self, database: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bespoke"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .arg("import")
            .args(words)
            .args(["--database", database]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `bespoke import` in the folder.
    pub(crate) fn import(&self, database: &str, words: &[&str]) -> Run {
        Run::of(&self.command(database, words).output().unwrap())
    }

    /// The same, with the most memory that it ever held, in kilobytes; the kernel tells it a parent of the process.
    fn import_and_weigh(&self, database: &str, words: &[&str]) -> (Run, u64) {
        const PARENT: &str = "import resource, subprocess, sys\n\
            code = subprocess.run(sys.argv[1:]).returncode\n\
            open('peak', 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
            sys.exit(code)";
        let command = self.command(database, words);
        let mut parent = Command::new("python3");
        parent.args(["-c", PARENT]).arg(command.get_program()).args(command.get_args());
        let output = parent.current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap();
        (Run::of(&output), self.read("peak").parse().unwrap())
    }
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let stderr = text(&output.stderr);
        // Lines of progress depend on the machine's speed.
        let stderr = stderr.lines().filter(|line| !line.contains(" rows, ")).collect::<Vec<_>>().join("\n");
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr }
    }

    fn ok(stdout: &str) -> Self {
        Self { code: Some(0), stdout: format!("{stdout}\n"), stderr: String::new() }
    }
}

/// The header and the first `rows` lines of a gzipped file.
fn head(path: &Path, rows: usize) -> String {
    let lines = BufReader::new(MultiGzDecoder::new(std::fs::File::open(path).unwrap())).lines();
    lines.take(rows + 1).map(|line| line.unwrap() + "\n").collect()
}

pub(crate) fn map(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/maps").join(name).display().to_string()
}

/// Everything that an import can change, as text.
async fn state(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    let profiles = store.profiles_after(None, 100_000).await.unwrap();
    for profile in &profiles {
        let events = store.events_of(std::slice::from_ref(&profile.id)).await.unwrap();
        lines.push(format!(
            "{} {:?} {} {:?}",
            profile.id, profile.address, profile.created_at, profile.traits
        ));
        lines.extend(events.into_values().flatten().map(|event| format!("{event:?}")));
    }
    lines.extend(store.all_products().await.unwrap().iter().map(|product| format!("{product:?}")));
    lines
}

#[tokio::test]
async fn files_of_every_kind_load_and_loading_them_again_changes_nothing() {
    let desk = Desk::new();
    desk.write("people.csv", "id;email;First Name\nana;ana@example.test;Ana\nbob;;Bob\n");
    desk.write("deeds.jsonl", concat!(
        r#"{"messageId":"m1","userId":"ana","event":"Product Viewed","timestamp":"2026-01-02T03:04:05Z","properties":{"product_id":"tea"}}"#, "\n",
        r#"{"userId":"zoe","event":"Signed Up","timestamp":"2026-01-02T03:04:05Z"}"#, "\n",
        r#"{"userId":"zoe","event":"Signed Up","timestamp":"2026-01-02T03:04:05Z"}"#, "\n"));
    desk.write("things.csv", "sku,title,price\ntea,Tea,4.50\n");
    desk.write("codes.csv", "code\nA-1\nA-2\n");
    for database in stores().await {
        let import = |words: &[&str]| desk.import(&database.url, words);
        let name = database.name();
        for (words, first, again) in [
            (
                &["profiles", "people.csv"][..],
                "people.csv: 2 rows: 2 profiles loaded, 0 unchanged, 0 rejected",
                "people.csv: 2 rows: 0 profiles loaded, 2 unchanged, 0 rejected",
            ),
            (
                &["events", "deeds.jsonl"],
                "deeds.jsonl: 3 rows: 3 events loaded, 0 unchanged, 0 rejected; 1 profile was new, and has no address yet",
                "deeds.jsonl: 3 rows: 0 events loaded, 3 unchanged, 0 rejected",
            ),
            (
                &["products", "things.csv"],
                "things.csv: 1 row: 1 product loaded, 0 unchanged, 0 rejected",
                "things.csv: 1 row: 0 products loaded, 1 unchanged, 0 rejected",
            ),
            (
                &["coupons", "codes.csv", "--offer", "welcome"],
                "codes.csv: 2 rows: 2 coupons loaded, 0 unchanged, 0 rejected",
                "codes.csv: 2 rows: 0 coupons loaded, 2 unchanged, 0 rejected",
            ),
        ] {
            assert_eq!(import(words), Run::ok(first), "{name}");
            let before = state(&database.store).await;
            assert_eq!(import(words), Run::ok(again), "{name}");
            assert_eq!(state(&database.store).await, before, "{name}");
        }
        assert_eq!(database.store.count_events().await.unwrap(), 3, "{name}");
        assert_eq!(database.store.count_coupons().await.unwrap()["welcome"].free, 2, "{name}");
    }
    assert_eq!(desk.names(), ["codes.csv", "deeds.jsonl", "people.csv", "things.csv"]);
}

#[tokio::test]
async fn an_import_that_was_killed_and_is_run_again_ends_as_if_nothing_had_happened() {
    let desk = Desk::new();
    let row = |row| format!("p{},Product Viewed,2026-01-0{},thing-{}\n", row % 40, row % 9 + 1, row % 70);
    let rows: Vec<String> = (0..6_000).map(row).collect();
    let csv = format!("profile,event,at,product_id\n{}", rows.concat());
    desk.write("deeds.csv", &csv);
    let whole = Database::sqlite().await;
    assert_eq!(desk.import(&whole.url, &["events", "deeds.csv"]).code, Some(0));
    for killed in stores().await {
        let mut child = desk.command(&killed.url, &["events", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // More than the program looks ahead: some batches were taken when this returns, the rest never comes.
        stdin.write_all(&csv.as_bytes()[..csv.len() * 4 / 5]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(killed.store.count_events().await.unwrap() < 6_000);

        let again = desk.import(&killed.url, &["events", "deeds.csv"]);
        assert_eq!(again.code, Some(0), "{again:?}");
        assert_eq!(state(&killed.store).await, state(&whole.store).await, "{}", killed.name());
        assert_eq!(killed.store.count_events().await.unwrap(), 6_000);
    }
}

#[tokio::test]
async fn memory_stays_small_however_long_the_rows_are() {
    const WAIT_MAX: Duration = Duration::from_mins(5);
    let desk = Desk::new();
    let database = Database::sqlite().await;
    let mut child = desk.command(&database.url, &["profiles", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = "x".repeat(45_000);
    for row in 0..1_000 {
        writeln!(stdin, "{{\"id\":\"p{row}\",\"text\":\"{text}\"}}").unwrap();
    }
    // A batch is a few megabytes: all but the last have been saved when this ends, and the program waits for more.
    let started = Instant::now();
    while database.store.count_profiles().await.unwrap() < 900 {
        assert!(started.elapsed() < WAIT_MAX, "the rows are not saved as they come");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kb: Option<u64> = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    drop(stdin);
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stdout, "stdin: 1,000 rows: 1,000 profiles loaded, 0 unchanged, 0 rejected\n");
    match peak_kb {
        Some(peak_kb) => assert!(peak_kb < PEAK_KB_MAX, "{peak_kb} KB for 45 MB of rows"),
        None => not_tested("the peak of memory: there is no /proc here"),
    }
}
