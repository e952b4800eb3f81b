//! The list of suppressed addresses as its keeper handles it: read, taken over from elsewhere, lifted.

use std::fmt::Write as _;

use futures_util::Stream;
use futures_util::TryStreamExt as _;
use futures_util::stream;
use jiff::Timestamp;

use super::Row;
use super::add;
use crate::profile::Profile;
use crate::send::SOFT_BOUNCES;
use crate::send::Suppression;
use crate::store::Error;
use crate::store::Store;
use crate::store::again::despite_deadlocks;
use crate::store::batch::Arg;
use crate::store::batch::args;
use crate::store::consents;
use crate::store::consents::ConsentProof;
use crate::store::profiles;
use crate::store::tombstones;

/// Suppressions that a stream reads at a time.
const PAGE_ROWS: usize = 1_000;
/// Longest words by which somebody took their own word back, in characters.
pub const BECAUSE_CHARACTERS_MAX: usize = 1_000;
/// Where the line in somebody's consent history comes from that says what an operator lifted.
const SOURCE: &str = "suppression lifted";

/// Which suppressions; what is not stated does not narrow.
#[derive(Debug, Clone, Default)]
pub struct SuppressionFilter {
    /// Of the address with this key.
    pub address: Option<String>,
    /// With this reason.
    pub reason: Option<String>,
    /// Of this topic.
    pub topic: Option<String>,
}

/// What became of a list that was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listed {
    /// Suppressions that are new, or stronger than what stood there.
    pub added: u64,
    /// Of addresses that were erased: those stay suppressed by their fingerprint alone.
    pub erased: u64,
}

/// What came of lifting.
#[derive(Debug, Clone, PartialEq)]
pub enum Lifted {
    /// Nothing stands against the address, of this topic; this does of others.
    Nothing {
        /// What was not asked for.
        other: Vec<Suppression>,
    },
    /// The address was erased.
    Erased,
    /// Among these is what the person said, and how they took it back was not told: nothing was lifted.
    TheirOwnWord(Vec<Suppression>),
    /// These are gone.
    Done(Vec<Suppression>),
}

const COLUMNS: &str = "select address, topic, reason, at, send_id, until from suppressions";

impl Store {
    /// The next `limit` suppressions behind one, by address and topic. Erased addresses are not among them: nobody knows
    /// them any more.
    pub async fn suppressions(
        &self,
        filter: &SuppressionFilter,
        after: Option<&Suppression>,
        limit: usize,
    ) -> Result<Vec<Suppression>, Error> {
        let (address, topic) = after.map_or(("", ""), |last| (last.address.as_str(), last.topic.as_str()));
        let mut args = args![address, topic];
        let mut sql = format!("{COLUMNS} where (address, topic) > ($1, $2)");
        let conditions = [("address", &filter.address), ("reason", &filter.reason), ("topic", &filter.topic)];
        for (column, value) in conditions {
            if let Some(value) = value {
                args.push(Arg::from(value));
                write!(sql, " and {column} = ${}", args.len()).expect("writing to a String cannot fail");
            }
        }
        args.push(Arg::from(limit));
        write!(sql, " order by address, topic limit ${}", args.len())
            .expect("writing to a String cannot fail");
        let rows: Vec<Row> = self.pools.all(sql, args).await?;
        Ok(rows.into_iter().map(Suppression::from).collect())
    }

    /// All suppressions that pass the filter, by address and topic, read a page at a time.
    pub fn export_suppressions(
        &self,
        filter: SuppressionFilter,
    ) -> impl Stream<Item = Result<Suppression, Error>> + Send + use<> {
        let start = Some((self.clone(), filter, None::<Suppression>));
        stream::try_unfold(start, |state| async move {
            let Some((store, filter, after)) = state else { return Ok::<_, Error>(None) };
            let page = store.suppressions(&filter, after.as_ref(), PAGE_ROWS).await?;
            let last = page.last().filter(|_| page.len() == PAGE_ROWS).cloned();
            let next = last.map(|last| (store, filter, Some(last)));
            Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
        })
        .try_flatten()
    }

    /// [`Store::add_suppressions`] of a list that somebody keeps, which may name people who were erased.
    pub async fn take_over_suppressions(&self, listed: &[Suppression]) -> Result<Listed, Error> {
        despite_deadlocks(|| async {
            let mut tx = self.pools.begin().await?;
            let keys: Vec<&str> = listed.iter().map(|listed| listed.address.as_str()).collect();
            let gone = tombstones::erased_keys(&mut tx, &keys).await?;
            let kept: Vec<Suppression> =
                listed.iter().filter(|listed| !gone.contains(&listed.address)).cloned().collect();
            let added = add(&mut tx, &kept).await?;
            tx.commit().await?;
            Ok(Listed { added, erased: (listed.len() - kept.len()) as u64 })
        })
        .await
    }

    /// Takes away what stands against an address, or only what stands of one topic. What the person said themselves wants
    /// the words by which they took it back: everybody who has the address gets them into their consent history, and
    /// their consent stays what it is.
    pub async fn lift_suppressions(
        &self,
        address_key: &str,
        topic: Option<&str>,
        because: Option<&str>,
        now: Timestamp,
    ) -> Result<Lifted, Error> {
        despite_deadlocks(|| async {
            let mut tx = self.pools.begin().await?;
            if !tombstones::erased_keys(&mut tx, &[address_key]).await?.is_empty() {
                return Ok(Lifted::Erased);
            }
            let sql = format!("{COLUMNS} where address = $1 order by topic {{for_update}}");
            let rows: Vec<Row> = tx.all(sql, args![address_key]).await?;
            let (found, other): (Vec<Suppression>, Vec<Suppression>) = rows
                .into_iter()
                .map(Suppression::from)
                .partition(|found| topic.is_none_or(|topic| topic == found.topic));
            if found.is_empty() {
                return Ok(Lifted::Nothing { other });
            }
            let Some(because) = because
                .map_or_else(|| (!found.iter().any(Suppression::is_their_own_word)).then_some(""), Some)
            else {
                return Ok(Lifted::TheirOwnWord(found));
            };
            for one in &found {
                let args = args![address_key, &one.topic];
                tx.run("delete from suppressions where address = $1 and topic = $2", args).await?;
            }
            if found.iter().any(|one| one.reason == SOFT_BOUNCES) {
                // What was counted has been looked at: the next one begins anew.
                tx.run("delete from soft_bounces where address = $1", args![address_key]).await?;
            }
            if !because.is_empty() {
                let people = profiles::find_at(&mut tx, address_key).await?;
                let proofs: Vec<ConsentProof> =
                    people.iter().map(|person| proof(person, &found, because, now)).collect();
                consents::append(&mut tx, &proofs, now).await?;
            }
            tx.commit().await?;
            Ok(Lifted::Done(found))
        })
        .await
    }
}

/// What stands in somebody's consent history from then on: who lifted what, and in whose words.
fn proof(person: &Profile, gone: &[Suppression], because: &str, now: Timestamp) -> ConsentProof {
    let what: Vec<String> =
        gone.iter().map(|gone| format!("{} of {} since {}", gone.reason, gone.topic, gone.at)).collect();
    ConsentProof {
        profile: person.id.clone(),
        at: now,
        status: person.consent,
        source: SOURCE.to_owned(),
        who: format!("an operator, who lifted {}", what.join(", ")),
        wording: because.to_owned(),
        address: None,
    }
}
