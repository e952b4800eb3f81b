//! Sends that a program asks for: the request's key, its files and the send come into being together, or not at all.

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::aliases;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::profiles;
use super::sends;
use super::tombstones;
use crate::profile::Profile;
use crate::send::ScheduledSend;
use crate::send::SendId;

/// By which a request that is repeated is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose: keys of two programs never meet.
    pub api_key: String,
    /// As the program chose it.
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_hash: String,
}

/// A file that a request brought along, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredAttachment {
    /// File name.
    pub name: String,
    /// MIME type.
    pub content_type: String,
    /// Its bytes in base64.
    pub content: String,
}

/// A send that a program asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SendRequest {
    /// By which it is known when it is asked for again.
    pub key: Option<IdempotencyKey>,
    /// What is to be done.
    pub send: ScheduledSend,
    /// Somebody whom nobody knew: added unless the id is known by now.
    pub profile: Option<Profile>,
    /// Files that come along.
    pub attachments: Vec<StoredAttachment>,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is scheduled as this send, and committed.
    New(SendId),
    /// It was asked for before, and this is its send.
    Before(SendId),
    /// Its key was used for another request.
    OtherBody,
    /// The person, or the address, was erased: nothing is scheduled, and nobody is taken in.
    Erased,
}

impl Store {
    /// What became of an earlier request with this key, which may have been another request; `None` where there was
    /// none.
    pub async fn request_before(&self, key: &IdempotencyKey) -> Result<Option<Accepted>, Error> {
        let row: Option<(String, String)> =
            self.pools.first(KNOWN_SQL, args![&key.api_key, &key.key]).await?;
        row.map(|row| accepted_before(key, row)).transpose()
    }

    /// Schedules one send. Of requests with the same key at the same time one schedules, the others wait for its
    /// commit and hear of its send. A visitor who was joined to somebody meanwhile is that person.
    pub async fn request_send(&self, request: &SendRequest, now: Timestamp) -> Result<Accepted, Error> {
        let mut tx = self.pools.begin().await?;
        let owner = aliases::owner(&mut tx, &request.send.profile).await?;
        let whom = std::iter::once((&owner, request.send.to.as_ref()));
        if !tombstones::erased(&mut tx, whom).await?.is_empty() {
            return Ok(Accepted::Erased);
        }
        if let Some(key) = &request.key
            && let Some(before) = remember(&mut tx, key, &request.send.id, now).await?
        {
            return Ok(before);
        }
        if let Some(profile) = &request.profile {
            let profile = Profile { id: owner.clone(), ..profile.clone() };
            profiles::add_unknown(&mut tx, &profile).await?;
        }
        let send = ScheduledSend { profile: owner, ..request.send.clone() };
        sends::plan_in(&mut tx, &[send]).await?;
        for (position, file) in request.attachments.iter().enumerate() {
            let sql = "insert into attachments (send_id, position, name, content_type, content)
                       values ($1, $2, $3, $4, $5)";
            let id = request.send.id.as_str();
            tx.run(sql, args![id, position, &file.name, &file.content_type, &file.content]).await?;
        }
        self.notify(&mut tx).await?;
        tx.commit().await?;
        self.wake();
        Ok(Accepted::New(request.send.id.clone()))
    }

    /// The files that come along with a send, in the order of the request.
    pub async fn attachments_of(&self, send: &SendId) -> Result<Vec<StoredAttachment>, Error> {
        let sql = "select name, content_type, content from attachments where send_id = $1 order by position";
        let rows: Vec<(String, String, String)> = self.pools.all(sql, args![send.as_str()]).await?;
        Ok(rows
            .into_iter()
            .map(|(name, content_type, content)| StoredAttachment { name, content_type, content })
            .collect())
    }
}

/// Notes the key. Some when it was used before: on PostgreSQL the insert has waited for the other's commit.
async fn remember(
    tx: &mut Tx,
    key: &IdempotencyKey,
    send: &SendId,
    now: Timestamp,
) -> Result<Option<Accepted>, Error> {
    let row = [[&key.api_key, &key.key, &key.body_hash, send.as_str()]];
    let inserted = tx
        .run(
            "insert into idempotency_keys (api_key, key, body_hash, send_id, at)
             select value->>0, value->>1, value->>2, value->>3, $2 from {rows} where true
             on conflict (api_key, key) do nothing",
            args![Rows::of(&row), now],
        )
        .await?;
    if inserted > 0 {
        return Ok(None);
    }
    let known: Option<(String, String)> = tx.first(KNOWN_SQL, args![&key.api_key, &key.key]).await?;
    let known = known.ok_or_else(|| {
        Error::unreadable("idempotency_keys", &key.key, "it was deleted at the same moment")
    })?;
    accepted_before(key, known).map(Some)
}

/// `$1` the API key, `$2` the key of the request.
const KNOWN_SQL: &str = "select body_hash, send_id from idempotency_keys where api_key = $1 and key = $2";

fn accepted_before(key: &IdempotencyKey, (body_hash, send): (String, String)) -> Result<Accepted, Error> {
    if body_hash != key.body_hash {
        return Ok(Accepted::OtherBody);
    }
    let send = SendId::parse(&send)
        .ok_or_else(|| Error::unreadable("idempotency_keys", &key.key, "the send is not 32 hex digits"))?;
    Ok(Accepted::Before(send))
}
