//! `bespoke init DIR`: a working program folder from the binary itself.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::catalog::files::Files;

/// The configuration of the shipped shop.
pub const CONFIG: &str = include_str!("../../bespoke.toml");

/// Writes a configuration, templates and samples to start from.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder; it must be missing or empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Init {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let written = write_folder(&self.folder)?;
        println!("wrote {written} files into {}", self.folder.display());
        println!("\nNext:");
        println!("  cd {}", self.folder.display());
        println!("  bespoke check                                      # proves every template");
        println!("  bespoke import profiles people.csv                 # who your customers are");
        println!("  bespoke import events events.csv                   # what they did");
        println!("  bespoke preview --campaign journey --coverage --out previews");
        println!("  BESPOKE_SMTP_URL=smtp+starttls://user:password@host bespoke work");
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

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
