//! The real program as processes, against a scripted SMTP server in a process of its own, in real time.
//!
//! The server writes down what it took before it says so, and `invariants.py` compares that with what the program
//! exports: neither was written for this test.

use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::event::Event;
use bespoke::profile::Profile;
use bespoke::send::EVERY_TOPIC;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::send::Suppression;
use bespoke::store::Store;
use jiff::Timestamp;
use jiff::ToSpan as _;
use serde_json::Value;
use serde_json::json;

use crate::support::not_tested;

use super::Database;
use super::app::CONFIG;
use super::app::SHOP;
use super::given;
use super::postgres::Server;
pub(crate) use super::running::Running;

/// Sends that one worker has in work at most, where a test says nothing else.
pub(crate) const IN_FLIGHT: usize = 8;
/// Nothing here takes longer; a test that waits for ever says so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Whether the long faults are asked for: `tests/run --faults`.
pub(crate) fn is_long() -> bool {
    std::env::var_os("BESPOKE_TEST_FAULTS").is_some()
}

/// A shop in a folder of its own, its database, and its SMTP server.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) database: Database,
    folder: tempfile::TempDir,
    pub(crate) tools: PathBuf,
    server: Option<Running>,
    pub(crate) port: u16,
    /// Where the server listens.
    pub(crate) host: String,
    relay: Relay,
}

/// Those whom nobody may write to, and why.
pub(crate) const SUPPRESSED: [(&str, &str); 4] = [
    ("suppressed0", "hard_bounce"),
    ("suppressed1", "complaint"),
    ("suppressed2", "unsubscribe"),
    ("suppressed3", "manual"),
];

fn suppressions() -> Vec<Suppression> {
    let at = bespoke::clock::Clock::System.now();
    let suppression = |(name, reason): (&str, &str)| Suppression {
        address: format!("{name}@example.test"),
        topic: EVERY_TOPIC.to_owned(),
        reason: reason.to_owned(),
        at,
        until: None,
        send: None,
    };
    SUPPRESSED.map(suppression).into()
}

/// How the workers know their relay.
#[derive(Debug, PartialEq, Eq)]
enum Relay {
    /// By the variable of the environment.
    Usual,
    /// By sections of the configuration.
    Stated,
}

/// The scripted server and the judge lie beside the project.
fn tools() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools");
    let python =
        Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if python && tools.join("faultsmtpd.py").exists() {
        return Some(tools);
    }
    not_tested("whole processes: they need python3 and ../shared/tools/faultsmtpd.py");
    None
}

impl Live {
    /// One on each kind of database; none, said loudly, where the tools are missing. `config` is added to the usual.
    pub(crate) async fn on_each_database(config: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for database in Database::empty_of_each_kind().await {
            all.extend(Self::on(database, config).await);
        }
        all
    }

    /// One on each kind of database where the long faults are asked for; else on SQLite.
    pub(crate) async fn on_each_database_if_long(config: &str) -> Vec<Self> {
        if is_long() {
            Self::on_each_database(config).await
        } else {
            Self::on_sqlite(config).await.into_iter().collect()
        }
    }

    pub(crate) async fn on_sqlite(config: &str) -> Option<Self> {
        Self::on(Database::empty_of_each_kind().await.swap_remove(0), config).await
    }

    /// On a PostgreSQL database of its own.
    pub(crate) async fn on_its_own_postgres(config: &str) -> Option<Self> {
        Self::on(Database::empty_in_its_own_postgres().await?, config).await
    }

    /// On a server of the test's own.
    pub(crate) async fn on_server(server: &Server, config: &str) -> Option<Self> {
        Self::on(Database::empty_on(server).await, config).await
    }

    pub(crate) async fn on_postgres(config: &str) -> Option<Self> {
        let mut all = Database::empty_of_each_kind().await;
        if all.len() < 2 {
            return None;
        }
        Self::on(all.swap_remove(1), config).await
    }

    pub(crate) async fn on(database: Database, config: &str) -> Option<Self> {
        let tools = tools()?;
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in SHOP {
            let path = folder.path().join("templates").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let usual = "[cap]\nlifecycle_mails = 1000\ndays = 7\n";
        std::fs::write(folder.path().join("bespoke.toml"), format!("{CONFIG}{usual}{config}")).unwrap();
        database.store.migrate(bespoke::clock::Clock::System.now()).await.unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let host = "127.0.0.1".to_owned();
        Some(Self { database, folder, tools, server: None, port, host, relay: Relay::Usual })
    }

    /// Its workers know their relays by these sections of the configuration, and by nothing else.
    pub(crate) fn state_relays(&mut self, sections: &str) {
        let path = self.path("bespoke.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        let before = before.split("[[relay]]").next().unwrap();
        std::fs::write(path, format!("{before}{sections}")).unwrap();
        self.relay = Relay::Stated;
    }

    /// Nothing falls due at ten o'clock: `news` is sent on request.
    pub(crate) fn has_no_calendar(&self) {
        let text = "kind = \"lifecycle\"\ntrigger = { api = {} }\n";
        std::fs::write(self.path("templates/news/campaign.toml"), text).unwrap();
    }

    /// Ana, who is new, buys: her receipt is due at once, as soon as somebody plans.
    pub(crate) async fn ana_buys(&self, order: &str) {
        let now = bespoke::clock::Clock::System.now();
        self.store().upsert_profiles(&[given::profile("ana")], now).await.unwrap();
        let properties = json!({"order_id": order, "products": [{"product_id": "p1"}]});
        let bought = Event {
            id: order.to_owned(),
            profile: given::id("ana"),
            name: "Order Completed".to_owned(),
            at: now,
            properties: properties.as_object().unwrap().clone(),
        };
        self.store().insert_events(&[bought]).await.unwrap();
    }

    /// What was deferred is due now.
    pub(crate) async fn hurry(&self) {
        self.database.execute("update sends set due_at = 0 where state = 'deferred'").await;
    }

    /// Hurries what was deferred, until all sends are in one of these states.
    pub(crate) async fn hurries_until_all_are(&self, states: &[&str]) {
        let begun = Instant::now();
        loop {
            let found = self.states();
            if found.keys().all(|state| states.contains(&state.as_str())) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not all are {states:?}: {found:?}");
            self.hurry().await;
            std::thread::park_timeout(Duration::from_millis(300));
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.database.store
    }

    /// Under which stem its workers write down what they have in work.
    pub(crate) fn in_work(&self) -> PathBuf {
        let stem = self.store().beside();
        if self.database.name() == "sqlite" {
            stem
        } else {
            self.path(stem.file_name().unwrap().to_str().unwrap())
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the server, or starts it anew with other rules; what it took before stays written down.
    pub(crate) fn serve(&mut self, delay_s: f64, rules: &[&str]) {
        self.serve_with(delay_s, rules, &[]);
    }

    /// The same with more arguments, such as `--auth`.
    pub(crate) fn serve_with(&mut self, delay_s: f64, rules: &[&str], arguments: &[&str]) {
        self.server = None;
        let mut command = Command::new("python3");
        command
            .arg(self.tools.join("faultsmtpd.py"))
            .args(["--port", &self.port.to_string(), "--delay", &delay_s.to_string(), "--journal"])
            .arg(self.path("journal.jsonl"))
            .args(["--host", &self.host])
            .args(arguments);
        for rule in rules {
            command.args(["--rule", rule]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("listening"), "{said}");
        self.server = Some(Running(child));
    }

    /// People `p0` …, and a send to each, due now; among them some whom nobody may write to.
    pub(crate) async fn given_sends(&self, guarantee: Guarantee, count: usize) {
        let mut names: Vec<String> = (0..count).map(|i| format!("p{i}")).collect();
        let suppressed = SUPPRESSED.map(|(name, _)| name.to_owned());
        names.splice(count / 2..count / 2, suppressed);
        self.store().add_suppressions(&suppressions()).await.unwrap();
        self.given_sends_to(guarantee, &names, |_| {}).await;
    }

    pub(crate) async fn given_sends_to(
        &self,
        guarantee: Guarantee,
        names: &[String],
        change: impl Fn(&mut Profile),
    ) {
        let now = bespoke::clock::Clock::System.now();
        let mut people: Vec<_> = names.iter().map(|name| given::profile(name)).collect();
        people.iter_mut().for_each(change);
        for chunk in people.chunks(1_000) {
            self.store().upsert_profiles(chunk, now).await.unwrap();
        }
        let sends: Vec<_> = people.iter().map(|person| send(person.id.as_str(), guarantee, now)).collect();
        assert_eq!(self.store().plan(&sends).await.unwrap(), names.len() as u64);
    }

    /// The program, here.
    pub(crate) fn bespoke(&self) -> Command {
        self.bespoke_behind(&[])
    }

    /// The program behind another one, such as `ip netns exec`.
    pub(crate) fn bespoke_behind(&self, before: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_bespoke");
        let all = [before, &[program]].concat();
        let mut command = Command::new(all[0]);
        if self.relay == Relay::Usual {
            command.env("BESPOKE_SMTP_URL", format!("smtp://{}:{}", self.host, self.port));
        }
        command
            .args(&all[1..])
            .current_dir(self.folder.path())
            .args(["--database", &self.database.url])
            // What is to be sent is given; nothing is added at ten o'clock.
            .env("BESPOKE_WORKER__PLAN_EVERY_SECONDS", "0")
            .env("BESPOKE_WORKER__LEARN_EVERY_MINUTES", "0")
            // What a killed worker leaves behind goes with the folder.
            .env("TMPDIR", self.folder.path())
            .stdout(Stdio::null());
        command
    }

    /// A worker that also stands for planner and learner, behind another program.
    pub(crate) fn leading_worker(&self, before: &[&str]) -> Running {
        let mut command = self.bespoke_behind(before);
        command.env("BESPOKE_WORKER__PLAN_EVERY_SECONDS", "1");
        command.env("BESPOKE_WORKER__LEARN_EVERY_MINUTES", "1");
        Running(command.arg("work").spawn().unwrap())
    }

    /// A worker that goes on until somebody ends it.
    pub(crate) fn worker(&self) -> Running {
        Running(self.bespoke().arg("work").spawn().unwrap())
    }

    /// Whether a rule of the server has struck in this phase.
    pub(crate) fn struck(&self, phase: &str) -> bool {
        self.journal().iter().any(|line| line["ev"] == "fault" && line["phase"] == phase)
    }

    /// What the server wrote down.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("journal.jsonl")).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How often the server wrote this down.
    pub(crate) fn count(&self, event: &str) -> usize {
        let text = std::fs::read_to_string(self.path("journal.jsonl")).unwrap_or_default();
        text.matches(&format!("\"ev\": \"{event}\"")).count()
    }

    /// Time in which something could happen that must not.
    pub(crate) fn passes(time: Duration) {
        let begun = Instant::now();
        while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
    }

    /// Waits, with patience, for something that the server or the database shows.
    pub(crate) fn waits_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: does not happen; {:?}", self.states());
            std::thread::park_timeout(Duration::from_millis(3));
        }
    }
}

/// Lifecycle mail is at-most-once here and transactional mail at-least-once, as by default.
fn send(profile: &str, guarantee: Guarantee, now: Timestamp) -> ScheduledSend {
    let campaign = match guarantee {
        Guarantee::AtMostOnce => "news",
        Guarantee::AtLeastOnce => "receipt",
    };
    send_of(campaign, guarantee, profile, "once", now)
}

/// A send that is due now.
pub(crate) fn send_of(
    campaign: &str,
    guarantee: Guarantee,
    profile: &str,
    occurrence: &str,
    now: Timestamp,
) -> ScheduledSend {
    let campaign = CampaignId(campaign.to_owned());
    let kind = match guarantee {
        Guarantee::AtMostOnce => Kind::Lifecycle,
        Guarantee::AtLeastOnce => Kind::Transactional,
    };
    ScheduledSend {
        id: SendId::derive(now, &campaign, &given::id(profile), occurrence),
        campaign,
        kind,
        guarantee,
        profile: given::id(profile),
        occurrence: occurrence.to_owned(),
        due_at: now,
        expires_at: now + 24.hours(),
        state: State::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: json!({"order_id": "A-1"}).as_object().unwrap().clone(),
        to: None,
    }
}
