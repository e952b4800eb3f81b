//! Proof of consent, never changed, and the consent that follows from it.

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use crate::clock::from_millisecond;
use crate::profile::Consent;
use crate::profile::ProfileId;

/// Who said what, when, where, and to which words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentProof {
    /// Whose consent.
    pub profile: ProfileId,
    /// When it was given or taken back.
    pub at: Timestamp,
    /// What was said.
    pub status: Consent,
    /// Where: `form`, `api`, `import`, `unsubscribe link` …
    pub source: String,
    /// Who said it: the person, an operator, an address on the network.
    pub who: String,
    /// The words agreed to, or their version.
    pub wording: String,
}

#[derive(Serialize)]
struct NewRow<'a> {
    profile: &'a str,
    at: i64,
    status: &'a str,
    source: &'a str,
    who: &'a str,
    wording: &'a str,
}

#[derive(sqlx::FromRow)]
struct Row {
    profile_id: String,
    at: i64,
    status: String,
    source: String,
    who: String,
    wording: String,
}

impl Store {
    /// Adds proofs; each profile's consent is then what its newest proof says. Returns how many proofs were new.
    pub async fn append_consents(&self, proofs: &[ConsentProof], now: Timestamp) -> Result<u64, Error> {
        let mut added = 0;
        let mut tx = self.pools.begin().await?;
        for chunk in proofs.chunks(ROWS_PER_STATEMENT_MAX) {
            let mut rows: Vec<NewRow<'_>> = chunk.iter().map(NewRow::of).collect();
            rows.sort_by_key(|row| (row.profile, row.at));
            let rows = Rows::of(&rows);
            added += tx
                .run(
                    "insert into consents (profile_id, at, status, source, who, wording)
                     select value->>'profile', cast(value->>'at' as bigint), value->>'status', value->>'source',
                       value->>'who', value->>'wording'
                     from {rows} where true
                     on conflict (profile_id, at, status, source) do nothing",
                    args![rows.clone()],
                )
                .await?;
            // Where two proofs have the same time, the one that takes consent back counts: it sorts last.
            tx.run(
                "update profiles set updated_at = $2, consent = (
                   select status from consents where profile_id = profiles.id
                   order by at desc, status desc limit 1)
                 where id in (select value->>'profile' from {rows})",
                args![rows, now],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(added)
    }

    /// All proofs of one profile, oldest first.
    pub async fn consents_of(&self, profile: &ProfileId) -> Result<Vec<ConsentProof>, Error> {
        let rows: Vec<Row> = self
            .pools
            .all(
                "select profile_id, at, status, source, who, wording from consents where profile_id = $1
                 order by at, status, source",
                args![profile.as_str()],
            )
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ConsentProof {
                    profile: profile.clone(),
                    at: from_millisecond(row.at),
                    status: Consent::parse(&row.status).ok_or_else(|| {
                        Error::unreadable("consents", &row.profile_id, "the status is no known word")
                    })?,
                    source: row.source,
                    who: row.who,
                    wording: row.wording,
                })
            })
            .collect()
    }
}

impl<'a> NewRow<'a> {
    fn of(proof: &'a ConsentProof) -> Self {
        Self {
            profile: proof.profile.as_str(),
            at: proof.at.as_millisecond(),
            status: proof.status.as_str(),
            source: &proof.source,
            who: &proof.who,
            wording: &proof.wording,
        }
    }
}
