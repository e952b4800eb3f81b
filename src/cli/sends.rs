//! `bespoke sends`: what was planned, and what became of it.

use std::io::BufWriter;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use futures_util::TryStreamExt as _;
use serde_json::json;

use crate::campaign::CampaignId;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::deliver::message::message_id;
use crate::profile::ProfileId;
use crate::profile::mask;
use crate::send::SendId;
use crate::send::State;
use crate::store::Canceled;
use crate::store::SendFilter;
use crate::store::Store;
use crate::store::StoredSend;
use crate::worker::assemble;

/// Shows sends, and says what is to become of them.
#[derive(Debug, Subcommand)]
pub enum Sends {
    /// Lists sends, a line each
    List(List),
    /// Writes all sends, one JSON object a line
    Export(Export),
    /// Schedules failed sends again
    Retry(Which),
    /// Calls sends off that are not on the wire yet
    Cancel(Which),
    /// Sends again what is `unknown`: who got it already gets it twice
    ResendUnknown(Which),
}

/// Which sends are shown.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only this campaign
    #[arg(long, value_name = "NAME")]
    campaign: Option<String>,
    /// Only this state: scheduled, leased, submitting, deferred, sent, failed, suppressed, skipped, unknown, expired, canceled
    #[arg(long, value_parser = parse_state)]
    state: Option<State>,
    /// Only this profile
    #[arg(long, value_name = "ID")]
    profile: Option<String>,
    /// Only this reason, such as `cap` or `hard_bounce`
    #[arg(long)]
    reason: Option<String>,
}

/// Lists sends, a line each.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// Writes all sends.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    filter: Filter,
    /// The form
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    format: ExportFormat,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line.
    Jsonl,
}

/// Which sends something is done to: one by its id, or all of a campaign.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// One send
    #[arg(value_name = "SEND", value_parser = parse_send)]
    send: Option<SendId>,
    /// All of a campaign
    #[arg(long, value_name = "NAME")]
    campaign: Option<String>,
}

fn parse_state(text: &str) -> Result<State, String> {
    let known = || State::ALL.map(State::as_str).join(", ");
    State::parse(text).ok_or_else(|| format!("there is no state {text:?}; known are {}", known()))
}

fn parse_send(text: &str) -> Result<SendId, String> {
    SendId::parse(text)
        .ok_or_else(|| format!("{text:?} is no send: 32 hex digits, as `bespoke sends list` shows them"))
}

impl Filter {
    fn parsed(&self) -> anyhow::Result<SendFilter> {
        Ok(SendFilter {
            campaign: self.campaign.clone().map(CampaignId),
            state: self.state,
            profile: self.profile.as_deref().map(ProfileId::parse).transpose()?,
            reason: self.reason.clone(),
        })
    }
}

impl Sends {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.existing_store().await?;
            match self {
                Self::List(list) => list.run(context, &store).await?,
                Self::Export(export) => export.run(context, &store).await?,
                Self::Retry(which) => which.act(context, &store, Act::Retry).await?,
                Self::Cancel(which) => which.act(context, &store, Act::Cancel).await?,
                Self::ResendUnknown(which) => which.act(context, &store, Act::ResendUnknown).await?,
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl List {
    async fn run(&self, context: &Context, store: &Store) -> anyhow::Result<()> {
        check_campaign(context, store, self.filter.campaign.as_deref()).await?;
        let sends = store.sends(&self.filter.parsed()?, None, self.limit).await?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        writeln!(
            out,
            "{:<32} {:<16} {:<18} {:<11} {:<14} detail",
            "send", "campaign", "profile", "state", "reason"
        )?;
        for stored in &sends {
            let send = &stored.send;
            let detail = stored.detail.as_deref().unwrap_or_default();
            let detail: String = detail.chars().take(60).collect();
            writeln!(
                out,
                "{:<32} {:<16} {:<18} {:<11} {:<14} {detail}",
                send.id.as_str(),
                send.campaign.as_str(),
                mask_if_address(send.profile.as_str()),
                send.state.as_str(),
                stored.reason.as_deref().unwrap_or("-"),
            )?;
        }
        out.flush()?;
        if sends.is_empty() {
            say!("no send is like that");
        } else if sends.len() == self.limit {
            say!("… and perhaps more: raise --limit, or use `bespoke sends export`");
        }
        Ok(())
    }
}

/// Refuses the name of a campaign that has no send and is not among the templates.
async fn check_campaign(context: &Context, store: &Store, name: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = name else { return Ok(()) };
    let filter = SendFilter { campaign: Some(CampaignId(name.to_owned())), ..SendFilter::default() };
    if store.sends(&filter, None, 1).await?.is_empty() {
        assemble::catalog(&context.config)?.known_campaign(name).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Some shops use addresses as ids; lists are pasted into tickets.
fn mask_if_address(id: &str) -> String {
    if id.contains('@') { mask(id) } else { id.to_owned() }
}

impl Export {
    async fn run(&self, context: &Context, store: &Store) -> anyhow::Result<()> {
        let ExportFormat::Jsonl = self.format;
        check_campaign(context, store, self.filter.campaign.as_deref()).await?;
        let domain = context.config.message_id_domain();
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut sends = std::pin::pin!(store.export_sends(self.filter.parsed()?));
        while let Some(stored) = sends.try_next().await? {
            serde_json::to_writer(&mut out, &line(&stored, &domain))?;
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }
}

fn line(stored: &StoredSend, domain: &str) -> serde_json::Value {
    let send = &stored.send;
    json!({
        "id": send.id,
        "rcpt": stored.recipient,
        "message_id": message_id(&send.id, domain),
        "state": send.state,
        "policy": send.guarantee.as_str(),
        "campaign": send.campaign,
        "profile": send.profile,
        "occurrence": send.occurrence,
        "reason": stored.reason,
        "detail": stored.detail,
        "relay": stored.relay,
        "variant": stored.variant,
        "attempt": send.attempt,
        "due_at": send.due_at,
        "submitted_at": stored.submitted_at,
        "finished_at": stored.finished_at,
    })
}

#[derive(Clone, Copy)]
enum Act {
    Retry,
    Cancel,
    ResendUnknown,
}

impl Which {
    async fn act(&self, context: &Context, store: &Store, act: Act) -> anyhow::Result<()> {
        let now = context.clock.now();
        let states: &[State] = match act {
            Act::Retry => &[State::Failed],
            Act::Cancel => &[State::Scheduled, State::Deferred],
            Act::ResendUnknown => &[State::Unknown],
        };
        let ids = match (&self.send, &self.campaign) {
            (Some(send), _) => {
                anyhow::ensure!(
                    store.send(send).await?.is_some(),
                    "there is no send {send}; `bespoke sends list` shows them"
                );
                vec![send.clone()]
            }
            (None, campaign) => {
                check_campaign(context, store, campaign.as_deref()).await?;
                let mut ids = Vec::new();
                for state in states {
                    let campaign = campaign.clone().map(CampaignId);
                    let filter = SendFilter { campaign, state: Some(*state), ..SendFilter::default() };
                    let found: Vec<StoredSend> = store.export_sends(filter).try_collect().await?;
                    ids.extend(found.into_iter().map(|stored| stored.send.id));
                }
                ids
            }
        };
        let (done, what) = match act {
            Act::Retry => (store.retry(&ids, now).await?, "scheduled again"),
            Act::Cancel => (cancel(store, &ids, now).await?, "canceled"),
            Act::ResendUnknown => (store.resend_unknown(&ids, now).await?, "scheduled again"),
        };
        if let (0, Some(id)) = (done, &self.send) {
            let state = store.send(id).await?.map_or("gone", |stored| stored.send.state.as_str());
            let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            anyhow::bail!(
                "{id} is {state}, and only what is {} can be {what}; `bespoke explain {id}` says what became of it",
                states.join(" or ")
            );
        }
        say!("{done} of {} {what}", ids.len());
        Ok(())
    }
}

async fn cancel(store: &Store, ids: &[SendId], now: jiff::Timestamp) -> anyhow::Result<u64> {
    let mut done = 0;
    for id in ids {
        done += u64::from(store.cancel_send(id, "by hand", now).await? == Canceled::Now);
    }
    Ok(done)
}
