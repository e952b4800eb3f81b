//! `bespoke evaluate recommend`: how good the product's recommendations are on anyone's file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::output::{self, Format, Grid, Resampling};
use crate::cli::learn::{advance, fitting_bar};
use crate::learn::recommend::input::{self, Input};
use crate::learn::recommend::ranking::{self, MEASURES, Mean, Repeats};
use crate::learn::recommend::{self, FitError, ItemModel};

/// More recommendations than this are no longer a mail.
const K_MAX: usize = 1_000;

/// How good recommendations fitted on one file are on the next, beside mere popularity.
///
/// Both files have a row per user and item, such as the purchases before and after a date.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// The interactions to learn from: CSV or gzip, a row per user and item.
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// The later interactions to be guessed.
    #[arg(long, value_name = "FILE")]
    test: PathBuf,
    /// The column of the user.
    #[arg(long, value_name = "COL")]
    user: String,
    /// The column of the item.
    #[arg(long, value_name = "COL")]
    item: String,
    /// What to fit.
    #[arg(long, value_enum, default_value_t = Method::Ease)]
    method: Method,
    /// The regularisation of EASE: the larger, the less rare coincidences count.
    #[arg(long, value_name = "N", default_value_t = 500.0, value_parser = output::positive)]
    lambda: f64,
    /// How many recommendations each user gets.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = places)]
    k: usize,
    /// Whether what a user already had may be recommended, and counts when they take it again.
    #[arg(long, value_enum, default_value_t = RepeatItems::Skip)]
    repeats: RepeatItems,
    #[command(flatten)]
    resampling: Resampling,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// Each item from all others, by a linear model in closed form.
    Ease,
    /// Items that the same people had.
    Itemknn,
    /// What most people had.
    Popular,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RepeatItems {
    /// Only what is new to the user.
    Skip,
    /// Also what they had, as for groceries.
    Keep,
}

/// Everything that is printed.
struct Report {
    input: Input,
    judged_users: usize,
    new_users: usize,
    new_relevant: usize,
    relevant: usize,
    method: [Option<Mean>; 4],
    popular: [Option<Mean>; 4],
    gain: [Option<Mean>; 4],
    distinct_items: usize,
    fallback: Option<String>,
}

impl RecommendArgs {
    /// Fits, ranks, scores and prints.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let input = input::read(&self.train, &self.test, &self.user, &self.item)
            .context("cannot evaluate recommendations")?;
        let report = self.report(input)?;
        output::print(self.format, &self.text(&report), &self.json(&report))?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, input: Input) -> anyhow::Result<Report> {
        let repeats = match self.repeats {
            RepeatItems::Skip => Repeats::Skip,
            RepeatItems::Keep => Repeats::Keep,
        };
        let cases = ranking::relevant_of(&input.cases, &input.train, repeats);
        if cases.is_empty() {
            bail!(
                "{}: nobody takes anything that they had not before; give a later period, or --repeats keep",
                self.test.display()
            );
        }
        let (model, fallback) = self.fit(&input)?;
        let popular = recommend::fit_popular(&input.train);
        let quality = |model: &ItemModel| ranking::evaluate(model, &input.train, &cases, repeats, self.k);
        let (method, popular) = (quality(&model), quality(&popular));
        let means = |scores: &[ranking::Scores]| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.resampling.seed);
            ranking::means(scores, self.resampling.confidence, self.resampling.resamples, &mut rng)
        };
        let known_items = input.train.items();
        let relevant = cases.iter().flat_map(|(_, relevant)| relevant);
        Ok(Report {
            judged_users: cases.len(),
            new_users: cases.iter().filter(|(case, _)| case.user.is_none()).count(),
            new_relevant: relevant.clone().filter(|&&item| item as usize >= known_items).count(),
            relevant: relevant.count(),
            method: means(&method.per_case),
            popular: means(&popular.per_case),
            gain: means(&ranking::differences(&method, &popular)),
            distinct_items: method.distinct_items,
            fallback,
            input,
        })
    }

    fn fit(&self, input: &Input) -> anyhow::Result<(ItemModel, Option<String>)> {
        Ok(match self.method {
            Method::Popular => (recommend::fit_popular(&input.train), None),
            Method::Itemknn => (recommend::fit_neighbours(&input.train), None),
            Method::Ease => {
                let bar = fitting_bar()?;
                let fitted =
                    recommend::fit_ease(&input.train, self.lambda, &|done, of| advance(&bar, done, of));
                bar.finish_and_clear();
                match fitted {
                    Ok(model) => (model, None),
                    Err(reason @ FitError::TooLarge { .. }) => (
                        recommend::fit_neighbours(&input.train),
                        Some(format!("{reason}; item neighbours were fitted instead")),
                    ),
                    Err(error) => return Err(error).context("EASE cannot be fitted"),
                }
            }
        })
    }

    /// The name of what was really fitted.
    fn fitted_name(&self, report: &Report) -> &'static str {
        match self.method {
            Method::Ease if report.fallback.is_none() => "ease",
            Method::Ease | Method::Itemknn => "itemknn",
            Method::Popular => "popular",
        }
    }

    fn text(&self, report: &Report) -> String {
        let (train, k) = (&report.input.train, self.k);
        let mut lines = vec![
            format!(
                "Learned from {} users and {} items; judged on {} users",
                train.users(),
                train.items(),
                report.judged_users
            ),
            String::new(),
        ];
        let percent = 100.0 * self.resampling.confidence;
        let head = format!("{percent} % interval");
        let name = self.fitted_name(report);
        let mut grid = Grid::new(&["measure", name, &head, "popular", &head, "gain", &head]);
        for (index, measure) in MEASURES.iter().enumerate() {
            let value = |mean: &Option<Mean>| output::rounded(mean.map(|mean| mean.value), 4);
            let interval =
                |mean: &Option<Mean>| output::interval_rounded(mean.and_then(|mean| mean.interval), 4);
            grid.row(&[
                format!("{measure}@{k}"),
                value(&report.method[index]),
                interval(&report.method[index]),
                value(&report.popular[index]),
                interval(&report.popular[index]),
                value(&report.gain[index]),
                interval(&report.gain[index]),
            ]);
        }
        lines.push(grid.to_string());
        if self.method != Method::Popular {
            lines.push(verdict(name, report));
        }
        lines.push(format!("{} different items were recommended.", report.distinct_items));
        lines.extend(notes(report).into_iter().map(|note| format!("Note: {note}.")));
        lines.join("\n")
    }

    fn json(&self, report: &Report) -> Value {
        let (mut out, mut intervals) = (Map::new(), Map::new());
        let (mut popular, mut gain) = (Map::new(), Map::new());
        let value = |mean: Option<Mean>| output::json_figure(mean.map(|mean| mean.value));
        let interval = |mean: Option<Mean>| json!(mean.and_then(|mean| mean.interval));
        for (index, measure) in MEASURES.iter().enumerate() {
            let name = (*measure).to_owned();
            out.insert(name.clone(), value(report.method[index]));
            intervals.insert(name.clone(), interval(report.method[index]));
            popular.insert(
                name.clone(),
                json!({ "value": value(report.popular[index]), "interval": interval(report.popular[index]) }),
            );
            gain.insert(
                name,
                json!({ "value": value(report.gain[index]), "interval": interval(report.gain[index]) }),
            );
        }
        out.insert("method".to_owned(), json!(self.fitted_name(report)));
        out.insert("k".to_owned(), json!(self.k));
        out.insert("intervals".to_owned(), Value::Object(intervals));
        out.insert("popular".to_owned(), Value::Object(popular));
        out.insert("gain_over_popular".to_owned(), Value::Object(gain));
        out.insert("train_users".to_owned(), json!(report.input.train.users()));
        out.insert("train_items".to_owned(), json!(report.input.train.items()));
        out.insert("judged_users".to_owned(), json!(report.judged_users));
        out.insert("distinct_items".to_owned(), json!(report.distinct_items));
        out.insert("notes".to_owned(), json!(notes(report)));
        out.insert("resampling".to_owned(), self.resampling.json());
        if self.method == Method::Ease {
            out.insert("lambda".to_owned(), json!(self.lambda));
        }
        Value::Object(out)
    }
}

fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(report.fallback.clone());
    if report.new_users > 0 {
        notes.push(format!("{} users are new and get what suits most people", report.new_users));
    }
    if report.new_relevant > 0 {
        notes.push(format!(
            "{} of {} items to be found are not in the training file, so nothing can find them",
            report.new_relevant, report.relevant
        ));
    }
    if report.input.gaps > 0 {
        notes.push(format!("{} rows without a user or an item are left out", report.input.gaps));
    }
    if report.judged_users < 100 {
        notes.push(format!("only {} users: the intervals are rough", report.judged_users));
    }
    notes
}

fn verdict(name: &str, report: &Report) -> String {
    match report.gain[0].and_then(|gain| gain.interval) {
        Some(interval) if interval.low > 0.0 => format!("{name} ranks better than popularity (nDCG)."),
        Some(interval) if interval.high < 0.0 => format!("{name} ranks WORSE than popularity (nDCG)."),
        _ => format!("The difference between {name} and popularity is not significant (nDCG)."),
    }
}

fn places(text: &str) -> Result<usize, String> {
    let value = text.parse().ok().filter(|k| (1..=K_MAX).contains(k));
    value.ok_or_else(|| format!("write a whole number from 1 to {K_MAX}"))
}
