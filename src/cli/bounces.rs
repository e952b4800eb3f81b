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
use crate::feedback::Claim;
use crate::feedback::Judge;
use crate::feedback::Verdict;
use crate::feedback::Writing;
use crate::store::Store;
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
}

impl Bounces {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let Self::Import(import) = self;
        block_on(async {
            let store = context.store().await?;
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
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {pos} mails  {per_sec}  {msg}");
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
                        Err(error) => summary.unreadable.push(format!("{}: {error}", mail.name)),
                    }
                }
                if seen == 0 {
                    break;
                }
                for (name, returned) in names.iter().zip(&batch) {
                    summary.see(name, returned, judge);
                }
                let judged = judge.receive(store, &batch, "mail", writing, context.clock.now()).await?;
                summary.count(&judged);
                bar.inc(batch.len() as u64);
            }
        }
        bar.finish_and_clear();
        Ok(summary)
    }
}

/// What an import came to.
#[derive(Debug, Default)]
struct Summary {
    mails: u64,
    counts: BTreeMap<(Kind, Verdict), u64>,
    /// Mails that are no reports, or prove nothing.
    without_effect: u64,
    shown: Vec<String>,
    unreadable: Vec<String>,
}

impl Summary {
    fn see(&mut self, name: &str, returned: &Returned, judge: &Judge) {
        self.mails += 1;
        let claims = judge.claims(returned);
        let why = if claims.is_empty() {
            "reports nothing"
        } else if claims.iter().all(|claim| claim.send.is_none()) {
            "does not prove to be about a mail of ours"
        } else {
            return;
        };
        self.without_effect += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{name}: {why}"));
        }
    }

    fn count(&mut self, judged: &[(Claim, Verdict)]) {
        for (claim, verdict) in judged {
            *self.counts.entry((claim.report.kind, *verdict)).or_default() += 1;
        }
    }

    fn print(&self, dry_run: bool) {
        println!("{} mails{}", self.mails, if dry_run { ", nothing was written" } else { "" });
        print!("{:<14}", "");
        for verdict in Verdict::ALL {
            print!("{:>10}", verdict.as_str());
        }
        println!();
        for kind in Kind::ALL {
            let counts = Verdict::ALL.map(|verdict| self.counts.get(&(kind, verdict)).copied().unwrap_or(0));
            if counts.iter().sum::<u64>() > 0 {
                print!("{:<14}", kind.as_str());
                for count in counts {
                    print!("{count:>10}");
                }
                println!();
            }
        }
        for line in self.shown.iter().chain(&self.unreadable) {
            eprintln!("{line}");
        }
        let hidden = self.without_effect.saturating_sub(self.shown.len() as u64);
        if hidden > 0 {
            eprintln!("… and {hidden} more mails that report nothing or prove nothing");
        }
    }
}
