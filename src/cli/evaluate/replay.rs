//! `bespoke evaluate replay`: a learning policy over a randomised log, as if it had been running.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::decisions::DecisionsFile;
use super::output::{self, Format, Grid};
use crate::learn::learner::PolicyName;
use crate::learn::log::{Log, LogColumns, Propensity};
use crate::learn::replay::{Estimates, Matching, Replay, ReplayOptions, replay};
use crate::learn::stats::Interval;
use crate::learn::weigh::{Difference, Weighed};

/// Fewer matches than this carry no figure.
const MATCHES_MIN: usize = 30;
/// Fewer matches than this are a reason for doubt.
const MATCHES_FOR_TRUST: usize = 500;

/// A learning policy over a log of randomised decisions, as if it had been running.
///
/// Row by row, the policy says its probability of each action from what it has learnt so far; it sees the reward only
/// where the action drawn from them is the logged one (Li et al. 2011). Unequal propensities are undone by weights, or
/// by rejection. Uniform and every fixed action are estimated on the same rows.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The log: CSV or gzip, a row per decision, in the order of time.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The column of the action.
    #[arg(long, value_name = "COL")]
    action: String,
    /// The column of the reward: 0 and 1, or money.
    #[arg(long, value_name = "COL")]
    reward: String,
    /// The probability of the logged action: its column, or one number for all rows.
    #[arg(long, value_name = "COL|NUMBER", value_parser = propensity)]
    propensity: Propensity,
    /// The columns known before the decision, with commas between: numbers or categories, gaps allowed.
    #[arg(long, value_name = "COL,…", value_delimiter = ',')]
    context: Vec<String>,
    /// The column to sort by [default: the order of the file].
    #[arg(long, value_name = "COL")]
    order: Option<String>,
    /// The policy learns after every so many rows.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// The policy.
    #[arg(long, value_enum, default_value_t = Policy::Thompson)]
    policy: Policy,
    /// Decides every draw: the same seed gives the same result.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The share that thompson and beta spread evenly over the actions.
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = output::share)]
    floor: f64,
    /// The factor on the spread of thompson's draws: a finite log rewards less than the full 1.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.5, value_parser = output::positive)]
    exploration: f64,
    /// What to do with unequal propensities.
    #[arg(long, value_enum, default_value_t = UnequalPropensities::Weight)]
    unequal: UnequalPropensities,
    /// The confidence of the intervals.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = output::share)]
    confidence: f64,
    /// Writes the row's number (1 is the first under the header) and the probability of each action.
    #[arg(long, value_name = "OUT.csv")]
    decisions: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// The default policy: Thompson sampling on shared, shrunk features.
    Thompson,
    /// Thompson sampling without context.
    Beta,
    /// Inverse gap weighting on the same model as thompson.
    Squarecb,
    /// The best by the same model, and 5 % at random.
    Egreedy,
    /// An even draw.
    Uniform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UnequalPropensities {
    /// Learn from every match and weigh it by 1/propensity.
    Weight,
    /// Keep a match with probability smallest propensity / propensity.
    Reject,
}

/// A column's name or a number, as `--propensity` takes it.
pub fn propensity(text: &str) -> Result<Propensity, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1.0 => Ok(Propensity::Number(number)),
        Ok(number) => Err(format!("{number} is not a probability above 0 and up to 1")),
        Err(_) => Ok(Propensity::Column(text.to_owned())),
    }
}

impl ReplayArgs {
    /// Replays and prints. 0: figures; 3: too few matches.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let columns = LogColumns {
            action: self.action.clone(),
            reward: self.reward.clone(),
            propensity: Some(self.propensity.clone()),
            contexts: self.context.clone(),
            order: self.order.clone(),
        };
        let log = Log::read(&[&self.log], &columns).context("cannot replay")?;
        let mut file = match &self.decisions {
            Some(path) => Some(DecisionsFile::create(path, &log.actions)?),
            None => None,
        };
        let add = |row: usize, p: &[f64]| file.as_mut().map_or(Ok(()), |file| file.add(row, p));
        let result = replay(&log, &self.options(), add)?;
        if let Some(file) = file {
            file.finish()?;
        }
        output::print(self.format, &self.text(&log, &result), &self.json(&log, &result))?;
        if result.matched < MATCHES_MIN {
            eprintln!("bespoke: refused: {}", refusal(&result));
            return Ok(ExitCode::from(super::REFUSED));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> ReplayOptions {
        ReplayOptions {
            policy: match self.policy {
                Policy::Thompson => PolicyName::Thompson,
                Policy::Beta => PolicyName::Beta,
                Policy::Squarecb => PolicyName::SquareCb,
                Policy::Egreedy => PolicyName::EpsilonGreedy,
                Policy::Uniform => PolicyName::Uniform,
            },
            batch_rows: self.batch as usize,
            floor: self.floor,
            exploration: self.exploration,
            seed: self.seed,
            matching: match self.unequal {
                UnequalPropensities::Weight => Matching::Weight,
                UnequalPropensities::Reject => Matching::Reject,
            },
            confidence: self.confidence,
        }
    }

    fn name(&self) -> String {
        self.policy.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn text(&self, log: &Log, result: &Replay) -> String {
        if result.matched < MATCHES_MIN {
            return format!("REFUSED: {}.", refusal(result));
        }
        let name = self.name();
        let best = &log.actions[result.best_fixed];
        let mut lines = vec![format!(
            "{} decisions, {} actions; {} matched, and {name} learnt from these alone.",
            result.rows,
            log.actions.len(),
            result.matched
        )];
        let percent = format!("{} % interval", 100.0 * self.confidence);
        let mut grid = Grid::new(&["", "per decision", &percent, "second half", &percent]);
        for (what, estimates) in [
            (format!("{name}: matched rows"), &result.matches),
            (format!("{name}: all rows"), &result.policy),
            ("uniform".to_owned(), &result.uniform),
            (format!("always {best}"), &result.fixed[result.best_fixed]),
        ] {
            let Estimates { whole, second_half } = estimates;
            let shown =
                |weighed: &Weighed| [output::figure(weighed.value), output::interval(weighed.interval)];
            grid.row(&[vec![what], shown(whole).to_vec(), shown(second_half).to_vec()].concat());
        }
        lines.push(grid.to_string());
        lines.push(format!("{name} less the best fixed action: {}.", words(result.over_best_fixed)));
        lines.push(format!("The same in the second half: {}.", words(result.over_best_fixed_second_half)));
        lines.push(format!("{name} less uniform: {}.", words(result.over_uniform)));
        lines.push(format!(
            "{best} is the best of {} in hindsight, picked on these very rows, and so flattered.",
            log.actions.len()
        ));
        lines.extend(doubts(result).map(|doubt| format!("Note: {doubt}.")));
        lines.join("\n")
    }

    fn json(&self, log: &Log, result: &Replay) -> Value {
        let refused = result.matched < MATCHES_MIN;
        let fixed: serde_json::Map<String, Value> =
            log.actions.iter().cloned().zip(result.fixed.iter().map(json_estimates)).collect();
        let matches = json_estimates(&result.matches);
        json!({
            "policy": self.name(),
            "rows": result.rows,
            "matched": result.matched,
            "refused": refused,
            "reasons": if refused { vec![refusal(result)] } else { Vec::new() },
            "notes": doubts(result).collect::<Vec<_>>(),
            "mean_reward": matches["mean_reward"],
            "interval": matches["interval"],
            "second_half": matches["second_half"],
            "second_half_interval": matches["second_half_interval"],
            "all_rows": json_estimates(&result.policy),
            "uniform": json_estimates(&result.uniform),
            "best_fixed": {
                "action": log.actions[result.best_fixed],
                "estimates": json_estimates(&result.fixed[result.best_fixed]),
                "mean_reward": output::json_figure(result.fixed[result.best_fixed].whole.value),
                "difference": json_difference(result.over_best_fixed),
                "difference_second_half": json_difference(result.over_best_fixed_second_half),
            },
            "z": output::json_figure(result.over_best_fixed.map(|difference| difference.z)),
            "over_uniform": json_difference(result.over_uniform),
            "fixed": fixed,
            "seed": self.seed,
            "batch": self.batch,
            "floor": self.floor,
            "exploration": self.exploration,
            "confidence": self.confidence,
        })
    }
}

fn refusal(result: &Replay) -> String {
    format!(
        "only {} of {} rows matched, and fewer than {MATCHES_MIN} carry no figure; a replay needs a longer log",
        result.matched, result.rows
    )
}

fn doubts(result: &Replay) -> impl Iterator<Item = String> {
    let few = result.matched < MATCHES_FOR_TRUST;
    few.then(|| format!("{} matched rows are few: the policy had little to learn from", result.matched))
        .into_iter()
}

/// A difference in words that claim no more than it says.
pub fn words(difference: Option<Difference>) -> String {
    let Some(Difference { value, interval, z, judged }) = difference else {
        return "none that could be measured".to_owned();
    };
    let Interval { low, high } = interval;
    let verdict = match judged {
        false => {
            ", not judged: too few rows carry it (an effective sample size below 200, or one row with over 5 %)"
        }
        true if low > 0.0 || high < 0.0 => "",
        true => ", not significant",
    };
    format!("{value:+.6} ({low:+.6} … {high:+.6}), z = {z:+.2}{verdict}")
}

/// A difference with its interval and z.
pub fn json_difference(difference: Option<Difference>) -> Value {
    json!(
        difference
            .map(|Difference { value, interval, z, judged }| json!({ "value": value, "interval": interval, "z": z, "judged": judged }))
    )
}

fn json_estimates(estimates: &Estimates) -> Value {
    json!({
        "mean_reward": output::json_figure(estimates.whole.value),
        "interval": estimates.whole.interval,
        "ess": output::json_figure(Some(estimates.whole.effective_sample_size)),
        "second_half": output::json_figure(estimates.second_half.value),
        "second_half_interval": estimates.second_half.interval,
    })
}
