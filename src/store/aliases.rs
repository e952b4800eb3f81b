//! Who is who: ids of visitors, and the people who they turned out to be.
//!
//! Whoever reads about somebody and writes about them later may find them joined to another meanwhile. Readers follow
//! the alias within their statement ([`Store::profile`]); writers ask for the owner of an id first, in their transaction.

use std::collections::BTreeSet;
use std::collections::HashMap;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::args;
use super::connection::Accord;
use super::connection::Held;
use super::connection::Tx;
use super::profiles::id_rows;
use crate::ingest::segment::ANONYMOUS;
use crate::profile::ProfileId;

/// The id of `$1`'s person: another's where it was joined to them.
pub(super) const OWNER: &str = "coalesce((select profile_id from aliases where alias_id = $1), $1)";

impl Store {
    /// Who an id is: itself, or whom it was joined to.
    pub async fn resolve(&self, id: &ProfileId) -> Result<ProfileId, Error> {
        let sql = "select profile_id from aliases where alias_id = $1";
        let row: Option<(String,)> = self.pools.first(sql, args![id.as_str()]).await?;
        row.map_or(Ok(id.clone()), |(text,)| parse(&text))
    }
}

/// Those of these ids that were joined to another, with whom.
pub(super) async fn joined(tx: &mut Tx, ids: &[&ProfileId]) -> Result<HashMap<ProfileId, ProfileId>, Error> {
    let ids: BTreeSet<&ProfileId> = ids.iter().copied().collect();
    let ids: Vec<ProfileId> = ids.into_iter().cloned().collect();
    let mut found = HashMap::new();
    for chunk in ids.chunks(ROWS_PER_STATEMENT_MAX) {
        let rows: Vec<(String, String)> = tx
            .all(
                "select alias_id, profile_id from aliases where alias_id in (select value->>0 from {rows})",
                args![id_rows(chunk)],
            )
            .await?;
        for (alias, profile) in rows {
            found.insert(parse(&alias)?, parse(&profile)?);
        }
    }
    Ok(found)
}

/// [`joined`], which stays so until the transaction ends. Call it before any row is locked. Only visitors are ever joined
/// to anybody: of others nothing is asked.
pub(super) async fn owners(
    tx: &mut Tx,
    mut ids: Vec<&ProfileId>,
) -> Result<HashMap<ProfileId, ProfileId>, Error> {
    ids.retain(|id| id.as_str().starts_with(ANONYMOUS));
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    tx.agree(Accord::Joins, Held::Shared).await?;
    joined(tx, &ids).await
}

/// [`owners`] of one id: itself where it was not joined.
pub(super) async fn owner(tx: &mut Tx, id: &ProfileId) -> Result<ProfileId, Error> {
    Ok(owners(tx, vec![id]).await?.remove(id).unwrap_or_else(|| id.clone()))
}

fn parse(id: &str) -> Result<ProfileId, Error> {
    ProfileId::parse(id).map_err(|fault| Error::unreadable("aliases", id, fault))
}
