//! Reading, laying over, checking: all faults at once, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde::Deserialize;
use toml::Table;
use toml::Value;

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
use crate::toml_text;

/// Paths of keys that variables and flags set, each with the name of what set it, in their order.
pub(super) type Laid = Vec<(String, String)>;

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
        let laid = overlay(&mut table, environment, flags, &mut faults);
        let config = match Self::deserialize(Value::Table(table)) {
            Ok(config) => Some(config),
            Err(error) if faults.is_empty() => {
                faults.push(Fault::general(without_quotes(error.message())));
                None
            }
            Err(_) => None,
        };
        // What is wrong so far was left out: the rest is looked at all the same.
        faults.extend(config.iter().flat_map(|config| check::faults(config, source.as_ref(), &laid)));
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

    /// A fault of the value at `path` (`worker.batch`, `relay.0.url`), where it stands in the file.
    pub(super) fn fault_of(&self, path: &str, message: &str) -> Option<Fault> {
        let span = toml_text::place(&self.text, &path.split('.').collect::<Vec<_>>())?;
        Some(self.fault(span, message))
    }

    /// Finds every fault; what is left is returned as a plain table.
    fn check(&self, faults: &mut Vec<Fault>) -> Table {
        let read = toml_text::read::<Config>(&self.text);
        faults.extend(read.faults.into_iter().map(|found| {
            let fault = self.fault(found.span.clone(), &found.message);
            Fault { help: found.help_or(toml_text::REFERENCE), ..fault }
        }));
        Table::deserialize(toml::Deserializer::from(read.rest)).unwrap_or_default()
    }
}

/// Lays environment and flags over the table, each checked by itself so that a fault names its variable.
/// Gives the paths that were set, each with the name of what set it.
fn overlay(table: &mut Table, environment: &Environment, flags: &Overrides, faults: &mut Vec<Fault>) -> Laid {
    let mut laid = Laid::new();
    for (name, setting) in environment.settings() {
        match setting {
            Ok(Setting::Key(path, value)) => {
                lay(table, faults, name, &path, value);
                laid.push((path, name.to_owned()));
            }
            Ok(Setting::Relay(url)) => {
                let mut relay = Table::new();
                relay.insert("url".to_owned(), Value::String(url.to_owned()));
                lay(table, faults, name, "relay", &format!("[{}]", Value::Table(relay)));
                laid.push(("relay".to_owned(), name.to_owned()));
            }
            Err(message) => faults.push(Fault::general(message)),
        }
    }
    for (path, value) in &flags.0 {
        let name = format!("flag for {path}");
        lay(table, faults, &name, path, value);
        laid.push((path.clone(), name));
    }
    laid
}

fn lay(table: &mut Table, faults: &mut Vec<Fault>, name: &str, path: &str, text: &str) {
    let mut tried = table.clone();
    let result = set_path(&mut tried, path, text).and_then(|()| {
        Config::deserialize(Value::Table(tried.clone())).map_err(|error| error.message().to_owned())
    });
    match result {
        Ok(_) => *table = tried,
        Err(message) => {
            let found = toml_text::explain(0..0, message.trim());
            let message = clean_of(&found.message, path, text);
            let help = found.help.unwrap_or_else(|| toml_text::REFERENCE.to_owned());
            faults.push(Fault::general(format!("{name}: {message}")).with_help(clean_of(&help, path, text)));
        }
    }
}
