//! A/B tests: what each has shown so far, by the stopping rule that was stated before it began.
//!
//! A test is a set of variants that were drawn from side by side: whoever could not have got one of them (another stage,
//! another language) is in another test. A person counts once, with the first mail of the test: who clicks in one mail
//! clicks in the next, and a p-value over mails would take that for proof.

use std::collections::BTreeMap;
use std::collections::HashSet;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::ReportError;
use super::document::Cell;
use super::document::Column;
use super::document::Figure;
use super::document::Readers;
use super::document::Report;
use super::document::Section;
use super::document::Table;
use super::document::Unit;
use super::plot::Dots;
use super::plot::Plot;
use super::plot::Shape;
use super::scope::Sources;
use crate::campaign::Campaign;
use crate::campaign::PolicyKind;
use crate::clock::later_by;
use crate::learn::ab;
use crate::learn::ab::AbReport;
use crate::learn::ab::AbSend;
use crate::profile::ProfileId;
use crate::select::model::sequential::StoppingRule;
use crate::select::model::sequential::Verdict;
use crate::store::AbMail;
use crate::worker::assemble;

/// Mails of one page.
const PAGE_ROWS: usize = 5_000;

/// One test, as its mails are read.
#[derive(Debug, Default)]
struct Trial {
    people: HashSet<ProfileId>,
    sends: Vec<AbSend>,
    /// Their days are not over.
    open: u64,
}

/// A test with what it says.
struct Told {
    campaign: String,
    number: usize,
    open: u64,
    report: AbReport,
}

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let catalog = assemble::catalog(sources.config).map_err(|fault| ReportError::Data(fault.to_string()))?;
    let wanted = |campaign: &&Campaign| {
        campaign.policy == PolicyKind::Ab
            && sources.scope.campaign.as_ref().is_none_or(|only| *only == campaign.id)
    };
    let campaigns: Vec<&Campaign> =
        catalog.campaigns().map(|entry| entry.campaign.as_ref()).filter(wanted).collect();
    let mut told = Vec::new();
    for campaign in &campaigns {
        let trials = read(sources, campaign).await?;
        let tests = trials.into_iter().filter(|(variants, _)| variants.len() > 1).enumerate();
        told.extend(tests.map(|(index, (variants, trial))| Told {
            campaign: campaign.id.to_string(),
            number: index + 1,
            open: trial.open,
            report: ab::report(&variants, &trial.sends, StoppingRule::default()),
        }));
    }
    Ok(tell(sources, campaigns.len(), &told))
}

/// The tests of a campaign, by the names of their variants.
async fn read(
    sources: &Sources<'_>,
    campaign: &Campaign,
) -> Result<BTreeMap<Vec<String>, Trial>, ReportError> {
    let mut trials: BTreeMap<Vec<String>, Trial> = BTreeMap::new();
    let window = SignedDuration::from_hours(i64::from(campaign.reward.click_hours));
    let mut place = (Timestamp::UNIX_EPOCH, String::new());
    loop {
        let page = sources.store.ab_mails(&campaign.id, &place, PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(trials) };
        place = (last.decided_at, last.send.as_str().to_owned());
        for mail in page.into_iter().filter(|mail| sources.scope.holds(mail.submitted_at)) {
            add(&mut trials, mail, window, sources.scope.until);
        }
    }
}

fn add(trials: &mut BTreeMap<Vec<String>, Trial>, mail: AbMail, window: SignedDuration, until: Timestamp) {
    let mut variants: Vec<String> =
        mail.variants.into_iter().map(|variant| variant.as_str().to_owned()).collect();
    variants.sort();
    let Some(variant) = variants.iter().position(|name| name == mail.variant.as_str()) else { return };
    let trial = trials.entry(variants).or_default();
    if !trial.people.insert(mail.profile) {
        return;
    }
    let closed_at = later_by(mail.submitted_at, window);
    if closed_at > until {
        trial.open += 1;
    } else {
        let answered = mail.clicked_at.is_some_and(|at| at <= closed_at);
        trial.sends.push(AbSend { variant, closed_at, answered });
    }
}

fn tell(sources: &Sources<'_>, campaigns: usize, told: &[Told]) -> Report {
    let mut report = sources.report("ab", "A/B tests");
    let rule = StoppingRule::default();
    let people: u64 = told.iter().flat_map(|one| &one.report.lines).map(|line| line.sends).sum();
    let over = |one: &&Told| !matches!(one.report.verdict, Verdict::Continue { .. });
    report.headline = vec![
        Figure {
            key: "tests",
            title: "tests",
            unit: Unit::Count,
            value: Cell::count(told.len()),
            from: format!("{people} people judged"),
        },
        Figure {
            key: "tests_over",
            title: "tests that are over",
            unit: Unit::Count,
            value: Cell::count(told.iter().filter(over).count()),
            from: "by their stopping rule".to_owned(),
        },
    ];
    report.sections = vec![verdicts(told), variants(told)];
    if campaigns == 0 {
        report.notes.push(
            "no campaign has `policy = \"ab\"` in its campaign.toml, so there is no test to tell of"
                .to_owned(),
        );
    } else if told.is_empty() {
        report.notes.push(
            "no mail of an A/B test has gone out yet to somebody who could have got more than one variant"
                .to_owned(),
        );
    }
    report.notes.push(format!(
        "the stopping rule, fixed before the test: look as often as you like; a test ends when one variant beats every other with an always-valid p-value of at most {} divided by the number of pairs, or undecided after {} people. Nothing is said before each variant has {} people",
        rule.alpha, rule.sends_max, rule.sends_min
    ));
    report.notes.push(
        "a person counts once, with the first mail of the test, when the days for its click (`reward.click_hours`) are over; clicks of scanners do not count"
            .to_owned(),
    );
    report
}

fn verdicts(told: &[Told]) -> Section {
    let mut table = Table::new(&[
        Column::new("campaign", "campaign", Unit::Text),
        Column::new("test", "test", Unit::Count),
        Column::new("variants", "variants", Unit::Count),
        Column::new("people", "people judged", Unit::Count),
        Column::new("open_people", "days not over", Unit::Count),
        Column::new("looks", "looks", Unit::Count),
        Column::new("p_value", "p-value", Unit::Number(4)),
        Column::new("verdict", "verdict", Unit::Text),
    ]);
    for one in told {
        let p_value = match one.report.verdict {
            Verdict::Winner { p_value, .. } | Verdict::Continue { p_value, .. } => Some(p_value),
            Verdict::NoWinner => None,
        };
        table.row([
            Cell::text(&one.campaign),
            Cell::count(one.number),
            Cell::count(one.report.lines.len()),
            Cell::count(one.report.lines.iter().map(|line| line.sends).sum::<u64>()),
            Cell::count(one.open),
            Cell::count(one.report.looks),
            Cell::exact(p_value),
            Cell::text(&one.report.words),
        ]);
    }
    Section {
        name: "verdicts",
        title: "What each test says".to_owned(),
        lead: "Looked at at the end of each day; the p-value stays valid for all the looking. Variants that the same people could get are one test.".to_owned(),
        plots: Vec::new(),
        table,
        readers: Readers::Everybody,
        missing: "There is no A/B test with a mail in this period.",
    }
}

fn variants(told: &[Told]) -> Section {
    let mut table = Table::new(&[
        Column::new("campaign", "campaign", Unit::Text),
        Column::new("test", "test", Unit::Count),
        Column::new("variant", "variant", Unit::Text),
        Column::new("people", "people", Unit::Count),
        Column::new("clicked_people", "clicked", Unit::Count),
        Column::estimated("clicked", "share", Unit::Share),
    ]);
    let mut dots = Dots { rows: Vec::new(), reference: None };
    for one in told {
        for line in &one.report.lines {
            table.row([
                Cell::text(&one.campaign),
                Cell::count(one.number),
                Cell::text(&line.variant),
                Cell::count(line.sends),
                Cell::count(line.answers),
                Cell::estimate(line.rate, line.interval),
            ]);
            dots.rows.extend(line.rate.map(|rate| (line.variant.clone(), rate, line.interval)));
        }
    }
    let title = "Clicked, with 95 % intervals".to_owned();
    let plot = Plot { title, unit: Unit::Share, shape: Shape::Dots(dots.clone()) };
    Section {
        name: "variants",
        title: "Variant by variant".to_owned(),
        lead: "As each test saw them, up to its end. An interval is that of one look: the verdict above is what holds for all of them.".to_owned(),
        plots: if dots.rows.is_empty() { Vec::new() } else { vec![plot] },
        table,
        readers: Readers::Everybody,
        missing: "There is no A/B test with a mail in this period.",
    }
}
