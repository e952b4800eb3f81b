//! The whole program but its command line, driven in the user's words: people, what they did, campaigns, the worker.

use std::path::PathBuf;

use bespoke::clock::Clock;
use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::decision::Decision;
use bespoke::deliver::transport::KeptMail;
use bespoke::deliver::transport::Outbox;
use bespoke::deliver::transport::Transport;
use bespoke::event::Event;
use bespoke::profile::Profile;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::SendFilter;
use bespoke::store::StoredSend;
use bespoke::worker::assemble;
use bespoke::worker::engine::Engine;
use bespoke::worker::plan::Horizon;
use bespoke::worker::plan::plan;
use bespoke::worker::run::Until;
use bespoke::worker::run::Worker;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Value;

use super::Database;
use super::database::start;
use super::given;

/// A campaign folder: path and text of each file.
pub(crate) type Files<'a> = &'a [(&'a str, &'a str)];

/// The smallest shop that works: a layout, and a lifecycle and a transactional campaign.
pub(crate) const SHOP: Files<'static> = &[
    (
        "layouts/default.mjml",
        "<mjml><mj-head><mj-title>{{ shop.name }}</mj-title></mj-head><mj-body><mj-content /><mj-section><mj-column>\
         <mj-text><a href=\"{{ links.unsubscribe }}\">Unsubscribe</a></mj-text></mj-column></mj-section></mj-body></mjml>",
    ),
    (
        "news/campaign.toml",
        "kind = \"lifecycle\"\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n",
    ),
    (
        "news/any/hello.mjml",
        "+++\nsubject = \"Hello {{ profile.first_name or 'there' }}\"\n+++\n<mj-section><mj-column><mj-text>Dear {{ profile.first_name or 'friend' }}, <a href=\"https://shop.test/new\">see what is new</a>.</mj-text></mj-column></mj-section>",
    ),
    (
        "receipt/campaign.toml",
        "kind = \"transactional\"\ntrigger = { event = { name = \"Order Completed\" } }\n",
    ),
    (
        "receipt/any/receipt.mjml",
        "+++\nsubject = \"Your order {{ data.order_id or '' }}\"\n+++\n<mj-section><mj-column><mj-text>Thank you for order {{ data.order_id or '' }}.</mj-text></mj-column></mj-section>",
    ),
    (
        "samples/ana.json",
        "{\"profile\": {\"id\": \"ana\", \"email\": \"ana@example.test\", \"consent\": \"granted\", \"created_at\": \"2026-01-01T00:00:00Z\", \"first_name\": \"Ana\"}}",
    ),
];

/// The configuration that goes with [`SHOP`]: no quiet hours, links under a public address.
pub(crate) const CONFIG: &str = "\
[shop]
name = \"Shop\"
url = \"https://shop.test\"
currency = \"EUR\"
[traits]
first_name = \"string\"
[sender]
from = \"Shop <hello@shop.test>\"
[public]
url = \"https://m.shop.test\"
secret = \"a secret of at least thirty-two bytes\"
[quiet_hours]
start = \"00:00\"
end = \"00:00\"
";

/// The program under test, on one database.
pub(crate) struct TestApp {
    pub(crate) database: Database,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    transport: Option<Transport>,
    folder: tempfile::TempDir,
}

impl TestApp {
    /// One app per kind of database, each with [`SHOP`] and the files laid over it.
    pub(crate) async fn on_each_database(more: Files<'_>) -> Vec<Self> {
        super::stores().await.into_iter().map(|database| Self::new(database, CONFIG, more)).collect()
    }

    /// One app on SQLite, for what has nothing to do with the database.
    pub(crate) async fn on_sqlite(more: Files<'_>) -> Self {
        Self::new(Database::sqlite().await, CONFIG, more)
    }

    pub(crate) fn new(database: Database, config: &str, more: Files<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let templates = folder.path().join("templates");
        for (path, text) in SHOP.iter().chain(more) {
            let path = templates.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let file: PathBuf = folder.path().join("bespoke.toml");
        std::fs::write(&file, config).unwrap();
        let flags = Overrides(vec![("database.url".to_owned(), database.url.clone())]);
        let config = Config::load(Some(&file), &Environment::default(), &flags).unwrap();
        let clock = Clock::fixed(start());
        Self { database, config, clock, outbox: Outbox::default(), transport: None, folder }
    }

    /// Sends over this transport instead of into memory.
    pub(crate) fn over(&mut self, transport: Transport) {
        self.transport = Some(transport);
    }

    /// What `bespoke ARGUMENTS` prints, as a process of its own on the same database, once it has ended well.
    pub(crate) async fn says(&self, arguments: &[&str]) -> String {
        self.says_and_warns(arguments).await.0
    }

    /// The same, with what it prints beside that.
    pub(crate) async fn says_and_warns(&self, arguments: &[&str]) -> (String, String) {
        let output = self.command(arguments).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Why `bespoke ARGUMENTS` does nothing.
    pub(crate) async fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bespoke"));
        command.current_dir(self.folder.path()).args(["--database", &self.database.url]).args(arguments);
        command
    }

    /// A file of this app's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clocks of the program and of the database.
    pub(crate) async fn at(&self, time: &str) {
        let time: Timestamp = time.parse().unwrap();
        self.clock.set(time);
        self.database.set_now(time).await;
    }

    pub(crate) async fn given_profile(&self, name: &str) -> Profile {
        self.given_profile_with(name, |_| {}).await
    }

    pub(crate) async fn given_profile_with(&self, name: &str, change: impl FnOnce(&mut Profile)) -> Profile {
        let mut profile = given::profile(name);
        profile.traits.insert("first_name".to_owned(), Value::from(name));
        change(&mut profile);
        self.database.store.upsert_profiles(&[profile.clone()], self.now()).await.unwrap();
        profile
    }

    /// `name` does something now, with these properties.
    pub(crate) async fn does(&self, name: &str, event: &str, properties: Value) {
        let id = format!("{event} {} {properties}", self.now());
        let properties = properties.as_object().unwrap().clone();
        let event =
            Event { id, profile: given::id(name), name: event.to_owned(), at: self.now(), properties };
        self.database.store.insert_events(&[event]).await.unwrap();
    }

    pub(crate) async fn engine(&self) -> Engine {
        assemble::engine(&self.config, &self.database.store).await.unwrap()
    }

    /// Plans what falls due within a day; returns how many sends were new.
    pub(crate) async fn plans(&self) -> u64 {
        let horizon = Horizon { now: self.now(), ahead: SignedDuration::from_hours(24) };
        let planned =
            plan(&self.database.store, &self.engine().await, None, horizon, &|_, _| {}).await.unwrap();
        planned.iter().map(|planned| planned.scheduled).sum()
    }

    /// A worker that is not yet running.
    pub(crate) async fn worker(&self) -> Worker {
        let transport = self.transport.clone().unwrap_or(Transport::Memory(self.outbox.clone()));
        Worker::new(self.database.store.clone(), self.engine().await, transport, self.clock.clone()).unwrap()
    }

    pub(crate) async fn runs_until_idle(&self) {
        self.worker().await.run(Until::Idle).await.unwrap();
    }

    pub(crate) fn mails(&self) -> Vec<KeptMail> {
        self.outbox.mails()
    }

    /// All sends, by id.
    pub(crate) async fn sends(&self) -> Vec<StoredSend> {
        self.database.store.sends(&SendFilter::default(), None, 1_000).await.unwrap()
    }

    /// State and reason of each send, by id.
    pub(crate) async fn states(&self) -> Vec<(State, String)> {
        let sends = self.sends().await;
        sends.into_iter().map(|stored| (stored.send.state, stored.reason.unwrap_or_default())).collect()
    }

    pub(crate) async fn decision(&self, send: &SendId) -> Decision {
        self.database.store.decisions(std::slice::from_ref(send)).await.unwrap().remove(send).unwrap()
    }
}
