//! Which mail an order is credited to: the last human click within the campaign's window, else the last delivered
//! mail within it, else none. Pure; the answer names the rule.

use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Serialize;

use crate::campaign::CampaignId;
use crate::campaign::Reward;
use crate::decision::VariantId;
use crate::send::SendId;

/// A mail that was delivered to one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// Its send.
    pub send: SendId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// What it said.
    pub variant: VariantId,
    /// When it was handed over.
    pub at: Timestamp,
    /// When a person clicked in it, in any order. What machines did does not belong here.
    pub human_clicks: Vec<Timestamp>,
    /// For how long after a click, or else after the delivery, an order counts: the campaign's ([`window`]).
    pub window: SignedDuration,
}

/// An order of the same person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// When it was completed.
    pub at: Timestamp,
    /// What it was worth, in minor units.
    pub revenue_minor: i64,
}

/// Why a mail is credited with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The last click of a person before the order, within the window, was in this mail.
    LastClick,
    /// No mail was clicked within its window; this one was the last delivered before the order, within the window.
    LastDelivered,
}

impl Rule {
    /// The word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LastClick => "last_click",
            Self::LastDelivered => "last_delivered",
        }
    }
}

/// An order, and the mail that is credited with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributed<'a> {
    /// The order.
    pub order: &'a Order,
    /// The mail, the rule, and the time of the click or of the delivery; `None`: no mail had a part in it.
    pub credit: Option<(&'a Delivered, Rule, Timestamp)>,
}

/// The window in which an order counts for a campaign: its reward's, in days.
pub fn window(reward: &Reward) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(reward.purchase_days))
}

/// Credits each order of one person to at most one of their mails. An order at the very moment of a click or a
/// delivery counts; one at the end of the window does not. Of two mails at the same time the one planned later counts.
pub fn attribute<'a>(mails: &'a [Delivered], orders: &'a [Order]) -> Vec<Attributed<'a>> {
    orders.iter().map(|order| Attributed { order, credit: credit(mails, order.at) }).collect()
}

fn credit(mails: &[Delivered], at: Timestamp) -> Option<(&Delivered, Rule, Timestamp)> {
    let counts = |mail: &Delivered, touched: Timestamp| {
        touched <= at && at.duration_since(touched) < mail.window && mail.at <= at
    };
    let last = |touches: &mut dyn Iterator<Item = (&'_ Delivered, Timestamp)>| {
        touches
            .filter(|(mail, touched)| counts(mail, *touched))
            .map(|(mail, touched)| (touched, mail.send.clone()))
            .max()
    };
    let clicks = &mut mails.iter().flat_map(|mail| mail.human_clicks.iter().map(move |at| (mail, *at)));
    let deliveries = &mut mails.iter().map(|mail| (mail, mail.at));
    let (rule, (touched, send)) = match last(clicks) {
        Some(click) => (Rule::LastClick, click),
        None => (Rule::LastDelivered, last(deliveries)?),
    };
    mails.iter().find(|mail| mail.send == send).map(|mail| (mail, rule, touched))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        "2026-03-02T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
    }

    /// A mail delivered and clicked at these hours, with a window in hours.
    fn mail(number: u8, delivered: i64, clicks: &[i64], window: i64) -> Delivered {
        Delivered {
            send: SendId::parse(&format!("{number:032x}")).unwrap(),
            campaign: CampaignId("news".to_owned()),
            variant: VariantId("news/any/hello".to_owned()),
            at: at(delivered),
            human_clicks: clicks.iter().map(|hour| at(*hour)).collect(),
            window: SignedDuration::from_hours(window),
        }
    }

    #[test]
    fn the_last_human_click_within_the_window_wins_else_the_last_delivered_mail() {
        for (case, mails, order, expected) in [
            ("no mail", vec![], 10, None),
            ("delivered", vec![mail(1, 0, &[], 24)], 10, Some((1, Rule::LastDelivered, 0))),
            ("delivered later", vec![mail(1, 11, &[], 24)], 10, None),
            ("at the moment of delivery", vec![mail(1, 10, &[], 24)], 10, Some((1, Rule::LastDelivered, 10))),
            ("window over", vec![mail(1, 0, &[], 10)], 10, None),
            (
                "an older click beats a newer delivery",
                vec![mail(1, 0, &[1], 24), mail(2, 9, &[], 24)],
                10,
                Some((1, Rule::LastClick, 1)),
            ),
            (
                "a click whose window is over does not",
                vec![mail(1, 0, &[1], 9), mail(2, 8, &[], 24)],
                10,
                Some((2, Rule::LastDelivered, 8)),
            ),
            (
                "the last of several clicks",
                vec![mail(1, 0, &[2, 7, 1], 24), mail(2, 3, &[5, 12], 24)],
                10,
                Some((1, Rule::LastClick, 7)),
            ),
            (
                "each campaign has its own window",
                vec![mail(1, 0, &[8], 1), mail(2, 1, &[2], 24)],
                10,
                Some((2, Rule::LastClick, 2)),
            ),
            (
                "a click long after the delivery starts the window anew",
                vec![mail(1, 0, &[40], 24)],
                50,
                Some((1, Rule::LastClick, 40)),
            ),
            (
                "two at the same time",
                vec![mail(2, 5, &[], 24), mail(1, 5, &[], 24)],
                10,
                Some((2, Rule::LastDelivered, 5)),
            ),
        ] {
            let orders = [Order { id: "o".to_owned(), at: at(order), revenue_minor: 1_000 }];
            let found = attribute(&mails, &orders);
            assert_eq!(found.len(), 1);
            let found = found[0].credit.map(|(mail, rule, touched)| (mail.send.clone(), rule, touched));
            let expected = expected.map(|(number, rule, hours)| {
                (SendId::parse(&format!("{number:032x}")).unwrap(), rule, at(hours))
            });
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn every_order_is_credited_once_at_most() {
        let mails = [mail(1, 0, &[1, 2, 3], 24), mail(2, 1, &[2], 24)];
        let orders: Vec<Order> =
            (0..40).map(|hour| Order { id: hour.to_string(), at: at(hour), revenue_minor: 5 }).collect();
        let found = attribute(&mails, &orders);
        assert_eq!(found.len(), orders.len());
        let credited = found.iter().filter(|found| found.credit.is_some()).count();
        assert_eq!(credited, 27, "hours 0 to 26: until a day after the last click");
        assert_eq!(window(&Reward::default()), SignedDuration::from_hours(168));
    }
}
