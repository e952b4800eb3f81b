//! `campaign.toml`: read, and checked against everything that it names.

use std::ops::Range;

use croner::parser::CronParser;
use croner::parser::Seconds;
use jiff::civil::Time;

use super::CatalogSettings;
use super::contract::Contract;
use super::contract::FactType;
use super::file_rule;
use super::nearest::nearest;
use super::rule::Expected;
use super::rule::Rule;
use super::toml_text;
use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::campaign::Trigger;
use crate::event;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::profile::EmailAddress;

/// Longest topic or description, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Longest delay, deadline or window, in days.
const DAYS_MAX: u32 = 3_650;
/// The fields of a schedule, each with what may stand in it.
const CRON_FIELDS: &[(&str, &str)] = &[
    ("minute", "write 0 to 59, `*`, or such as `*/15`"),
    ("hour", "write 0 to 23, `*`, or such as `8-18`"),
    ("day of the month", "write 1 to 31, `*`, or `L` for the last"),
    ("month", "write 1 to 12, JAN to DEC, or `*`"),
    ("weekday", "write 0 to 6 from Sunday, SUN to SAT, such as `MON-FRI`, or `*`"),
];
/// Rings of a pilot, at most.
const RINGS_MAX: usize = 10;

/// Reads one campaign. `None` when the file cannot be used at all; faults are pushed in any case.
pub(super) fn read(
    file: &SourceFile,
    name: &str,
    settings: &CatalogSettings,
    contract: &Contract,
    faults: &mut Vec<Fault>,
) -> Option<(Campaign, Option<Rule>)> {
    let mut campaign: Campaign = toml_text::parse(file, 0..file.text.len(), faults)?;
    campaign.id = CampaignId(name.to_owned());
    let mut checker = Checker { file, settings, contract, faults };
    checker.texts(&campaign);
    checker.numbers(&campaign);
    checker.trigger(&campaign.trigger);
    let audience = campaign.audience.as_ref().and_then(|source| {
        let contract = contract.only(&["profile", "history", "stage", "now", "shop"]);
        let place = toml_text::place(file, &["audience"]);
        file_rule::compile(file, &place, source, Expected::Condition, &contract, checker.faults)
    });
    Some((campaign, audience))
}

struct Checker<'a> {
    file: &'a SourceFile,
    settings: &'a CatalogSettings,
    contract: &'a Contract,
    faults: &'a mut Vec<Fault>,
}

impl Checker<'_> {
    fn fault(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.fault_at(toml_text::place(self.file, path), message, help);
    }

    fn fault_at(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::at(self.file, span, message).with_help(help));
    }

    fn texts(&mut self, campaign: &Campaign) {
        for (key, text) in [("description", Some(&campaign.description)), ("topic", campaign.topic.as_ref())]
        {
            if text.is_some_and(|text| text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control)) {
                let message =
                    format!("`{key}` is longer than {TEXT_BYTES_MAX} bytes, or holds control characters");
                self.fault(&[key], message, "write one short line");
            }
        }
        if campaign
            .topic
            .as_ref()
            .is_some_and(|topic| matches!(topic.as_str(), "" | "*" | "lifecycle" | "pause"))
        {
            let help = "leave it out to take the campaign's name, or write such as `topic = \"picks\"`";
            self.fault(&["topic"], "this topic has a meaning of its own", help);
        }
        for (key, mailbox) in [("from", &campaign.from), ("reply_to", &campaign.reply_to)] {
            let Some(mailbox) = mailbox else { continue };
            if let Err(error) = EmailAddress::parse(address_of(mailbox)) {
                let help = format!("write such as `{key} = \"Shop <hello@shop.example>\"`");
                self.fault(&[key], format!("`{key}` holds no address: {error}"), help);
            } else if mailbox.chars().any(char::is_control) {
                self.fault(&[key], format!("`{key}` holds a control character"), "write it in one line");
            }
        }
    }

    fn numbers(&mut self, campaign: &Campaign) {
        for (key, percent) in
            [("holdout_percent", campaign.holdout_percent), ("uniform_percent", campaign.uniform_percent)]
        {
            if !(0.0..=100.0).contains(&percent) {
                self.fault(&[key], format!("{percent} is no percentage"), "write a number from 0 to 100");
            }
        }
        let highest = campaign.holdout_percent.max(campaign.uniform_percent);
        if highest <= 100.0 && campaign.holdout_percent + campaign.uniform_percent > 100.0 {
            let help = "lower one of them: what is left is the policy's";
            self.fault(&["uniform_percent"], "holdout and uniform slice come to more than 100 percent", help);
        }
        if let Some(pilot) = &campaign.pilot {
            let rising = pilot.active_days.windows(2).all(|pair| pair[0] < pair[1]);
            if pilot.active_days.is_empty() || pilot.active_days.len() > RINGS_MAX || !rising {
                let help = "write the most active first, such as `active_days = [30, 90]`";
                self.fault(
                    &["pilot", "active_days"],
                    format!("a pilot has 1 to {RINGS_MAX} rings, each wider"),
                    help,
                );
            }
        }
        let reward = &campaign.reward;
        for (path, value, limit) in [
            (&["no_send_weight"][..], campaign.no_send_weight, 1e6),
            (&["reward", "margin"], reward.margin, 1.0),
            (&["reward", "cost_minor"], reward.cost_minor, 1e9),
            (&["reward", "unsubscribe_cost_minor"], reward.unsubscribe_cost_minor, 1e9),
            (&["guard", "complaint_percent"], campaign.guard.complaint_percent, 100.0),
            (&["guard", "bounce_percent"], campaign.guard.bounce_percent, 100.0),
            (&["guard", "unsubscribe_percent"], campaign.guard.unsubscribe_percent, 100.0),
        ] {
            if !(0.0..=limit).contains(&value) {
                let message = format!("`{}` cannot be {value}", path.join("."));
                self.fault(path, message, format!("write a number from 0 to {limit}"));
            }
        }
        for (path, value, limit) in [
            (&["deadline_hours"][..], campaign.deadline_hours, DAYS_MAX * 24),
            (&["reward", "click_hours"], reward.click_hours, DAYS_MAX * 24),
            (&["reward", "purchase_days"], reward.purchase_days, DAYS_MAX),
            (&["reward", "unsubscribe_days"], reward.unsubscribe_days, DAYS_MAX),
            (
                &["pilot", "step_hours"],
                campaign.pilot.as_ref().map_or(1, |pilot| pilot.step_hours),
                DAYS_MAX * 24,
            ),
        ] {
            if !(1..=limit).contains(&value) {
                let message = format!("`{}` cannot be {value}", path.join("."));
                self.fault(path, message, format!("write a number from 1 to {limit}"));
            }
        }
        if let Some(pilot) = &campaign.pilot {
            let rings = u32::try_from(pilot.active_days.len()).unwrap_or(u32::MAX);
            let hours = rings.saturating_mul(pilot.step_hours);
            if hours >= campaign.deadline_hours {
                let message = format!(
                    "the last ring of the pilot opens after {hours} hours, and its mails expire after {}",
                    campaign.deadline_hours
                );
                let help =
                    format!("set `deadline_hours` to more than {hours}, or `pilot.step_hours` to less");
                self.fault(&["pilot", "step_hours"], message, help);
            }
        }
        if campaign.kind == Kind::Transactional {
            if campaign.quiet_hours.is_some() {
                let message = "transactional mail waits for no quiet hours";
                self.fault(&["quiet_hours"], message, "leave them out, or make the campaign `lifecycle`");
            }
            if campaign.double_opt_in {
                let message = "transactional mail asks for no consent, so none can be confirmed";
                self.fault(&["double_opt_in"], message, "leave it out, or make the campaign `lifecycle`");
            }
            let held_back =
                [("holdout_percent", campaign.holdout_percent), ("no_send_weight", campaign.no_send_weight)];
            for (key, value) in held_back {
                if value > 0.0 {
                    let message = format!("transactional mail is expected: `{key}` would hold some back");
                    self.fault(&[key], message, "leave it out, or make the campaign `lifecycle`");
                }
            }
        }
    }

    fn trigger(&mut self, trigger: &Trigger) {
        match trigger {
            Trigger::Cron { schedule } => {
                self.schedule(schedule);
            }
            Trigger::Event { name, delay_minutes, cancel_on, once_per_hours } => {
                self.event(&["trigger", "event", "name"], name);
                for name in cancel_on {
                    self.event(&["trigger", "event", "cancel_on"], name);
                }
                self.delay(&["trigger", "event", "delay_minutes"], *delay_minutes);
                if *once_per_hours > DAYS_MAX * 24 {
                    let help = format!("write at most {}", DAYS_MAX * 24);
                    self.fault(
                        &["trigger", "event", "once_per_hours"],
                        "this is longer than ten years",
                        help,
                    );
                }
            }
            Trigger::StageEntry { delay_minutes, .. } => {
                self.delay(&["trigger", "stage_entry", "delay_minutes"], *delay_minutes);
            }
            Trigger::DateTrait { name, at, days_before } => self.date_trait(name, at, *days_before),
            Trigger::Api {} => {}
        }
    }

    /// Five fields, each right by itself, and a time at which all of them hold.
    fn schedule(&mut self, schedule: &str) {
        let path = &["trigger", "cron", "schedule"];
        let fields: Vec<&str> = schedule.split_ascii_whitespace().collect();
        if fields.len() != CRON_FIELDS.len() {
            let message = format!("a schedule has five fields, and this has {}", fields.len());
            return self.fault(
                path,
                message,
                "write minute, hour, day, month, weekday, such as `0 9 * * TUE`",
            );
        }
        let parsed =
            |pattern: &str| CronParser::builder().seconds(Seconds::Disallowed).build().parse(pattern);
        for (index, (field, (name, help))) in fields.iter().zip(CRON_FIELDS).enumerate() {
            let alone: Vec<&str> =
                (0..CRON_FIELDS.len()).map(|at| if at == index { *field } else { "*" }).collect();
            if parsed(&alone.join(" ")).is_err() {
                let start = field_start(schedule, index);
                let place = toml_text::place(self.file, path);
                let span =
                    toml_text::inside_string(self.file, &place, schedule, &(start..start + field.len()));
                self.fault_at(span, format!("the {name} cannot be `{field}`"), *help);
                return;
            }
        }
        let day = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
        match parsed(schedule).map(|cron| cron.find_next_occurrence(&day, true)) {
            Ok(Ok(_)) => {}
            _ => self.fault(path, "no day is ever like that", "write a day that the month has"),
        }
    }

    fn date_trait(&mut self, name: &str, at: &str, days_before: u32) {
        match self.contract.lookup(&["profile", name]) {
            Ok((FactType::Date, _)) => {}
            Ok(_) => {
                let help = format!("declare `{name} = \"date\"` under [traits] in bespoke.toml");
                self.fault(
                    &["trigger", "date_trait", "name"],
                    format!("the trait `{name}` is not a date"),
                    help,
                );
            }
            Err(unknown) => {
                self.fault(&["trigger", "date_trait", "name"], unknown.message, unknown.help);
            }
        }
        let well_formed = at.len() == 5 && at.parse::<Time>().is_ok();
        if !well_formed {
            let message = format!("`{at}` is no time of day");
            self.fault(&["trigger", "date_trait", "at"], message, "write HH:MM, such as `09:00`");
        }
        if days_before > 365 {
            let message = "a yearly date is at most 365 days away";
            self.fault(&["trigger", "date_trait", "days_before"], message, "write at most 365");
        }
    }

    fn delay(&mut self, path: &[&str], minutes: u32) {
        if minutes > DAYS_MAX * 24 * 60 {
            self.fault(
                path,
                "this is longer than ten years",
                format!("write at most {}", DAYS_MAX * 24 * 60),
            );
        }
    }

    fn event(&mut self, path: &[&str], name: &str) {
        let known =
            || event::name::ALL.iter().copied().chain(self.settings.own_events.iter().map(String::as_str));
        if known().any(|known| known == name) {
            return;
        }
        let help = match nearest(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it in bespoke.toml: [events] known = [\"{name}\"]"),
        };
        let place = toml_text::place(self.file, path);
        let quoted = format!("\"{name}\"");
        let inside = self.file.text.get(place.clone()).and_then(|text| text.find(&quoted));
        let span =
            inside.map_or(place.clone(), |start| place.start + start..place.start + start + quoted.len());
        self.fault_at(span, format!("no event is called `{name}`"), help);
    }
}

/// Where the field of this number begins.
fn field_start(schedule: &str, index: usize) -> usize {
    let starts = schedule.char_indices().filter(|(at, c)| {
        !c.is_ascii_whitespace()
            && schedule[..*at].chars().next_back().is_none_or(|before| before.is_ascii_whitespace())
    });
    starts.map(|(at, _)| at).nth(index).unwrap_or_default()
}

/// The address in `Shop <hello@shop.example>`, or the whole text.
fn address_of(mailbox: &str) -> &str {
    let inner = mailbox.rsplit_once('<').and_then(|(_, rest)| rest.trim_end().strip_suffix('>'));
    inner.unwrap_or(mailbox)
}
