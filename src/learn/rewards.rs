//! What each mail earned: a click by a person, the first purchase after it, a departure.

use std::collections::HashMap;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::fit::DecidedSend;
use crate::campaign::CampaignId;
use crate::campaign::Reward;
use crate::profile::ProfileId;
use crate::select::features;
use crate::select::features::ArmTraits;
use crate::select::features::FEATURES_VERSION;
use crate::select::learnt::Calibration;
use crate::select::model::Heads;
use crate::send::SendId;
use crate::store::RewardedSend;

/// A mail with its campaign, the variant as it was, and what counts as its reward.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The mail.
    pub send: &'a RewardedSend,
    /// Its campaign.
    pub campaign: &'a CampaignId,
    /// What the campaign counts.
    pub reward: &'a Reward,
    /// The variant, as it was then.
    pub arm: &'a ArmTraits,
}

/// Mails as the heads learn from them. An order belongs to the mail of the same person that was clicked last before it,
/// within that campaign's days; each mail keeps its first order.
pub fn decided(
    readings: &[Reading<'_>],
    orders: impl Fn(&ProfileId) -> Vec<Timestamp>,
    departures: &HashMap<SendId, Timestamp>,
) -> Vec<DecidedSend> {
    let clicked_at: Vec<Option<Timestamp>> = readings.iter().map(clicked_in_time).collect();
    let mut purchased_at: Vec<Option<Timestamp>> = vec![None; readings.len()];
    let mut clicked_by: HashMap<&ProfileId, Vec<usize>> = HashMap::new();
    for (index, reading) in readings.iter().enumerate().filter(|(index, _)| clicked_at[*index].is_some()) {
        clicked_by.entry(&reading.send.profile).or_default().push(index);
    }
    for (profile, mails) in clicked_by {
        for order in &orders(profile) {
            let may = |index: &&usize| {
                let reading = &readings[**index];
                let days = SignedDuration::from_hours(24 * i64::from(reading.reward.purchase_days));
                clicked_at[**index].is_some_and(|at| at <= *order)
                    && order.duration_since(reading.send.decided_at) <= days
            };
            let last = mails.iter().filter(may).max_by_key(|index| (clicked_at[**index], **index));
            if let Some(index) = last {
                let known = &mut purchased_at[*index];
                *known = Some(known.map_or(*order, |known| known.min(*order)));
            }
        }
    }
    let all = readings.iter().zip(clicked_at).zip(purchased_at);
    all.map(|((reading, clicked_at), purchased_at)| DecidedSend {
        send_id: reading.send.send.as_str().to_owned(),
        decided_at: reading.send.decided_at,
        features: features::named(
            reading.campaign,
            reading.arm,
            reading.send.stage,
            &reading.send.scoring.customer,
            reading.send.scoring.recency,
        ),
        clicked_at,
        purchased_at,
        unsubscribed_at: departures.get(&reading.send.send).copied(),
    })
    .collect()
}

/// Whether the features of a mail mean today what they meant then.
pub fn usable(send: &RewardedSend) -> bool {
    send.scoring.features_version == FEATURES_VERSION
}

fn clicked_in_time(reading: &Reading<'_>) -> Option<Timestamp> {
    let hours = SignedDuration::from_hours(i64::from(reading.reward.click_hours));
    reading.send.clicked_at.filter(|at| at.duration_since(reading.send.decided_at) <= hours)
}

/// How many of the clicks that a model predicted over the last seven days came: clicks of which only a part can have
/// come yet count by that part.
pub fn calibration(readings: &[Reading<'_>], heads: &Heads, now: Timestamp) -> Option<Calibration> {
    let week = SignedDuration::from_hours(7 * 24);
    let mut found = Calibration { sends: 0, clicks: 0, expected: 0.0 };
    for reading in readings {
        let age = now.duration_since(reading.send.decided_at);
        let Some(draw) = reading.send.scoring.draw.as_ref().filter(|_| age <= week) else { continue };
        found.sends += 1;
        found.clicks += u64::from(clicked_in_time(reading).is_some_and(|at| at <= now));
        found.expected += draw.click_probability * heads.click.arrived(age);
    }
    (found.sends > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decision::Scoring;
    use crate::decision::VariantId;
    use crate::stage::Stage;

    fn at(hours: i64) -> Timestamp {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    fn send(campaign: &CampaignId, hours: i64, clicked_at: Option<i64>) -> RewardedSend {
        let profile = ProfileId::parse("ana").unwrap();
        RewardedSend {
            send: SendId::derive(at(hours), campaign, &profile, "1"),
            profile,
            decided_at: at(hours),
            stage: Stage::Compare,
            variant: VariantId("news/any/a".to_owned()),
            catalog_version: "c".to_owned(),
            scoring: Scoring { features_version: 1, customer: vec![0.0; 9], recency: [0.0; 2], draw: None },
            clicked_at: clicked_at.map(at),
        }
    }

    #[test]
    fn an_order_belongs_to_the_mail_that_was_clicked_last_before_it() {
        let campaign = CampaignId("news".to_owned());
        let arm = ArmTraits {
            id: VariantId("news/any/a".to_owned()),
            stage: None,
            options: BTreeMap::new(),
            offer: None,
            tone: None,
            category: None,
            discount_percent: None,
        };
        let reward = Reward::default();
        // Clicked, clicked later, not clicked, clicked too late, and one whose seven days are over.
        let sends = [(100, Some(101)), (110, Some(150)), (120, None), (121, Some(194)), (0, Some(1))]
            .map(|(decided, clicked)| send(&campaign, decided, clicked));
        let readings: Vec<Reading<'_>> = sends
            .iter()
            .map(|send| Reading { send, campaign: &campaign, reward: &reward, arm: &arm })
            .collect();
        let ana = sends[0].profile.clone();
        let orders =
            |who: &ProfileId| if *who == ana { vec![at(99), at(200), at(120), at(250)] } else { vec![] };
        let departures = HashMap::from([(sends[2].send.clone(), at(130))]);
        let found = decided(&readings, orders, &departures);
        let purchased: Vec<_> = found.iter().map(|send| send.purchased_at).collect();
        assert_eq!(purchased, [Some(at(120)), Some(at(200)), None, None, Some(at(99))]);
        let clicked: Vec<_> = found.iter().map(|send| send.clicked_at).collect();
        assert_eq!(clicked, [Some(at(101)), Some(at(150)), None, None, Some(at(1))]);
        assert_eq!(found[2].unsubscribed_at, Some(at(130)));
    }
}
