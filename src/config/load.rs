//! Reading, laying over, checking: all faults at once, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;
use serde::Deserialize;
use toml::Spanned;
use toml::Table;
use toml::Value;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::Config;
use crate::config::environment::Environment;
use crate::config::environment::Setting;
use crate::config::environment::set_path;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::fault::render_all;
use crate::webhook::Endpoint;

/// Faults in one file at most; who has more will run it again.
const FAULTS_MAX: usize = 50;

/// What flags lay over file and environment: paths of keys with values.
#[derive(Debug, Clone, Default)]
pub struct Overrides(pub Vec<(String, String)>);

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone)]
pub struct ConfigErrors(pub Vec<Fault>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(render_all(&self.0).trim_end())
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// Reads `file` (or nothing), then the environment, then flags. Relative paths are taken from the file's folder.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &Overrides,
    ) -> Result<Self, ConfigErrors> {
        let mut faults = Vec::new();
        let source = match file {
            Some(path) => Some(read(path)?),
            None => None,
        };
        let mut table = source.as_ref().map(|file| check_file(file, &mut faults)).unwrap_or_default();
        if !faults.is_empty() {
            return Err(ConfigErrors(faults));
        }
        overlay(&mut table, environment, flags, &mut faults);
        let config = match Self::deserialize(Value::Table(table)) {
            Ok(config) => config,
            Err(error) => {
                faults.push(Fault::general(error.message().to_owned()));
                return Err(ConfigErrors(faults));
            }
        };
        config.check(source.as_ref(), &mut faults);
        if faults.is_empty() {
            let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
            Ok(config.with_paths_from(folder))
        } else {
            Err(ConfigErrors(faults))
        }
    }

    /// What types cannot say. A fault that is in the file shows its line.
    fn check(&self, file: Option<&SourceFile>, faults: &mut Vec<Fault>) {
        let mut fault = |key: &str, value: &str, message: String, help: &str| {
            let fault = match file.and_then(|file| Some((file, find_value(file, key, value)?))) {
                Some((file, span)) => Fault::at(file, span, message),
                None => Fault::general(message),
            };
            faults.push(fault.with_help(help));
        };
        let url = self.database.url.expose_secret();
        if !["sqlite://", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            fault(
                "url",
                url,
                "database.url is neither SQLite nor PostgreSQL".into(),
                "write sqlite://path or postgres://user:password@host/name",
            );
        }
        for (key, value) in [("start", &self.quiet_hours.start), ("end", &self.quiet_hours.end)] {
            if value.parse::<Time>().is_err() {
                fault(
                    key,
                    value,
                    format!("quiet_hours.{key} is no time of day"),
                    "write HH:MM, such as 21:00",
                );
            }
        }
        let zone = &self.quiet_hours.default_time_zone;
        if TimeZone::get(zone).is_err() {
            fault(
                "default_time_zone",
                zone,
                format!("there is no time zone {zone:?}"),
                "write an IANA name, such as Europe/Berlin",
            );
        }
        if let Some(url) = &self.public.url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            fault("url", url, "public.url is no web address".into(), "write https://mail.shop.example");
        }
        if let Some(secret) = &self.public.secret
            && secret.expose_secret().len() < 32
        {
            fault(
                "secret",
                secret.expose_secret(),
                "public.secret is shorter than 32 characters".into(),
                "make one with `openssl rand -hex 32`, or leave it out: one is made and kept in the database",
            );
        }
        if let Err(error) = self.sender.from.parse::<lettre::message::Mailbox>() {
            fault(
                "from",
                &self.sender.from,
                format!("sender.from is no mailbox: {error}"),
                "write `Shop <hello@shop.example>`",
            );
        }
        if self.worker.in_flight == 0 || self.worker.batch == 0 || self.worker.lease_seconds < 5 {
            fault(
                "in_flight",
                "",
                "worker.in_flight and worker.batch are at least 1, worker.lease_seconds at least 5".into(),
                "leave them out to get the defaults",
            );
        }
        if self.worker.retry_minutes.is_empty() {
            fault(
                "retry_minutes",
                "[]",
                "worker.retry_minutes is empty".into(),
                "write at least one number, such as [1, 5, 15, 60]",
            );
        }
        if self.retention.idempotency_keys_hours < 24 {
            fault(
                "idempotency_keys_hours",
                &self.retention.idempotency_keys_hours.to_string(),
                "retention.idempotency_keys_hours is below 24: clients may repeat a request for a day".into(),
                "write 24 or more, or leave it out to get 48",
            );
        }
        for percent in [self.holdout.percent, self.worker.policy_failure_percent] {
            if !(0.0..=100.0).contains(&percent) {
                fault(
                    "percent",
                    &percent.to_string(),
                    format!("{percent} is no percentage"),
                    "write a number from 0 to 100",
                );
            }
        }
        for problem in self.stage.problems(&self.events.known) {
            fault("", "", problem, "leave it out to get the default");
        }
        for problem in self.webhook.iter().filter_map(|section| Endpoint::new(section).err()) {
            fault("", "", problem, "see `[[webhook]]` in the README");
        }
        for (key, rate) in self.rates.all() {
            if !(rate.is_finite() && rate > 0.0) {
                fault(
                    key.rsplit('.').next().unwrap_or_default(),
                    &rate.to_string(),
                    format!("{key} must be greater than 0"),
                    "leave it out for no limit",
                );
            }
        }
    }

    fn with_paths_from(mut self, folder: &Path) -> Self {
        let under = |path: &mut PathBuf| *path = folder.join(&*path);
        if self.templates.folder != Path::new("builtin") {
            under(&mut self.templates.folder);
        }
        if let Some(path) = &mut self.transport.directory {
            under(path);
        }
        for relay in &mut self.relay {
            relay.ca_file.iter_mut().for_each(under);
        }
        for key in &mut self.dkim {
            key.key_file.iter_mut().for_each(under);
        }
        if let Some(path) = self.database.url.expose_secret().strip_prefix("sqlite://")
            && Path::new(path).is_relative()
        {
            self.database.url = format!("sqlite://{}", folder.join(path).display()).into();
        }
        self
    }
}

fn read(path: &Path) -> Result<SourceFile, ConfigErrors> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SourceFile { path: path.to_owned(), text: text.into() }),
        Err(error) => Err(ConfigErrors(vec![
            Fault::general(format!("cannot read {}: {error}", path.display())).with_help(
                "name another file with --config, or make a folder to start from with `bespoke init DIR`",
            ),
        ])),
    }
}

/// Finds every fault of the file by taking out what is wrong and trying again; the rest is returned as a plain table.
fn check_file(file: &SourceFile, faults: &mut Vec<Fault>) -> Table {
    let (document, syntax) = DeTable::parse_recoverable(&file.text);
    for error in syntax {
        faults.push(Fault::at(file, error.span().unwrap_or_default(), error.message().to_owned()));
    }
    if !faults.is_empty() {
        return Table::new();
    }
    let mut document = document;
    while faults.len() < FAULTS_MAX {
        let Err(error) = Config::deserialize(toml::Deserializer::from(document.clone())) else { break };
        let span = error.span().unwrap_or_default();
        faults.push(Fault::at(file, span.clone(), error.message().to_owned()));
        if !remove_at(document.get_mut(), &span) {
            break;
        }
    }
    toml::from_str(&file.text).unwrap_or_default()
}

/// Takes out the innermost entry whose key or value `span` lies in. False when there is none.
fn remove_at(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut found = None;
    for (key, value) in table.iter_mut() {
        if within(key.span()) {
            found = Some(key.clone());
            break;
        }
        let removed = match value.get_mut() {
            DeValue::Table(inner) => remove_at(inner, span),
            DeValue::Array(items) => {
                items.iter_mut().any(|item: &mut Spanned<DeValue<'_>>| match item.get_mut() {
                    DeValue::Table(inner) => remove_at(inner, span),
                    _ => false,
                })
            }
            _ => false,
        };
        if removed {
            return true;
        }
        if within(value.span()) {
            found = Some(key.clone());
            break;
        }
    }
    found.is_some_and(|key| table.remove(&key).is_some())
}

/// Lays environment and flags over the table, each checked by itself so that a fault names its variable.
fn overlay(table: &mut Table, environment: &Environment, flags: &Overrides, faults: &mut Vec<Fault>) {
    for (name, setting) in environment.settings() {
        match setting {
            Ok(Setting::Key(path, value)) => lay(table, faults, name, &path, value),
            Ok(Setting::Relay(url)) => {
                let mut relay = Table::new();
                relay.insert("url".to_owned(), Value::String(url.to_owned()));
                lay(table, faults, name, "relay", &format!("[{}]", Value::Table(relay)));
            }
            Err(message) => faults.push(Fault::general(message)),
        }
    }
    for (path, value) in &flags.0 {
        lay(table, faults, &format!("flag for {path}"), path, value);
    }
}

fn lay(table: &mut Table, faults: &mut Vec<Fault>, name: &str, path: &str, text: &str) {
    let mut tried = table.clone();
    let result = set_path(&mut tried, path, text).and_then(|()| {
        Config::deserialize(Value::Table(tried.clone())).map_err(|error| error.message().to_owned())
    });
    match result {
        Ok(_) => *table = tried,
        Err(message) => faults.push(Fault::general(format!("{name}: {}", message.trim()))),
    }
}

/// Where `key = "value"` stands in the file; the last one wins nothing here, the first is shown.
fn find_value(file: &SourceFile, key: &str, value: &str) -> Option<Range<usize>> {
    let mut offset = 0;
    for line in file.text.split_inclusive('\n') {
        if let Some((left, right)) = line.split_once('=')
            && left.trim() == key
            && right.contains(value)
        {
            let start = offset + left.len() + 1 + right.len() - right.trim_start().len();
            return Some(start..start + right.trim().len());
        }
        offset += line.len();
    }
    None
}
