//! What types cannot say of a configuration: values that cannot work, each with what to write instead.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret as _;
use tracing::level_filters::LevelFilter;

use super::load::Laid;
use super::load::Source;
use crate::catalog::is_locale;
use crate::catalog::nearest::nearest;
use crate::config::Config;
use crate::config::DatabaseLinks;
use crate::deliver::dkim::DkimKey;
use crate::deliver::smtp::Relay;
use crate::fault::Fault;
use crate::webhook::Endpoint;

/// Longest time of a cap, in days: ten years.
const CAP_DAYS_MAX: u32 = 3_650;

/// Every such value. One that stands in the file shows its line.
pub(super) fn faults(config: &Config, source: Option<&Source>, laid: &Laid) -> Vec<Fault> {
    let mut check = Check { source, laid, faults: Vec::new() };
    check.addresses(config);
    check.currency(config);
    check.times(config);
    check.numbers(config);
    check.relays(config);
    check.keys(config);
    check.log(config);
    check.names(config);
    for problem in config.stage.problems(&config.events.known) {
        check.fault("stage", &problem, "leave it out to get the default");
    }
    for (index, section) in config.webhook.iter().enumerate() {
        if let Err(problem) = Endpoint::new(section) {
            let key = ["secret", "events"].into_iter().find(|key| problem.contains(key)).unwrap_or("url");
            check.fault(
                &format!("webhook.{index}.{key}"),
                &problem,
                "`bespoke reference` shows every key of it",
            );
        }
    }
    check.faults
}

/// The modules of this program, as the crate itself lists them.
fn modules() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("../lib.rs").lines();
    lines.filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
}

/// How what is wrong with a relay begins, and which key that is about.
const RELAY_KEYS: &[(&str, &str)] = &[
    ("auth", "auth"),
    ("per_second", "per_second"),
    ("there is no phase", "deadline_seconds"),
    ("the deadline of", "deadline_seconds"),
    ("ehlo_name", "ehlo_name"),
    ("max_connections", "max_connections"),
    ("max_messages_per_connection", "max_messages_per_connection"),
];

/// What is wrong with the address that all links begin with.
fn web_address(text: &str) -> Result<(), &'static str> {
    let url = url::Url::parse(text).map_err(|_| "is no web address")?;
    let is_web =
        matches!(url.scheme(), "https" | "http") && url.host_str().is_some_and(|host| !host.is_empty());
    if !is_web {
        return Err("is no web address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a login, which would stand in every link of every mail");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds `?` or `#`: what is appended to it would be no path");
    }
    Ok(())
}

struct Check<'s> {
    source: Option<&'s Source>,
    laid: &'s Laid,
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// A fault of the key at `path`: named by the variable that set it, or shown where it stands in the file.
    fn fault(&mut self, path: &str, message: &str, help: &str) {
        let sets =
            |laid: &str| path.strip_prefix(laid).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let by_variable = self.laid.iter().rev().find(|(laid, _)| sets(laid));
        let fault = by_variable
            .map(|(_, name)| Fault::general(format!("{name}: {message}")))
            .or_else(|| self.source?.fault_of(path, message))
            .unwrap_or_else(|| Fault::general(message));
        self.faults.push(if help.is_empty() { fault } else { fault.with_help(help) });
    }

    fn addresses(&mut self, config: &Config) {
        let url = config.database.url.expose_secret();
        if !["sqlite://", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            self.fault(
                "database.url",
                "database.url is neither SQLite nor PostgreSQL",
                "write sqlite://path or postgres://user:password@host/name",
            );
        }
        if let Some(url) = &config.public.url
            && let Err(problem) = web_address(url)
        {
            let help =
                "write the address under which `bespoke serve` is reached, such as https://mail.shop.example";
            self.fault("public.url", &format!("public.url {problem}"), help);
        }
        let mailboxes = [("from", Some(&config.sender.from)), ("reply_to", config.sender.reply_to.as_ref())];
        for (key, text) in mailboxes.into_iter().filter_map(|(key, text)| Some((key, text?))) {
            if text.parse::<lettre::message::Mailbox>().is_err() {
                let message = format!("sender.{key} is no mailbox");
                let help = "write `hello@shop.example` or `Shop <hello@shop.example>`; a name with a comma or an @ \
                            in it stands in quotes: `\"Shop, Ltd\" <hello@shop.example>`";
                self.fault(&format!("sender.{key}"), &message, help);
            }
        }
    }

    fn currency(&mut self, config: &Config) {
        let Some(code) = config.shop.get("currency") else { return };
        let is_code = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if !code.as_str().is_some_and(is_code) {
            let message = format!("[shop] currency = {code} is no code of a currency");
            self.fault("shop.currency", &message, "write its three letters of ISO 4217, such as \"EUR\"");
        }
    }

    fn times(&mut self, config: &Config) {
        let quiet = &config.quiet_hours;
        for (key, value) in [("start", &quiet.start), ("end", &quiet.end)] {
            if value.parse::<Time>().is_err() {
                let message = format!("quiet_hours.{key} is no time of day");
                self.fault(&format!("quiet_hours.{key}"), &message, "write HH:MM, such as 21:00");
            }
        }
        let zone = &quiet.default_time_zone;
        if TimeZone::get(zone).is_err() {
            let message = format!("there is no time zone {zone:?}");
            self.fault(
                "quiet_hours.default_time_zone",
                &message,
                "write an IANA name, such as Europe/Berlin",
            );
        }
    }

    fn numbers(&mut self, config: &Config) {
        let worker = &config.worker;
        for (key, value, least) in [
            ("in_flight", worker.in_flight, 1),
            ("batch", worker.batch, 1),
            ("lease_seconds", worker.lease_seconds as usize, 5),
        ] {
            if value < least {
                let message = format!("worker.{key} = {value} is less than {least}");
                self.fault(&format!("worker.{key}"), &message, "leave it out to get the default");
            }
        }
        if worker.retry_minutes.is_empty() {
            let help = "write at least one number, such as [1, 5, 15, 60]";
            self.fault("worker.retry_minutes", "worker.retry_minutes is empty", help);
        }
        if config.cap.days > CAP_DAYS_MAX {
            let message = format!("cap.days is above {CAP_DAYS_MAX}");
            self.fault("cap.days", &message, "write a smaller number, such as 7");
        }
        let hours = config.retention.idempotency_keys_hours;
        if hours < 24 {
            self.fault(
                "retention.idempotency_keys_hours",
                "retention.idempotency_keys_hours is below 24: clients may repeat a request for a day",
                "write 24 or more, or leave it out to get 48",
            );
        }
        for (key, _) in config.retention.days().filter(|(_, days)| *days == 0) {
            let message = format!("retention.{key} = 0 would delete everything");
            self.fault(&format!("retention.{key}"), &message, "write 1 or more, or leave it out to keep all");
        }
        if let Some((days, message)) = config.retention.forgets(&config.cap, std::iter::empty()) {
            self.fault("retention.sends_days", &message, &format!("write {days} or more, or leave it out"));
        }
        for (path, percent) in [
            ("holdout.percent", config.holdout.percent),
            ("worker.policy_failure_percent", worker.policy_failure_percent),
        ] {
            if !(0.0..=100.0).contains(&percent) {
                let message = format!("{path} = {percent} is no percentage");
                self.fault(path, &message, "write a number from 0 to 100");
            }
        }
        for (key, rate) in config.rates.all() {
            if !(rate.is_finite() && rate > 0.0) {
                let message = format!("{key} must be greater than 0");
                self.fault(&key, &message, "leave it out for no limit");
            }
        }
    }

    fn relays(&mut self, config: &Config) {
        let help = "write smtp+starttls://user:password@host, smtps://… or smtp://…, in the file or in BESPOKE_SMTP_URL";
        for (index, section) in config.relay.iter().enumerate() {
            let Err(error) = Relay::of_section(section, &config.rates) else { continue };
            let about = |key: &&str| error.problem.starts_with(*key);
            let (key, help) = match RELAY_KEYS.iter().find(|(starts, _)| about(starts)) {
                Some((_, key)) => (*key, ""),
                None => ("url", help),
            };
            self.fault(&format!("relay.{index}.{key}"), &error.to_string(), help);
        }
    }

    /// Keys that stand in the configuration itself. Those in files are read by whoever signs with them, and by
    /// `bespoke check`: not every machine that reads the configuration has them.
    fn keys(&mut self, config: &Config) {
        if config.public.database_links == DatabaseLinks::Refused && config.public.secret.is_none() {
            self.fault(
                "public.database_links",
                "public.database_links is refused, and no other secret than the database's own is stated",
                "state public.secret; make one with `openssl rand -hex 32`",
            );
        }
        if let Some(secret) = &config.public.secret
            && secret.expose_secret().len() < 32
        {
            self.fault(
                "public.secret",
                "public.secret is shorter than 32 characters",
                "make one with `openssl rand -hex 32`, or leave it out: one is made and kept in the database",
            );
        }
        for (index, section) in config.dkim.iter().enumerate() {
            if section.key_file.is_some() && section.key.is_none() {
                continue;
            }
            if let Err(error) = DkimKey::of_section(section) {
                let help = "state key_file, a PEM file, or key, the same as text";
                self.fault(&format!("dkim.{index}.selector"), &error.to_string(), help);
            }
        }
    }

    /// Words that only some texts can be.
    fn names(&mut self, config: &Config) {
        let locale = &config.templates.default_locale;
        if !is_locale(locale) {
            let message = format!("templates.default_locale {locale:?} is no language");
            self.fault("templates.default_locale", &message, "write such as en, de or pt-BR");
        }
        let listen = &config.http.listen;
        let is_place = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
        if !listen.rsplit_once(':').is_some_and(is_place) {
            let message = format!("http.listen {listen:?} is no address with a port");
            self.fault("http.listen", &message, "write such as 127.0.0.1:8025, or 0.0.0.0:8025 for all");
        }
        if config.events.known.iter().any(|name| name.trim().is_empty()) {
            self.fault("events.known", "events.known holds an event without a name", "take it out");
        }
    }

    /// A word that is no level would be taken for the name of a module, of which nothing is ever logged.
    fn log(&mut self, config: &Config) {
        let level = &config.log.level;
        let is_level = |part: &str| {
            part.rsplit('=').next().is_some_and(|word| word.trim().parse::<LevelFilter>().is_ok())
        };
        if !level.split(',').all(is_level) {
            let message = format!("log.level {level:?} names no level");
            self.fault("log.level", &message, "write error, warn, info, debug or trace");
        }
        let mut targets =
            level.split(',').filter_map(|part| part.split_once('=')).map(|(target, _)| target.trim());
        let unknown = |target: &&str| {
            target.strip_prefix("bespoke::").is_some_and(|path| {
                let module = path.split("::").next().unwrap_or_default();
                !modules().any(|known| known == module)
            })
        };
        if let Some(target) = targets.find(unknown) {
            let path = target.trim_start_matches("bespoke::");
            let help = match nearest(path, modules()) {
                Some(near) => format!("did you mean `bespoke::{near}`?"),
                None => "write such as bespoke::worker=debug".to_owned(),
            };
            self.fault("log.level", &format!("log.level names {target}, which logs nothing"), &help);
        }
    }
}
