//! Requests for the links and pixels of mails, what they are taken for, and what follows from it.

use jiff::Timestamp;
use serde_json::json;

use super::Error;
use super::Store;
use super::arrival;
use super::arrival::Arrivals;
use super::batch::args;
use super::connection::Accord;
use super::connection::Held;
use super::connection::Tx;
use crate::clock::from_millisecond;
use crate::event::name;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::tracking::Class;
use crate::tracking::HITS_PER_SEND_MAX;
use crate::tracking::Hit;
use crate::tracking::HitKind;
use crate::tracking::Verdict;
use crate::tracking::classify;

/// A request as it came, before anything is known of its send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHit {
    /// Its name; also that of its event.
    pub id: String,
    /// Of which mail.
    pub send: SendId,
    /// What was asked for.
    pub kind: HitKind,
    /// Which link of the template.
    pub link: Option<u32>,
    /// When.
    pub at: Timestamp,
    /// `GET`, `HEAD` …
    pub method: String,
    /// The `User-Agent`.
    pub agent: String,
    /// What the headers say of a prefetch.
    pub prefetch: String,
    /// The network that it came from.
    pub network: String,
}

impl NewHit {
    /// The hit, now that its person is known.
    pub(crate) fn of(&self, profile: ProfileId) -> Hit {
        Hit {
            id: self.id.clone(),
            send: self.send.clone(),
            profile,
            kind: self.kind,
            link: self.link,
            at: self.at,
            method: self.method.clone(),
            agent: self.agent.clone(),
            prefetch: self.prefetch.clone(),
            network: self.network.clone(),
        }
    }
}

/// What became of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedHit {
    /// Kept, and taken for this.
    Kept(Class),
    /// The send is gone, its person does not want to be tracked, or it had [`HITS_PER_SEND_MAX`] hits.
    NotKept,
}

/// A hit as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHit {
    /// The request.
    pub hit: Hit,
    /// What it is taken for.
    pub class: Class,
    /// The rule that said so.
    pub reason: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    send_id: String,
    profile_id: String,
    kind: String,
    link: Option<i64>,
    at: i64,
    method: String,
    agent: String,
    prefetch: String,
    network: String,
    class: String,
    reason: String,
}

const COLUMNS: &str =
    "select id, send_id, profile_id, kind, link, at, method, agent, prefetch, network, class, reason
     from hits where send_id = $1 order by at, seq limit $2";

impl Store {
    /// Keeps a hit, classes all hits of its send again, and notes what a person did: on the send, and as events.
    pub async fn record_hit(&self, new: &NewHit) -> Result<RecordedHit, Error> {
        let mut tx = self.pools.begin().await?;
        tx.agree(Accord::Erasures, Held::Shared).await?;
        let Some((profile,)) = lock_send(&mut tx, &new.send).await? else { return Ok(RecordedHit::NotKept) };
        let mut known = read(&mut tx, &new.send).await?;
        if known.len() >= HITS_PER_SEND_MAX || !wants_tracking(&mut tx, &profile).await? {
            return Ok(RecordedHit::NotKept);
        }
        let hit = new.of(ProfileId::parse(&profile).map_err(|fault| unreadable(&new.id, &fault))?);
        insert(&mut tx, &hit).await?;
        // Nothing is known of it yet, so that it differs from any verdict.
        known.push(StoredHit { hit, class: Class::PrivacyProxy, reason: String::new() });
        let verdicts = apply(&mut tx, &new.send, &profile, &known).await?.0;
        tx.commit().await?;
        Ok(verdicts.last().map_or(RecordedHit::NotKept, |verdict| RecordedHit::Kept(verdict.class)))
    }

    /// The hits of a send, oldest first.
    pub async fn hits_of(&self, send: &SendId) -> Result<Vec<StoredHit>, Error> {
        let rows: Vec<Row> = self.pools.all(COLUMNS, args![send.as_str(), HITS_PER_SEND_MAX]).await?;
        rows.into_iter().map(StoredHit::try_from).collect()
    }

    /// The next sends behind `after` that have hits, by id.
    pub async fn sends_with_hits(&self, after: Option<&SendId>, limit: usize) -> Result<Vec<SendId>, Error> {
        let rows: Vec<(String,)> = self
            .pools
            .all(
                "select distinct send_id from hits where send_id > $1 order by send_id limit $2",
                args![after.map_or("", SendId::as_str), limit],
            )
            .await?;
        let parse =
            |(id,): (String,)| SendId::parse(&id).ok_or_else(|| unreadable(&id, &"the send is no id"));
        rows.into_iter().map(parse).collect()
    }

    /// Classes the hits of a send again by the rules as they are now, and returns how many changed.
    pub async fn reclassify_hits(&self, send: &SendId) -> Result<usize, Error> {
        let mut tx = self.pools.begin().await?;
        let Some((profile,)) = lock_send(&mut tx, send).await? else { return Ok(0) };
        let known = read(&mut tx, send).await?;
        let changed = apply(&mut tx, send, &profile, &known).await?.1;
        tx.commit().await?;
        Ok(changed)
    }
}

/// Two hits of one send at the same time wait here for each other, so that the second sees the first.
async fn lock_send(tx: &mut Tx, send: &SendId) -> Result<Option<(String,)>, Error> {
    tx.first("select profile_id from sends where id = $1 {for_update}", args![send.as_str()]).await
}

/// Whether the person has not said that they do not want to be tracked.
async fn wants_tracking(tx: &mut Tx, profile: &str) -> Result<bool, Error> {
    let row: Option<(String,)> =
        tx.first("select traits from profiles where id = $1", args![profile]).await?;
    let Some((traits,)) = row else { return Ok(false) };
    let traits: serde_json::Value =
        serde_json::from_str(&traits).map_err(|fault| Error::unreadable("profiles", profile, fault))?;
    Ok(!crate::profile::refuses_tracking(traits.get(crate::profile::TRACKING_TRAIT)))
}

async fn read(tx: &mut Tx, send: &SendId) -> Result<Vec<StoredHit>, Error> {
    let rows: Vec<Row> = tx.all(COLUMNS, args![send.as_str(), HITS_PER_SEND_MAX]).await?;
    rows.into_iter().map(StoredHit::try_from).collect()
}

async fn insert(tx: &mut Tx, hit: &Hit) -> Result<(), Error> {
    tx.run(
        "insert into hits (id, send_id, profile_id, kind, link, at, method, agent, prefetch, network, class, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', '')",
        args![
            &hit.id,
            hit.send.as_str(),
            hit.profile.as_str(),
            hit.kind.as_str(),
            hit.link.map(i64::from),
            hit.at,
            &hit.method,
            &hit.agent,
            &hit.prefetch,
            &hit.network
        ],
    )
    .await?;
    let Some(name) = event_name(hit.kind) else { return Ok(()) };
    let seq = arrival::take(tx, Arrivals::Events, 1).await?;
    tx.run(
        "insert into events (seq, profile_id, id, name, at, properties) values ($1, $2, $3, $4, $5, '{}')
         on conflict do nothing",
        args![seq, hit.profile.as_str(), &hit.id, name, hit.at],
    )
    .await?;
    Ok(())
}

/// Writes what changed: classes, events, and when a person first opened and clicked. Returns all verdicts, and how
/// many of them are new.
async fn apply(
    tx: &mut Tx,
    send: &SendId,
    profile: &str,
    known: &[StoredHit],
) -> Result<(Vec<Verdict>, usize), Error> {
    let hits: Vec<Hit> = known.iter().map(|stored| stored.hit.clone()).collect();
    let verdicts = classify(&hits);
    let (mut changed, mut demoted) = (0, false);
    for (stored, verdict) in known.iter().zip(&verdicts) {
        if stored.class == verdict.class && stored.reason == verdict.reason {
            continue;
        }
        changed += 1;
        demoted |= stored.class == Class::Human;
        let hit = &stored.hit;
        tx.run(
            "update hits set class = $2, reason = $3 where id = $1",
            args![&hit.id, verdict.class.as_str(), verdict.reason],
        )
        .await?;
        if event_name(hit.kind).is_some() {
            let properties = properties(hit, *verdict).to_string();
            tx.run(
                "update events set properties = $3 where profile_id = $1 and id = $2",
                args![profile, &hit.id, &properties],
            )
            .await?;
        }
    }
    let human = |clicks_only: bool| {
        let of_people = hits.iter().zip(&verdicts).filter(|(_, verdict)| verdict.class == Class::Human);
        let counted = of_people.filter(|(hit, _)| !clicks_only || hit.kind == HitKind::Click);
        counted.map(|(hit, _)| hit.at.as_millisecond()).min()
    };
    // A click is an opening too: pictures may be off.
    let (opened_at, clicked_at) = (human(false), human(true));
    let sql = if demoted {
        "update sends set opened_at = $2, clicked_at = $3 where id = $1"
    } else {
        "update sends set opened_at = coalesce(opened_at, $2), clicked_at = coalesce(clicked_at, $3)
         where id = $1 and ((opened_at is null and $2 is not null) or (clicked_at is null and $3 is not null))"
    };
    if changed > 0 {
        tx.run(sql, args![send.as_str(), opened_at, clicked_at]).await?;
    }
    Ok((verdicts, changed))
}

/// The trap is no deed of anybody: it has no event.
fn event_name(kind: HitKind) -> Option<&'static str> {
    match kind {
        HitKind::Open => Some(name::EMAIL_OPENED),
        HitKind::Click => Some(name::EMAIL_LINK_CLICKED),
        HitKind::Trap => None,
    }
}

fn properties(hit: &Hit, verdict: Verdict) -> serde_json::Value {
    let mut properties = json!({
        "send_id": hit.send.as_str(),
        "class": verdict.class.as_str(),
        "class_reason": verdict.reason,
    });
    if let Some(link) = hit.link {
        properties["link"] = json!(link);
    }
    properties
}

impl TryFrom<Row> for StoredHit {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let bad = |fault: &str| unreadable(&row.id, &fault);
        Ok(Self {
            hit: Hit {
                send: SendId::parse(&row.send_id).ok_or_else(|| bad("the send is no id"))?,
                profile: ProfileId::parse(&row.profile_id).map_err(|fault| unreadable(&row.id, &fault))?,
                kind: HitKind::parse(&row.kind).ok_or_else(|| bad("the kind is no known word"))?,
                link: row.link.and_then(|link| u32::try_from(link).ok()),
                at: from_millisecond(row.at),
                id: row.id.clone(),
                method: row.method,
                agent: row.agent,
                prefetch: row.prefetch,
                network: row.network,
            },
            class: Class::parse(&row.class)
                .ok_or_else(|| unreadable(&row.id, &"the class is no known word"))?,
            reason: row.reason,
        })
    }
}

fn unreadable(key: &str, fault: &dyn std::fmt::Display) -> Error {
    Error::unreadable("hits", key, fault)
}
