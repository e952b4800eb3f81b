//! `bespoke evaluate arms`: what policies would have made of many A/B/n tests.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use super::output::{self, Format, Grid};
use crate::learn::arms::{ArmPolicy, ArmResult, ArmSimulation, PRIOR_IMPRESSIONS, Tests, read, simulate};
use crate::learn::table::Table;

/// What each policy does, in the order in which they are simulated.
fn meaning(policy: ArmPolicy) -> &'static str {
    match policy {
        ArmPolicy::Thompson => "as likely as it is the best, starting at the rate of earlier tests",
        ArmPolicy::EpsilonGreedy => "the best so far, and 10 % at random",
        ArmPolicy::SplitThenWinner => "an even split for 20 % of the traffic, then the winner",
        ArmPolicy::Uniform => "an even split for ever",
    }
}

/// What policies would have made of many A/B/n tests, from impressions and clicks alone.
///
/// Every test is served again in equal steps, its arms clicking at the rates that were measured. The figure is the share
/// of what the best arm from the start would have gained over an even split.
#[derive(Debug, Args)]
pub struct ArmsArgs {
    /// The tests: CSV or gzip, a row per arm.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The column that says which rows are one test.
    #[arg(long, value_name = "COL")]
    test: String,
    /// The column of how often an arm was shown.
    #[arg(long, value_name = "COL")]
    impressions: String,
    /// The column of how often it was clicked.
    #[arg(long, value_name = "COL")]
    clicks: String,
    /// In how many steps a test's traffic is served; a policy learns after each.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000))]
    steps: u32,
    /// Decides every draw: the same seed gives the same result.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The confidence of the intervals.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = output::share)]
    confidence: f64,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl ArmsArgs {
    /// Simulates and prints. 0: figures; 3: no test can be simulated.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let wanted = [self.test.as_str(), &self.impressions, &self.clicks];
        let table = Table::read(&self.log, &wanted).context("cannot simulate")?;
        let tests = read(&table, &self.test, &self.impressions, &self.clicks).context("cannot simulate")?;
        let result = simulate(&tests, self.steps as usize, self.seed, self.confidence);
        output::print(self.format, &self.text(&tests, &result), &self.json(&tests, &result))?;
        if tests.tests.is_empty() {
            eprintln!("bespoke: refused: {}", refusal(&tests));
            return Ok(ExitCode::from(super::REFUSED));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, tests: &Tests, result: &ArmSimulation) -> String {
        if tests.tests.is_empty() {
            return format!("REFUSED: {}.", refusal(tests));
        }
        let mut lines = vec![format!(
            "{} tests, {} impressions, served in {} steps each{}",
            tests.tests.len(),
            result.impressions,
            self.steps,
            left_out(tests)
        )];
        let percent = format!("{} % interval", 100.0 * self.confidence);
        let mut grid = Grid::new(&["policy", "clicks", "share of the gain", &percent, "what it does"]);
        for policy in &result.results {
            grid.row(&[
                policy.policy.name().to_owned(),
                output::rounded(Some(policy.clicks), 0),
                output::rounded(policy.share, 4),
                output::interval_rounded(policy.interval, 4),
                meaning(policy.policy).to_owned(),
            ]);
        }
        let clicks = output::rounded(Some(result.oracle_clicks), 0);
        grid.row(&["oracle", &clicks, "1.0000", "", "the best arm from the first impression"]);
        lines.push(grid.to_string());
        lines.push(format!(
            "thompson starts at the rate of the tests before in the file, worth {PRIOR_IMPRESSIONS} impressions."
        ));
        lines.extend(comparison(&result.results));
        lines.push("Measured rates scatter more than true ones, so the oracle is flattered.".to_owned());
        lines.join("\n")
    }

    fn json(&self, tests: &Tests, result: &ArmSimulation) -> Value {
        let mut out = Map::new();
        for policy in &result.results {
            let figures = json!({
                "clicks": output::json_figure(Some(policy.clicks)),
                "share": output::json_figure(policy.share),
                "interval": policy.interval,
            });
            out.insert(policy.policy.name().to_owned(), figures);
        }
        out.insert("oracle".to_owned(), json!({ "clicks": output::json_figure(Some(result.oracle_clicks)) }));
        out.insert("tests".to_owned(), json!(tests.tests.len()));
        out.insert("left_out".to_owned(), json!(tests.left_out));
        out.insert("impressions".to_owned(), json!(result.impressions));
        out.insert("refused".to_owned(), json!(tests.tests.is_empty()));
        out.insert("steps".to_owned(), json!(self.steps));
        out.insert("seed".to_owned(), json!(self.seed));
        out.insert("confidence".to_owned(), json!(self.confidence));
        Value::Object(out)
    }
}

/// Which policy kept most, where it is not the default one.
fn comparison(results: &[ArmResult]) -> Option<String> {
    let share = |one: &&ArmResult| one.share.unwrap_or(f64::NEG_INFINITY);
    let best = results.iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let default = results.iter().find(|one| one.policy == ArmPolicy::Thompson)?;
    if best.policy == default.policy {
        return None;
    }
    let apart = match (best.interval, default.interval) {
        (Some(best), Some(default)) if best.low > default.high => "beyond chance",
        _ => "by a difference that may be chance",
    };
    Some(format!(
        "{} keeps more of the gain here than thompson does: {} against {}, {apart}.",
        best.policy.name(),
        output::rounded(best.share, 4),
        output::rounded(default.share, 4)
    ))
}

fn left_out(tests: &Tests) -> String {
    match tests.left_out {
        0 => ".".to_owned(),
        count => format!("; {count} left out (one arm only, or an arm that nobody saw)."),
    }
}

fn refusal(tests: &Tests) -> String {
    format!("none of {} tests has two arms that were seen", tests.left_out)
}
