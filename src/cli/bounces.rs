//! `bespoke bounces`: mails that came back, from wherever they were kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use crate::bounce;
use crate::bounce::Kind;
use crate::bounce::Returned;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::import::rejects::Rejects;
use crate::cli::progress;
use crate::cli::say::say;
use crate::cli::say::say_part;
use crate::feedback::Claim;
use crate::feedback::Judge;
use crate::feedback::Verdict;
use crate::feedback::Writing;
use crate::store::Store;
use crate::words::counted;
use crate::worker::assemble;

mod mails;

use mails::Mails;

/// Mails that are recorded in one transaction.
const BATCH_MAILS: usize = 100;
/// Mails without effect that are named; all are counted.
const SHOWN_MAX: usize = 20;

/// Mails that came back.
#[derive(Debug, Subcommand)]
pub enum Bounces {
    /// Reads bounces, complaints and unsubscribes by mail: mbox, Maildir, folders of .eml, single mails, `-` for stdin
    Import(Import),
}

/// Reads what came back, and acts on what proves to be about mails of ours. Reading the same again changes nothing.
#[derive(Debug, Args)]
pub struct Import {
    /// Files (mbox or one mail, plain or gzip), Maildirs, folders of .eml files, or `-`
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Shows what would be done, and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Where mails are listed that had no effect, each with the reason
    #[arg(long, value_name = "FILE", default_value = "bounces.rejects.csv")]
    rejects: PathBuf,
}

impl Bounces {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let Self::Import(import) = self;
        block_on(async {
            let store = context.existing_store().await?;
            let keyring = Arc::new(assemble::keyring(&context.config, &store).await?);
            let judge = Judge::new(&context.config, keyring);
            let summary = import.run(context, &store, &judge).await?;
            store.close().await;
            summary.print(import.dry_run);
            Ok(if summary.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}

impl Import {
    async fn run(&self, context: &Context, store: &Store, judge: &Judge) -> anyhow::Result<Summary> {
        let writing = if self.dry_run { Writing::DryRun } else { Writing::Record };
        let mut summary = Summary::default();
        let mut rejects = Rejects::with_header(self.rejects.clone(), &["mail", "reason"]);
        let mut reject = |name: &str, why: &str| match writing {
            Writing::Record => rejects.write_row(&[name, why]),
            Writing::DryRun => Ok(()),
        };
        let bar = ProgressBar::new_spinner();
        let style = progress::style("{spinner} {pos} mails  {per_sec}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(250));
        for path in &self.paths {
            bar.set_message(path.display().to_string());
            let mut mails = Mails::open(path)?;
            loop {
                let mut names = Vec::new();
                let mut batch: Vec<Returned> = Vec::new();
                let mut seen = 0;
                for mail in mails.by_ref().take(BATCH_MAILS) {
                    seen += 1;
                    match mail.bytes {
                        Ok(bytes) => {
                            names.push(mail.name);
                            batch.push(bounce::read(&bytes));
                        }
                        Err(error) => {
                            reject(&mail.name, &error.to_string())?;
                            summary.unreadable.push(format!("{}: {error}", mail.name));
                        }
                    }
                }
                if seen == 0 {
                    break;
                }
                let judged = judge.receive(store, &batch, "mail", writing, context.clock.now()).await?;
                let mut rest = judged.as_slice();
                for (name, returned) in names.iter().zip(&batch) {
                    let (own, others) = rest.split_at(judge.claims(returned).len());
                    if let Some(why) = summary.see(name, own) {
                        reject(name, why)?;
                    }
                    rest = others;
                }
                bar.inc(batch.len() as u64);
            }
        }
        bar.finish_and_clear();
        summary.rejects = rejects.finish()?;
        Ok(summary)
    }
}

/// What an import came to.
#[derive(Debug, Default)]
struct Summary {
    mails: u64,
    counts: BTreeMap<(Kind, Verdict), u64>,
    /// Mails that are no reports, or prove nothing, and why.
    without_effect: u64,
    /// The first of them.
    shown: Vec<String>,
    unreadable: Vec<String>,
    /// Where all of both are listed.
    rejects: Option<PathBuf>,
}

impl Summary {
    /// Counts a mail, and says why it had no effect.
    fn see(&mut self, name: &str, judged: &[(Claim, Verdict)]) -> Option<&'static str> {
        self.mails += 1;
        for (claim, verdict) in judged {
            *self.counts.entry((claim.report.kind, *verdict)).or_default() += 1;
        }
        let why = if judged.is_empty() {
            "reports nothing"
        } else if judged.iter().any(|(_, verdict)| *verdict != Verdict::Unproven) {
            return None;
        } else if judged.iter().all(|(claim, _)| claim.send.is_none()) {
            "does not prove to be about a mail of ours"
        } else {
            "is about a mail that was never sent, or was deleted"
        };
        self.without_effect += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{name}: {why}"));
        }
        Some(why)
    }

    fn print(&self, dry_run: bool) {
        say!("{}{}", counted(self.mails, "mail"), if dry_run { ", nothing was written" } else { "" });
        say_part!("{:<14}", "");
        for verdict in Verdict::ALL {
            say_part!("{:>10}", verdict.as_str());
        }
        say!();
        for kind in Kind::ALL {
            let counts = Verdict::ALL.map(|verdict| self.counts.get(&(kind, verdict)).copied().unwrap_or(0));
            if counts.iter().sum::<u64>() > 0 {
                say_part!("{:<14}", kind.as_str());
                for count in counts {
                    say_part!("{count:>10}");
                }
                say!();
            }
        }
        for line in self.shown.iter().chain(&self.unreadable) {
            eprintln!("{line}");
        }
        let hidden = self.without_effect.saturating_sub(self.shown.len() as u64);
        if hidden > 0 {
            eprintln!("… and {hidden} more mails without effect");
        }
        if let Some(path) = &self.rejects {
            eprintln!("all of them are listed in {}", path.display());
        }
    }
}
