//! `bespoke completions` and `bespoke man`: from the same definitions as `--help`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints a completion script for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bespoke", &mut script);
        print_all(&script)
    }
}

/// Prints the manual page, or writes one per subcommand into a folder.
#[derive(Debug, Args)]
pub struct Man {
    /// Writes bespoke.1, bespoke-work.1 … here instead.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Some(folder) = &self.out else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            return print_all(&page);
        };
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        clap_mangen::generate_to(Cli::command(), folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        for page in std::fs::read_dir(folder)? {
            let page = page?.path();
            if page.extension().is_some_and(|section| section == "1") {
                let text = std::fs::read_to_string(&page)?;
                std::fs::write(&page, with_lines_kept(&text))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What stands behind a command's flags keeps its lines, under a name that says what it is.
fn with_lines_kept(page: &str) -> String {
    let Some((before, behind)) = page.split_once(".SH EXTRA\n") else { return page.to_owned() };
    let (extra, after) = match behind.split_once("\n.SH ") {
        Some((extra, after)) => (extra, format!(".SH {after}")),
        None => (behind.trim_end(), String::new()),
    };
    format!("{before}.SH NOTES\n.nf\n{extra}\n.fi\n{after}")
}

fn print_all(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(bytes)?;
    Ok(ExitCode::SUCCESS)
}
