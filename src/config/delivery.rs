//! The sections that say how mail leaves: sender, transport, relays, keys, rates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// `[sender]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sender {
    /// `Shop <hello@shop.example>`.
    pub from: String,
    /// Where answers go; `from` where none is stated.
    pub reply_to: Option<String>,
    /// Domain of Message-IDs; the domain of `from` where none is stated.
    pub message_id_domain: Option<String>,
    /// Domain of the return path, to which bounces come (VERP); the domain of `from` where none is stated.
    pub return_path_domain: Option<String>,
    /// `List-Id` of lifecycle mail is `<topic.list_id>`; the domain of `from` where none is stated.
    pub list_id: Option<String>,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            from: "bespoke <hello@localhost.test>".to_owned(),
            reply_to: None,
            message_id_domain: None,
            return_path_domain: None,
            list_id: None,
        }
    }
}

/// `[transport]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transport {
    /// `smtp`, or `directory` to write .eml files instead.
    pub kind: TransportKind,
    /// Where the .eml files go.
    pub directory: Option<PathBuf>,
}

/// How mail leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportKind {
    /// Over SMTP, by the relays.
    #[default]
    Smtp,
    /// Into a folder, as .eml files.
    Directory,
}

/// `[[relay]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySection {
    /// Under which logs and rates know it; the host where none is stated.
    #[serde(default)]
    pub name: Option<String>,
    /// `smtp://`, `smtp+starttls://` or `smtps://`, with user and password.
    pub url: SecretString,
    /// Share of the mail, against the other relays; 0 = only when the others are away.
    #[serde(default = "one")]
    pub weight: u32,
    /// Open connections at most: 50 where none is stated, or 100 under a stated rate, which opens no more than it needs.
    #[serde(default)]
    pub max_connections: Option<usize>,
    /// A connection is closed after this many mails.
    #[serde(default = "default_messages")]
    pub max_messages_per_connection: u32,
    /// A connection is closed at this age.
    #[serde(default = "default_age")]
    pub max_connection_age_seconds: u64,
    /// PEM file of the authority that signed the relay's certificate, beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What the relay is told in EHLO; the machine's host name where none is stated.
    #[serde(default)]
    pub ehlo_name: Option<String>,
    /// `plain`, `login` or `xoauth2`; the best that the relay offers where none is stated.
    #[serde(default)]
    pub auth: Option<String>,
    /// Mails per second over this relay.
    #[serde(default)]
    pub per_second: Option<f64>,
    /// Deadlines of the phases, in seconds.
    #[serde(default)]
    pub deadline_seconds: BTreeMap<String, f64>,
}

fn one() -> u32 {
    1
}
fn default_messages() -> u32 {
    1_000
}
fn default_age() -> u64 {
    300
}

/// `[[dkim]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimSection {
    /// The signing domain (`d=`); aligned with the sender's domain for DMARC.
    pub domain: String,
    /// The selector (`s=`).
    pub selector: String,
    /// PKCS#8 PEM file of an RSA (2048 bits or more) or Ed25519 key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The same as text, for the environment.
    #[serde(default)]
    pub key: Option<SecretString>,
}

/// `[rates]`: never a concurrency; the worker finds the concurrency that holds the rate.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// All mail of this database, per second.
    pub per_second: Option<f64>,
    /// All mail of this database, per minute.
    pub per_minute: Option<f64>,
    /// All mail of this database, per hour.
    pub per_hour: Option<f64>,
    /// All mail of this database, per day.
    pub per_day: Option<f64>,
    /// By group of recipient domains: `[rates.domain.gmail] per_second = 20`.
    pub domain: BTreeMap<String, DomainRate>,
}

impl Rates {
    /// Every stated rate with its key.
    pub fn all(&self) -> Vec<(String, f64)> {
        let own = [
            ("rates.per_second".to_owned(), self.per_second),
            ("rates.per_minute".to_owned(), self.per_minute),
            ("rates.per_hour".to_owned(), self.per_hour),
            ("rates.per_day".to_owned(), self.per_day),
        ];
        let domains = self.domain.iter().flat_map(|(name, rate)| {
            [
                (format!("rates.domain.{name}.per_second"), rate.per_second),
                (format!("rates.domain.{name}.per_minute"), rate.per_minute),
                (format!("rates.domain.{name}.per_hour"), rate.per_hour),
                (format!("rates.domain.{name}.per_day"), rate.per_day),
            ]
        });
        own.into_iter().chain(domains).filter_map(|(key, rate)| Some((key, rate?))).collect()
    }
}

/// `[rates.domain.NAME]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DomainRate {
    /// The domains of the group; `NAME` itself where none is stated.
    pub domains: Vec<String>,
    /// Mails per second.
    pub per_second: Option<f64>,
    /// Mails per minute.
    pub per_minute: Option<f64>,
    /// Mails per hour.
    pub per_hour: Option<f64>,
    /// Mails per day.
    pub per_day: Option<f64>,
}
