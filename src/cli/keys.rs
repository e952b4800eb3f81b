//! `bespoke keys`: the keys of programs that ask over HTTP.

use std::process::ExitCode;

use clap::Args;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::http::Scope;
use crate::http::key;

/// `bespoke keys …`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Makes a key and shows it, this once.
    Create(Create),
    /// Lists keys, without their secrets.
    List,
    /// Refuses a key from now on; servers that are running notice within five seconds.
    Revoke {
        /// The part of the key between its underscores, as `list` shows it
        id: String,
    },
}

/// What the new key is for.
#[derive(Debug, Args)]
pub struct Create {
    /// What it is for, for people
    name: String,
    /// What it may ask for; more than one with commas. Only a key of ingest alone may stand in a web page: it grants no
    /// consent, and turns nobody's mail to another address
    #[arg(long, required = true, value_delimiter = ',', value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)))]
    scope: Vec<String>,
}

impl Keys {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = match &self {
                Self::Create(_) => context.store().await?,
                _ => context.existing_store().await?,
            };
            let now = context.clock.now();
            match self {
                Self::Create(create) => {
                    let scopes: Vec<Scope> =
                        create.scope.iter().filter_map(|word| Scope::parse(word)).collect();
                    let (text, row) = key::make(&create.name, &scopes, key::random(), now);
                    store.add_api_key(&row).await?;
                    say!("{text}");
                    eprintln!("this is the only time that the key is shown; its id is {}", row.id);
                }
                Self::List => {
                    for key in store.api_keys().await? {
                        let state = key.revoked_at.map_or("active".to_owned(), |at| format!("revoked {at}"));
                        say!("{}  {:<24}  {:<30}  {state}", key.id, key.name, key.scopes.join(","));
                    }
                }
                Self::Revoke { id } => {
                    let revoked = store.revoke_api_key(&id, now).await?;
                    anyhow::ensure!(revoked > 0, "there is no active key {id}; bespoke keys list shows them");
                    say!("{id} is revoked");
                }
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
