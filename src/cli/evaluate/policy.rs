//! `bespoke evaluate policy`: fits on the past, decides for the future, and says what the decisions are worth.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::decisions::DecisionsFile;
use super::output::{self, Format, Grid};
use super::replay::{json_difference, propensity, words};
use crate::learn::log::{Log, LogColumns, Propensity};
use crate::learn::policy::{Decided, PolicyOptions, decide};
use crate::learn::stats::as_f64;
use crate::learn::weigh::Weighed;

/// Decisions whose test rows match less than this carry no figure.
const ESS_MIN: f64 = 200.0;

/// Fits the default policy's model on the past and decides for the future, as a campaign would.
///
/// Each test row gets the action with the highest expected reward, less the cost of sending; where one action means
/// that nothing is sent, name it with --none. The value is estimated on the test rows that happened to get the decided
/// action. Exits with 3 and no value when those cannot carry one; the decisions are written all the same.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// The past, to learn from: CSV or gzip, a row per decision.
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// The future, to decide for, with the same columns.
    #[arg(long, value_name = "FILE")]
    test: PathBuf,
    /// The column of the action.
    #[arg(long, value_name = "COL")]
    action: String,
    /// The column of the reward: 0 and 1, or money.
    #[arg(long, value_name = "COL")]
    reward: String,
    /// The columns known before the decision, with commas between: numbers or categories, gaps allowed.
    #[arg(long, value_name = "COL,…", value_delimiter = ',')]
    context: Vec<String>,
    /// The probability of the logged action: its column, or one number [default: the action's share of the file].
    #[arg(long, value_name = "COL|NUMBER", value_parser = propensity)]
    propensity: Option<Propensity>,
    /// The action that means that nothing is sent.
    #[arg(long, value_name = "VALUE")]
    none: Option<String>,
    /// What a send costs, in the unit of the reward.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, requires = "none", value_parser = cost, allow_hyphen_values = true)]
    cost: f64,
    /// The confidence of the intervals.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = output::share)]
    confidence: f64,
    /// Writes the test row's number (1 is the first under the header) and the probability of each action: 1 or 0.
    #[arg(long, value_name = "OUT.csv")]
    decisions: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn cost(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|cost: &f64| cost.is_finite() && *cost >= 0.0);
    value.ok_or_else(|| "write a number from 0 on".to_owned())
}

impl PolicyArgs {
    /// Fits, decides and prints. 0: figures; 3: the test file cannot carry them.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let columns = LogColumns {
            action: self.action.clone(),
            reward: self.reward.clone(),
            propensity: self.propensity.clone(),
            contexts: self.context.clone(),
            order: None,
        };
        let log = Log::read(&[&self.train, &self.test], &columns).context("cannot decide")?;
        let options = PolicyOptions { none: self.none(&log)?, cost: self.cost, confidence: self.confidence };
        let result = decide(&log, &options);
        if let Some(path) = &self.decisions {
            let mut file = DecisionsFile::create(path, &log.actions)?;
            let mut probabilities = vec![0.0; log.actions.len()];
            for (row, decision) in result.decisions.iter().enumerate() {
                probabilities.fill(0.0);
                probabilities[*decision] = 1.0;
                file.add(row, &probabilities)?;
            }
            file.finish()?;
        }
        output::print(self.format, &self.text(&log, &result), &self.json(&log, &result))?;
        if let Some(reason) = refusal(&result) {
            eprintln!("bespoke: refused: {reason}");
            return Ok(ExitCode::from(super::REFUSED));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn none(&self, log: &Log) -> anyhow::Result<Option<usize>> {
        let Some(none) = &self.none else { return Ok(None) };
        let known = log.actions.iter().position(|action| action == none);
        known.map(Some).ok_or_else(|| {
            anyhow!(
                "--none {none:?} is not an action: column {:?} of the files has {}",
                self.action,
                log.actions.join(", ")
            )
        })
    }

    fn text(&self, log: &Log, result: &Decided) -> String {
        let mut lines = Vec::new();
        if let Some(reason) = refusal(result) {
            lines.push(format!("REFUSED: {reason}."));
        }
        lines.push(format!(
            "Learnt from {} decisions, decided for {}; {} of these got the decided action.",
            log.rows_by_file[0],
            result.decisions.len(),
            result.matched
        ));
        let percent = format!("{} % interval", 100.0 * self.confidence);
        let mut grid = Grid::new(&["", "decided for", "share", "per decision", &percent]);
        let row = |what: &str, count: usize, weighed: &Weighed| {
            let share = 100.0 * as_f64(count) / as_f64(result.decisions.len());
            let (value, interval) = (output::figure(weighed.value), output::interval(weighed.interval));
            [what.to_owned(), count.to_string(), format!("{share:.1} %"), value, interval]
        };
        if refusal(result).is_none() {
            grid.row(&row("the decisions", result.decisions.len(), &result.policy));
        }
        for ((action, count), weighed) in log.actions.iter().zip(&result.counts).zip(&result.fixed) {
            grid.row(&row(&format!("always {action}"), *count, weighed));
        }
        lines.push(grid.to_string());
        let best = &log.actions[result.best_in_training];
        if refusal(result).is_none() {
            lines.push(format!("Less always {best}, the best in training: {}.", words(result.over_best)));
            if let Some(none) = &self.none {
                lines.push(format!("Less never sending ({none}): {}.", words(result.over_none)));
            }
        }
        if self.cost > 0.0 {
            lines.push(format!("Every send costs {}, deducted everywhere.", self.cost));
        }
        lines.extend(notes(result).map(|note| format!("Note: {note}.")));
        lines.join("\n")
    }

    fn json(&self, log: &Log, result: &Decided) -> Value {
        let reason = refusal(result);
        let estimate = |weighed: &Weighed| {
            json!({
                "value": output::json_figure(weighed.value),
                "interval": weighed.interval,
                "ess": output::json_figure(Some(weighed.effective_sample_size)),
            })
        };
        let policy = if reason.is_some() { Value::Null } else { estimate(&result.policy) };
        let by_action = |value: &dyn Fn(usize) -> Value| -> serde_json::Map<String, Value> {
            log.actions.iter().enumerate().map(|(number, action)| (action.clone(), value(number))).collect()
        };
        json!({
            "train_rows": log.rows_by_file[0],
            "test_rows": result.decisions.len(),
            "matched": result.matched,
            "refused": reason.is_some(),
            "reasons": reason.into_iter().collect::<Vec<_>>(),
            "notes": notes(result).collect::<Vec<_>>(),
            "value": policy["value"],
            "interval": policy["interval"],
            "ess": output::json_figure(Some(result.policy.effective_sample_size)),
            "decided": by_action(&|number| json!(result.counts[number])),
            "fixed": by_action(&|number| estimate(&result.fixed[number])),
            "best_in_training": log.actions[result.best_in_training],
            "over_best_in_training": json_difference(result.over_best),
            "over_none": json_difference(result.over_none),
            "cost": self.cost,
            "confidence": self.confidence,
        })
    }
}

fn refusal(result: &Decided) -> Option<String> {
    let ess = result.policy.effective_sample_size;
    (ess < ESS_MIN).then(|| {
        format!(
            "the test rows with the decided action are worth {ess:.0} rows, and under {ESS_MIN:.0} carry no value"
        )
    })
}

fn notes(result: &Decided) -> impl Iterator<Item = String> + '_ {
    result.suspicions.iter().map(|suspicion| {
        format!(
            "the logged action depends on column {:?} (p = {:.1e}), so its share is not its propensity and the values are biased; name the column of the propensity",
            suspicion.column, suspicion.p_value
        )
    })
}
