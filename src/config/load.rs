//! Reading, laying over, checking: all faults at once, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde::Deserialize;
use toml::Spanned;
use toml::Table;
use toml::Value;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::Config;
use crate::config::check;
use crate::config::environment::Environment;
use crate::config::environment::Setting;
use crate::config::environment::set_path;
use crate::config::veil::Veil;
use crate::config::veil::clean_of;
use crate::config::veil::without_quotes;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::fault::render_all;

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
        let source = file.map(Source::read).transpose()?;
        let mut table = source.as_ref().map(|source| source.check(&mut faults)).unwrap_or_default();
        overlay(&mut table, environment, flags, &mut faults);
        let config = match Self::deserialize(Value::Table(table)) {
            Ok(config) => Some(config),
            Err(error) if faults.is_empty() => {
                faults.push(Fault::general(without_quotes(error.message())));
                None
            }
            Err(_) => None,
        };
        // What is wrong so far was left out: the rest is looked at all the same.
        faults.extend(config.iter().flat_map(|config| check::faults(config, source.as_ref())));
        match config {
            Some(config) if faults.is_empty() => {
                Ok(config.with_paths_from(file.and_then(Path::parent).unwrap_or(Path::new(""))))
            }
            _ => Err(ConfigErrors(faults)),
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

/// A configuration file.
#[derive(Debug)]
pub(super) struct Source {
    /// As it was read.
    text: String,
    veil: Veil,
    /// As it may be shown.
    shown: SourceFile,
}

impl Source {
    fn read(path: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigErrors(vec![Fault::general(format!("cannot read {}: {error}", path.display())).with_help(
                "name another file with --config, or make a folder to start from with `bespoke init DIR`",
            )])
        })?;
        let veil = Veil::over(&text);
        let shown = SourceFile { path: path.to_owned(), text: veil.text().into() };
        Ok(Self { text, veil, shown })
    }

    /// What the parser says of a place.
    fn fault(&self, span: Range<usize>, message: &str) -> Fault {
        let message = self.veil.clean(&span, message);
        Fault::at(&self.shown, span, message)
    }

    /// A fault of `key = value`, where it stands in the file: the first is shown. The message is ours, and quotes nothing
    /// that is hidden.
    pub(super) fn fault_of(&self, key: &str, value: &str, message: &str) -> Option<Fault> {
        let mut offset = 0;
        for line in self.text.split_inclusive('\n') {
            if let Some((left, right)) = line.split_once('=')
                && left.trim() == key
                && right.contains(value)
            {
                let start = offset + left.len() + 1 + right.len() - right.trim_start().len();
                return Some(Fault::at(&self.shown, start..start + right.trim().len(), message));
            }
            offset += line.len();
        }
        None
    }

    /// Finds every fault by taking out what is wrong and trying again; what is left is returned as a plain table.
    fn check(&self, faults: &mut Vec<Fault>) -> Table {
        let (mut document, syntax) = DeTable::parse_recoverable(&self.text);
        for error in &syntax {
            faults.push(self.fault(error.span().unwrap_or_default(), error.message()));
        }
        if !syntax.is_empty() {
            return Table::new();
        }
        while faults.len() < FAULTS_MAX {
            let Err(error) = Config::deserialize(toml::Deserializer::from(document.clone())) else { break };
            let span = error.span().unwrap_or_default();
            let fault = self.fault(span.clone(), error.message());
            faults.push(match error.message() {
                message if message.ends_with("expected a sequence") => fault.with_help(
                    "write it in double brackets: one such section, of which there may be several",
                ),
                _ => fault,
            });
            if !remove_at(document.get_mut(), &span) {
                break;
            }
        }
        Table::deserialize(toml::Deserializer::from(document)).unwrap_or_default()
    }
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
        Err(message) => {
            let message = clean_of(message.trim(), path, text);
            faults.push(Fault::general(format!("{name}: {message}")));
        }
    }
}
