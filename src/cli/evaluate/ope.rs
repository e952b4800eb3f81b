//! `bespoke evaluate ope`: what another policy would have earned, from the log of the one that ran.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::output::{self, Format, Grid, Resampling};
use crate::learn::ope::input::{self, Columns, Input};
use crate::learn::ope::{self, ESTIMATORS, Estimate, Evaluation, FixedAction, Options};

/// What each estimator is, in the words of the table, in the order of [`ESTIMATORS`].
const MEANINGS: [&str; 6] = [
    "what the log earned",
    "inverse propensity",
    "the same, self-normalised",
    "reward model alone",
    "doubly robust",
    "the same, self-normalised",
];

/// What another policy would have earned, from the log of the one that ran.
///
/// The log has a row per decision with its propensity; the target has a row per action and a probability per
/// position. Exits with 3 and no estimate when the log cannot carry one.
#[derive(Debug, Args)]
pub struct OpeArgs {
    /// The log: CSV or gzip, a row per decision.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The policy to judge: a row per action, a column of probabilities per position.
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// The column of the action, in both files.
    #[arg(long, value_name = "COL", default_value = "item_id")]
    action: String,
    /// The column of the position; not read when the target has one column of probabilities.
    #[arg(long, value_name = "COL", default_value = "position")]
    position: String,
    /// The column of the reward: 0 and 1, or money.
    #[arg(long, value_name = "COL", default_value = "click")]
    reward: String,
    /// The column of the probability with which the action was chosen.
    #[arg(long, value_name = "COL", default_value = "propensity_score")]
    propensity: String,
    /// The column of the recipient, whose rows depend on each other [default: each row is its own].
    #[arg(long, value_name = "COL")]
    recipient: Option<String>,
    /// Weights above this are clipped in dr and sndr.
    #[arg(long, value_name = "NUMBER", default_value_t = 100.0, value_parser = output::positive)]
    weight_max: f64,
    #[command(flatten)]
    resampling: Resampling,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl OpeArgs {
    /// Evaluates and prints. 0: an answer; 3: refused.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let columns = Columns {
            action: &self.action,
            position: &self.position,
            reward: &self.reward,
            propensity: &self.propensity,
            recipient: self.recipient.as_deref(),
        };
        let input = input::read(&self.log, &self.target, &columns).context("cannot evaluate the target")?;
        let options = Options {
            confidence: self.resampling.confidence,
            resamples: self.resampling.resamples,
            weight_max: self.weight_max,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(self.resampling.seed);
        let result = ope::evaluate(&input.log, &input.target, &options, &mut rng);
        output::print(self.format, &self.text(&input, &result), &self.json(&input, &result))?;
        if result.refusals.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("bespoke: refused: {}", result.refusals.join("; "));
        Ok(ExitCode::from(super::REFUSED))
    }

    fn text(&self, input: &Input, result: &Evaluation) -> String {
        let mut lines = Vec::new();
        if !result.refusals.is_empty() {
            lines.push("REFUSED: this log cannot say what the target would earn.".to_owned());
            lines.extend(result.refusals.iter().map(|reason| format!("  - {reason}")));
            lines.push(String::new());
        }
        lines.push(format!("{} decisions, {} recipients", result.rows, result.recipients));
        let percent = 100.0 * self.resampling.confidence;
        let mut grid =
            Grid::new(&["estimator", "per decision", &format!("{percent} % interval"), "what it is"]);
        for ((name, meaning), estimate) in ESTIMATORS.iter().zip(MEANINGS).zip(&result.estimates) {
            let (value, interval) = shown(estimate.as_ref());
            grid.row(&[(*name).to_owned(), value, interval, meaning.to_owned()]);
        }
        let (value, interval) = shown(result.gain.as_ref());
        grid.row(&["gain".to_owned(), value, interval, "snips less on_policy".to_owned()]);
        lines.push(grid.to_string());

        let mut grid = Grid::new(&["weights", ""]);
        grid.row(&["effective sample size".to_owned(), output::rounded(result.effective_sample_size, 1)]);
        grid.row(&["largest weight".to_owned(), output::rounded(Some(result.max_weight), 2)]);
        grid.row(&["mean weight".to_owned(), output::rounded(Some(result.mean_weight), 4)]);
        lines.push(grid.to_string());
        lines.push(verdict(result));
        lines.push(match &result.best_fixed {
            Ok(best) => format!(
                "Best single action: {} with {} ({}) per decision (picked on these rows, so flattered); the target is {:+.1} standard errors from it.",
                input.actions[best.action as usize],
                output::figure(Some(best.value)),
                output::interval(Some(best.interval)),
                best.z
            ),
            Err(reason) => format!("Best single action: not shown, {reason}."),
        });
        lines.extend(result.notes.iter().map(|note| format!("Note: {note}.")));
        lines.join("\n")
    }

    fn json(&self, input: &Input, result: &Evaluation) -> Value {
        let mut out = Map::new();
        let mut intervals = Map::new();
        for (name, estimate) in ESTIMATORS.iter().zip(&result.estimates) {
            out.insert((*name).to_owned(), output::json_figure(estimate.map(|estimate| estimate.value)));
            intervals.insert((*name).to_owned(), json_interval(estimate.as_ref()));
        }
        intervals.insert("gain".to_owned(), json_interval(result.gain.as_ref()));
        out.insert("gain".to_owned(), output::json_figure(result.gain.map(|gain| gain.value)));
        out.insert("ess".to_owned(), output::json_figure(result.effective_sample_size));
        out.insert("max_weight".to_owned(), output::json_figure(Some(result.max_weight)));
        out.insert("mean_weight".to_owned(), output::json_figure(Some(result.mean_weight)));
        out.insert("rows".to_owned(), json!(result.rows));
        out.insert("recipients".to_owned(), json!(result.recipients));
        out.insert("refused".to_owned(), json!(!result.refusals.is_empty()));
        out.insert("reasons".to_owned(), json!(result.refusals));
        out.insert("notes".to_owned(), json!(result.notes));
        out.insert("intervals".to_owned(), Value::Object(intervals));
        out.insert("unseen_share".to_owned(), output::json_figure(Some(result.unseen_share)));
        out.insert("clipped_rows".to_owned(), json!(result.clipped_rows));
        out.insert("best_fixed".to_owned(), json_fixed(input, result.best_fixed));
        out.insert("resampling".to_owned(), self.resampling.json());
        Value::Object(out)
    }
}

fn verdict(result: &Evaluation) -> String {
    let Some(Estimate { interval: Some(interval), .. }) = result.gain else {
        return "The target is not compared with what ran: there is no interval for the gain.".to_owned();
    };
    if interval.low > 0.0 {
        "The target would have earned more than what ran: the interval of the gain lies above 0.".to_owned()
    } else if interval.high < 0.0 {
        "The target would have earned less than what ran: the interval of the gain lies below 0.".to_owned()
    } else {
        "The gain over what ran is not significant: its interval holds 0.".to_owned()
    }
}

fn shown(estimate: Option<&Estimate>) -> (String, String) {
    let interval = estimate.and_then(|estimate| estimate.interval);
    (output::figure(estimate.map(|estimate| estimate.value)), output::interval(interval))
}

fn json_interval(estimate: Option<&Estimate>) -> Value {
    json!(estimate.and_then(|estimate| estimate.interval))
}

fn json_fixed(input: &Input, best: Result<FixedAction, &'static str>) -> Value {
    match best {
        Ok(best) => json!({
            "action": input.actions[best.action as usize],
            "snips": best.value,
            "interval": best.interval,
            "ess": best.effective_sample_size,
            "target_z": best.z,
        }),
        Err(reason) => json!({ "missing": reason }),
    }
}
