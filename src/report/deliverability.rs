//! Deliverability: what became of mails, by group of recipients' domains, and why some did not arrive.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::ReportError;
use super::document::Cell;
use super::document::Column;
use super::document::Figure;
use super::document::Readers;
use super::document::Report;
use super::document::Section;
use super::document::Table;
use super::document::Unit;
use super::estimate::real;
use super::estimate::share;
use super::estimate::wilson;
use super::plot::Chart;
use super::plot::Dots;
use super::plot::Plot;
use super::plot::Shape;
use super::scope::Grain;
use super::scope::Sources;
use crate::deliver::domain::DomainGroups;
use crate::send::State;
use crate::store::Consequences;
use crate::store::EndedSends;
use crate::store::TroubledAttempts;

/// Groups of a plot, at most: those with most mails.
const PLOTTED_MAX: usize = 12;
/// Ends of attempts to deliver; the others were never meant to.
const TRIED: [&str; 5] = ["deferred", "failed", "unknown", "expired", "sent"];
/// Where there was no address at all.
const NO_ADDRESS: &str = "(no address)";

/// What became of sends to one group of domains.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counts {
    accepted: u64,
    hard: u64,
    soft: u64,
    policy: u64,
    other: u64,
    unknown: u64,
    expired: u64,
    opened: u64,
    clicked: u64,
    /// Accepted, and came back later.
    returned: u64,
    complained: u64,
    unsubscribed: u64,
}

impl Counts {
    fn all(&self) -> u64 {
        self.accepted + self.hard + self.soft + self.policy + self.other + self.unknown + self.expired
    }

    fn add(&mut self, state: &str, reason: &str, count: u64) {
        let place = match (state, reason) {
            ("sent", _) => &mut self.accepted,
            ("unknown", _) => &mut self.unknown,
            ("expired", _) => &mut self.expired,
            (_, "hard_bounce") => &mut self.hard,
            (_, "soft_bounce") => &mut self.soft,
            (_, "policy") => &mut self.policy,
            _ => &mut self.other,
        };
        *place += count;
    }

    fn join(&mut self, other: &Self) {
        for (mine, more) in [
            (&mut self.accepted, other.accepted),
            (&mut self.hard, other.hard),
            (&mut self.soft, other.soft),
            (&mut self.policy, other.policy),
            (&mut self.other, other.other),
            (&mut self.unknown, other.unknown),
            (&mut self.expired, other.expired),
            (&mut self.opened, other.opened),
            (&mut self.clicked, other.clicked),
            (&mut self.returned, other.returned),
            (&mut self.complained, other.complained),
            (&mut self.unsubscribed, other.unsubscribed),
        ] {
            *mine += more;
        }
    }
}

/// What is told.
#[derive(Debug, Default)]
struct Findings {
    groups: BTreeMap<String, Counts>,
    reasons: BTreeMap<(String, String), u64>,
}

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let window = sources.scope.window();
    let ended = sources.store.ended_sends(&window).await?;
    let known = DomainGroups::new(&sources.config.rates);
    let mut findings = Findings::default();
    for sends in ended.iter().filter(|sends| !sends.domain_group.is_empty()) {
        let group = findings.groups.entry(sends.domain_group.clone()).or_default();
        group.add(&sends.state, &sends.reason, sends.count);
        group.opened += sends.opened;
        group.clicked += sends.clicked;
    }
    for sends in sources.store.groupless_sends(&window).await? {
        let domain = sends.address.rsplit_once('@').map_or(NO_ADDRESS, |(_, domain)| domain);
        let group = findings.groups.entry(known.group(domain).to_owned()).or_default();
        group.add(&sends.state, &sends.reason, sends.count);
    }
    for sends in &ended {
        *findings.reasons.entry((sends.state.clone(), sends.reason.clone())).or_default() += sends.count;
    }
    for found in sources.store.consequences(&window).await? {
        findings.follow(&found);
    }
    let attempts = sources.store.troubled_attempts(&window).await?;
    Ok(findings.tell(sources, &ended, &attempts))
}

impl Findings {
    fn follow(&mut self, found: &Consequences) {
        let group = self.groups.entry(found.domain_group.clone()).or_default();
        match found.reason.as_str() {
            "hard_bounce" | "soft_bounces" => group.returned += found.count,
            "complaint" => group.complained += found.count,
            "unsubscribe" => group.unsubscribed += found.count,
            _ => {}
        }
    }

    fn total(&self) -> Counts {
        let mut total = Counts::default();
        for counts in self.groups.values() {
            total.join(counts);
        }
        total
    }

    fn tell(&self, sources: &Sources<'_>, ended: &[EndedSends], attempts: &[TroubledAttempts]) -> Report {
        let mut report = sources.report("deliverability", "Deliverability");
        let total = self.total();
        let figure = |key, title, events: u64, of: u64| Figure {
            key,
            title,
            unit: Unit::Share,
            value: share(events, of),
            from: format!("{events} of {of} mails"),
        };
        let accepted = total.accepted;
        report.headline = vec![
            figure("accepted", "accepted", accepted, total.all()),
            figure("hard_bounced", "hard bounces", total.hard, total.all()),
            figure("complained", "complaints", total.complained, accepted),
            figure("unsubscribed", "unsubscribed", total.unsubscribed, accepted),
        ];
        report.sections =
            vec![self.by_group(total), over_time(ended, sources), self.by_reason(), tried(attempts)];
        report.notes = vec![
            "accepted means that a mail server took responsibility; whether the mail lies in the inbox or in the spam folder it does not say".to_owned(),
            "mailbox providers want complaints under 0.1 % and act from 0.3 % on; hard bounces over 2 % harm a sender's name".to_owned(),
            "came back, complained and unsubscribed are shares of what was accepted; only what was reported to us is counted".to_owned(),
            "shares have 95 % Wilson intervals".to_owned(),
        ];
        report
    }

    fn by_group(&self, total: Counts) -> Section {
        let mut table = Table::new(&[
            Column::new("domain_group", "recipients at", Unit::Text),
            Column::new("mails", "mails", Unit::Count),
            Column::estimated("accepted", "accepted", Unit::Share),
            Column::estimated("hard_bounced", "hard bounces", Unit::Share),
            Column::new("soft_bounced_mails", "soft bounces", Unit::Count),
            Column::new("policy_mails", "refused by policy", Unit::Count),
            Column::new("other_mails", "failed otherwise", Unit::Count),
            Column::new("unknown_mails", "unknown", Unit::Count),
            Column::new("expired_mails", "expired", Unit::Count),
            Column::estimated("returned", "came back", Unit::Share),
            Column::estimated("complained", "complained", Unit::Share),
            Column::estimated("unsubscribed", "unsubscribed", Unit::Share),
            Column::estimated("opened", "opened", Unit::Share),
            Column::estimated("clicked", "clicked", Unit::Share),
        ]);
        let row = |name: &str, counts: &Counts| {
            [
                Cell::text(name),
                Cell::count(counts.all()),
                share(counts.accepted, counts.all()),
                share(counts.hard, counts.all()),
                Cell::count(counts.soft),
                Cell::count(counts.policy),
                Cell::count(counts.other),
                Cell::count(counts.unknown),
                Cell::count(counts.expired),
                share(counts.returned, counts.accepted),
                share(counts.complained, counts.accepted),
                share(counts.unsubscribed, counts.accepted),
                share(counts.opened, counts.accepted),
                share(counts.clicked, counts.accepted),
            ]
        };
        let mut groups: Vec<(&String, &Counts)> = self.groups.iter().collect();
        groups.sort_by(|(a_name, a), (b_name, b)| b.all().cmp(&a.all()).then(a_name.cmp(b_name)));
        let mut dots = Dots::default();
        for (name, counts) in &groups {
            table.row(row(name, counts));
            if dots.rows.len() < PLOTTED_MAX && counts.all() > 0 {
                let accepted = real(counts.accepted) / real(counts.all());
                dots.rows.push(((*name).clone(), accepted, wilson(counts.accepted, counts.all())));
            }
        }
        if groups.len() > 1 {
            table.row(row("all", &total));
        }
        let title = "Accepted, with 95 % intervals, by group of domains".to_owned();
        Section {
            name: "domains",
            title: "By recipients' domains".to_owned(),
            lead: "Domains that share a mailbox host are one group.".to_owned(),
            plots: if dots.rows.is_empty() {
                Vec::new()
            } else {
                vec![Plot { title, unit: Unit::Share, shape: Shape::Dots(dots) }]
            },
            table,
            readers: Readers::Everybody,
            missing: "No mail has come to an end in this period.",
        }
    }

    fn by_reason(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("state", "became", Unit::Text),
            Column::new("reason", "because of", Unit::Text),
            Column::new("mails", "mails", Unit::Count),
        ]);
        let mut rows: Vec<_> = self.reasons.iter().collect();
        rows.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then(a_name.cmp(b_name)));
        for ((state, reason), count) in rows {
            table.row([Cell::text(state), Cell::text(reason), Cell::count(*count)]);
        }
        Section {
            name: "reasons",
            title: "What became of them".to_owned(),
            lead: "`bespoke sends list` shows each of them with the server's own words.".to_owned(),
            plots: Vec::new(),
            table,
            readers: Readers::Everybody,
            missing: "No mail has come to an end in this period.",
        }
    }
}

fn over_time(ended: &[EndedSends], sources: &Sources<'_>) -> Section {
    let mut table = Table::new(&[
        Column::new("period", "period", Unit::Text),
        Column::new("mails", "mails", Unit::Count),
        Column::estimated("accepted", "accepted", Unit::Share),
        Column::estimated("hard_bounced", "hard bounces", Unit::Share),
    ]);
    let times = || ended.iter().map(|sends| sends.at);
    let grain = match (times().min(), times().max()) {
        (Some(first), Some(last)) => Grain::of(first, last),
        _ => Grain::Day,
    };
    let mut steps: BTreeMap<Date, Counts> = BTreeMap::new();
    for sends in ended {
        let start = grain.start(sources.scope.date(sends.at));
        steps.entry(start).or_default().add(&sends.state, &sends.reason, sends.count);
    }
    let (mut chart, mut accepted, mut others) = (Chart::default(), Vec::new(), Vec::new());
    let ends = steps.keys().next().copied().zip(steps.keys().next_back().copied());
    let (mut start, last) = ends.unwrap_or((Date::MAX, Date::MIN));
    while start <= last {
        let counts = steps.get(&start).copied().unwrap_or_default();
        table.row([
            Cell::text(grain.label(start)),
            Cell::count(counts.all()),
            share(counts.accepted, counts.all()),
            share(counts.hard, counts.all()),
        ]);
        chart.labels.push(grain.label(start));
        accepted.push(Some(real(counts.accepted)));
        others.push(Some(real(counts.all() - counts.accepted)));
        start = grain.next(start);
    }
    chart.series = vec![("accepted".to_owned(), accepted), ("not accepted".to_owned(), others)];
    Section {
        name: "over_time",
        title: "Over time".to_owned(),
        lead: String::new(),
        plots: vec![Plot { title: "Mails".to_owned(), unit: Unit::Count, shape: Shape::Stack(chart) }],
        table,
        readers: Readers::Everybody,
        missing: "No mail has come to an end in this period.",
    }
}

fn tried(attempts: &[TroubledAttempts]) -> Section {
    let mut table = Table::new(&[
        Column::new("state", "attempt ended as", Unit::Text),
        Column::new("reason", "because of", Unit::Text),
        Column::new("mails", "mails", Unit::Count),
        Column::new("times", "times", Unit::Count),
    ]);
    // What went at a later attempt is kept with its number, and is no trouble.
    let meant_to_go = |attempt: &&TroubledAttempts| {
        TRIED.contains(&attempt.state.as_str()) && attempt.reason != State::Sent.as_str()
    };
    for attempt in attempts.iter().filter(meant_to_go) {
        table.row([
            Cell::text(&attempt.state),
            Cell::text(&attempt.reason),
            Cell::count(attempt.sends),
            Cell::count(attempt.times),
        ]);
    }
    Section {
        name: "attempts",
        title: "Attempts that did not succeed at once".to_owned(),
        lead: "A mail that was deferred and arrived later is accepted above, and still stands here."
            .to_owned(),
        plots: Vec::new(),
        table,
        readers: Readers::Everybody,
        missing: "Every mail of this period went at the first attempt, or none was tried.",
    }
}
