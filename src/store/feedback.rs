//! What came back about sends: bounces, complaints, unsubscribes by mail, and everything that follows from them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use sha2::Digest as _;
use sha2::Sha256;

use super::Error;
use super::Store;
use super::again::despite_deadlocks;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::args;
use super::connection::Accord;
use super::connection::Held;
use super::connection::Tx;
use super::consents;
use super::consents::ConsentProof;
use super::events;
use super::sends::send_rows;
use super::suppressions;
use crate::campaign::CampaignId;
use crate::digest::hex;
use crate::event::Event;
use crate::event::name;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::send::EVERY_TOPIC;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::SOFT_BOUNCES;
use crate::send::SendId;
use crate::send::Suppression;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedbackKind {
    /// The address does not exist: it gets no more mail at all.
    HardBounce,
    /// The mailbox exists and took nothing: counted towards no more lifecycle mail.
    SoftBounce,
    /// The message was disliked: the address is not to blame.
    PolicyBounce,
    /// "This is spam": no more lifecycle mail.
    Complaint,
    /// A mail to the unsubscribe address: no more lifecycle mail, and consent is withdrawn.
    Unsubscribe,
}

impl FeedbackKind {
    /// The reason under which sends and suppressions keep it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HardBounce => "hard_bounce",
            Self::SoftBounce => "soft_bounce",
            Self::PolicyBounce => "policy",
            Self::Complaint => "complaint",
            Self::Unsubscribe => "unsubscribe",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::HardBounce | Self::SoftBounce | Self::PolicyBounce => name::EMAIL_BOUNCED,
            Self::Complaint => name::EMAIL_MARKED_AS_SPAM,
            Self::Unsubscribe => name::UNSUBSCRIBED,
        }
    }

    fn is_bounce(self) -> bool {
        self.event() == name::EMAIL_BOUNCED
    }
}

/// A report that was proven to be about a send of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// About which send.
    pub send: SendId,
    /// What it says.
    pub kind: FeedbackKind,
    /// Names the report: the same report about the same send is one.
    pub report: String,
    /// How it came: `mail`, `ses`, `sendgrid` …
    pub source: String,
    /// The enhanced status code.
    pub status: Option<String>,
    /// What the host said.
    pub diagnostic: String,
}

/// A send that reports may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub send: SendId,
    /// To whom.
    pub profile: ProfileId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// Where it was put on the wire to.
    pub address: String,
}

/// What recording one report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// It was new, and what follows from it was done.
    New,
    /// It was recorded before.
    Known,
    /// No such send was ever put on the wire.
    NoSuchSend,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    profile_id: String,
    campaign: String,
    address: String,
}

const TARGETS_SQL: &str = "select s.id, s.profile_id, s.campaign, s.address from {rows}
     join sends as s on s.id = value->>0 where s.address is not null";

impl Store {
    /// Those of these sends that were ever put on the wire, by id.
    pub async fn feedback_targets(&self, sends: &[SendId]) -> Result<HashMap<SendId, Target>, Error> {
        let mut found = HashMap::new();
        for chunk in sends.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<Row> = self.pools.all(TARGETS_SQL, args![send_rows(chunk)]).await?;
            for target in rows.into_iter().map(Target::try_from) {
                let target = target?;
                found.insert(target.send.clone(), target);
            }
        }
        Ok(found)
    }

    /// Records reports, in their order, in one transaction: an event each, the send's new state where it bounced, the
    /// suppressions that follow, consent that is withdrawn. The answer has one entry a report.
    ///
    /// An address that has bounced softly `soft_bounces_max` times within
    /// [`SOFT_BOUNCE_WINDOW_MS`](super::SOFT_BOUNCE_WINDOW_MS) gets no more lifecycle mail.
    pub async fn record_feedback(
        &self,
        feedback: &[Feedback],
        soft_bounces_max: u32,
        now: Timestamp,
    ) -> Result<Vec<Recorded>, Error> {
        // Reports come in any order, and so are people locked.
        despite_deadlocks(|| async {
            let mut tx = self.pools.begin().await?;
            tx.agree(Accord::Erasures, Held::Shared).await?;
            let mut done = Vec::with_capacity(feedback.len());
            for one in feedback {
                done.push(record(&mut tx, one, soft_bounces_max, now).await?);
            }
            tx.commit().await?;
            Ok(done)
        })
        .await
    }
}

impl TryFrom<Row> for Target {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let bad = |fault: &dyn std::fmt::Display| Error::unreadable("sends", &row.id, fault);
        Ok(Self {
            send: SendId::parse(&row.id).ok_or_else(|| bad(&"the id is not 32 hex digits"))?,
            profile: ProfileId::parse(&row.profile_id).map_err(|fault| bad(&fault))?,
            campaign: CampaignId(row.campaign),
            address: row.address,
        })
    }
}

async fn record(
    tx: &mut Tx,
    feedback: &Feedback,
    soft_bounces_max: u32,
    now: Timestamp,
) -> Result<Recorded, Error> {
    let sql = format!("{TARGETS_SQL} {{for_update_of_s}}");
    let row: Option<Row> = tx.first(sql, args![send_rows(std::slice::from_ref(&feedback.send))]).await?;
    let Some(target) = row.map(Target::try_from).transpose()? else { return Ok(Recorded::NoSuchSend) };
    if events::insert(tx, &[event(feedback, &target, now)]).await? == 0 {
        return Ok(Recorded::Known);
    }
    change_send(tx, feedback, now).await?;
    suppress(tx, feedback, &target, soft_bounces_max, now).await?;
    if feedback.kind == FeedbackKind::Unsubscribe {
        let proof = ConsentProof {
            profile: target.profile,
            at: now,
            status: Consent::Withdrawn,
            source: "unsubscribe mail".to_owned(),
            who: "the person".to_owned(),
            wording: format!("a mail to the unsubscribe address of send {}", feedback.send),
            address: None,
        };
        consents::append(tx, &[proof], now).await?;
    }
    Ok(Recorded::New)
}

/// A send that came back was not received: it is failed. A complaint was received, and stays so.
async fn change_send(tx: &mut Tx, feedback: &Feedback, now: Timestamp) -> Result<(), Error> {
    let (send, reason) = (feedback.send.as_str(), feedback.kind.as_str());
    let changed = if feedback.kind.is_bounce() {
        let sql = "update sends set state = 'failed', reason = $2, detail = $3
                   where id = $1 and state in ('sent', 'unknown')";
        tx.run(sql, args![send, reason, &feedback.diagnostic]).await?
    } else {
        let sql = "update sends set reason = $2 where id = $1 and state in ('sent', 'unknown')";
        tx.run(sql, args![send, reason]).await?
    };
    if changed == 0 {
        return Ok(());
    }
    tx.run(
        "insert into attempts (send_id, attempt, reason, at, times, state, detail, relay)
         select id, attempt, $2, $3, 1, state, $4, relay from sends where id = $1
         on conflict (send_id, attempt, reason) do update set at = excluded.at, times = attempts.times + 1,
           state = excluded.state, detail = excluded.detail",
        args![send, reason, now, &feedback.diagnostic],
    )
    .await?;
    Ok(())
}

async fn suppress(
    tx: &mut Tx,
    feedback: &Feedback,
    target: &Target,
    soft_bounces_max: u32,
    now: Timestamp,
) -> Result<(), Error> {
    let key = EmailAddress::parse(&target.address)
        .map_err(|fault| Error::unreadable("sends", feedback.send.as_str(), fault))?
        .key();
    let (topic, reason) = match feedback.kind {
        FeedbackKind::PolicyBounce => return Ok(()),
        FeedbackKind::HardBounce => (EVERY_TOPIC, "hard_bounce"),
        FeedbackKind::Complaint => (LIFECYCLE_TOPIC, "complaint"),
        FeedbackKind::Unsubscribe => (LIFECYCLE_TOPIC, "unsubscribe"),
        FeedbackKind::SoftBounce => {
            let bounce = [(key.clone(), feedback.send.clone())];
            if suppressions::count_soft_bounces(tx, &bounce, soft_bounces_max, now).await?.is_empty() {
                return Ok(());
            }
            (LIFECYCLE_TOPIC, SOFT_BOUNCES)
        }
    };
    let suppression = Suppression {
        address: key,
        topic: topic.to_owned(),
        reason: reason.to_owned(),
        at: now,
        send: Some(feedback.send.clone()),
        until: None,
    };
    suppressions::add(tx, &[suppression]).await?;
    Ok(())
}

/// The event that stays of a report. Its id makes the same report about the same send one.
fn event(feedback: &Feedback, target: &Target, now: Timestamp) -> Event {
    let digest =
        Sha256::digest(format!("{}\n{}\n{}", feedback.send, feedback.kind.as_str(), feedback.report));
    let mut properties = Map::new();
    let mut add = |key: &str, value: &str| {
        properties.insert(key.to_owned(), Value::String(value.to_owned()));
    };
    add("send_id", feedback.send.as_str());
    add("campaign", target.campaign.as_str());
    add("source", &feedback.source);
    if feedback.kind.is_bounce() {
        add("type", feedback.kind.as_str());
        add("diagnostic", &feedback.diagnostic);
    }
    if feedback.kind == FeedbackKind::Unsubscribe {
        add("topic", LIFECYCLE_TOPIC);
    }
    if let Some(status) = &feedback.status {
        add("status", status);
    }
    Event {
        id: format!("feedback-{}", hex(&digest[..16])),
        profile: target.profile.clone(),
        name: feedback.kind.event().to_owned(),
        at: now,
        properties,
    }
}
