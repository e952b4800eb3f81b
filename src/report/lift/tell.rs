//! How lift is told: never more than was shown.

use super::ARMS;
use super::BOUGHT;
use super::POWER;
use super::Trial;
use crate::learn::lift::Comparison;
use crate::learn::lift::Effect;
use crate::learn::lift::Findings;
use crate::learn::lift::RatioVerdict;
use crate::learn::lift::SAMPLE_RATIO_P_MIN;
use crate::learn::lift::Test;
use crate::learn::lift::Verdict;
use crate::learn::lift::mean_interval;
use crate::learn::stats::Summary;
use crate::report::document::Cell;
use crate::report::document::Column;
use crate::report::document::Readers;
use crate::report::document::Report;
use crate::report::document::Section;
use crate::report::document::Table;
use crate::report::document::Unit;
use crate::report::estimate::real;
use crate::report::estimate::share;
use crate::report::plot::Dots;
use crate::report::plot::Plot;
use crate::report::plot::Shape;
use crate::report::scope::CONFIDENCE;
use crate::report::scope::Sources;

type Told = (String, Trial, Option<Findings>);

pub(super) fn tell(sources: &Sources<'_>, trials: &[Told]) -> Report {
    let mut report = sources.report("lift", "What campaigns changed");
    report.scope = format!("{}; within {} days of the first send", report.scope, sources.scope.days);
    report.sections = vec![outcomes(trials, sources), groups(trials)];
    report.notes = notes(trials, sources);
    report
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Higher => "higher",
        Verdict::Lower => "lower",
        Verdict::NotSignificant => "not significant",
        Verdict::NotJudged => "not judged",
    }
}

/// The effect that is judged: after CUPED where there is one.
fn judged(comparison: &Comparison) -> Effect {
    comparison.adjusted.map_or(comparison.plain, |adjusted| adjusted.effect)
}

/// The mean of a side with its interval: Wilson's where it is a share.
fn mean(comparison: &Comparison, side: &Summary) -> Cell {
    if comparison.outcome != BOUGHT {
        return Cell::estimate(Some(side.mean), mean_interval(side, CONFIDENCE));
    }
    let count = real(u64::try_from(side.count).unwrap_or(u64::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of zeros and ones")]
    let events = (side.mean * count).round() as u64;
    share(events, u64::try_from(side.count).unwrap_or(u64::MAX))
}

fn outcomes(trials: &[Told], sources: &Sources<'_>) -> Section {
    let number = Unit::Number(4);
    let mut table = Table::new(&[
        Column::new("campaign", "campaign", Unit::Text),
        Column::new("outcome", "outcome", Unit::Text),
        Column::estimated("with_mail", "with mail", number),
        Column::estimated("holdout", "holdout", number),
        Column::estimated("difference", "difference", number),
        Column::estimated("lift", "lift", Unit::Share),
        Column::new("verdict", "verdict", Unit::Text),
        Column::new("p_value", "p-value", number),
        Column::new("p_adjusted", "p adjusted", number),
        Column::new("test", "test", Unit::Text),
        Column::new("detectable", "detectable difference", number),
    ]);
    let mut dots = Dots { rows: Vec::new(), reference: Some(0.0) };
    for (campaign, _, findings) in trials {
        for comparison in findings.iter().flat_map(|findings| &findings.comparisons) {
            let effect = judged(comparison);
            let lift = effect.lift;
            if let Some((lift, interval)) = lift {
                dots.rows.push((format!("{campaign}: {}", comparison.outcome), lift, Some(interval)));
            }
            table.row([
                Cell::text(campaign),
                Cell::text(&comparison.outcome),
                mean(comparison, &comparison.treated),
                mean(comparison, &comparison.control),
                Cell::estimate(
                    effect.difference.map(|welch| welch.difference),
                    effect.difference.map(|welch| welch.interval),
                ),
                Cell::estimate(lift.map(|(lift, _)| lift), lift.map(|(_, interval)| interval)),
                Cell::text(verdict(comparison.verdict)),
                Cell::exact(comparison.p_value),
                Cell::exact(comparison.p_adjusted),
                Cell::text(if comparison.test == Test::Fisher { "Fisher" } else { "Welch" }),
                Cell::exact(effect.detectable),
            ]);
        }
    }
    let title = "Lift over the holdout, with 95 % intervals".to_owned();
    Section {
        name: "outcomes",
        title: "Against the holdout".to_owned(),
        lead: format!(
            "Mean of each person; revenue in {}. The difference is after CUPED: what people had spent in the days before is taken out, on both sides alike.",
            sources.currency()
        ),
        plots: if dots.rows.is_empty() {
            Vec::new()
        } else {
            vec![Plot { title, unit: Unit::Share, shape: Shape::Dots(dots) }]
        },
        table,
        readers: Readers::Everybody,
        missing: "Nobody can be compared yet: a campaign must have dealt with people on both sides, mail and holdout, and their days must be over.",
    }
}

fn groups(trials: &[Told]) -> Section {
    let mut table = Table::new(&[
        Column::new("campaign", "campaign", Unit::Text),
        Column::new("mail_people", "people with mail", Unit::Count),
        Column::new("holdout_people", "people in the holdout", Unit::Count),
        Column::new("too_young_people", "dealt too late", Unit::Count),
        Column::new("sizes", "sizes of the groups", Unit::Text),
        Column::new("sizes_p_value", "p-value", Unit::Number(4)),
    ]);
    for (campaign, trial, findings) in trials {
        let sizes = trial.sizes();
        let ratio = findings.as_ref().map(|findings| findings.sample_ratio);
        let verdict = match ratio.map(|ratio| ratio.verdict) {
            None if trial.too_young.iter().any(|people| *people > 0) => "too early to compare",
            None => "nobody to compare with",
            Some(RatioVerdict::Holds) => "as dealt",
            Some(RatioVerdict::Fails) => "NOT as dealt: trust no figure",
        };
        table.row([
            Cell::text(campaign),
            Cell::count(sizes[0]),
            Cell::count(sizes[1]),
            Cell::count(trial.too_young.iter().sum::<usize>()),
            Cell::text(verdict),
            Cell::exact(ratio.map(|ratio| ratio.p_value)),
        ]);
    }
    Section {
        name: "groups",
        title: "Who is compared".to_owned(),
        lead: "People whose first send of the campaign came as far as the deal, whether mail then went or not. Dealt too late: their days are not over.".to_owned(),
        plots: Vec::new(),
        table,
        readers: Readers::Everybody,
        missing: "No lifecycle campaign has dealt with anybody in this period.",
    }
}

fn notes(trials: &[Told], sources: &Sources<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if trials.is_empty() {
        notes.push("no lifecycle campaign dealt with anybody in this period".to_owned());
    }
    let [mut unheld, mut young, mut small] = [const { Vec::new() }; 3];
    for (campaign, trial, _) in trials.iter().filter(|(.., findings)| findings.is_none()) {
        let why = match (trial.sizes()[1] + trial.too_young[1], trial.too_young) {
            (0, _) => &mut unheld,
            (_, [0, 0]) => &mut small,
            _ => &mut young,
        };
        why.push(campaign.as_str());
    }
    if !unheld.is_empty() {
        notes.push(format!(
            "nobody is held out yet of {}: their effect cannot be known. Where few people were dealt with, wait; else set `holdout_percent` in the campaign.toml, or `holdout.percent` for all",
            unheld.join(", ")
        ));
    }
    if !young.is_empty() {
        notes.push(format!(
            "too few people on a side whose {} days after the first send are over, so nothing is compared yet: {}. Wait, or count fewer --days",
            sources.scope.days,
            young.join(", ")
        ));
    }
    if !small.is_empty() {
        notes.push(format!("too few people on a side, so nothing is compared: {}", small.join(", ")));
    }
    for (campaign, _, findings) in trials {
        let Some(findings) = findings else { continue };
        if findings.sample_ratio.verdict == RatioVerdict::Fails {
            notes.push(format!(
                "campaign {campaign}: the groups do not have the sizes that they were dealt (p < {SAMPLE_RATIO_P_MIN}): was the holdout's percentage changed within the period? Choose a --since behind the change"
            ));
        }
        notes.extend(findings.notes.iter().map(|note| format!("campaign {campaign}: {note}")));
    }
    notes.push(format!(
        "“not significant” does not mean that there is no effect; with these numbers one of the detectable size is found with a probability of {:.0} %",
        100.0 * POWER
    ));
    notes.push(format!(
        "an outcome is what a person did within {} days, whatever the reason; “{}” means that the campaign was meant for them",
        sources.scope.days, ARMS[0]
    ));
    notes
}
