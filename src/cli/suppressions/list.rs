//! `bespoke suppressions list`: a table for people, CSV and JSONL for programs.

use std::io::BufWriter;
use std::io::Write;

use clap::Args;
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;

use super::parse;
use crate::cli::say::say;
use crate::send::LISTED_REASONS;
use crate::send::PAUSE;
use crate::send::SendId;
use crate::send::Suppression;
use crate::store::Store;
use crate::store::SuppressionFilter;

/// Lines of a table where no other number is stated.
const TABLE_ROWS: usize = 50;

/// The columns, as an import reads them.
const COLUMNS: [&str; 6] = ["address", "topic", "reason", "at", "until", "send"];

/// Lists them, a line each.
#[derive(Debug, Args)]
pub struct List {
    /// Only this address
    #[arg(long)]
    address: Option<String>,
    /// Only this reason
    #[arg(long, value_parser = reasons())]
    reason: Option<String>,
    /// Only this topic: `*`, `lifecycle`, `pause`, or a campaign's
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// How they are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// At most this many [default: 50 in a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// How the list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned text for people.
    Table,
    /// For spreadsheets, and for `bespoke suppressions import` elsewhere.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// Those of a list that somebody keeps, and that which people alone state.
fn reasons() -> PossibleValuesParser {
    PossibleValuesParser::new(LISTED_REASONS.map(|(reason, _)| reason).into_iter().chain([PAUSE]))
}

impl List {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let address = self.address.as_deref().map(parse).transpose()?;
        let filter = SuppressionFilter {
            address: address.as_ref().map(crate::profile::EmailAddress::key),
            reason: self.reason.clone(),
            topic: self.topic.clone(),
        };
        let limit = self.limit.unwrap_or(if self.format == Format::Table { TABLE_ROWS } else { usize::MAX });
        let out = BufWriter::new(std::io::stdout().lock());
        match self.format {
            Format::Table => table(store, &filter, limit).await,
            Format::Csv => csv(store, filter, limit, out).await,
            Format::Jsonl => jsonl(store, filter, limit, out).await,
        }
    }
}

fn cells(one: &Suppression) -> [String; 6] {
    let or_nothing = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string());
    [
        one.address.clone(),
        one.topic.clone(),
        one.reason.clone(),
        one.at.to_string(),
        or_nothing(one.until),
        one.send.as_ref().map_or_else(String::new, SendId::to_string),
    ]
}

async fn table(store: &Store, filter: &SuppressionFilter, limit: usize) -> anyhow::Result<()> {
    let found = store.suppressions(filter, None, limit.saturating_add(1)).await?;
    if found.is_empty() {
        // Somebody who was erased is on no list, and yet gets nothing.
        let keys: Vec<String> = filter.address.iter().cloned().collect();
        match store.erased_addresses(&keys).await?.into_iter().next() {
            Some((address, at)) => say!("{address} was erased at {at:.0}: nothing is sent there"),
            None => say!("no suppression is like that"),
        }
        return Ok(());
    }
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(found.iter().take(limit).map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .filter(|(_, width)| *width > 0)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    out.flush()?;
    if found.len() > limit {
        say!("… and more: raise --limit, or write all of them with --format csv");
    }
    Ok(())
}

async fn csv(store: &Store, filter: SuppressionFilter, limit: usize, out: impl Write) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(COLUMNS).map_err(of_io)?;
    let mut rows = std::pin::pin!(store.export_suppressions(filter));
    let mut count = 0;
    while let Some(one) = if count < limit { rows.try_next().await? } else { None } {
        out.write_record(cells(&one)).map_err(of_io)?;
        count += 1;
    }
    Ok(out.flush()?)
}

async fn jsonl(
    store: &Store,
    filter: SuppressionFilter,
    limit: usize,
    mut out: impl Write,
) -> anyhow::Result<()> {
    let mut rows = std::pin::pin!(store.export_suppressions(filter));
    let mut count = 0;
    while let Some(one) = if count < limit { rows.try_next().await? } else { None } {
        serde_json::to_writer(&mut out, &one)?;
        out.write_all(b"\n")?;
        count += 1;
    }
    Ok(out.flush()?)
}

/// So that a reader who has read enough is seen as one.
fn of_io(error: csv::Error) -> anyhow::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => anyhow::anyhow!("{other:?}"),
    }
}
