//! Two histories from which the contract reads the types of all facts: one with everything, one with nothing
//! that may be absent.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::decision::VariantId;
use crate::event;
use crate::history::CartLine;
use crate::history::CustomerValue;
use crate::history::EventCounts;
use crate::history::History;
use crate::history::Mail;
use crate::history::MailHistory;
use crate::history::Purchased;
use crate::send::SendId;

/// A history in which every fact is there and every list has an item. Written without `..`: a new fact must be
/// given a value here, or this does not compile.
pub(super) fn full<'a>(event_names: impl Iterator<Item = &'a str>) -> History {
    let counts = EventCounts {
        count: 1,
        count_1d: 1,
        count_7d: 1,
        count_30d: 1,
        count_90d: 1,
        count_365d: 1,
        recent: 1.0,
        days_since: Some(1),
    };
    let text = || vec!["sample".to_owned()];
    History {
        events: event_names.map(|name| (event::slug(name), counts.clone())).collect(),
        repeat_views: counts.clone(),
        first_seen_at: Some(1),
        last_seen_at: Some(1),
        tenure_days: 1,
        days_since_seen: Some(1),
        orders_total: 1,
        orders_365d: 1,
        spend_total: 1,
        spend_365d: 1,
        average_order_value: 1,
        days_since_first_order: Some(1),
        days_since_order: Some(1),
        order_interval_days: Some(1),
        favourite_categories: text(),
        favourite_products: text(),
        viewed_products: text(),
        viewed_products_7d: 1,
        viewed_products_30d: 1,
        purchased: vec![Purchased { product_id: "sample".to_owned(), quantity: 1, orders: 1, days_since: 1 }],
        cart: vec![CartLine { product_id: "sample".to_owned(), quantity: 1, price: 1 }],
        cart_value: 1,
        cart_age_hours: Some(1),
        wish_list: text(),
        mails: MailHistory {
            sent: 1,
            sent_7d: 1,
            sent_30d: 1,
            opened: 1,
            clicked: 1,
            days_since_sent: Some(1),
            days_since_clicked: Some(1),
            click_rate_last_5: 0.5,
            last: mail(Some(Timestamp::UNIX_EPOCH)),
        },
        order_days: vec![(1, 1)],
        value: Some(CustomerValue { p_alive: 0.5, expected_orders_365d: 0.5, clv_365d: 1 }),
    }
}

/// The same events, and one mail, with nothing that may be absent.
pub(super) fn minimal<'a>(event_names: impl Iterator<Item = &'a str>) -> History {
    let events: BTreeMap<String, EventCounts> =
        event_names.map(|name| (event::slug(name), EventCounts::default())).collect();
    History {
        events,
        mails: MailHistory { last: mail(None), ..MailHistory::default() },
        ..History::default()
    }
}

fn mail(answered_at: Option<Timestamp>) -> Vec<Mail> {
    let send = SendId::parse("00000000000000000000000000000000").into_iter();
    send.map(|send| Mail {
        send,
        campaign: CampaignId("sample".to_owned()),
        kind: Kind::Lifecycle,
        variant: VariantId::new("sample"),
        products: vec!["sample".to_owned()],
        at: Timestamp::UNIX_EPOCH,
        opened_at: answered_at,
        clicked_at: answered_at,
    })
    .collect()
}
