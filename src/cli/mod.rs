//! The command line: one role per subcommand, one file per role.

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

/// One-to-one email, from a customer's history to their inbox.
#[derive(Debug, Parser)]
#[command(name = "bespoke", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {}

impl Cli {
    /// Runs the role that was asked for. The exit code is 0 when it did its work, 1 when it could not.
    pub fn run(self) -> ExitCode {
        match self.command {}
    }
}
