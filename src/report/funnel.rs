//! The funnel: where people stand on the journey over time, how they moved, and what mails did at each stage.

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
use super::people::Person;
use super::people::Windows;
use super::people::each_person;
use super::plot::Chart;
use super::plot::Plot;
use super::plot::Shape;
use super::scope::Grain;
use super::scope::Sources;
use crate::stage::Stage;
use crate::store::StageSteps;

/// One day, week or month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Step {
    /// Entries into each stage.
    entered: [u64; 4],
    /// People at each stage at its end.
    standing: [i64; 4],
}

/// What became of mails that were decided at one stage.
#[derive(Debug, Clone, Copy, Default)]
struct Mails {
    sent: u64,
    opened: u64,
    clicked: u64,
    buying: u64,
}

/// From which stage to which, and how often; the first row is people placed for the first time.
type Moves = [[u64; 4]; 5];

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let steps = sources.store.stage_steps(&sources.scope.window()).await?;
    let windows = Windows::of(sources);
    let mut mails = [Mails::default(); 4];
    each_person(sources, |person| add_mails(&mut mails, &person, &windows, sources)).await?;
    let (grain, over_time, moves) = told(&steps, sources);
    let mut report = tell(sources, grain, &over_time, &moves, &mails);
    report.notes.push(format!("a mail led to an order when one is owed to it: {}", windows.rule()));
    Ok(report)
}

fn index(stage: Stage) -> usize {
    Stage::ALL.iter().position(|known| *known == stage).unwrap_or(0)
}

fn add_mails(mails: &mut [Mails; 4], person: &Person, windows: &Windows, sources: &Sources<'_>) {
    let scope = sources.scope;
    let mut buying = vec![false; person.mails.len()];
    for credit in person.credits(windows).into_iter().flatten() {
        buying[credit] = true;
    }
    for (mail, buying) in person.mails.iter().zip(buying) {
        let wanted = scope.campaign.as_ref().is_none_or(|only| only.as_str() == mail.campaign);
        let Some(stage) = mail.stage.filter(|_| wanted && scope.holds(mail.at)) else { continue };
        let counts = &mut mails[index(stage)];
        counts.sent += 1;
        counts.opened += u64::from(mail.opened_at.is_some());
        counts.clicked += u64::from(mail.clicked_at.is_some());
        counts.buying += u64::from(buying);
    }
}

/// Steps over time, every one from the first to the last, and who went where within the period.
fn told(steps: &[StageSteps], sources: &Sources<'_>) -> (Grain, BTreeMap<Date, Step>, Moves) {
    let scope = sources.scope;
    let inside =
        |step: &&StageSteps| scope.holds(step.at) || scope.since.is_some_and(|since| step.at >= since);
    let first = scope.since.or_else(|| steps.first().map(|step| step.at)).unwrap_or(scope.until);
    let last = if scope.since.is_some() { scope.until } else { steps.last().map_or(first, |step| step.at) };
    let grain = Grain::of(first, last);
    let mut moves = Moves::default();
    let mut changes: BTreeMap<Date, Step> = BTreeMap::new();
    let mut standing = [0_i64; 4];
    for step in steps {
        let count = i64::try_from(step.count).unwrap_or(i64::MAX);
        if !inside(&step) {
            standing[index(step.to)] += count;
            if let Some(from) = step.from {
                standing[index(from)] -= count;
            }
            continue;
        }
        moves[step.from.map_or(0, |from| index(from) + 1)][index(step.to)] += step.count;
        let change = changes.entry(grain.start(scope.date(step.at))).or_default();
        change.entered[index(step.to)] += step.count;
        change.standing[index(step.to)] += count;
        if let Some(from) = step.from {
            change.standing[index(from)] -= count;
        }
    }
    let mut over_time = BTreeMap::new();
    let last = changes.keys().next_back().copied();
    let mut start = grain.start(scope.date(first));
    while last.is_some_and(|last| start <= last) {
        let change = changes.get(&start).copied().unwrap_or_default();
        for (standing, change) in standing.iter_mut().zip(change.standing) {
            *standing += change;
        }
        over_time.insert(start, Step { entered: change.entered, standing });
        start = grain.next(start);
    }
    (grain, over_time, moves)
}

fn tell(
    sources: &Sources<'_>,
    grain: Grain,
    over_time: &BTreeMap<Date, Step>,
    moves: &Moves,
    mails: &[Mails; 4],
) -> Report {
    let mut report = sources.report("funnel", "The journey");
    let standing = over_time.values().next_back().map_or([0; 4], |step| step.standing);
    let all: i64 = standing.iter().sum();
    let titles = ["discover", "educate", "compare", "purchase"];
    let keys = ["discover_people", "educate_people", "compare_people", "purchase_people"];
    for ((key, title), people) in keys.into_iter().zip(titles).zip(standing) {
        let part = if all > 0 { 100 * people / all } else { 0 };
        let from = format!("people at the end, {part} %");
        report.headline.push(Figure { key, title, unit: Unit::Count, value: Cell::count(people), from });
    }
    report.sections = vec![standing_section(grain, over_time), moves_section(moves), mails_section(mails)];
    report.notes.push("a person is placed when bespoke plans or decides a mail for them: who was never looked at stands nowhere yet".to_owned());
    if sources.scope.campaign.is_some() {
        report
            .notes
            .push("stages are everybody's, whatever the campaign; mails are the campaign's".to_owned());
    }
    report
}

fn standing_section(grain: Grain, over_time: &BTreeMap<Date, Step>) -> Section {
    let mut table = Table::new(&[
        Column::new("period", grain.as_str(), Unit::Text),
        Column::new("discover", "at discover", Unit::Count),
        Column::new("educate", "at educate", Unit::Count),
        Column::new("compare", "at compare", Unit::Count),
        Column::new("purchase", "at purchase", Unit::Count),
        Column::new("entered_discover", "entered discover", Unit::Count),
        Column::new("entered_educate", "entered educate", Unit::Count),
        Column::new("entered_compare", "entered compare", Unit::Count),
        Column::new("entered_purchase", "entered purchase", Unit::Count),
    ]);
    let series = || Stage::ALL.map(|stage| (stage.to_string(), Vec::new())).to_vec();
    let (mut standing, mut entered) =
        (Chart { series: series(), ..Chart::default() }, Chart { series: series(), ..Chart::default() });
    for (start, step) in over_time {
        let mut row = vec![Cell::text(grain.label(*start))];
        row.extend(step.standing.map(Cell::count));
        row.extend(step.entered.map(Cell::count));
        table.row(row);
        for chart in [&mut standing, &mut entered] {
            chart.labels.push(grain.label(*start));
        }
        for stage in 0..4 {
            standing.series[stage].1.push(u64::try_from(step.standing[stage]).ok().map(real));
            entered.series[stage].1.push(Some(real(step.entered[stage])));
        }
    }
    let plot = |title: &str, shape| Plot { title: title.to_owned(), unit: Unit::Count, shape };
    Section {
        name: "stages",
        title: "Stages over time".to_owned(),
        lead: "People at each stage at the end of each period, and how many entered it within the period."
            .to_owned(),
        plots: vec![
            plot("People at each stage", Shape::Stack(standing)),
            plot("Entries into each stage", Shape::Lines(entered)),
        ],
        table,
        readers: Readers::Everybody,
        missing: "Nobody has been placed on the journey yet: a worker places people when it decides, and when it plans campaigns that start by a stage.",
    }
}

fn moves_section(moves: &Moves) -> Section {
    let mut table = Table::new(&[
        Column::new("from", "from", Unit::Text),
        Column::new("to", "to", Unit::Text),
        Column::new("steps", "steps", Unit::Count),
        Column::estimated("share", "of all steps from there", Unit::Share),
    ]);
    let names = ["(new)", "discover", "educate", "compare", "purchase"];
    for (from, row) in names.into_iter().zip(moves) {
        let all: u64 = row.iter().sum();
        for (to, steps) in Stage::ALL.into_iter().zip(row).filter(|(_, steps)| **steps > 0) {
            table.row([Cell::text(from), Cell::text(to.as_str()), Cell::count(*steps), share(*steps, all)]);
        }
    }
    Section {
        name: "steps",
        title: "Who went where".to_owned(),
        lead: "Steps from stage to stage within the period; forwards and back.".to_owned(),
        plots: Vec::new(),
        table,
        readers: Readers::Everybody,
        missing: "Nobody has moved from one stage to another in this period.",
    }
}

fn mails_section(mails: &[Mails; 4]) -> Section {
    let mut table = Table::new(&[
        Column::new("stage", "decided at", Unit::Text),
        Column::new("mails", "mails", Unit::Count),
        Column::estimated("opened", "opened", Unit::Share),
        Column::estimated("clicked", "clicked", Unit::Share),
        Column::estimated("bought", "led to an order", Unit::Share),
    ]);
    for (stage, counts) in Stage::ALL.into_iter().zip(mails) {
        table.row([
            Cell::text(stage.as_str()),
            Cell::count(counts.sent),
            share(counts.opened, counts.sent),
            share(counts.clicked, counts.sent),
            share(counts.buying, counts.sent),
        ]);
    }
    Section {
        name: "mails",
        title: "Mail at each stage".to_owned(),
        lead: "Mails by the stage at which they were decided, and what people did with them.".to_owned(),
        plots: Vec::new(),
        table,
        readers: Readers::Everybody,
        missing: "No mail went out in this period.",
    }
}
