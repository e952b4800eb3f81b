//! Keys of programs that may ask for things over HTTP. Only the hash of a secret is kept.

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::args;
use crate::clock::from_millisecond;

/// One key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The part of the key that may be shown.
    pub id: String,
    /// For people.
    pub name: String,
    /// SHA-256 of the whole key, in hex.
    pub secret_hash: String,
    /// What it may ask for, as words.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
}

/// How far the word of a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is kept on a server.
    Full,
    /// It may stand in a web page, where anybody can read it. It may ask people and stop mail; it grants no consent, gives
    /// an address only to people who have none and to visitors without an id of their own, and uses up nobody else's
    /// questions.
    Public,
}

impl Trust {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Public => "public",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Public].into_iter().find(|trust| trust.as_str() == text)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    secret_hash: String,
    scopes: String,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl From<Row> for ApiKey {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            secret_hash: row.secret_hash,
            scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
            created_at: from_millisecond(row.created_at),
            revoked_at: row.revoked_at.map(from_millisecond),
        }
    }
}

impl Store {
    /// Keeps a new key. Its id must be new.
    pub async fn add_api_key(&self, key: &ApiKey) -> Result<(), Error> {
        let scopes = key.scopes.join(" ");
        self.pools
            .run(
                "insert into api_keys (id, name, secret_hash, scopes, created_at) values ($1, $2, $3, $4, $5)",
                args![&key.id, &key.name, &key.secret_hash, &scopes, key.created_at],
            )
            .await?;
        Ok(())
    }

    /// The key of this id, revoked or not.
    pub async fn api_key(&self, id: &str) -> Result<Option<ApiKey>, Error> {
        let row: Option<Row> = self
            .pools
            .first(
                "select id, name, secret_hash, scopes, created_at, revoked_at from api_keys where id = $1",
                args![id],
            )
            .await?;
        Ok(row.map(ApiKey::from))
    }

    /// All keys, oldest first.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows: Vec<Row> = self
            .pools
            .all(
                "select id, name, secret_hash, scopes, created_at, revoked_at from api_keys order by created_at, id",
                args![],
            )
            .await?;
        Ok(rows.into_iter().map(ApiKey::from).collect())
    }

    /// Refuses a key from now on; 1 when there was one that was not refused before.
    pub async fn revoke_api_key(&self, id: &str, now: Timestamp) -> Result<u64, Error> {
        self.pools
            .run("update api_keys set revoked_at = $2 where id = $1 and revoked_at is null", args![id, now])
            .await
    }

    /// Asks the database for nothing, to see whether it answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.count("select cast(1 as bigint)", args![]).await.map(|_| ())
    }
}
