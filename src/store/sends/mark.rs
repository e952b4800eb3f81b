//! The mark: committed before the first byte of a body goes out, and the last look at whether it may.

use std::collections::HashMap;
use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;

use super::claim::send_rows;
use crate::campaign::Kind;
use crate::clock::from_millisecond;
use crate::decision::VariantId;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::send::EVERY_TOPIC;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::LeaseToken;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::Rows;
use crate::store::batch::args;
use crate::store::connection::Tx;
use crate::store::dialect::Dialect;

/// A send about to go on the wire.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Which.
    pub send: SendId,
    /// The lease under which the caller holds it.
    pub token: LeaseToken,
    /// Where it goes.
    pub to: EmailAddress,
    /// What its reader can unsubscribe from.
    pub topic: String,
    /// Which variant.
    pub variant: VariantId,
    /// Which products it shows.
    pub products: Vec<String>,
    /// The recipient-domain group under which rates and reports count it.
    pub domain_group: String,
}

/// At most `count` lifecycle mails to one profile within `within_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// How many.
    pub count: usize,
    /// In how long a time, milliseconds.
    pub within_ms: i64,
}

/// Why a send may not go on the wire now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The lease is lost: somebody else holds the send, or it was canceled. Write nothing more about it.
    LeaseLost,
    /// Its campaign was paused. Release it.
    CampaignPaused,
    /// Its campaign was canceled.
    CampaignCanceled,
    /// The profile was erased, or has no address any more.
    ProfileGone,
    /// Lifecycle mail, and the profile has not granted consent.
    NoConsent,
    /// The address is suppressed.
    Suppressed {
        /// For which topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// Lifecycle mail, and the profile has had its share.
    Capped {
        /// The cap that binds.
        cap: Cap,
        /// When the next one may go.
        until: Timestamp,
    },
}

/// What became of marks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Marked {
    /// These are `submitting` now: send them, and record what became of them.
    pub accepted: HashSet<SendId>,
    /// These must not go. Apart from [`Refusal::LeaseLost`] they are still leased: record an outcome or release them.
    pub refused: HashMap<SendId, Refusal>,
}

#[derive(Serialize)]
struct MarkRow<'a> {
    id: &'a str,
    token: &'a str,
    address: &'a str,
    variant: &'a str,
    products: String,
    domain_group: &'a str,
}

/// What decides about one mark, as it is at this moment.
#[derive(sqlx::FromRow)]
struct Standing {
    id: String,
    profile_id: String,
    kind: String,
    state: String,
    lease_token: Option<String>,
    to_address: Option<String>,
    consent: Option<String>,
    profile_address: Option<String>,
    campaign_state: Option<String>,
}

impl Store {
    /// Marks sends as `submitting`, as long as their leases hold, and looks a last time at campaign, consent,
    /// suppression and caps: what was committed before this call is honoured. Two sends of one profile do not both
    /// pass a cap of one, in one batch or in two workers.
    pub async fn mark_submitting(
        &self,
        marks: &[Mark],
        caps: &[Cap],
        now: Timestamp,
    ) -> Result<Marked, Error> {
        let mut tx = self.pools.begin().await?;
        let marked = mark(&mut tx, marks, caps, now).await?;
        tx.commit().await?;
        Ok(marked)
    }
}

pub(in crate::store) async fn mark(
    tx: &mut Tx,
    marks: &[Mark],
    caps: &[Cap],
    now: Timestamp,
) -> Result<Marked, Error> {
    if marks.is_empty() {
        return Ok(Marked::default());
    }
    let ids: Vec<SendId> = marks.iter().map(|mark| mark.send.clone()).collect();
    let standings = read_standings(tx, &ids).await?;
    let recent = read_recent(tx, &standings, caps, now).await?;
    let suppressions = read_suppressions(tx, marks).await?;
    let mut marked = Marked::default();
    let mut judge = Judge { standings, suppressions, recent, caps, now };
    let mut rows = Vec::with_capacity(marks.len());
    for mark in marks {
        match judge.refusal(mark) {
            None => rows.push(MarkRow::of(mark)),
            Some(refusal) => {
                marked.refused.insert(mark.send.clone(), refusal);
            }
        }
    }
    write(tx, &rows, &mut marked, now).await?;
    Ok(marked)
}

/// `$1` the ids of sends.
pub(in crate::store) const STANDINGS_SQL: &str =
    "select s.id, s.profile_id, s.kind, s.state, s.lease_token, s.to_address, p.consent,
       p.address as profile_address, c.state as campaign_state
     from sends as s
     left join profiles as p on p.id = s.profile_id
     left join campaign_states as c on c.campaign = s.campaign
     where s.id in (select value->>0 from {rows})
     order by s.id {for_update_of_s}";

async fn read_standings(tx: &mut Tx, ids: &[SendId]) -> Result<HashMap<String, Standing>, Error> {
    let rows: Vec<Standing> = tx.all(STANDINGS_SQL, args![send_rows(ids)]).await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// `$1` profiles, `$2` now, `$3` the longest cap in milliseconds.
pub(in crate::store) const RECENT_SQL: &str = "select profile_id, id, {now} - submitted_at from sends
     where profile_id in (select value->>0 from {rows}) and kind = 'lifecycle'
       and submitted_at > {now} - $3";

/// Ages of the lifecycle mails that a profile had within the longest cap, each with its send.
type Recent = HashMap<String, Vec<(String, i64)>>;

async fn read_recent(
    tx: &mut Tx,
    standings: &HashMap<String, Standing>,
    caps: &[Cap],
    now: Timestamp,
) -> Result<Recent, Error> {
    let capped = |row: &&Standing| row.kind == Kind::Lifecycle.as_str();
    let mut profiles: Vec<[&str; 1]> =
        standings.values().filter(capped).map(|row| [row.profile_id.as_str()]).collect();
    let Some(longest_ms) = caps.iter().map(|cap| cap.within_ms).max() else { return Ok(Recent::new()) };
    if profiles.is_empty() {
        return Ok(Recent::new());
    }
    profiles.sort_unstable();
    profiles.dedup();
    let profiles = Rows::of(&profiles);
    if tx.dialect() == Dialect::Postgres {
        // Another worker that marks a send of the same profile waits here, and then sees this one.
        let sql = "select id from profiles where id in (select value->>0 from {rows}) order by id for update";
        let _: Vec<(String,)> = tx.all(sql, args![profiles.clone()]).await?;
    }
    let rows: Vec<(String, String, i64)> = tx.all(RECENT_SQL, args![profiles, now, longest_ms]).await?;
    let mut recent = Recent::new();
    for (profile, send, age_ms) in rows {
        recent.entry(profile).or_default().push((send, age_ms));
    }
    Ok(recent)
}

/// `$1` address keys.
pub(in crate::store) const SUPPRESSIONS_SQL: &str =
    "select address, topic, reason from suppressions where address in (select value->>0 from {rows})";

/// By address key: topic and reason.
type Suppressions = HashMap<String, Vec<(String, String)>>;

async fn read_suppressions(tx: &mut Tx, marks: &[Mark]) -> Result<Suppressions, Error> {
    let keys: Vec<[String; 1]> = marks.iter().map(|mark| [mark.to.key()]).collect();
    let rows: Vec<(String, String, String)> = tx.all(SUPPRESSIONS_SQL, args![Rows::of(&keys)]).await?;
    let mut found = Suppressions::new();
    for (address, topic, reason) in rows {
        found.entry(address).or_default().push((topic, reason));
    }
    Ok(found)
}

/// Everything that was read, and the caps as they fill up within one batch.
struct Judge<'a> {
    standings: HashMap<String, Standing>,
    suppressions: Suppressions,
    recent: Recent,
    caps: &'a [Cap],
    now: Timestamp,
}

impl Judge<'_> {
    fn refusal(&mut self, mark: &Mark) -> Option<Refusal> {
        let Some(row) = self.standings.get(mark.send.as_str()) else { return Some(Refusal::LeaseLost) };
        if row.state != State::Leased.as_str() || row.lease_token.as_deref() != Some(&mark.token.0) {
            return Some(Refusal::LeaseLost);
        }
        match row.campaign_state.as_deref() {
            Some("paused") => return Some(Refusal::CampaignPaused),
            Some("canceled") => return Some(Refusal::CampaignCanceled),
            _ => {}
        }
        if row.to_address.is_none() && row.profile_address.is_none() {
            return Some(Refusal::ProfileGone);
        }
        let lifecycle = row.kind == Kind::Lifecycle.as_str();
        if lifecycle && row.consent.as_deref() != Some(Consent::Granted.as_str()) {
            return Some(Refusal::NoConsent);
        }
        let stops = |topic: &str| {
            topic == EVERY_TOPIC || topic == mark.topic || (lifecycle && topic == LIFECYCLE_TOPIC)
        };
        let mut suppressions = self.suppressions.get(&mark.to.key()).into_iter().flatten();
        if let Some((topic, reason)) = suppressions.find(|(topic, _)| stops(topic)) {
            return Some(Refusal::Suppressed { topic: topic.clone(), reason: reason.clone() });
        }
        if !lifecycle {
            return None;
        }
        let recent = self.recent.entry(row.profile_id.clone()).or_default();
        // A send that is marked again (at-least-once) does not stand in its own way.
        let mut ages: Vec<i64> =
            recent.iter().filter(|(send, _)| send != mark.send.as_str()).map(|(_, age_ms)| *age_ms).collect();
        ages.sort_unstable();
        for cap in self.caps {
            if let Some(wait_ms) = wait_ms(&ages, *cap) {
                let until = from_millisecond(self.now.as_millisecond().saturating_add(wait_ms));
                return Some(Refusal::Capped { cap: *cap, until });
            }
        }
        recent.push((mark.send.as_str().to_owned(), 0));
        None
    }
}

/// How long a cap still binds a profile whose mails have these ages, youngest first; `None` when it does not.
fn wait_ms(ages: &[i64], cap: Cap) -> Option<i64> {
    let within = ages.iter().filter(|age| **age < cap.within_ms).count();
    if within < cap.count {
        return None;
    }
    // The mail that has to grow out of the window before there is room.
    let blocking = cap.count.checked_sub(1).and_then(|index| ages.get(index)).copied().unwrap_or(0);
    Some(cap.within_ms.saturating_sub(blocking))
}

impl<'a> MarkRow<'a> {
    fn of(mark: &'a Mark) -> Self {
        Self {
            id: mark.send.as_str(),
            token: &mark.token.0,
            address: mark.to.as_str(),
            variant: mark.variant.as_str(),
            products: serde_json::to_string(&mark.products).expect("a list of texts has a JSON form"),
            domain_group: &mark.domain_group,
        }
    }
}

/// `$1` marks, `$2` now.
pub(in crate::store) const MARK_SQL: &str =
    "update sends set state = 'submitting', submitted_at = {now}, address = value->>'address',
       variant = value->>'variant', products = value->>'products', domain_group = value->>'domain_group'
     from {rows}
     where id = value->>'id' and state = 'leased' and lease_token = value->>'token'
     returning id";

async fn write(tx: &mut Tx, rows: &[MarkRow<'_>], marked: &mut Marked, now: Timestamp) -> Result<(), Error> {
    let written: Vec<(String,)> = tx.all(MARK_SQL, args![Rows::of(rows), now]).await?;
    marked.accepted = written.iter().filter_map(|(id,)| SendId::parse(id)).collect();
    for id in rows.iter().filter_map(|row| SendId::parse(row.id)) {
        if !marked.accepted.contains(&id) {
            marked.refused.insert(id, Refusal::LeaseLost);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Cap;
    use super::wait_ms;

    #[test]
    fn a_cap_binds_until_its_blocking_mail_is_old_enough() {
        for (ages, count, expected) in [
            (vec![], 1, None),
            (vec![400], 1, Some(600)),
            (vec![400], 2, None),
            (vec![100, 400, 900], 2, Some(600)),
            (vec![1_000], 1, None),
            (vec![100, 2_000], 2, None),
            (vec![], 0, Some(1_000)),
        ] {
            assert_eq!(wait_ms(&ages, Cap { count, within_ms: 1_000 }), expected, "{ages:?} {count}");
        }
    }
}
