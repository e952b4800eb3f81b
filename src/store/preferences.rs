//! What people ask for by the links in their mails: stop, pause, resume; and consent that is asked for by mail.

use jiff::Timestamp;
use serde_json::json;

use super::Error;
use super::Store;
use super::arrival;
use super::arrival::Arrivals;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::consents;
use super::consents::ConsentProof;
use super::sends;
use super::suppressions;
use crate::clock::from_millisecond;
use crate::event::name;
use crate::profile::ProfileId;
use crate::send::PAUSE_TOPIC;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::Suppression;

/// What one person wants, as one change. What it lifts is lifted before what it stops is stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Who.
    pub profile: ProfileId,
    /// The address keys that it is about: that of the mail, and the profile's own.
    pub addresses: Vec<String>,
    /// The mail whose link was followed.
    pub send: Option<SendId>,
    /// When.
    pub at: Timestamp,
    /// Topics of which no more is wanted.
    pub stop: Vec<String>,
    /// Nothing but transactional mail until then.
    pub pause_until: Option<Timestamp>,
    /// What is wanted again.
    pub lift: Lift,
    /// What is said about consent, with its proof.
    pub proof: Option<ConsentProof>,
}

/// Suppressions that end because the person says so. Bounces and what an operator stopped are not theirs to lift.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Lift {
    /// None.
    #[default]
    Nothing,
    /// Of these topics.
    Topics(Vec<String>),
    /// All that came by unsubscribing, pausing and complaining: the person asks, by a link that was mailed to them.
    All,
}

/// A question for consent that was mailed to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRequest {
    /// Its name; what the link in the mail is signed over.
    pub id: String,
    /// Who is asked.
    pub profile: ProfileId,
    /// The key of the address that is asked.
    pub address: String,
    /// Where it began: `form`, `checkout` …
    pub source: String,
    /// Who asked for it.
    pub who: String,
    /// The words that will have been agreed to.
    pub wording: String,
    /// When it began.
    pub requested_at: Timestamp,
    /// From when on the link is worth nothing.
    pub expires_at: Timestamp,
    /// When it was confirmed.
    pub confirmed_at: Option<Timestamp>,
}

/// What became of a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The consent is granted now.
    Now,
    /// It was confirmed before, once is all, and nothing was changed.
    Before,
}

#[derive(sqlx::FromRow)]
struct RequestRow {
    id: String,
    profile_id: String,
    address: String,
    source: String,
    who: String,
    wording: String,
    requested_at: i64,
    expires_at: i64,
    confirmed_at: Option<i64>,
}

impl Store {
    /// Does what a person wishes, and returns how many suppressions are new. Doing it twice changes nothing more.
    pub async fn grant_wish(&self, wish: &Wish) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let added = grant(&mut tx, wish).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// Keeps a question and plans the mail that asks it; 0 when it was asked already.
    pub async fn ask_for_consent(
        &self,
        request: &ConsentRequest,
        mail: &ScheduledSend,
    ) -> Result<u64, Error> {
        let mut tx = self.pools.begin().await?;
        let added = tx
            .run(
                "insert into consent_requests (id, profile_id, address, source, who, wording, requested_at, expires_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing",
                args![
                    &request.id,
                    request.profile.as_str(),
                    &request.address,
                    &request.source,
                    &request.who,
                    &request.wording,
                    request.requested_at,
                    request.expires_at
                ],
            )
            .await?;
        if added > 0 {
            sends::plan_in(&mut tx, std::slice::from_ref(mail)).await?;
            self.notify(&mut tx).await?;
        }
        tx.commit().await?;
        self.wake();
        Ok(added)
    }

    /// A question, by its name.
    pub async fn consent_request(&self, id: &str) -> Result<Option<ConsentRequest>, Error> {
        let row: Option<RequestRow> = self
            .pools
            .first(
                "select id, profile_id, address, source, who, wording, requested_at, expires_at, confirmed_at
                 from consent_requests where id = $1",
                args![id],
            )
            .await?;
        row.map(ConsentRequest::try_from).transpose()
    }

    /// Confirms a question, the first time only, and does what follows from it.
    pub async fn confirm_consent(&self, id: &str, wish: &Wish) -> Result<Confirmed, Error> {
        let mut tx = self.pools.begin().await?;
        let first = tx
            .run(
                "update consent_requests set confirmed_at = $2 where id = $1 and confirmed_at is null",
                args![id, wish.at],
            )
            .await?;
        if first > 0 {
            grant(&mut tx, wish).await?;
        }
        tx.commit().await?;
        Ok(if first > 0 { Confirmed::Now } else { Confirmed::Before })
    }
}

async fn grant(tx: &mut Tx, wish: &Wish) -> Result<u64, Error> {
    lift(tx, wish).await?;
    let mut added = 0;
    for topic in &wish.stop {
        let new = suppress(tx, wish, topic, "unsubscribe", None).await?;
        added += new;
        if new > 0 {
            note(tx, wish, topic).await?;
        }
    }
    if wish.pause_until.is_some() {
        added += suppress(tx, wish, PAUSE_TOPIC, "pause", wish.pause_until).await?;
    }
    if let Some(proof) = &wish.proof {
        consents::append(tx, std::slice::from_ref(proof), wish.at).await?;
    }
    Ok(added)
}

async fn lift(tx: &mut Tx, wish: &Wish) -> Result<(), Error> {
    let reasons = match wish.lift {
        Lift::Nothing => return Ok(()),
        Lift::Topics(_) => "('unsubscribe', 'pause')",
        Lift::All => "('unsubscribe', 'pause', 'complaint')",
    };
    let pairs: Vec<[&str; 2]> = match &wish.lift {
        Lift::Topics(topics) => {
            let of = |address| topics.iter().map(move |topic| [address, topic.as_str()]);
            wish.addresses.iter().map(String::as_str).flat_map(of).collect()
        }
        _ => wish.addresses.iter().map(|address| [address.as_str(), ""]).collect(),
    };
    let sql = format!(
        "delete from suppressions where reason in {reasons} and exists (
           select 1 from {{rows}} where value->>0 = address and value->>1 in ('', topic))"
    );
    tx.run(sql, args![Rows::of(&pairs)]).await?;
    Ok(())
}

async fn suppress(
    tx: &mut Tx,
    wish: &Wish,
    topic: &str,
    reason: &str,
    until: Option<Timestamp>,
) -> Result<u64, Error> {
    let suppression = |address: &String| Suppression {
        address: address.clone(),
        topic: topic.to_owned(),
        reason: reason.to_owned(),
        at: wish.at,
        send: wish.send.clone(),
        until,
    };
    let suppressions: Vec<Suppression> = wish.addresses.iter().map(suppression).collect();
    suppressions::add(tx, &suppressions).await
}

/// The event by which reports and rewards know of it.
async fn note(tx: &mut Tx, wish: &Wish, topic: &str) -> Result<(), Error> {
    let send = wish.send.as_ref().map_or("-", SendId::as_str);
    let id = format!("unsubscribed/{send}/{topic}/{}", wish.at.as_millisecond());
    let properties = json!({"topic": topic, "send_id": wish.send}).to_string();
    let seq = arrival::take(tx, Arrivals::Events, 1).await?;
    tx.run(
        "insert into events (seq, profile_id, id, name, at, properties) values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        args![seq, wish.profile.as_str(), &id, name::UNSUBSCRIBED, wish.at, &properties],
    )
    .await?;
    Ok(())
}

impl TryFrom<RequestRow> for ConsentRequest {
    type Error = Error;

    fn try_from(row: RequestRow) -> Result<Self, Error> {
        Ok(Self {
            profile: ProfileId::parse(&row.profile_id)
                .map_err(|fault| Error::unreadable("consent_requests", &row.id, fault))?,
            id: row.id,
            address: row.address,
            source: row.source,
            who: row.who,
            wording: row.wording,
            requested_at: from_millisecond(row.requested_at),
            expires_at: from_millisecond(row.expires_at),
            confirmed_at: row.confirmed_at.map(from_millisecond),
        })
    }
}
