//! Orders and mails, person by person, and which mail an order is owed to.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::campaign::Reward;
use crate::catalog::Catalog;
use crate::catalog::CatalogSettings;
use crate::history::PlacedOrder;
use crate::history::placed_orders;
use crate::profile::ProfileId;
use crate::report::ReportError;
use crate::report::scope::DAY_MS;
use crate::report::scope::Sources;
use crate::store::ReportMail;

/// People that are read at a time; memory is bounded by it.
const PAGE_ROWS: usize = 100;

/// How long after mails went out orders may be owed to them: `reward.purchase_days` of each campaign; the usual days of
/// one that is not there any more.
#[derive(Debug)]
pub(super) struct Windows(HashMap<String, i64>);

impl Windows {
    /// As the campaigns state them now. Without templates all have the usual days.
    pub(super) fn of(sources: &Sources<'_>) -> Self {
        let settings = CatalogSettings::of_config(sources.config);
        let campaigns = Catalog::campaigns_of(&sources.config.templates.folder, &settings);
        let window = |campaign: Campaign| (campaign.id.to_string(), window_ms(campaign.reward.purchase_days));
        Self(campaigns.into_iter().flatten().map(window).collect())
    }

    fn after_ms(&self, campaign: &str) -> i64 {
        self.0.get(campaign).copied().unwrap_or_else(|| window_ms(Reward::default().purchase_days))
    }

    /// The rule of [`Person::credits`], for people.
    pub(super) fn rule(&self) -> String {
        let days = Reward::default().purchase_days;
        let whose = if self.0.is_empty() {
            format!("mails of the last {days} days, since there are no templates that say otherwise")
        } else {
            format!(
                "mails whose campaign's own days are not over (`reward.purchase_days` from when the mail went out, {days} where none are stated)"
            )
        };
        format!(
            "an order is owed to the mail that its buyer last clicked before it, else to the last lifecycle mail delivered, among {whose}"
        )
    }
}

fn window_ms(days: u32) -> i64 {
    i64::from(days) * DAY_MS
}

/// One person's orders and mails of all times, oldest first.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) id: ProfileId,
    pub(super) orders: Vec<PlacedOrder>,
    /// Refunds that name no order: when, and how much in minor units.
    pub(super) loose_refunds: Vec<(Timestamp, i64)>,
    pub(super) mails: Vec<ReportMail>,
}

/// Reads everybody, and shows them one by one.
pub(super) async fn each_person(
    sources: &Sources<'_>,
    mut look: impl FnMut(Person),
) -> Result<(), ReportError> {
    let of = sources.store.count_profiles().await?;
    let (mut after, mut done) = (None, 0);
    loop {
        let page = sources.store.people_after(after.as_ref(), PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.profile.clone());
        for record in page {
            let (orders, loose_refunds) = placed_orders(&record.order_events, sources.minor_digits());
            look(Person { id: record.profile, orders, loose_refunds, mails: record.mails });
            done += 1;
        }
        (sources.progress)(done, of);
    }
}

impl Person {
    /// For each order the mail that it is owed to: of the mails whose campaign's days are not over, the one last
    /// clicked by a person before it, else the lifecycle mail last delivered, else none. A receipt that nobody clicked in
    /// sold nothing. Clicks on pages are no part of it: reports tell what mails brought, while a policy learns from both.
    pub(super) fn credits(&self, windows: &Windows) -> Vec<Option<usize>> {
        let credit = |order: &PlacedOrder| {
            let mails = || {
                self.mails.iter().enumerate().filter(|(_, mail)| {
                    let after_ms = order.at.as_millisecond() - mail.at.as_millisecond();
                    (0..=windows.after_ms(&mail.campaign)).contains(&after_ms)
                })
            };
            let clicks = mails().flat_map(|(index, mail)| {
                mail.clicked_at.iter().chain(&mail.clicked_again).map(move |at| (*at, index))
            });
            let clicked = clicks.filter(|(at, _)| *at <= order.at).max();
            let sold = mails().filter(|(_, mail)| mail.kind == Kind::Lifecycle);
            clicked.or_else(|| sold.map(|(index, mail)| (mail.at, index)).max()).map(|(_, index)| index)
        };
        self.orders.iter().map(credit).collect()
    }
}

/// What an order brought, less what was given back.
pub(super) fn net(order: &PlacedOrder) -> i64 {
    order.minor.saturating_sub(order.refunded_minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str) -> Timestamp {
        format!("2026-03-{day}T12:00:00Z").parse().unwrap()
    }

    fn mail(day: &str, clicked: Option<&str>) -> ReportMail {
        ReportMail {
            campaign: "picks".to_owned(),
            kind: Kind::Lifecycle,
            variant: String::new(),
            stage: None,
            at: at(day),
            opened_at: None,
            clicked_at: clicked.map(at),
            clicked_again: Vec::new(),
        }
    }

    fn credits(mails: Vec<ReportMail>, days: &[&str]) -> Vec<Option<usize>> {
        let order = |day: &&str| PlacedOrder { at: at(day), minor: 100, refunded_minor: 0 };
        let orders = days.iter().map(order).collect();
        let person =
            Person { id: ProfileId::parse("ana").unwrap(), orders, loose_refunds: Vec::new(), mails };
        person.credits(&Windows(HashMap::from([("quick".to_owned(), 3 * DAY_MS)])))
    }

    #[test]
    fn an_order_is_owed_to_the_last_click_else_to_the_last_mail_within_the_days() {
        let receipt = ReportMail { kind: Kind::Transactional, ..mail("08", None) };
        let mails = vec![mail("01", Some("02")), mail("05", None), receipt, mail("20", Some("25"))];
        let found = credits(mails, &["01", "04", "09", "12", "13", "20", "26"]);
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(1), None, Some(3), Some(3)]);
    }

    #[test]
    fn a_later_click_in_the_same_mail_counts_as_much_as_the_first() {
        let again = ReportMail { clicked_again: vec![at("08"), at("06")], ..mail("01", Some("02")) };
        let found = credits(vec![again, mail("03", Some("04"))], &["02", "04", "05", "06", "07", "08", "09"]);
        assert_eq!(found, [Some(0), Some(1), Some(1), Some(0), Some(0), Some(0), Some(1)]);
    }

    #[test]
    fn each_campaign_has_its_own_days_from_when_its_mail_went_out() {
        let quick = |clicked| ReportMail { campaign: "quick".to_owned(), ..mail("03", clicked) };
        let found = credits(vec![mail("01", None), quick(None)], &["02", "04", "06", "07", "08", "09"]);
        assert_eq!(found, [Some(0), Some(1), Some(1), Some(0), Some(0), None]);
        // A late click does not make the days longer.
        let found = credits(vec![mail("01", None), quick(Some("06"))], &["05", "06", "07"]);
        assert_eq!(found, [Some(1), Some(1), Some(0)]);
    }
}
