//! A batch into the store.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::AddAssign;

use jiff::Timestamp;

use crate::ingest::Record;
use crate::ingest::implied_profiles;
use crate::store;
use crate::store::Store;

/// What the store did with records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Saved {
    /// New, or changed by what was imported.
    pub(super) loaded: u64,
    /// Known, and the same as before.
    pub(super) unchanged: u64,
    /// Profiles that events spoke of and nobody knew: they have no address, so they are never written to.
    pub(super) profiles_created: u64,
    /// People who were erased at their request: they are left out.
    pub(super) erased: u64,
    /// Offers whose codes came.
    pub(super) offers: BTreeSet<String>,
    /// Topics of suppressions that came.
    pub(super) topics: BTreeSet<String>,
}

impl AddAssign for Saved {
    fn add_assign(&mut self, more: Self) {
        self.loaded += more.loaded;
        self.unchanged += more.unchanged;
        self.profiles_created += more.profiles_created;
        self.erased += more.erased;
        self.offers.extend(more.offers);
        self.topics.extend(more.topics);
    }
}

/// Saves the records of one batch. Doing it twice changes nothing.
pub(super) async fn records(
    store: &Store,
    records: Vec<Record>,
    now: Timestamp,
) -> Result<Saved, store::Error> {
    let count = records.len() as u64;
    let (mut profiles, mut events, mut products, mut listed) = (vec![], vec![], vec![], vec![]);
    let mut codes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records {
        match record {
            Record::Profile(profile) => profiles.push(profile),
            Record::Event { event, .. } => events.push(event),
            Record::Product(product) => products.push(product),
            Record::Suppression(suppression) => listed.push(suppression),
            Record::Coupon(coupon) => codes.entry(coupon.offer).or_default().push(coupon.code),
        }
    }
    let mut loaded = 0;
    let (mut profiles_created, mut erased) = (0, 0);
    if !profiles.is_empty() {
        let done = store.import_profiles(&profiles, now).await?;
        loaded += done.inserted + done.updated;
        erased += done.erased;
    }
    if !events.is_empty() {
        let done = store.upsert_profiles(&implied_profiles(&events, now), now).await?;
        profiles_created = done.inserted;
        erased += done.erased;
        loaded += store.insert_events(&events).await?;
    }
    if !products.is_empty() {
        loaded += store.upsert_products(&products, now).await?;
    }
    for (offer, codes) in &codes {
        loaded += store.import_coupons(offer, codes).await?;
    }
    if !listed.is_empty() {
        let done = store.take_over_suppressions(&listed).await?;
        loaded += done.added;
        erased += done.erased;
    }
    let unchanged = count.saturating_sub(loaded + erased);
    let offers = codes.into_keys().collect();
    let topics = listed.into_iter().map(|listed| listed.topic).collect();
    Ok(Saved { loaded, unchanged, profiles_created, erased, offers, topics })
}
