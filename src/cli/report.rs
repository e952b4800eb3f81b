//! `bespoke report`: one report, as a table, CSV, JSON or one HTML file.

use std::io::ErrorKind;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use anyhow::bail;
use clap::Args;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use clap::builder::PossibleValuesParser;
use indicatif::ProgressBar;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::campaign::CampaignId;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::progress;
use crate::report;
use crate::report::REPORTS;
use crate::report::Report;
use crate::report::Sources;
use crate::report::scope::Scope;

/// Counts what was sent and what came of it: funnel, variants, lift, sales, cohorts, deliverability, customer value.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Which one
    #[arg(value_name = "REPORT", value_parser = names())]
    name: String,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Writes into this file instead of printing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which table of the report, in CSV; the first where none is named
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// From this day, or moment, on; from the beginning where none is stated
    #[arg(long, value_name = "DATE|TIME")]
    since: Option<String>,
    /// Until the end of this day, or up to this moment; until now where none is stated
    #[arg(long, value_name = "DATE|TIME")]
    until: Option<String>,
    /// This campaign only, in what is about mail
    #[arg(long, value_name = "NAME")]
    campaign: Option<String>,
    /// Whose days and months, such as Europe/Berlin; `quiet_hours.default_time_zone` where none is stated
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// lift: for so many days from the deal on it is counted what people did
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// clv: the last day that the back-test may learn from; three quarters of the time where none is stated
    #[arg(long, value_name = "DATE")]
    split: Option<Date>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned text for people.
    Table,
    /// One table for spreadsheets.
    Csv,
    /// Everything for programs.
    Json,
    /// One self-contained page with plots.
    Html,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(REPORTS.iter().map(|kind| PossibleValue::new(kind.name).help(kind.help)))
}

impl ReportArgs {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let scope = self.scope(context)?;
        let Some(kind) = report::find(&self.name) else { bail!("there is no report {:?}", self.name) };
        let report = block_on(async {
            let store = context.existing_store().await?;
            let bar = ProgressBar::new(0)
                .with_style(progress::style("{bar:30} {pos}/{len} people, {per_sec}, {eta} left")?);
            let progress = |done: u64, of: u64| {
                bar.set_length(of);
                bar.set_position(done);
            };
            let sources =
                Sources { store: &store, config: &context.config, scope: &scope, progress: &progress };
            let report = (kind.make)(&sources).await;
            bar.finish_and_clear();
            store.close().await;
            Ok(report?)
        })?;
        write_text(self.out.as_deref(), &self.formatted(&report)?)?;
        Ok(ExitCode::SUCCESS)
    }

    fn scope(&self, context: &Context) -> anyhow::Result<Scope> {
        let zone = self.zone.as_deref().unwrap_or(&context.config.quiet_hours.default_time_zone);
        let zone = TimeZone::get(zone)
            .with_context(|| format!("--zone {zone:?}: write a name such as Europe/Berlin"))?;
        let since =
            self.since.as_deref().map(|text| moment("--since", text, &zone, Edge::Start)).transpose()?;
        let until =
            self.until.as_deref().map(|text| moment("--until", text, &zone, Edge::End)).transpose()?;
        let until = until.unwrap_or_else(|| context.clock.now());
        if since.is_some_and(|since| since >= until) {
            bail!("--since lies behind --until, or the future: there is no time in between");
        }
        let campaign = self.campaign.clone().map(CampaignId);
        Ok(Scope { since, until, campaign, zone, days: self.days, split: self.split })
    }

    fn formatted(&self, report: &Report) -> anyhow::Result<String> {
        if self.table.is_some() && self.format != Format::Csv {
            bail!("--table chooses the table of a CSV file; the other formats have all of them");
        }
        Ok(match self.format {
            Format::Table => report::text::text(report),
            Format::Json => serde_json::to_string_pretty(&report::machine::json(report))? + "\n",
            Format::Html => report::html::html(report),
            Format::Csv => {
                let names: Vec<&str> = report.sections.iter().map(|section| section.name).collect();
                let wanted = self.table.as_deref().unwrap_or(names.first().copied().unwrap_or_default());
                let section =
                    report.sections.iter().find(|section| section.name == wanted).with_context(|| {
                        format!("--table {wanted:?}: {} has the tables {}", report.name, names.join(", "))
                    })?;
                if self.table.is_none() && names.len() > 1 {
                    eprintln!("table {wanted}; --table NAME writes another: {}", names[1..].join(", "));
                }
                report::machine::csv(&section.table)?
            }
        })
    }
}

/// Writes into a file, or prints. A reader that stops early is no error.
pub(super) fn write_text(file: Option<&Path>, text: &str) -> anyhow::Result<()> {
    if let Some(file) = file {
        return std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()));
    }
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Which end of a period is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

/// A day, whose beginning or end is meant, or a moment.
fn moment(flag: &str, text: &str, zone: &TimeZone, edge: Edge) -> anyhow::Result<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let problem = || {
        format!("{flag} {text:?}: write a day such as 2026-01-31, or a moment such as 2026-01-31T09:00:00Z")
    };
    let date: Date = text.parse().with_context(problem)?;
    let date = match edge {
        Edge::Start => date,
        Edge::End => date.tomorrow().with_context(problem)?,
    };
    Ok(date.to_zoned(zone.clone()).with_context(problem)?.timestamp())
}
