//! `bespoke import profiles|events|products|coupons|suppressions FILE…`: files into the database.
//!
//! One thread reads and parses, the other side of a short queue saves: at no time are more than a few batches in
//! memory. Every batch is one transaction and everything is idempotent, so an import that was interrupted is simply
//! run again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use indicatif::HumanCount;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::fault::render_all;
use crate::ingest::Format;
use crate::ingest::Mapping;
use crate::ingest::Noun;
use crate::ingest::ReadOptions;
use crate::ingest::Reader;
use crate::ingest::Shop;
use crate::ingest::Source;
use crate::words;
use crate::words::counted;

mod load;
mod names;
mod offers;
mod progress;
pub(in crate::cli) mod rejects;
mod save;
pub(in crate::cli) mod topics;

use load::Tally;
use rejects::Rejects;

/// Loads people, what they did, products, codes of offers, or addresses that must not be written to.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// People: id, email, locale, time zone, consent, and any traits.
    Profiles(Files),
    /// What people did: who, what, when, and any properties.
    Events(Files),
    /// What may be bought: id, name, price, category, addresses, and any attributes.
    Products(Files),
    /// Codes of unique offers: offer, code.
    Coupons(CouponFiles),
    /// Addresses that must not be written to, such as another tool's list: address, reason, topic, at.
    Suppressions(SuppressionFiles),
}

/// Flags of every import.
#[derive(Debug, Args)]
#[command(after_long_help = MAP_HELP)]
pub struct Files {
    /// CSV or JSONL, plain or gzip; - is standard input
    #[arg(required = true, value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// Says which column is which field [default: by the columns' names]
    #[arg(long, value_name = "TOML")]
    map: Option<PathBuf>,
    /// Where rows go that cannot be used: a file, or a folder [default: ./FILE.rejects.csv]
    #[arg(long, value_name = "PATH")]
    rejects: Option<PathBuf>,
    /// Separator of CSV files [default: found out from the header]
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// How rows are written [default: found out from the first bytes]
    #[arg(long, value_name = "FORMAT")]
    format: Option<FormatFlag>,
}

/// Flags of the import of coupons.
#[derive(Debug, Args)]
pub struct CouponFiles {
    #[command(flatten)]
    files: Files,
    /// The offer of codes whose row names none
    #[arg(long, value_name = "NAME")]
    offer: Option<String>,
}

/// Flags of the import of suppressions.
#[derive(Debug, Args)]
pub struct SuppressionFiles {
    #[command(flatten)]
    files: Files,
    /// The reason of rows that name none [default: manual]
    #[arg(long, value_parser = topics::reasons())]
    reason: Option<String>,
    /// The topic of rows that name none [default: by reason: all mail, or all but transactional]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatFlag {
    /// A header and a row each
    Csv,
    /// A JSON object on each line
    Jsonl,
}

const MAP_HELP: &str = "\
A mapping file:
  skip_when_empty = [\"customer\"]           # leave such rows out
  only = { country = [\"France\", \"EIRE\"] }  # leave all others out
  skip = { status = \"test\" }               # the opposite
  other_columns = \"keep\"                   # as traits, properties, attributes
  [time]
  format = \"%d/%m/%Y %H:%M\"                # strptime
  zone = \"Europe/London\"                   # of times without an offset
  [number]
  decimal = \",\"                            # 1.299 is 1299 then
  [fields]
  profile = \"customer\"                     # a column; JSONL: \"user.id\"
  # trim, lower, upper, replace(from=\"a\", to=\"b\"), default(value=\"x\")
  id = \"{{ invoice | lower }}-{{ line }}\"
  name = { constant = \"Order Completed\" }
  at = \"ts\"
  # [traits] for profiles, [attributes] for products;
  # type is string, number, bool, date or time
  [properties]
  price = { column = \"unit price\", type = \"number\" }

A local time that a clock change leaves out is taken as that much later; one
that comes twice as the first. Events without an id get one from what they say,
so that importing a file again adds nothing.";

impl ImportCommand {
    /// Imports the files one after the other. 0: loaded, with a summary; 1: a file cannot be read, or no row of it
    /// can be used.
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(self.load(context))
    }

    async fn load(self, context: &Context) -> anyhow::Result<ExitCode> {
        let shop = Shop::of_config(&context.config);
        let (noun, files, shop) = match self {
            Self::Profiles(files) => (Noun::Profiles, files, shop),
            Self::Events(files) => (Noun::Events, files, shop),
            Self::Products(files) => (Noun::Products, files, shop),
            Self::Coupons(coupons) => (Noun::Coupons, coupons.files, Shop { offer: coupons.offer, ..shop }),
            Self::Suppressions(listed) => {
                let (reason, topic) = (listed.reason, listed.topic);
                (Noun::Suppressions, listed.files, Shop { reason, topic, ..shop })
            }
        };
        let options = files.options(noun, shop, context)?;
        let mut readers = Vec::with_capacity(files.paths.len());
        for (path, rejects) in files.paths.iter().zip(files.rejects_paths()?) {
            // All of them are looked at before any is loaded: a wrong name should not come to light after an hour.
            let source = Source::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let progress = progress::Progress::of(&source);
            readers.push((Reader::open(source, options.clone())?, progress, Rejects::new(rejects)));
        }
        let store = context.store().await?;
        let (mut offers, mut topics, mut named) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let mut code = ExitCode::SUCCESS;
        for (path, (reader, progress, rejects)) in files.paths.iter().zip(readers) {
            let (mut tally, ended) = load::file(reader, rejects, &store, options.now, progress).await?;
            offers.append(&mut tally.saved.offers);
            topics.append(&mut tally.saved.topics);
            for (name, count) in std::mem::take(&mut tally.names) {
                *named.entry(name).or_default() += count;
            }
            print(&Summary { name: &display_name(path), noun, tally: &tally })?;
            if let Err(error) = ended {
                store.close().await;
                return Err(anyhow::Error::new(error).context(
                    "an import ended early; what stands before is loaded, and it can be run again",
                ));
            }
            if tally.rows > 0 && tally.rejected == tally.rows {
                code = ExitCode::FAILURE;
            }
        }
        store.close().await;
        let mut told = offers::warnings(&context.config, &offers);
        told.extend(names::warnings(&context.config, &named));
        told.extend(topics::warnings(&context.config, &topics));
        for warning in told {
            eprintln!("{warning}");
        }
        Ok(code)
    }
}

impl Files {
    fn options(&self, noun: Noun, shop: Shop, context: &Context) -> anyhow::Result<ReadOptions> {
        let mapping = match &self.map {
            Some(path) => Some(Mapping::load(path, noun).map_err(|faults| {
                anyhow::anyhow!("the map cannot be used\n{}", render_all(&faults).trim_end())
            })?),
            None => None,
        };
        Ok(ReadOptions {
            noun,
            mapping,
            format: self.format.map(|format| match format {
                FormatFlag::Csv => Format::Csv,
                FormatFlag::Jsonl => Format::Jsonl,
            }),
            delimiter: self.delimiter,
            shop,
            now: context.clock.now(),
        })
    }

    /// A rejects file for each input. Inputs of the same name get numbers, so that none overwrites another's.
    fn rejects_paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let folder = match &self.rejects {
            Some(path) if path.is_dir() => path.as_path(),
            Some(path) if self.paths.len() == 1 => return Ok(vec![path.clone()]),
            Some(path) => {
                anyhow::bail!("{} is no folder; several files need one for their rejects", path.display())
            }
            None => Path::new(""),
        };
        let mut uses: HashMap<String, usize> = HashMap::new();
        let path = |file: &PathBuf| {
            let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let name = if name == "-" { "stdin".to_owned() } else { name };
            let number = uses.entry(name.clone()).or_insert(0);
            *number += 1;
            match *number {
                1 => folder.join(format!("{name}.rejects.csv")),
                number => folder.join(format!("{name}.{number}.rejects.csv")),
            }
        };
        Ok(self.paths.iter().map(path).collect())
    }
}

fn display_name(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

/// One line for people and for grep.
struct Summary<'a> {
    name: &'a str,
    noun: Noun,
    tally: &'a Tally,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, noun, tally } = self;
        let one = noun.as_str().trim_end_matches('s');
        write!(f, "{name}: {}: ", counted(tally.rows, "row"))?;
        write!(f, "{} loaded, ", counted(tally.saved.loaded, one))?;
        write!(f, "{} unchanged, ", HumanCount(tally.saved.unchanged))?;
        if tally.skipped > 0 {
            write!(f, "{} skipped by the map, ", HumanCount(tally.skipped))?;
        }
        write!(f, "{} rejected", HumanCount(tally.rejected))?;
        if tally.left_out > 0 {
            let were = words::noun(tally.left_out, "was");
            write!(f, ", {} that could not be read {were} left out", counted(tally.left_out, "trait"))?;
        }
        if let Some(path) = &tally.rejects {
            write!(f, " (see {})", path.display())?;
        }
        if tally.saved.profiles_created > 0 {
            let new = tally.saved.profiles_created;
            let (were, have) = (words::noun(new, "was"), words::noun(new, "has"));
            write!(f, "; {} {were} new, and {have} no address yet", counted(new, "profile"))?;
        }
        if tally.saved.erased > 0 {
            let erased = tally.saved.erased;
            write!(
                f,
                "; {} {} left out, because the person was erased (`bespoke profile readmit` takes that back)",
                HumanCount(erased),
                words::noun(erased, "was")
            )?;
        }
        Ok(())
    }
}

/// A reader that has gone away is no fault.
fn print(summary: &Summary<'_>) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{summary}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
