//! The command line: one role per subcommand, one file per role.

use std::io::ErrorKind;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

pub mod bounces;
pub mod check;
pub mod context;
pub mod demo;
pub mod dkim;
pub mod evaluate;
pub mod explain;
pub mod import;
pub mod init;
pub mod keys;
pub mod learn;
pub mod model;
pub mod plan;
pub mod preview;
pub mod profile;
mod progress;
pub mod prune;
pub mod reference;
pub mod replay;
pub mod report;
mod say;
pub mod send_test;
pub mod sends;
pub mod serve;
pub mod shell;
pub mod suppressions;
pub mod tracking;
pub mod work;

use context::Globals;

/// One-to-one email, from a customer's history to their inbox.
#[derive(Debug, Parser)]
#[command(name = "bespoke", version, about, max_term_width = 110)]
#[command(after_help = "Start with `bespoke demo`, or `bespoke init DIR` for a folder of your own.")]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole job once: a shop, its people, their mails. Nothing leaves this machine.
    Demo(demo::Demo),
    /// Writes a configuration, templates and samples to start from.
    Init(init::Init),
    /// Loads people, what they did, products, codes of offers, or addresses that must not be written to.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Checks claims on a log: what a policy, a campaign or a model is worth.
    #[command(subcommand)]
    Evaluate(evaluate::EvaluateCommand),
    /// Checks all templates: reads, compiles and renders every variant for every sample recipient.
    Check(check::Check),
    /// Schedules what falls due: campaign × audience → sends. Planning twice adds nothing.
    Plan(plan::Plan),
    /// Claims scheduled sends and delivers them.
    Work(work::Work),
    /// Answers over HTTP: what people do comes in, sends are asked for, links in mails are followed.
    Serve(serve::Serve),
    /// Makes, lists and revokes the keys of programs that ask over HTTP.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Makes a key that signs mail, and says which DNS records belong to those that are configured
    #[command(subcommand)]
    Dkim(dkim::Dkim),
    /// Shows, exports or erases what is held on a person.
    #[command(subcommand)]
    Profile(profile::Profile),
    /// Deletes what is older than [retention] allows.
    Prune(prune::Prune),
    /// Shows what clicks and openings are taken for, and decides it again by better rules.
    #[command(subcommand)]
    Tracking(tracking::Tracking),
    /// Shows sends, and says what is to become of them.
    #[command(subcommand)]
    Sends(sends::Sends),
    /// Shows, adds, takes over and lifts addresses that must not be written to.
    #[command(subcommand)]
    Suppressions(suppressions::Suppressions),
    /// Reads mails that came back: bounces, complaints, unsubscribes by mail.
    #[command(subcommand)]
    Bounces(bounces::Bounces),
    /// Learns from what happened: which products go together, what sells now, and what becomes of which mail.
    Learn(learn::Learn),
    /// Lists the models that were published, shows what one learnt, goes back to an older one.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Renders what would be sent into a folder with a gallery: nothing is sent, no state is written.
    Preview(preview::Preview),
    /// Tells why this customer got this mail: facts, rules, candidates, the draw, limits, versions, attempts.
    Explain(explain::Explain),
    /// Counts what was sent and what came of it: funnel, variants, lift, sales, cohorts, deliverability, customer value.
    Report(report::ReportArgs),
    /// Tells who would get what under other templates or another policy. Nothing is sent, nothing is stored.
    Replay(replay::Replay),
    /// Sends the mail that somebody would get to an address of yours, marked as a test.
    SendTest(send_test::SendTest),
    /// Prints every key with its default, and everything that templates and rules may name.
    Reference(reference::Reference),
    /// Prints a completion script for a shell.
    Completions(shell::Completions),
    /// Prints the manual page, or writes one per subcommand into a folder.
    Man(shell::Man),
}

impl Cli {
    /// Runs the role that was asked for. The exit code is 0 when it did its work, 1 when it could not.
    pub fn run(self) -> ExitCode {
        let globals = self.globals;
        let done = match self.command {
            Command::Demo(command) => command.run(),
            Command::Init(command) => command.run(),
            Command::Import(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Evaluate(command) => command.run(),
            Command::Check(command) => command.run(&globals),
            Command::Plan(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Work(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Serve(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Dkim(command) => command.run(&globals),
            Command::Keys(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Profile(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Prune(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Tracking(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Sends(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Suppressions(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Bounces(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Learn(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Model(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Preview(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Explain(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Report(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Replay(command) => globals.context().and_then(|context| command.run(&context)),
            Command::SendTest(command) => globals.context().and_then(|context| command.run(&context)),
            Command::Reference(command) => command.run(&globals),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        };
        done.unwrap_or_else(|error| {
            if nobody_reads(&error) {
                return ExitCode::SUCCESS;
            }
            // Whether anybody can read it or not.
            let _ = writeln!(std::io::stderr(), "bespoke: {error:#}");
            ExitCode::FAILURE
        })
    }
}

/// Whether standard output was closed (`| head`): whoever read has read enough, and that is no fault. What goes wrong with
/// a database or a server comes wrapped in an error of its own.
fn nobody_reads(error: &anyhow::Error) -> bool {
    let of_io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let of_json = || error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    of_io.or_else(of_json) == Some(ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_command_contradicts_itself() {
        super::Cli::command().debug_assert();
    }
}
