//! `bespoke profile`: what is held on a person, and forgetting it.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::store::Named;
use crate::store::Store;
use crate::words::noun;

/// `bespoke profile …`
#[derive(Debug, Subcommand)]
pub enum Profile {
    /// Shows who somebody is, and how much is held on them.
    Show(Whom),
    /// Prints every row of a person in every table as JSON.
    Export(Whom),
    /// Forgets a person: their rows are deleted, their id and addresses are kept as keyed hashes only.
    Erase {
        /// Whom
        #[command(flatten)]
        whom: Whom,
        /// Says that this cannot be taken back
        #[arg(long)]
        yes: bool,
    },
    /// Lets an erased person be taken in again, by their id or address; for those who come back by themselves.
    Readmit {
        /// The id or the address that was erased
        id_or_address: String,
    },
}

/// A person.
#[derive(Debug, Args)]
pub struct Whom {
    /// The id under which they were identified
    id: String,
}

impl Whom {
    async fn resolve(&self, store: &Store) -> anyhow::Result<ProfileId> {
        let id = ProfileId::parse(&self.id)?;
        Ok(store.resolve(&id).await?)
    }
}

impl Profile {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.existing_store().await?;
            match self {
                Self::Show(whom) => show(&store, &whom.resolve(&store).await?).await?,
                Self::Export(whom) => {
                    let id = whom.resolve(&store).await?;
                    let rows = store.person(&id).await?;
                    anyhow::ensure!(!rows.is_empty(), "nothing is held on {id}");
                    say!("{}", serde_json::to_string_pretty(&json!({"profile": id, "tables": rows}))?);
                }
                Self::Erase { whom, yes } => {
                    anyhow::ensure!(yes, "this cannot be taken back; say --yes to do it");
                    let id = whom.resolve(&store).await?;
                    let erased = store.erase(&id, context.clock.now()).await?;
                    let erased = erased.with_context(|| format!("nothing is held on {id}"))?;
                    for (table, count) in &erased.deleted {
                        say!("{count:>8} deleted from {table}");
                    }
                    say!("{:>8} {} kept without a name", erased.sends_kept, noun(erased.sends_kept, "send"));
                    say!("{:>8} addresses stay suppressed", erased.addresses);
                }
                Self::Readmit { id_or_address } => readmit(&store, &id_or_address).await?,
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn show(store: &Store, id: &ProfileId) -> anyhow::Result<()> {
    let rows = store.person(id).await?;
    anyhow::ensure!(!rows.is_empty(), "nothing is held on {id}");
    if let Some(profile) = store.profile(id).await? {
        say!("{id}");
        say!("  address    {}", profile.address.as_ref().map_or("-", EmailAddress::as_str));
        say!("  consent    {}", profile.consent.as_str());
        say!("  locale     {}", profile.locale.as_deref().unwrap_or("-"));
        say!("  time zone  {}", profile.time_zone.as_deref().unwrap_or("-"));
        say!("  known since {}, changed {}", profile.created_at, profile.updated_at);
        for (name, value) in &profile.traits {
            say!("  {name} = {value}");
        }
    }
    for (table, rows) in rows {
        say!("{:>8} in {table}", rows.len());
    }
    Ok(())
}

async fn readmit(store: &Store, text: &str) -> anyhow::Result<()> {
    let mut removed = store.remove_tombstone(Named::Profile, text.trim()).await?;
    if let Ok(address) = EmailAddress::parse(text.trim()) {
        removed += store.remove_tombstone(Named::Address, &address.key()).await?;
    }
    anyhow::ensure!(removed > 0, "nobody of that id or address was erased");
    say!("may be taken in again; consent has to be asked for anew");
    Ok(())
}
