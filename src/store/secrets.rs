//! Secrets that nobody configured: made once, shared by every worker of this database.

use super::Error;
use super::Store;
use super::batch::args;

/// Secrets stand among the models, where their kind keeps them apart.
pub(super) const KIND: &str = "secret";

impl Store {
    /// The secret called `name`: the one that is there, else `fresh`, which stays from now on. Of two callers at the
    /// same time both get the same.
    pub async fn secret(&self, name: &str, fresh: &str) -> Result<String, Error> {
        let mut tx = self.pools.begin().await?;
        tx.run(
            "insert into models (kind, version, created_at, body) values ($1, $2, 0, $3)
             on conflict (kind, version) do nothing",
            args![KIND, name, fresh],
        )
        .await?;
        let row: Option<(String,)> =
            tx.first("select body from models where kind = $1 and version = $2", args![KIND, name]).await?;
        tx.commit().await?;
        Ok(row.map_or_else(|| fresh.to_owned(), |(secret,)| secret))
    }

    /// The secret called `name`, where one was made.
    pub async fn kept_secret(&self, name: &str) -> Result<Option<String>, Error> {
        let sql = "select body from models where kind = $1 and version = $2";
        let row: Option<(String,)> = self.pools.first(sql, args![KIND, name]).await?;
        Ok(row.map(|(secret,)| secret))
    }
}
