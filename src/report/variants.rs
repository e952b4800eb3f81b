//! Variants: how often each was sent, and what people did with it, with intervals; the same by file and by slot option.

use std::collections::BTreeMap;
use std::collections::HashSet;

use super::ReportError;
use super::document::Cell;
use super::document::Column;
use super::document::Figure;
use super::document::Readers;
use super::document::Report;
use super::document::Section;
use super::document::Table;
use super::document::Unit;
use super::estimate::Ratio;
use super::estimate::real;
use super::estimate::share;
use super::estimate::shares_differ_p;
use super::estimate::verdict;
use super::estimate::wilson;
use super::people::Person;
use super::people::Windows;
use super::people::each_person;
use super::people::net;
use super::plot::Dots;
use super::plot::Plot;
use super::plot::Shape;
use super::scope::Sources;
use crate::campaign::Tracking;
use crate::learn::stats::Interval;
use crate::learn::stats::holm;

/// Rows of a plot, at most: those with most mails.
const PLOTTED_MAX: usize = 20;

/// What was sent of one thing, and what came of it.
#[derive(Debug, Clone, Default)]
struct Counts {
    mails: u64,
    opened: u64,
    clicked: u64,
    buying: u64,
    revenue: Ratio,
    unsubscribed: u64,
    complained: u64,
}

/// Whether clicks and opens can be seen at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// They are counted.
    Tracked,
    /// No address leads to us: nothing is known of them.
    Untracked,
}

/// Said in the place of a figure that nobody could count.
const NOT_TRACKED: &str = "not tracked";

impl Seen {
    fn share(self, events: u64, of: u64) -> Cell {
        if self == Self::Tracked { share(events, of) } else { Cell::text(NOT_TRACKED) }
    }
}

/// A row of a plot: name, figure, interval.
type Row = (String, f64, Option<Interval>);
/// Campaign, then the name of a variant.
type Variants = BTreeMap<(String, String), Counts>;

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let windows = Windows::of(sources);
    let mut variants = Variants::new();
    each_person(sources, |person| add(&mut variants, &person, &windows, sources)).await?;
    for found in sources.store.consequences(&sources.scope.window()).await? {
        if let Some(counts) = variants.get_mut(&(found.campaign, found.variant)) {
            match found.reason.as_str() {
                "unsubscribe" => counts.unsubscribed += found.count,
                "complaint" => counts.complained += found.count,
                _ => {}
            }
        }
    }
    let mut report = tell(&variants, sources);
    report.notes.push(format!("a mail led to an order when one is owed to it: {}", windows.rule()));
    Ok(report)
}

fn add(variants: &mut Variants, person: &Person, windows: &Windows, sources: &Sources<'_>) {
    let scope = sources.scope;
    let mut worth_minor = vec![0_i64; person.mails.len()];
    let mut buying = HashSet::new();
    for (order, credit) in person.orders.iter().zip(person.credits(windows)) {
        let Some(index) = credit else { continue };
        worth_minor[index] += net(order);
        buying.insert(index);
    }
    let mut sums: BTreeMap<(&str, &str), (i64, u64)> = BTreeMap::new();
    for (index, mail) in person.mails.iter().enumerate() {
        let wanted = scope.campaign.as_ref().is_none_or(|only| only.as_str() == mail.campaign);
        if !wanted || !scope.holds(mail.at) {
            continue;
        }
        let counts = variants.entry((mail.campaign.clone(), mail.variant.clone())).or_default();
        counts.mails += 1;
        counts.opened += u64::from(mail.opened_at.is_some());
        counts.clicked += u64::from(mail.clicked_at.is_some());
        counts.buying += u64::from(buying.contains(&index));
        let sum = sums.entry((&mail.campaign, &mail.variant)).or_default();
        *sum = (sum.0 + worth_minor[index], sum.1 + 1);
    }
    for ((campaign, variant), (minor, mails)) in sums {
        if let Some(counts) = variants.get_mut(&(campaign.to_owned(), variant.to_owned())) {
            counts.revenue.add(sources.major(minor), real(mails));
        }
    }
}

impl Counts {
    fn join(&mut self, other: &Self) {
        self.mails += other.mails;
        self.opened += other.opened;
        self.clicked += other.clicked;
        self.buying += other.buying;
        self.revenue.join(&other.revenue);
        self.unsubscribed += other.unsubscribed;
        self.complained += other.complained;
    }
}

fn tell(variants: &Variants, sources: &Sources<'_>) -> Report {
    let mut report = sources.report("variants", "Variants");
    let mut all = Counts::default();
    for counts in variants.values() {
        all.join(counts);
    }
    let figure = |key, title, unit, value, from: String| Figure { key, title, unit, value, from };
    let tracks = sources.config.public.url.is_some() && sources.config.public.tracking == Tracking::On;
    let seen = if tracks || all.opened + all.clicked > 0 { Seen::Tracked } else { Seen::Untracked };
    let of = |events: u64| format!("{events} of {} mails", all.mails);
    report.headline = vec![
        figure(
            "variants",
            "variants sent",
            Unit::Count,
            Cell::count(variants.len()),
            format!("{} mails", all.mails),
        ),
        figure("opened", "opened", Unit::Share, seen.share(all.opened, all.mails), of(all.opened)),
        figure("clicked", "clicked", Unit::Share, seen.share(all.clicked, all.mails), of(all.clicked)),
        figure("bought", "led to an order", Unit::Share, share(all.buying, all.mails), of(all.buying)),
    ];
    report.sections = vec![
        variants_section(variants, seen),
        families_section(variants, seen),
        options_section(variants, seen),
    ];
    report.notes = vec![
        "shares have Wilson intervals, revenue a mail a delta-method interval over people, all 95 %".to_owned(),
        "“clicked against the rest” is told within the campaign, adjusted for the number of comparisons (Holm)".to_owned(),
        "who got a variant was not drawn evenly: a difference may be that of the people. What a variant itself does shows in the learning slice, and in `bespoke evaluate ope`".to_owned(),
    ];
    if seen == Seen::Untracked {
        let note = "nothing is known of opens and clicks: state `public.url`, where tracked links lead, and serve it";
        report.notes.push(note.to_owned());
    }
    report
}

const MEASURES: [Column; 8] = [
    Column::new("mails", "mails", Unit::Count),
    Column::new("share_of_traffic", "share of traffic", Unit::Share),
    Column::estimated("opened", "opened", Unit::Share),
    Column::estimated("clicked", "clicked", Unit::Share),
    Column::new("clicked_against_the_rest", "clicked against the rest", Unit::Text),
    Column::estimated("bought", "led to an order", Unit::Share),
    Column::estimated("revenue_per_mail", "revenue a mail", Unit::Money),
    Column::estimated("unsubscribed", "unsubscribed", Unit::Share),
];

fn measures(counts: &Counts, all: u64, verdict: &str, seen: Seen) -> Vec<Cell> {
    vec![
        Cell::count(counts.mails),
        Cell::exact((all > 0).then(|| real(counts.mails) / real(all))),
        seen.share(counts.opened, counts.mails),
        seen.share(counts.clicked, counts.mails),
        Cell::text(if seen == Seen::Tracked { verdict } else { NOT_TRACKED }),
        share(counts.buying, counts.mails),
        counts.revenue.cell(),
        share(counts.unsubscribed, counts.mails),
    ]
}

/// What may be said of each one's clicks against all others of the group.
fn against_the_rest(group: &[&Counts]) -> Vec<&'static str> {
    let (clicked, mails) = group.iter().fold((0, 0), |sum, one| (sum.0 + one.clicked, sum.1 + one.mails));
    let compare =
        |one: &&Counts| shares_differ_p([one.clicked, clicked - one.clicked], [one.mails, mails - one.mails]);
    let found: Vec<Option<f64>> = group.iter().map(compare).collect();
    let known: Vec<f64> = found.iter().copied().flatten().collect();
    let mut adjusted = holm(&known).into_iter();
    let tell = |(one, p): (&&Counts, Option<f64>)| {
        let rest = real(mails - one.mails).max(1.0);
        let difference = real(one.clicked) / real(one.mails.max(1)) - real(clicked - one.clicked) / rest;
        verdict(difference, p.and_then(|_| adjusted.next()))
    };
    group.iter().zip(found).map(tell).collect()
}

/// A table with the rows of each group together, and what each is compared with.
fn grouped(
    heads: &[Column],
    groups: &BTreeMap<Vec<String>, BTreeMap<String, Counts>>,
    seen: Seen,
) -> (Table, Dots) {
    let mut table = Table::new(&[heads, MEASURES.as_slice()].concat());
    let mut plotted = Vec::new();
    for (names, members) in groups {
        let all: u64 = members.values().map(|counts| counts.mails).sum();
        let verdicts = against_the_rest(&members.values().collect::<Vec<_>>());
        let mut rows: Vec<_> = members.iter().zip(verdicts).collect();
        rows.sort_by(|((a_name, a), _), ((b_name, b), _)| b.mails.cmp(&a.mails).then(a_name.cmp(b_name)));
        for ((name, counts), verdict) in rows {
            let mut row: Vec<Cell> = names.iter().map(Cell::text).collect();
            row.push(Cell::text(name));
            row.extend(measures(counts, all, verdict, seen));
            table.row(row);
            if counts.mails > 0 && seen == Seen::Tracked {
                let rate = real(counts.clicked) / real(counts.mails);
                plotted.push((counts.mails, (name.clone(), rate, wilson(counts.clicked, counts.mails))));
            }
        }
    }
    plotted.sort_by_key(|(mails, _)| std::cmp::Reverse(*mails));
    plotted.truncate(PLOTTED_MAX);
    plotted.sort_by(|(_, a): &(u64, Row), (_, b)| b.1.total_cmp(&a.1));
    (table, Dots { rows: plotted.into_iter().map(|(_, row)| row).collect(), reference: None })
}

fn plots(dots: Dots, what: &str) -> Vec<Plot> {
    if dots.rows.is_empty() {
        return Vec::new();
    }
    let title = format!("Clicked, with 95 % intervals: the {} {what} with most mails", dots.rows.len());
    vec![Plot { title, unit: Unit::Share, shape: Shape::Dots(dots) }]
}

fn variants_section(variants: &Variants, seen: Seen) -> Section {
    let mut groups: BTreeMap<Vec<String>, BTreeMap<String, Counts>> = BTreeMap::new();
    for ((campaign, variant), counts) in variants {
        groups.entry(vec![campaign.clone()]).or_default().insert(variant.clone(), counts.clone());
    }
    let heads =
        [Column::new("campaign", "campaign", Unit::Text), Column::new("variant", "variant", Unit::Text)];
    let (table, dots) = grouped(&heads, &groups, seen);
    // Without its plot the table is all that people have.
    let readers = if dots.rows.len() < PLOTTED_MAX { Readers::Everybody } else { Readers::Programs };
    Section {
        name: "variants",
        title: "Every variant".to_owned(),
        lead: "Opened and clicked by people, not by scanners.".to_owned(),
        plots: plots(dots, "variants"),
        table,
        readers,
        missing: "No mail went out in this period.",
    }
}

fn families_section(variants: &Variants, seen: Seen) -> Section {
    let mut groups: BTreeMap<Vec<String>, BTreeMap<String, Counts>> = BTreeMap::new();
    for ((campaign, variant), counts) in variants {
        let family = variant.split('+').next().unwrap_or_default().to_owned();
        groups.entry(vec![campaign.clone()]).or_default().entry(family).or_default().join(counts);
    }
    let heads = [Column::new("campaign", "campaign", Unit::Text), Column::new("file", "file", Unit::Text)];
    let (table, dots) = grouped(&heads, &groups, seen);
    Section {
        name: "files",
        title: "By template file".to_owned(),
        lead: "A file with slots stands for every combination of their options; here they are together."
            .to_owned(),
        plots: plots(dots, "files"),
        table,
        readers: Readers::Everybody,
        missing: "No mail went out in this period.",
    }
}

fn options_section(variants: &Variants, seen: Seen) -> Section {
    let mut groups: BTreeMap<Vec<String>, BTreeMap<String, Counts>> = BTreeMap::new();
    for ((campaign, variant), counts) in variants {
        for (slot, option) in variant.split('+').skip(1).filter_map(|part| part.split_once('=')) {
            let group = groups.entry(vec![campaign.clone(), slot.to_owned()]).or_default();
            group.entry(option.to_owned()).or_default().join(counts);
        }
    }
    let heads = [
        Column::new("campaign", "campaign", Unit::Text),
        Column::new("slot", "slot", Unit::Text),
        Column::new("option", "option", Unit::Text),
    ];
    Section {
        name: "options",
        title: "By option of a slot".to_owned(),
        lead:
            "All mails of a campaign that show an option, against those with another option of the same slot."
                .to_owned(),
        plots: Vec::new(),
        table: grouped(&heads, &groups, seen).0,
        readers: Readers::Everybody,
        missing: "No mail with slots went out in this period.",
    }
}
