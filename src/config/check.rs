//! What types cannot say of a configuration: values that cannot work, each with what to write instead.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret as _;
use tracing::level_filters::LevelFilter;

use super::load::Source;
use crate::config::Config;
use crate::config::DatabaseLinks;
use crate::deliver::dkim::DkimKey;
use crate::deliver::smtp::Relay;
use crate::fault::Fault;
use crate::webhook::Endpoint;

/// Longest time of a cap, in days: ten years.
const CAP_DAYS_MAX: u32 = 3_650;

/// Every such value. One that stands in the file shows its line.
pub(super) fn faults(config: &Config, source: Option<&Source>) -> Vec<Fault> {
    let mut check = Check { source, faults: Vec::new() };
    check.addresses(config);
    check.times(config);
    check.numbers(config);
    check.relays(config);
    check.keys(config);
    check.log(config);
    for problem in config.stage.problems(&config.events.known) {
        check.fault("", "", &problem, "leave it out to get the default");
    }
    for problem in config.webhook.iter().filter_map(|section| Endpoint::new(section).err()) {
        check.fault("", "", &problem, "see `[[webhook]]` in the README");
    }
    check.faults
}

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
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, key: &str, value: &str, message: &str, help: &str) {
        let here = self.source.filter(|_| !key.is_empty());
        let fault = here.and_then(|source| source.fault_of(key, value, message));
        self.faults.push(fault.unwrap_or_else(|| Fault::general(message)).with_help(help));
    }

    fn addresses(&mut self, config: &Config) {
        let url = config.database.url.expose_secret();
        if !["sqlite://", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            self.fault(
                "url",
                url,
                "database.url is neither SQLite nor PostgreSQL",
                "write sqlite://path or postgres://user:password@host/name",
            );
        }
        if let Some(url) = &config.public.url
            && let Err(problem) = web_address(url)
        {
            let help =
                "write the address under which `bespoke serve` is reached, such as https://mail.shop.example";
            self.fault("url", url, &format!("public.url {problem}"), help);
        }
        let mailboxes = [("from", Some(&config.sender.from)), ("reply_to", config.sender.reply_to.as_ref())];
        for (key, text) in mailboxes.into_iter().filter_map(|(key, text)| Some((key, text?))) {
            if let Err(error) = text.parse::<lettre::message::Mailbox>() {
                let message = format!("sender.{key} is no mailbox: {error}");
                self.fault(key, text, &message, "write `Shop <hello@shop.example>`");
            }
        }
    }

    fn times(&mut self, config: &Config) {
        let quiet = &config.quiet_hours;
        for (key, value) in [("start", &quiet.start), ("end", &quiet.end)] {
            if value.parse::<Time>().is_err() {
                let message = format!("quiet_hours.{key} is no time of day");
                self.fault(key, value, &message, "write HH:MM, such as 21:00");
            }
        }
        let zone = &quiet.default_time_zone;
        if TimeZone::get(zone).is_err() {
            let message = format!("there is no time zone {zone:?}");
            self.fault("default_time_zone", zone, &message, "write an IANA name, such as Europe/Berlin");
        }
    }

    fn numbers(&mut self, config: &Config) {
        let worker = &config.worker;
        if worker.in_flight == 0 || worker.batch == 0 || worker.lease_seconds < 5 {
            self.fault(
                "in_flight",
                "",
                "worker.in_flight and worker.batch are at least 1, worker.lease_seconds at least 5",
                "leave them out to get the defaults",
            );
        }
        if worker.retry_minutes.is_empty() {
            let help = "write at least one number, such as [1, 5, 15, 60]";
            self.fault("retry_minutes", "[]", "worker.retry_minutes is empty", help);
        }
        if config.cap.days > CAP_DAYS_MAX {
            let message = format!("cap.days is above {CAP_DAYS_MAX}");
            self.fault("days", &config.cap.days.to_string(), &message, "write a smaller number, such as 7");
        }
        let hours = config.retention.idempotency_keys_hours;
        if hours < 24 {
            self.fault(
                "idempotency_keys_hours",
                &hours.to_string(),
                "retention.idempotency_keys_hours is below 24: clients may repeat a request for a day",
                "write 24 or more, or leave it out to get 48",
            );
        }
        for (key, _) in config.retention.days().filter(|(_, days)| *days == 0) {
            let message = format!("retention.{key} = 0 would delete everything");
            self.fault(key, "0", &message, "write 1 or more, or leave it out to keep all");
        }
        if let Some((days, what)) = config.retention.forgets(&config.cap, std::iter::empty()) {
            let kept = config.retention.sends_days.unwrap_or_default();
            let message =
                format!("retention.sends_days = {kept} is less than the program looks back ({what})");
            self.fault(
                "sends_days",
                &kept.to_string(),
                &message,
                &format!("write {days} or more, or leave it out"),
            );
        }
        for percent in [config.holdout.percent, worker.policy_failure_percent] {
            if !(0.0..=100.0).contains(&percent) {
                let message = format!("{percent} is no percentage");
                self.fault("percent", &percent.to_string(), &message, "write a number from 0 to 100");
            }
        }
        for (key, rate) in config.rates.all() {
            if !(rate.is_finite() && rate > 0.0) {
                let message = format!("{key} must be greater than 0");
                let key = key.rsplit('.').next().unwrap_or_default();
                self.fault(key, &rate.to_string(), &message, "leave it out for no limit");
            }
        }
    }

    fn relays(&mut self, config: &Config) {
        let help = "write smtp+starttls://user:password@host, smtps://… or smtp://…, in the file or in BESPOKE_SMTP_URL";
        for section in &config.relay {
            if let Err(error) = Relay::of_section(section) {
                self.fault("url", section.url.expose_secret(), &error.to_string(), help);
            }
        }
    }

    /// Keys that stand in the configuration itself. Those in files are read by whoever signs with them, and by
    /// `bespoke check`: not every machine that reads the configuration has them.
    fn keys(&mut self, config: &Config) {
        if config.public.database_links == DatabaseLinks::Refused && config.public.secret.is_none() {
            self.fault(
                "database_links",
                "refused",
                "public.database_links is refused, and no other secret than the database's own is stated",
                "state public.secret; make one with `openssl rand -hex 32`",
            );
        }
        if let Some(secret) = &config.public.secret
            && secret.expose_secret().len() < 32
        {
            self.fault(
                "secret",
                secret.expose_secret(),
                "public.secret is shorter than 32 characters",
                "make one with `openssl rand -hex 32`, or leave it out: one is made and kept in the database",
            );
        }
        for section in
            config.dkim.iter().filter(|section| section.key_file.is_none() || section.key.is_some())
        {
            if let Err(error) = DkimKey::of_section(section) {
                let help = "state key_file, a PEM file, or key, the same as text";
                self.fault("selector", &section.selector, &error.to_string(), help);
            }
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
            self.fault("level", level, &message, "write error, warn, info, debug or trace");
        }
    }
}
