//! `bespoke send-test`: one mail for real, to its author.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::campaign::CampaignId;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::deliver::transport::Transport;
use crate::preview::test_mail::test_mail;
use crate::preview::test_mail::transmit;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::worker::assemble;

/// Sends the mail that somebody would get to an address of yours, marked as a test. Nobody's history changes.
#[derive(Debug, Args)]
pub struct SendTest {
    /// Where the mail goes
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// Of which campaign
    #[arg(long, value_name = "NAME")]
    campaign: String,
    /// Whose mail it would be
    #[arg(long, value_name = "ID")]
    profile: String,
}

impl SendTest {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let to = EmailAddress::parse(&self.to).with_context(|| format!("--to {:?}", self.to))?;
        let profile =
            ProfileId::parse(&self.profile).with_context(|| format!("--profile {:?}", self.profile))?;
        let campaign = CampaignId(self.campaign.clone());
        block_on(async {
            let store = context.existing_store().await?;
            let engine = assemble::engine(&context.config, &store).await?;
            let transport = assemble::transport(&context.config)?;
            let test = test_mail(&store, &engine, &campaign, &profile, &to, context.clock.now()).await?;
            for note in &test.notes {
                say!("note: {note}");
            }
            say!("{}\n{}", test.variant, test.subject);
            let sent = transmit(&transport, &test).await;
            if let Transport::Smtp(pool) = &transport {
                pool.close().await;
            }
            store.close().await;
            say!("{}", sent.map_err(anyhow::Error::msg)?);
            Ok(ExitCode::SUCCESS)
        })
    }
}
