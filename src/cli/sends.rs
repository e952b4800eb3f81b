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
use crate::store::NO_COUPON;
use crate::store::SendFilter;
use crate::store::Shown;
use crate::store::Store;
use crate::store::StoredSend;
use crate::words::shortened;
use crate::worker::assemble;

/// Longest detail in a list; `bespoke explain` shows all of it.
const DETAIL_CHARS_MAX: usize = 120;

/// Sends whose decisions are read at once.
const EXPORT_PAGE_ROWS: usize = 500;

/// Shows sends, and says what is to become of them.
#[derive(Debug, Subcommand)]
pub enum Sends {
    /// Lists sends, a line each
    List(List),
    /// Writes all sends, one JSON object a line
    Export(Export),
    /// Schedules sends again that failed, or whose coupon codes had run out
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
        let heads = ["send", "campaign", "profile", "state", "when", "reason", "detail"];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(sends.iter().map(|stored| {
            let send = &stored.send;
            [
                send.id.to_string(),
                send.campaign.to_string(),
                mask_if_address(send.profile.as_str()),
                send.state.to_string(),
                when(stored),
                stored.reason.clone().unwrap_or_else(|| "-".to_owned()),
                shortened(stored.detail.as_deref().unwrap_or_default(), DETAIL_CHARS_MAX).into_owned(),
            ]
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len() - 1).map(width).chain([0]).collect();
        let mut out = BufWriter::new(std::io::stdout().lock());
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
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

/// When it went out or came to its end; when it falls due, where that is still to come.
fn when(stored: &StoredSend) -> String {
    let past = stored.submitted_at.or(stored.finished_at).filter(|_| stored.send.state.is_terminal());
    match past {
        Some(at) => format!("{at:.0}"),
        None => format!("due {:.0}", stored.send.due_at),
    }
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
        let sends = store.export_sends(self.filter.parsed()?).try_chunks(EXPORT_PAGE_ROWS);
        let mut pages = std::pin::pin!(sends.map_err(|cut| cut.1));
        while let Some(page) = pages.try_next().await? {
            let ids: Vec<SendId> = page.iter().map(|stored| stored.send.id.clone()).collect();
            let shown = store.shown(&ids).await?;
            for stored in &page {
                serde_json::to_writer(&mut out, &line(stored, shown.get(&stored.send.id), &domain))?;
                out.write_all(b"\n")?;
            }
        }
        Ok(out.flush()?)
    }
}

fn line(stored: &StoredSend, shown: Option<&Shown>, domain: &str) -> serde_json::Value {
    let send = &stored.send;
    // What was decided and never went on the wire showed nothing to anybody.
    let shown = shown.filter(|_| stored.variant.is_some());
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
        "products": stored.products,
        "offer": shown.and_then(|shown| shown.offer.as_ref()),
        "stage": shown.map(|shown| &shown.stage),
        "slice": shown.map(|shown| &shown.slice),
        "propensity": shown.map(|shown| shown.propensity),
        "attempt": send.attempt,
        "due_at": send.due_at,
        "submitted_at": stored.submitted_at,
        "finished_at": stored.finished_at,
        "opened_at": stored.opened_at,
        "clicked_at": stored.clicked_at,
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
            Act::Retry => &[State::Failed, State::Skipped],
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
                    let reason = (*state == State::Skipped).then(|| NO_COUPON.to_owned());
                    let filter =
                        SendFilter { campaign, state: Some(*state), reason, ..SendFilter::default() };
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
            let state = store.send(id).await?.map(|stored| stored.send.state);
            anyhow::bail!("{id} {}; `bespoke explain {id}` says what became of it", instead(act, state));
        }
        say!("{done} of {} {what}", ids.len());
        Ok(())
    }
}

/// Why nothing was done, and what does something.
fn instead(act: Act, state: Option<State>) -> String {
    let is = state.map_or("gone", State::as_str);
    let other = match (act, state) {
        (Act::Retry, Some(State::Unknown)) => "`bespoke sends resend-unknown` sends it again, perhaps twice",
        (Act::ResendUnknown, Some(State::Failed)) => "`bespoke sends retry` schedules it again",
        (Act::Retry, _) => {
            "only what failed, and what was skipped because coupon codes had run out (no_coupon), can be scheduled again"
        }
        (Act::Cancel, _) => "only what is scheduled or deferred can be canceled",
        (Act::ResendUnknown, _) => "only what is unknown can be sent again",
    };
    format!("is {is}: {other}")
}

async fn cancel(store: &Store, ids: &[SendId], now: jiff::Timestamp) -> anyhow::Result<u64> {
    let mut done = 0;
    for id in ids {
        done += u64::from(store.cancel_send(id, "by hand", now).await? == Canceled::Now);
    }
    Ok(done)
}
