//! `BESPOKE_…` variables laid over the file.

use toml::Table;
use toml::Value;

/// Short names of the variables that most people need; any key can be set as `BESPOKE_SECTION__KEY`.
pub const ALIASES: &[(&str, &str)] = &[
    ("BESPOKE_DATABASE_URL", "database.url"),
    ("BESPOKE_TEMPLATES", "templates.folder"),
    ("BESPOKE_PUBLIC_URL", "public.url"),
    ("BESPOKE_SECRET", "public.secret"),
    ("BESPOKE_FROM", "sender.from"),
    ("BESPOKE_RATE_PER_SECOND", "rates.per_second"),
    ("BESPOKE_LOG", "log.level"),
    ("BESPOKE_LOG_FORMAT", "log.format"),
];

/// Replaces all relays by one.
const SMTP_URL: &str = "BESPOKE_SMTP_URL";
/// Names the configuration file; read by the command line itself.
const CONFIG: &str = "BESPOKE_CONFIG";
/// Variables of the project's own tests.
const TEST_PREFIX: &str = "BESPOKE_TEST_";

/// The variables that concern us, as they were at the start.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, String)>);

/// Values may be secrets: only names are shown.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Environment {
    /// What the process was given.
    pub fn of_process() -> Self {
        Self::from_pairs(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// What a test gives.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours =
            |name: &str| name.starts_with("BESPOKE_") && name != CONFIG && !name.starts_with(TEST_PREFIX);
        let mut pairs: Vec<_> =
            pairs.into_iter().filter(|(name, value)| ours(name) && !value.is_empty()).collect();
        pairs.sort();
        Self(pairs)
    }

    /// Each variable with what it sets; an unknown one is an `Err` with what to write instead.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, Result<Setting<'_>, String>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), setting(name, value)))
    }
}

/// What one variable sets.
pub(super) enum Setting<'a> {
    /// The only relay.
    Relay(&'a str),
    /// A key, by its path, with its value as TOML or as text.
    Key(String, &'a str),
}

fn setting<'a>(name: &str, value: &'a str) -> Result<Setting<'a>, String> {
    if name == SMTP_URL {
        return Ok(Setting::Relay(value));
    }
    if let Some((_, path)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Ok(Setting::Key((*path).to_owned(), value));
    }
    match name.trim_start_matches("BESPOKE_").split_once("__") {
        Some(_) => {
            let path = name.trim_start_matches("BESPOKE_").to_lowercase().replace("__", ".");
            Ok(Setting::Key(path, value))
        }
        None => Err(format!(
            "unknown variable {name}; known are {}, {SMTP_URL}, {CONFIG} and BESPOKE_SECTION__KEY for any key of bespoke.toml",
            ALIASES.iter().map(|(alias, _)| *alias).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Sets `a.b.c` in `table`; the text is read as TOML where it is TOML, else as a string.
/// An `Err` says which part of the path is no table.
pub fn set_path(table: &mut Table, path: &str, text: &str) -> Result<(), String> {
    let mut parts: Vec<&str> = path.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let mut at = table;
    for part in parts {
        let entry = at.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        at = entry.as_table_mut().ok_or_else(|| format!("`{part}` is not a section"))?;
    }
    at.insert(last.to_owned(), toml_value(path, text));
    Ok(())
}

/// Numbers, booleans, arrays and tables as TOML; all else, and everything secret, as text.
fn toml_value(path: &str, text: &str) -> Value {
    if ["url", "secret", "key", "from", "level"].iter().any(|key| path.ends_with(key)) {
        return Value::String(text.to_owned());
    }
    toml::from_str::<Table>(&format!("v = {text}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}
