//! Proof of consent, never changed, and the consent that follows from it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::again::despite_deadlocks;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::profiles;
use super::profiles::id_rows;
use super::tombstones;
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
    /// The key of the address to which a link was mailed by which it was said: only who reads there can have said it,
    /// and it is confirmed at that address alone. `None` where it was said otherwise.
    pub address: Option<String>,
}

/// Sources of what is said by links that we mail. Nobody else may name them.
pub const LINK_SOURCES: [&str; 2] = ["confirmation link", "preferences link"];

/// What a campaign asks of the consent of those whom it writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentNeeded {
    /// That it was granted.
    Granted,
    /// That it was granted by a link that was mailed to the address that the mail goes to, and not taken back since:
    /// double opt-in.
    Confirmed,
}

#[derive(Serialize)]
struct NewRow<'a> {
    profile: &'a str,
    at: i64,
    status: &'a str,
    source: &'a str,
    who: &'a str,
    wording: &'a str,
    address: Option<&'a str>,
}

#[derive(sqlx::FromRow)]
struct Row {
    profile_id: String,
    at: i64,
    status: String,
    source: String,
    who: String,
    wording: String,
    address: Option<String>,
}

/// Whether a proof, by its alias, is a grant by a mailed link behind which nothing but grants stands: a confirmation at
/// its address.
macro_rules! confirms {
    ($proof:literal) => {
        concat!(
            $proof,
            ".status = 'granted' and ",
            $proof,
            ".address is not null and not exists (
               select 1 from consents as later where later.profile_id = ",
            $proof,
            ".profile_id and later.status <> 'granted' and later.at >= ",
            $proof,
            ".at)"
        )
    };
}
pub(super) use confirms;

const CONFIRMS: &str = confirms!("c");

const COLUMNS: &str = "select profile_id, at, status, source, who, wording, address from consents";

impl Store {
    /// Adds proofs; each profile's consent is then what its newest proof says. Returns how many proofs were new. Of who
    /// was erased none is kept.
    pub async fn append_consents(&self, proofs: &[ConsentProof], now: Timestamp) -> Result<u64, Error> {
        despite_deadlocks(|| async {
            let mut tx = self.pools.begin().await?;
            let people = proofs.iter().map(|proof| (&proof.profile, None));
            let erased = tombstones::erased(&mut tx, people).await?;
            let welcome: Vec<ConsentProof> =
                proofs.iter().filter(|proof| !erased.contains(&proof.profile)).cloned().collect();
            let added = append(&mut tx, &welcome, now).await?;
            tx.commit().await?;
            Ok(added)
        })
        .await
    }

    /// Those of these profiles who confirmed their consent, each with the keys of the addresses at which: they granted it
    /// by a link we had mailed there, and whatever was said since was a grant too.
    pub async fn confirmed(&self, profiles: &[ProfileId]) -> Result<HashMap<ProfileId, Vec<String>>, Error> {
        let mut confirmed: HashMap<ProfileId, Vec<String>> = HashMap::new();
        for chunk in profiles.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<(String, String)> = self
                .pools
                .all(
                    format!(
                        "select distinct c.profile_id, c.address from consents as c
                         where c.profile_id in (select value->>0 from {{rows}}) and {CONFIRMS}
                         order by c.profile_id, c.address"
                    ),
                    args![id_rows(chunk)],
                )
                .await?;
            for (profile, address) in rows {
                let id = ProfileId::parse(&profile)
                    .map_err(|fault| Error::unreadable("consents", &profile, fault))?;
                confirmed.entry(id).or_default().push(address);
            }
        }
        Ok(confirmed)
    }

    /// All proofs of one profile, oldest first.
    pub async fn consents_of(&self, profile: &ProfileId) -> Result<Vec<ConsentProof>, Error> {
        let rows: Vec<Row> = self
            .pools
            .all(
                format!("{COLUMNS} where profile_id = $1 order by at, status, source"),
                args![profile.as_str()],
            )
            .await?;
        rows.into_iter().map(ConsentProof::try_from).collect()
    }
}

/// Whether somebody confirmed at the address with this key.
pub(super) async fn is_confirmed(tx: &mut Tx, profile: &ProfileId, address: &str) -> Result<bool, Error> {
    let sql = format!(
        "select 1 from consents as c where c.profile_id = $1 and c.address = $2 and {CONFIRMS} limit 1"
    );
    let row: Option<(i32,)> = tx.first(sql, args![profile.as_str(), address]).await?;
    Ok(row.is_some())
}

/// A profile's newest proof.
pub(super) async fn newest(tx: &mut Tx, profile: &ProfileId) -> Result<Option<ConsentProof>, Error> {
    let sql = format!("{COLUMNS} where profile_id = $1 order by at desc, status desc limit 1");
    let row: Option<Row> = tx.first(sql, args![profile.as_str()]).await?;
    row.map(ConsentProof::try_from).transpose()
}

pub(super) async fn append(tx: &mut Tx, proofs: &[ConsentProof], now: Timestamp) -> Result<u64, Error> {
    let mut added = 0;
    for chunk in proofs.chunks(ROWS_PER_STATEMENT_MAX) {
        // Two that say something of one person at the same time each see what the other said: the newest word counts.
        let ids: Vec<ProfileId> = chunk.iter().map(|proof| proof.profile.clone()).collect();
        profiles::find_all(tx, &ids).await?;
        let mut rows: Vec<NewRow<'_>> = chunk.iter().map(NewRow::of).collect();
        rows.sort_by_key(|row| (row.profile, row.at));
        let rows = Rows::of(&rows);
        added += tx
            .run(
                "insert into consents (profile_id, at, status, source, who, wording, address)
                 select value->>'profile', cast(value->>'at' as bigint), value->>'status', value->>'source',
                   value->>'who', value->>'wording', value->>'address'
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
    Ok(added)
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
            address: proof.address.as_deref(),
        }
    }
}

impl TryFrom<Row> for ConsentProof {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let unreadable =
            |fault: &dyn std::fmt::Display| Error::unreadable("consents", &row.profile_id, fault);
        Ok(Self {
            profile: ProfileId::parse(&row.profile_id).map_err(|fault| unreadable(&fault))?,
            at: from_millisecond(row.at),
            status: Consent::parse(&row.status).ok_or_else(|| unreadable(&"the status is no known word"))?,
            source: row.source,
            who: row.who,
            wording: row.wording,
            address: row.address,
        })
    }
}
