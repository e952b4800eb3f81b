//! `bespoke tracking`: what clicks and openings are taken for.

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::send::SendId;
use crate::store::Store;

/// Sends of one page.
const PAGE_ROWS: usize = 500;

/// `bespoke tracking …`
#[derive(Debug, Subcommand)]
pub enum Tracking {
    /// Classes all kept clicks and openings again, by the rules of this version: human, scanner or privacy proxy.
    Reclassify,
    /// Shows the clicks and openings of one mail, as they came, and what they are taken for.
    Hits {
        /// The send's id
        send: String,
    },
}

impl Tracking {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.existing_store().await?;
            match self {
                Self::Reclassify => reclassify(&store).await?,
                Self::Hits { send } => hits(&store, &send).await?,
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn reclassify(store: &Store) -> anyhow::Result<()> {
    let (mut sends, mut changed) = (0_u64, 0_usize);
    let mut after: Option<SendId> = None;
    loop {
        let page = store.sends_with_hits(after.as_ref(), PAGE_ROWS).await?;
        for send in &page {
            changed += store.reclassify_hits(send).await?;
            sends += 1;
        }
        let Some(last) = page.into_iter().next_back() else { break };
        after = Some(last);
    }
    say!("looked at the hits of {sends} mails; {changed} hits are taken for something else now");
    Ok(())
}

async fn hits(store: &Store, send: &str) -> anyhow::Result<()> {
    let id = SendId::parse(send)
        .ok_or_else(|| anyhow::anyhow!("{send:?} is no send; bespoke sends list shows their ids"))?;
    for stored in store.hits_of(&id).await? {
        let hit = &stored.hit;
        let link = hit.link.map_or_else(|| "-".to_owned(), |link| link.to_string());
        say!(
            "{}  {:<5}  link {link:<3}  {:<13}  {:<8}  {:<4}  {}  {}",
            hit.at,
            hit.kind.as_str(),
            stored.class.as_str(),
            stored.reason,
            hit.method,
            hit.network,
            hit.agent.escape_debug()
        );
    }
    Ok(())
}
