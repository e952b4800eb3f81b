//! What stands against a mark, once everything is read. Pure.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Cap;
use super::Mark;
use super::Recent;
use super::Refusal;
use super::Standing;
use super::Suppressions;
use crate::clock::from_millisecond;
use crate::send::EVERY_TOPIC;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::PAUSE_TOPIC;

/// Everything that was read, and the caps as they fill up within one batch.
pub(super) struct Judge<'a> {
    pub(super) standings: HashMap<String, Standing>,
    pub(super) suppressions: Suppressions,
    pub(super) recent: Recent,
    pub(super) caps: &'a [Cap],
    pub(super) now: Timestamp,
}

impl Judge<'_> {
    pub(super) fn refusal(&mut self, mark: &Mark) -> Option<Refusal> {
        let Some(row) = self.standings.get(mark.send.as_str()) else { return Some(Refusal::LeaseLost) };
        match row.verdict.as_str() {
            "transactional" => None,
            "lifecycle" => {
                let profile = row.profile_id.clone();
                self.capped(mark, profile)
            }
            "paused" => Some(Refusal::CampaignPaused),
            "canceled" => Some(Refusal::CampaignCanceled),
            "expired" => Some(Refusal::Expired),
            "gone" => Some(Refusal::ProfileGone),
            "no_consent" => Some(Refusal::NoConsent),
            "not_confirmed" => Some(Refusal::NotConfirmed),
            "suppressed" => Some(self.suppressed(mark)),
            _ => Some(Refusal::LeaseLost),
        }
    }

    /// Which suppression it is; one for all lifecycle mail only where no other says more.
    fn suppressed(&self, mark: &Mark) -> Refusal {
        let stops = |topic: &str| topic == EVERY_TOPIC || topic == mark.topic;
        let all = self.suppressions.get(&mark.to.key()).map_or(&[][..], Vec::as_slice);
        let (topic, reason) = all
            .iter()
            .find(|(topic, _)| stops(topic))
            .or_else(|| all.iter().find(|(topic, _)| topic == LIFECYCLE_TOPIC || topic == PAUSE_TOPIC))
            .cloned()
            .unwrap_or_default();
        Refusal::Suppressed { topic, reason }
    }

    fn capped(&mut self, mark: &Mark, profile: String) -> Option<Refusal> {
        let recent = self.recent.entry(profile).or_default();
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
