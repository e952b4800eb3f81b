//! `bespoke evaluate lift`: what a campaign changed, from the log of an experiment.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::output::{self, Format, Grid};
use crate::learn::lift::input::{self, Columns, Missing};
use crate::learn::lift::{
    self, Adjusted, Comparison, Effect, Experiment, Findings, Options, RatioVerdict, Test, Verdict,
};
use crate::learn::stats::{Interval, Summary};

/// What a campaign changed: every arm against control, everybody as assigned.
///
/// The log has a row per recipient, or several that --recipient sums. Whether they opened or even got the
/// mail must not decide who is in it: assignment alone does.
#[derive(Debug, Args)]
pub struct LiftArgs {
    /// The log: CSV or gzip.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The column of the arm that a recipient was assigned to.
    #[arg(long, value_name = "COL")]
    arm: String,
    /// The arm that got nothing.
    #[arg(long, value_name = "VALUE")]
    control: String,
    /// The columns to compare: numbers, or true and false.
    #[arg(long, value_name = "COL,…", value_delimiter = ',', required = true)]
    outcome: Vec<String>,
    /// A column known before the campaign, such as last year's spend: CUPED takes out what it explains.
    #[arg(long, value_name = "COL")]
    covariate: Option<String>,
    /// The column of the recipient, whose rows are summed [default: each row is one].
    #[arg(long, value_name = "COL")]
    recipient: Option<String>,
    /// How recipients were dealt to the arms, such as control=10,mail=90 [default: equally].
    #[arg(long, value_name = "ARM=SHARE,…", value_delimiter = ',', value_parser = arm_share)]
    expected_split: Vec<(String, f64)>,
    /// What an empty outcome stands for.
    #[arg(long, value_enum, default_value_t = MissingOutcome::Refuse)]
    missing: MissingOutcome,
    /// Of the intervals; one less this is the chance of any false claim.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = output::share)]
    confidence: f64,
    /// With what probability the minimum detectable effect is found.
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, value_parser = output::share)]
    power: f64,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What an empty outcome stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MissingOutcome {
    /// Nothing happened.
    Zero,
    /// A mistake in the file.
    Refuse,
}

impl LiftArgs {
    /// Compares and prints.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let columns = Columns {
            arm: &self.arm,
            control: &self.control,
            outcomes: &self.outcome,
            covariate: self.covariate.as_deref(),
            recipient: self.recipient.as_deref(),
            expected_shares: &self.expected_split,
            missing: match self.missing {
                MissingOutcome::Zero => Missing::Zero,
                MissingOutcome::Refuse => Missing::Refused,
            },
        };
        let experiment = input::read(&self.log, &columns).context("cannot compare the arms")?;
        let options = Options { confidence: self.confidence, power: self.power };
        let findings = lift::compare(&experiment, &options);
        output::print(self.format, &self.text(&experiment, &findings), &self.json(&experiment, &findings))?;
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, experiment: &Experiment, findings: &Findings) -> String {
        let mut lines = Vec::new();
        let ratio = findings.sample_ratio;
        if ratio.verdict == RatioVerdict::Fails {
            lines.push(format!(
                "NOT TO BE TRUSTED: the arms do not have the sizes that they were dealt ({}).",
                p_text(Some(ratio.p_value))
            ));
            lines.push("Something decided who is counted. If the split was not meant to be equal, say so with --expected-split.".to_owned());
            lines.push(String::new());
        }
        let expected: f64 = experiment.expected_shares.iter().sum();
        let mut grid = Grid::new(&["arm", "recipients", "share", "expected share"]);
        for (arm, name) in experiment.arms.iter().enumerate() {
            let share = crate::learn::stats::as_f64(findings.counts[arm])
                / crate::learn::stats::as_f64(experiment.arm_of.len());
            grid.row(&[
                name.clone(),
                findings.counts[arm].to_string(),
                output::rounded(Some(share), 4),
                output::rounded(Some(experiment.expected_shares[arm] / expected), 4),
            ]);
        }
        lines.push(grid.to_string());
        lines.push(format!("Sample ratio test: {}", p_text(Some(ratio.p_value))));
        for comparison in &findings.comparisons {
            lines.push(String::new());
            lines.push(format!(
                "{}: {} against {}",
                comparison.outcome, experiment.arms[comparison.arm], self.control
            ));
            lines.push(self.effects(comparison));
            lines.push(verdict_text(comparison, ratio.verdict, self.power));
        }
        lines.push(String::new());
        lines.extend(findings.notes.iter().map(|note| format!("Note: {note}.")));
        lines.join("\n")
    }

    fn effects(&self, comparison: &Comparison) -> String {
        let percent = 100.0 * self.confidence;
        let mut grid = Grid::new(&["", "value", &format!("{percent} % interval")]);
        let mean = |summary: &Summary| {
            (
                output::figure(Some(summary.mean)),
                output::interval(lift::mean_interval(summary, self.confidence)),
            )
        };
        let mut row =
            |name: &str, (value, interval): (String, String)| grid.row(&[name.to_owned(), value, interval]);
        row("treated mean", mean(&comparison.treated));
        row("control mean", mean(&comparison.control));
        let mut effect = |suffix: &str, effect: &Effect| {
            let difference = effect.difference;
            row(
                &format!("difference{suffix}"),
                (
                    output::figure(difference.map(|d| d.difference)),
                    output::interval(difference.map(|d| d.interval)),
                ),
            );
            row(&format!("lift{suffix}, %"), lift_text(effect));
        };
        effect("", &comparison.plain);
        if let Some(adjusted) = &comparison.adjusted {
            effect(" by CUPED", &adjusted.effect);
        }
        let mut lines = grid.to_string();
        if comparison.plain.lift.is_none() {
            lines.push_str("No lift: the control mean may be zero, so nothing can be divided by it.\n");
        }
        if let Some(Adjusted { variance_removed, .. }) = comparison.adjusted {
            lines.push_str(&output::rounded(Some(100.0 * variance_removed), 1));
            lines.push_str(
                " % of the variance is explained by the covariate; the verdict is on what remains.\n",
            );
        }
        lines.trim_end().to_owned()
    }

    fn json(&self, experiment: &Experiment, findings: &Findings) -> Value {
        let trusted = findings.sample_ratio.verdict == RatioVerdict::Holds;
        let arm = |(arm, name): (usize, &String)| {
            json!({
                "arm": name,
                "recipients": findings.counts[arm],
                "expected_share": experiment.expected_shares[arm] / experiment.expected_shares.iter().sum::<f64>(),
                "control": arm == experiment.control,
            })
        };
        let comparison = |comparison: &Comparison| {
            let mut value = self.json_comparison(experiment, comparison);
            if !trusted {
                value["verdict"] = json!("not to be trusted");
            }
            value
        };
        let comparisons: Vec<Value> = findings.comparisons.iter().map(comparison).collect();
        json!({
            "arms": experiment.arms.iter().enumerate().map(arm).collect::<Vec<Value>>(),
            "sample_ratio": { "p": findings.sample_ratio.p_value, "holds": trusted },
            "trusted": trusted,
            "comparisons": comparisons,
            "notes": findings.notes,
            "confidence": self.confidence,
            "power": self.power,
        })
    }

    fn json_comparison(&self, experiment: &Experiment, comparison: &Comparison) -> Value {
        let mean = |summary: &Summary| {
            json!({
                "count": summary.count,
                "mean": summary.mean,
                "interval": lift::mean_interval(summary, self.confidence),
            })
        };
        let cuped = comparison.adjusted.map(|adjusted| {
            let mut value = json_effect(&adjusted.effect, &comparison.control);
            value["variance_removed"] = json!(adjusted.variance_removed);
            value
        });
        let mut value = json_effect(&comparison.plain, &comparison.control);
        value["outcome"] = json!(comparison.outcome);
        value["arm"] = json!(experiment.arms[comparison.arm]);
        value["treated"] = mean(&comparison.treated);
        value["control"] = mean(&comparison.control);
        value["cuped"] = json!(cuped);
        value["test"] = json!(match comparison.test {
            Test::Welch => "welch",
            Test::Fisher => "fisher",
        });
        value["p"] = json!(comparison.p_value);
        value["p_adjusted"] = json!(comparison.p_adjusted);
        value["verdict"] = json!(verdict_name(comparison.verdict));
        value
    }
}

fn json_effect(effect: &Effect, control: &Summary) -> Value {
    let lift = effect.lift;
    let missing_lift =
        lift.is_none().then_some("the control mean may be zero, so nothing can be divided by it");
    let missing_difference =
        effect.difference.is_none().then_some("nothing varies, or an arm has fewer than two recipients");
    json!({
        "difference": effect.difference.map(|d| d.difference),
        "difference_interval": effect.difference.map(|d| d.interval),
        "difference_missing": missing_difference,
        "lift": lift.map(|(lift, _)| lift),
        "lift_interval": lift.map(|(_, interval)| interval),
        "lift_missing": missing_lift,
        "minimum_detectable_effect": effect.detectable,
        "minimum_detectable_lift": effect.detectable.filter(|_| lift.is_some()).map(|mde| mde / control.mean),
    })
}

fn lift_text(effect: &Effect) -> (String, String) {
    let percent = |(lift, interval): (f64, Interval)| {
        let interval = Interval { low: 100.0 * interval.low, high: 100.0 * interval.high };
        (output::rounded(Some(100.0 * lift), 2), output::interval_rounded(Some(interval), 2))
    };
    effect.lift.map_or_else(|| (output::figure(None), output::interval(None)), percent)
}

fn verdict_text(comparison: &Comparison, ratio: RatioVerdict, power: f64) -> String {
    let p = p_text(comparison.p_adjusted);
    let judged = comparison.adjusted.map_or(comparison.plain, |adjusted| adjusted.effect);
    let said = match comparison.verdict {
        Verdict::NotJudged => {
            return "Not judged: nothing varies, or too few of an arm have another value than 0.".to_owned();
        }
        Verdict::Higher => format!("significantly higher than control (adjusted {p})"),
        Verdict::Lower => format!("significantly lower than control (adjusted {p})"),
        Verdict::NotSignificant => format!("not significant (adjusted {p})"),
    };
    let detectable = judged.detectable.map_or_else(String::new, |mde| {
        format!("; a true difference of {} is found with probability {power}", output::figure(Some(mde)))
    });
    match ratio {
        RatioVerdict::Holds => format!("Verdict: {said}{detectable}."),
        RatioVerdict::Fails => format!("No verdict: the sample ratio fails. It would read: {said}."),
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Higher => "higher",
        Verdict::Lower => "lower",
        Verdict::NotSignificant => "not significant",
        Verdict::NotJudged => "not judged",
    }
}

fn p_text(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 0.0001 => "p < 0.0001".to_owned(),
        p => format!("p = {}", output::rounded(p, 4)),
    }
}

fn arm_share(text: &str) -> Result<(String, f64), String> {
    let (arm, share) = text.rsplit_once('=').ok_or("write ARM=SHARE, such as control=10")?;
    Ok((arm.to_owned(), output::positive(share)?))
}
