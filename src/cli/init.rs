//! `bespoke init DIR`: a working program folder from the binary itself.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use jiff::ToSpan as _;

use crate::catalog::files::Files;
use crate::cli::say::say;
use crate::clock::Clock;

/// The configuration of the shipped shop.
pub const CONFIG: &str = include_str!("../../bespoke.toml");

/// Six people, to be replaced by the shop's own; mail to them reaches nobody.
const PEOPLE: &str = include_str!("init/people.csv");
/// A few things to sell.
const PRODUCTS: &str = include_str!("init/products.csv");
/// What these people did, by how many hours ago.
const EVENTS: &str = include_str!("init/events.csv");

/// Writes a configuration, templates and samples to start from.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder; it must be missing or empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// What to do in a fresh folder; a test does it.
const NEXT: &[(&str, &str)] = &[
    ("bespoke check", "proves every template"),
    ("bespoke import products products.csv", "what you sell"),
    ("bespoke import profiles people.csv", "who your customers are"),
    ("bespoke import events events.csv", "what they did"),
    ("bespoke preview --sample 6 --out previews", "who would get what; nothing is sent or marked"),
];

impl Init {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let written = write_folder(&self.folder)? + write_samples(&self.folder, Clock::System.now())?;
        say!("wrote {written} files into {}", self.folder.display());
        say!("\nNext:");
        say!("  cd {}", self.folder.display());
        for (command, what) in NEXT {
            say!("  {command:<44} # {what}");
        }
        say!(
            "\nThen put your own people, events and products into the .csv files, remove bespoke.db, which holds"
        );
        say!("those of the samples, import again, and go live:");
        say!("  bespoke plan");
        say!("  BESPOKE_SMTP_URL=smtp+starttls://user:password@host bespoke work");
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes everything; refuses a folder that holds something.
pub fn write_folder(folder: &Path) -> anyhow::Result<usize> {
    if let Ok(mut entries) = std::fs::read_dir(folder) {
        anyhow::ensure!(
            entries.next().is_none(),
            "{} is not empty; name a folder that is missing or empty",
            folder.display()
        );
    }
    write(&folder.join("bespoke.toml"), CONFIG)?;
    let mut written = 1;
    for (path, file) in Files::builtin().iter() {
        write(&folder.join("templates").join(path), &file.text)?;
        written += 1;
    }
    Ok(written)
}

/// Writes people, products, and events that end at `now`.
fn write_samples(folder: &Path, now: Timestamp) -> anyhow::Result<usize> {
    let mut events = String::new();
    for line in EVENTS.lines() {
        let (first, rest) = line.split_once(',').unwrap_or((line, ""));
        let first = match first.parse::<i64>() {
            Ok(hours) => (now - hours.hours()).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => first.to_owned(),
        };
        events.extend([first.as_str(), ",", rest, "\n"]);
    }
    let samples = [("people.csv", PEOPLE), ("products.csv", PRODUCTS), ("events.csv", &events)];
    for (name, text) in samples {
        write(&folder.join(name), text)?;
    }
    Ok(samples.len())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
