//! What each mail earned: a click by a person, the first purchase after it, a departure.

use std::collections::HashMap;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::fit::DecidedSend;
use crate::campaign::CampaignId;
use crate::campaign::Reward;
use crate::clock::later_by;
use crate::decision::Channel;
use crate::profile::ProfileId;
use crate::select::features;
use crate::select::features::ArmTraits;
use crate::select::features::FEATURES_VERSION;
use crate::select::learnt::Calibration;
use crate::select::model::delay::DelayCurve;
use crate::select::model::head::Head;
use crate::select::model::heads::Windows;
use crate::send::SendId;
use crate::store::PersonClick;
use crate::store::RewardedSend;

/// Predictions of so many days are compared with what came.
const CALIBRATION: SignedDuration = SignedDuration::from_hours(7 * 24);

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
    /// Where it was shown.
    pub channel: Channel,
}

/// How long the mails of a campaign wait for each answer.
pub fn windows(reward: &Reward) -> Windows {
    let days = |days: u32| SignedDuration::from_hours(24 * i64::from(days));
    Windows {
        click: SignedDuration::from_hours(i64::from(reward.click_hours)),
        purchase: days(reward.purchase_days),
        unsubscribe: days(reward.unsubscribe_days),
    }
}

/// Whose orders are: by mail, the first that is its own. An order belongs to the mail of the same person that was
/// clicked last before it, for the first time or again, within its campaign's days, whatever its campaign; without a
/// click it is nobody's.
pub fn purchases(
    clicks: &[PersonClick],
    windows: impl Fn(&CampaignId) -> Windows,
    orders: impl Fn(&ProfileId) -> Vec<Timestamp>,
) -> HashMap<SendId, Timestamp> {
    /// A mail that may have led to an order, until when.
    struct Claimant<'a> {
        send: &'a SendId,
        clicked_at: Timestamp,
        until: Timestamp,
    }
    let mut by_person: HashMap<&ProfileId, Vec<Claimant<'_>>> = HashMap::new();
    for PersonClick { send, campaign, profile, submitted_at, clicked_at } in clicks {
        let until = later_by(*submitted_at, windows(campaign).purchase);
        let claimant = Claimant { send, clicked_at: *clicked_at, until };
        by_person.entry(profile).or_default().push(claimant);
    }
    let mut purchases: HashMap<SendId, Timestamp> = HashMap::new();
    for (profile, claimants) in by_person {
        for order in orders(profile) {
            let may = |claimant: &&Claimant<'_>| claimant.clicked_at <= order && order <= claimant.until;
            let last = claimants.iter().filter(may);
            if let Some(owner) = last.max_by_key(|one| (one.clicked_at, one.send.as_str())) {
                let first = purchases.entry(owner.send.clone()).or_insert(order);
                *first = order.min(*first);
            }
        }
    }
    purchases
}

/// A mail as the heads learn from it.
pub fn decided(
    reading: &Reading<'_>,
    purchased_at: Option<Timestamp>,
    unsubscribed_at: Option<Timestamp>,
) -> DecidedSend {
    let Reading { send, campaign, reward, arm, channel } = *reading;
    DecidedSend {
        send_id: send.send.as_str().to_owned(),
        channel,
        submitted_at: send.submitted_at,
        windows: windows(reward),
        features: features::named(campaign, arm, send.stage, &send.scoring.customer, send.scoring.recency),
        clicked_at: send.clicked_at,
        purchased_at,
        unsubscribed_at,
    }
}

/// Whether the features of a mail mean today what they meant then.
pub fn usable(send: &RewardedSend) -> bool {
    send.scoring.features_version == FEATURES_VERSION
}

/// Counts how many of the clicks that a model predicted over the last seven days came: clicks of which only a part can
/// have come yet count by that part.
#[derive(Debug)]
pub struct Calibrating {
    /// How late clicks come, as it was known when the mails went out: of mails and of pages.
    delays: [DelayCurve; 2],
    now: Timestamp,
    found: Calibration,
}

impl Calibrating {
    /// Nothing is counted yet.
    pub fn new(click: &Head, now: Timestamp) -> Self {
        let delays = [Channel::Mail, Channel::Page].map(|channel| click.delay(channel).clone());
        Self { delays, now, found: Calibration { sends: 0, clicks: 0, expected: 0.0 } }
    }

    /// Counts a mail, if it is of the last days and a model chose it.
    pub fn take(&mut self, reading: &Reading<'_>) {
        let Reading { send, reward, channel, .. } = *reading;
        let age = self.now.duration_since(send.submitted_at);
        let in_time = !age.is_negative() && age <= CALIBRATION;
        let Some(draw) = send.scoring.draw.as_ref().filter(|_| in_time) else { return };
        let window = windows(reward).click;
        let counts = |at: Timestamp| at <= self.now && at.duration_since(send.submitted_at) <= window;
        self.found.sends += 1;
        self.found.clicks += u64::from(send.clicked_at.is_some_and(counts));
        let [mails, pages] = &self.delays;
        let delay = if channel == Channel::Page { pages } else { mails };
        self.found.expected += draw.click_probability * delay.arrived_of(age, window);
    }

    /// What was counted; `None` where it was nothing.
    pub fn found(self) -> Option<Calibration> {
        (self.found.sends > 0).then_some(self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    /// A mail to ana that went out and was clicked at these hours.
    fn clicked(submitted: i64, clicked: i64) -> PersonClick {
        let profile = ProfileId::parse("ana").unwrap();
        PersonClick {
            send: SendId::derive(at(submitted), &CampaignId("news".to_owned()), &profile, "1"),
            campaign: CampaignId("news".to_owned()),
            profile,
            submitted_at: at(submitted),
            clicked_at: at(clicked),
        }
    }

    fn check(mails: &[(i64, i64)], reward: &Reward, orders: &[i64], expected: &[Option<i64>]) {
        let sends: Vec<PersonClick> =
            mails.iter().map(|(submitted, time)| clicked(*submitted, *time)).collect();
        let ids: Vec<SendId> = sends.iter().map(|send| send.send.clone()).collect();
        let found = purchases(&sends, |_| windows(reward), |_| orders.iter().map(|hour| at(*hour)).collect());
        let found: Vec<_> = ids.iter().map(|id| found.get(id).copied()).collect();
        assert_eq!(
            found,
            expected.iter().map(|hour| hour.map(at)).collect::<Vec<_>>(),
            "{mails:?} {orders:?}"
        );
    }

    #[test]
    fn an_order_belongs_to_the_mail_that_was_clicked_last_before_it() {
        let usual = Reward::default();
        // Clicked, clicked later, clicked later still, and one whose seven days are over.
        let mails = [(100, 101), (110, 150), (121, 194), (0, 1)];
        check(&mails, &usual, &[99, 190, 120, 250], &[Some(120), Some(190), Some(250), Some(99)]);
        check(&[(0, 1)], &usual, &[0], &[None]);
        check(&[(0, 1)], &usual, &[168, 20], &[Some(20)]);
        check(&[(0, 1)], &usual, &[169], &[None]);
    }

    #[test]
    fn who_comes_back_to_a_mail_buys_by_it() {
        let (first, other) = (clicked(100, 101), clicked(102, 110));
        let again = PersonClick { clicked_at: at(120), ..first.clone() };
        let owner = |order: i64| {
            let clicks = [again.clone(), first.clone(), other.clone()];
            let found = purchases(&clicks, |_| windows(&Reward::default()), |_| vec![at(order)]);
            found.into_iter().map(|(send, time)| (send == first.send, time)).collect::<Vec<_>>()
        };
        // Before the second click the order is the other's; the days of a mail do not grow with its clicks.
        for (order, firsts) in [(105, true), (119, false), (120, true), (268, true), (269, false)] {
            assert_eq!(owner(order), [(firsts, at(order))], "{order}");
        }
    }

    #[test]
    fn the_last_click_owns_an_order_whatever_its_campaign() {
        let news = clicked(100, 101);
        let other = PersonClick { campaign: CampaignId("cart".to_owned()), ..clicked(102, 110) };
        // Orders of the cart's mails are its own for a day.
        let (usual, day) = (Reward::default(), Reward { purchase_days: 1, ..Reward::default() });
        let of_campaign =
            |campaign: &CampaignId| windows(if campaign.as_str() == "cart" { &day } else { &usual });
        let owner = |order: i64| {
            let found = purchases(&[news.clone(), other.clone()], of_campaign, |_| vec![at(order)]);
            found.into_keys().map(|send| send == other.send).collect::<Vec<_>>()
        };
        assert_eq!([owner(105), owner(111), owner(127)], [[false], [true], [false]]);
    }

    #[test]
    fn windows_are_the_campaigns_own() {
        let slow = Reward { click_hours: 240, purchase_days: 30, ..Reward::default() };
        check(&[(0, 200)], &slow, &[700], &[Some(700)]);
        check(&[(0, 200)], &slow, &[721], &[None]);
        let quick = Reward { purchase_days: 1, ..Reward::default() };
        check(&[(0, 1), (10, 11)], &quick, &[30], &[None, Some(30)]);
    }
}
