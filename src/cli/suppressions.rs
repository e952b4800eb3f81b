//! `bespoke suppressions`: addresses that must not be written to.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::import::ImportCommand;
use crate::cli::import::SuppressionFiles;
use crate::cli::import::topics;
use crate::cli::say::say;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::send::PAUSE_TOPIC;
use crate::send::Suppression;
use crate::send::usual_topic;
use crate::store::BECAUSE_CHARACTERS_MAX;
use crate::store::Lifted;
use crate::store::Store;

mod list;

/// `bespoke suppressions …`
#[derive(Debug, Subcommand)]
pub enum Suppressions {
    /// Lists them, a line each
    List(list::List),
    /// Adds an address
    Add(Add),
    /// Lifts what stands against an address
    Remove(Remove),
    /// Takes over another tool's list, CSV or JSONL: address, reason, topic, at
    Import(SuppressionFiles),
}

/// What is added.
#[derive(Debug, Args)]
pub struct Add {
    /// Whom nothing may be sent to
    address: String,
    /// `*` for all mail, `lifecycle` for all but transactional mail, or a campaign's topic [default: by reason]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Why
    #[arg(long, default_value = "manual", value_parser = topics::reasons())]
    reason: String,
}

/// What is lifted.
#[derive(Debug, Args)]
pub struct Remove {
    /// Whom mail may go to again
    address: String,
    /// Only this topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// How they asked for it, such as "by phone, ticket 4711". Wanted where the person unsubscribed, paused or
    /// complained; it stays in their consent history
    #[arg(long, value_name = "WORDS")]
    because: Option<String>,
}

impl Suppressions {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if let Self::Import(files) = self {
            return ImportCommand::Suppressions(files).run(context);
        }
        block_on(async {
            let store = context.existing_store().await?;
            match self {
                Self::List(list) => list.run(&store).await?,
                Self::Add(add) => add.run(context, &store).await?,
                Self::Remove(remove) => remove.run(context, &store).await?,
                Self::Import(_) => {}
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn parse(address: &str) -> anyhow::Result<EmailAddress> {
    EmailAddress::parse(address.trim()).map_err(|error| anyhow::anyhow!("{address:?}: {error}"))
}

/// What stands against an address, a line each.
fn line(one: &Suppression) -> String {
    let until = one.until.map_or_else(String::new, |until| format!(" until {until:.0}"));
    format!("{} of {} since {:.0}{until}", one.reason, one.topic, one.at)
}

impl Add {
    async fn run(&self, context: &Context, store: &Store) -> anyhow::Result<()> {
        let address = parse(&self.address)?;
        let topic = self.topic.as_deref().unwrap_or_else(|| usual_topic(&self.reason));
        anyhow::ensure!(topic != PAUSE_TOPIC, "a pause has an end, which only the person states");
        let known = topics::known(&context.config);
        if let Some(fault) = known.and_then(|known| topics::unknown(topic, &known)) {
            bail!(fault);
        }
        let one = Suppression {
            address: address.key(),
            topic: topic.to_owned(),
            reason: self.reason.clone(),
            at: context.clock.now(),
            send: None,
            until: None,
        };
        let listed = store.take_over_suppressions(std::slice::from_ref(&one)).await?;
        anyhow::ensure!(
            listed.erased == 0,
            "{address} was erased: nothing is sent there, and nothing is kept"
        );
        if listed.added > 0 {
            say!("{address} is suppressed: {}", line(&one));
            return Ok(());
        }
        let standing =
            store.suppressions_of(&[address.key()]).await?.remove(&address.key()).unwrap_or_default();
        for one in standing.iter().filter(|standing| standing.topic == topic) {
            say!("{address} was suppressed before, and stays so: {}", line(one));
        }
        Ok(())
    }
}

impl Remove {
    async fn run(&self, context: &Context, store: &Store) -> anyhow::Result<()> {
        let address = parse(&self.address)?;
        let because = self.because.as_deref().map(str::trim).filter(|because| !because.is_empty());
        if because.is_some_and(|because| because.chars().count() > BECAUSE_CHARACTERS_MAX) {
            bail!("--because: write at most {BECAUSE_CHARACTERS_MAX} characters");
        }
        let (topic, now) = (self.topic.as_deref(), context.clock.now());
        let lifted = match store.lift_suppressions(&address.key(), topic, because, now).await? {
            Lifted::Done(lifted) => lifted,
            Lifted::Nothing { other } if other.is_empty() => bail!("nothing stands against {address}"),
            Lifted::Nothing { other } => {
                let topics: Vec<&str> = other.iter().map(|other| other.topic.as_str()).collect();
                bail!("nothing of that topic stands against {address}; there is {}", topics.join(", "))
            }
            Lifted::Erased => {
                bail!("{address} was erased; `bespoke profile readmit {address}` lets them be taken in again")
            }
            Lifted::TheirOwnWord(found) => {
                let theirs: Vec<String> =
                    found.iter().filter(|one| one.is_their_own_word()).map(line).collect();
                bail!(
                    "{address} said so: {}. Only they take that back: say how they did with --because WORDS, which stays \
                     in their consent history; --topic lifts something else alone",
                    theirs.join("; ")
                )
            }
        };
        for one in &lifted {
            say!("lifted: {}", line(one));
        }
        for person in store.profiles_by_address(&address).await? {
            let then = match person.consent {
                Consent::Granted => "",
                _ => ": no lifecycle mail before they grant it (POST /v1/consents)",
            };
            say!("consent of {} is {}{then}", person.id, person.consent.as_str());
        }
        Ok(())
    }
}
