//! Codes of unique offers: imported once, one for a profile, none for two.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::aliases;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::tombstones;
use crate::profile::ProfileId;

/// How often a claim looks again when another claim of the same profile came between.
const CLAIM_ROUNDS_MAX: usize = 3;

/// How many codes of an offer there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CouponCount {
    /// Nobody has them yet.
    pub free: u64,
    /// These belong to somebody.
    pub claimed: u64,
}

impl Store {
    /// Adds codes to an offer's pool and returns how many were new. A code that is known stays whose it is.
    pub async fn import_coupons(&self, offer: &str, codes: &[String]) -> Result<u64, Error> {
        let mut rows: Vec<[&str; 1]> = codes.iter().map(|code| [code.as_str()]).collect();
        // In one order everywhere: two imports of one file cannot wait for each other.
        rows.sort_unstable();
        let mut added = 0;
        let mut tx = self.pools.begin().await?;
        for chunk in rows.chunks(ROWS_PER_STATEMENT_MAX) {
            added += tx
                .run(
                    "insert into coupons (offer, code) select $2, value->>0 from {rows} where true
                     on conflict (offer, code) do nothing",
                    args![Rows::of(chunk), offer],
                )
                .await?;
        }
        tx.commit().await?;
        Ok(added)
    }

    /// The code of this offer that belongs to this profile: the one it has, else a free one, which is its own from
    /// now on. `None` when the pool is empty, or the person was erased meanwhile. Of a visitor who was joined to somebody,
    /// it is that person's.
    pub async fn claim_coupon(
        &self,
        offer: &str,
        profile: &ProfileId,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let mut profile = profile.clone();
        for _ in 0..CLAIM_ROUNDS_MAX {
            if let Some(code) = self.coupon_of(offer, &profile).await? {
                return Ok(Some(code));
            }
            match self.take_coupon(offer, &profile, now).await {
                // Another worker took one for the same profile in between: that one it is.
                Err(Error::Database(sqlx::Error::Database(fault))) if fault.is_unique_violation() => {}
                Err(error) => return Err(error),
                Ok(Taken::Done(code)) => return Ok(code),
                Ok(Taken::Joined(owner)) => profile = owner,
            }
        }
        self.coupon_of(offer, &profile).await
    }

    /// The code of this offer that this profile has.
    pub async fn coupon_of(&self, offer: &str, profile: &ProfileId) -> Result<Option<String>, Error> {
        let row: Option<(String,)> = self
            .pools
            .first(
                "select code from coupons where offer = $1 and profile_id = $2",
                args![offer, profile.as_str()],
            )
            .await?;
        Ok(row.map(|(code,)| code))
    }

    /// How many codes each offer has, by offer.
    pub async fn count_coupons(&self) -> Result<BTreeMap<String, CouponCount>, Error> {
        let rows: Vec<(String, i64, i64)> = self
            .pools
            .all("select offer, count(*), count(profile_id) from coupons group by offer", args![])
            .await?;
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(rows
            .into_iter()
            .map(|(offer, all, claimed)| {
                (offer, CouponCount { free: number(all - claimed), claimed: number(claimed) })
            })
            .collect())
    }

    async fn take_coupon(&self, offer: &str, profile: &ProfileId, now: Timestamp) -> Result<Taken, Error> {
        let mut tx = self.pools.begin().await?;
        let owner = aliases::owner(&mut tx, profile).await?;
        if owner != *profile {
            return Ok(Taken::Joined(owner));
        }
        if !tombstones::erased(&mut tx, std::iter::once((profile, None))).await?.is_empty() {
            return Ok(Taken::Done(None));
        }
        let row: Option<(String,)> = tx
            .first(
                "with free as materialized (
                   select code as free_code from coupons where offer = $1 and profile_id is null
                   order by code limit 1 {skip_locked}
                 )
                 update coupons set profile_id = $3, claimed_at = $2
                 from free where offer = $1 and code = free_code
                 returning code",
                args![offer, now, profile.as_str()],
            )
            .await?;
        tx.commit().await?;
        Ok(Taken::Done(row.map(|(code,)| code)))
    }
}

/// What came of taking a coupon.
enum Taken {
    /// This code; none where the pool is empty.
    Done(Option<String>),
    /// The visitor is this person by now, who may have one.
    Joined(ProfileId),
}
