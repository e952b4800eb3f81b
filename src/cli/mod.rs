//! The command line: one role per subcommand, one file per role.

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

pub mod evaluate;

/// One-to-one email, from a customer's history to their inbox.
#[derive(Debug, Parser)]
#[command(name = "bespoke", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks claims on a log: what a policy, a campaign or a model is worth.
    #[command(subcommand)]
    Evaluate(evaluate::EvaluateCommand),
}

impl Cli {
    /// Runs the role that was asked for. The exit code is 0 when it did its work, 1 when it could not.
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Evaluate(command) => command.run(),
        };
        done.unwrap_or_else(|error| {
            eprintln!("bespoke: {error:#}");
            ExitCode::FAILURE
        })
    }
}
