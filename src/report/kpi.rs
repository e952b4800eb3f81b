//! The shop's figures: revenue, orders, average order value, repeat rate, conversion; and what mails had to do with it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::ReportError;
use super::document::Cell;
use super::document::Figure;
use super::document::Report;
use super::document::Unit;
use super::estimate::Ratio;
use super::estimate::real;
use super::estimate::share;
use super::people::Person;
use super::people::Windows;
use super::people::each_person;
use super::people::net;
use super::scope::Grain;
use super::scope::Sources;
use crate::store::Consequences;

mod sections;

/// The steps in which time can be told.
const GRAINS: [Grain; 3] = [Grain::Day, Grain::Week, Grain::Month];

/// One month, or week, or day.
#[derive(Debug, Default)]
struct Step {
    orders: u64,
    buyers: u64,
    first_time: u64,
    net_minor: i64,
}

/// The mails of one campaign.
#[derive(Debug, Default)]
struct Mails {
    sent: u64,
    people: u64,
    opened: u64,
    clicked: u64,
    /// Mails that at least one order is owed to.
    buying: u64,
    orders: u64,
    net_minor: i64,
    revenue: Ratio,
    unsubscribed: u64,
    complained: u64,
}

/// What is counted while people go by.
#[derive(Debug, Default)]
struct Counts {
    orders: u64,
    buyers: u64,
    repeat_buyers: u64,
    first_time: u64,
    gross_minor: i64,
    refunded_minor: i64,
    loose_refunds_minor: i64,
    order_value: Ratio,
    /// The first and the last order.
    extent: Option<(Timestamp, Timestamp)>,
    /// By [`GRAINS`]: which of them suits is known at the end.
    steps: [BTreeMap<Date, Step>; 3],
    campaigns: BTreeMap<String, Mails>,
    owed_orders: u64,
    owed_minor: i64,
}

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let windows = Windows::of(sources);
    let mut counts = Counts::default();
    each_person(sources, |person| {
        counts.add_orders(&person, sources);
        counts.add_mails(&person, &windows, sources);
    })
    .await?;
    let consequences = sources.store.consequences(&sources.scope.window()).await?;
    counts.add_consequences(&consequences);
    let seen = sources.store.count_people_seen(&sources.scope.window()).await?;
    Ok(counts.tell(sources, &windows, seen))
}

impl Counts {
    fn add_orders(&mut self, person: &Person, sources: &Sources<'_>) {
        let scope = sources.scope;
        let refunds = person.loose_refunds.iter().filter(|(at, _)| scope.holds(*at));
        self.loose_refunds_minor += refunds.map(|(_, minor)| *minor).sum::<i64>();
        let first = person.orders.first().map(|order| order.at);
        let (mut orders, mut value_minor) = (0_u64, 0_i64);
        let mut last_step = [None; 3];
        for order in person.orders.iter().filter(|order| scope.holds(order.at)) {
            orders += 1;
            value_minor += net(order);
            self.gross_minor += order.minor;
            self.refunded_minor += order.refunded_minor;
            let extent = self.extent.get_or_insert((order.at, order.at));
            *extent = (extent.0.min(order.at), extent.1.max(order.at));
            let date = scope.date(order.at);
            for ((grain, steps), last) in GRAINS.iter().zip(&mut self.steps).zip(&mut last_step) {
                let start = grain.start(date);
                let is_new = *last != Some(start);
                let step = steps.entry(start).or_default();
                step.orders += 1;
                step.net_minor += net(order);
                step.buyers += u64::from(is_new);
                step.first_time += u64::from(is_new && Some(order.at) == first);
                *last = Some(start);
            }
        }
        if orders > 0 {
            self.orders += orders;
            self.buyers += 1;
            self.repeat_buyers += u64::from(orders > 1);
            self.first_time += u64::from(first.is_some_and(|first| scope.holds(first)));
            self.order_value.add(sources.major(value_minor), real(orders));
        }
    }

    fn add_mails(&mut self, person: &Person, windows: &Windows, sources: &Sources<'_>) {
        let scope = sources.scope;
        let wanted = |campaign: &str| scope.campaign.as_ref().is_none_or(|only| only.as_str() == campaign);
        let mut by_campaign: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
        for mail in person.mails.iter().filter(|mail| scope.holds(mail.at) && wanted(&mail.campaign)) {
            let campaign = self.campaigns.entry(mail.campaign.clone()).or_default();
            campaign.sent += 1;
            campaign.opened += u64::from(mail.opened_at.is_some());
            campaign.clicked += u64::from(mail.clicked_at.is_some());
            by_campaign.entry(&mail.campaign).or_default().1 += 1;
        }
        let mut buying = vec![false; person.mails.len()];
        for (order, credit) in person.orders.iter().zip(person.credits(windows)) {
            let Some(index) = credit.filter(|_| scope.holds(order.at)) else { continue };
            let mail = &person.mails[index];
            if !wanted(&mail.campaign) {
                continue;
            }
            self.owed_orders += 1;
            self.owed_minor += net(order);
            if !scope.holds(mail.at) {
                continue;
            }
            let campaign = self.campaigns.entry(mail.campaign.clone()).or_default();
            campaign.orders += 1;
            campaign.net_minor += net(order);
            campaign.buying += u64::from(!buying[index]);
            buying[index] = true;
            by_campaign.entry(&mail.campaign).or_default().0 += net(order);
        }
        for (campaign, (minor, mails)) in by_campaign {
            let campaign = self.campaigns.entry(campaign.to_owned()).or_default();
            campaign.people += 1;
            campaign.revenue.add(sources.major(minor), real(mails));
        }
    }

    fn add_consequences(&mut self, consequences: &[Consequences]) {
        for found in consequences {
            let Some(campaign) = self.campaigns.get_mut(&found.campaign) else { continue };
            match found.reason.as_str() {
                "unsubscribe" => campaign.unsubscribed += found.count,
                "complaint" => campaign.complained += found.count,
                _ => {}
            }
        }
    }

    fn net_minor(&self) -> i64 {
        self.gross_minor - self.refunded_minor - self.loose_refunds_minor
    }

    fn tell(&self, sources: &Sources<'_>, windows: &Windows, seen: u64) -> Report {
        let mut report = sources.report("kpi", "Sales and mail");
        report.headline = self.headline(sources, seen);
        report.sections = vec![self.over_time(sources), self.by_campaign(sources)];
        report.notes = self.notes(sources, windows);
        report
    }

    fn headline(&self, sources: &Sources<'_>, seen: u64) -> Vec<Figure> {
        let mails: u64 = self.campaigns.values().map(|campaign| campaign.sent).sum();
        let money = |minor| Cell::exact(Some(sources.major(minor)));
        let figure = |key, title, unit, value, from| Figure { key, title, unit, value, from };
        let refunded = sources.major(self.refunded_minor + self.loose_refunds_minor);
        vec![
            figure(
                "revenue",
                "revenue",
                Unit::Money,
                money(self.net_minor()),
                format!("after {refunded:.0} of refunds"),
            ),
            figure(
                "orders",
                "orders",
                Unit::Count,
                Cell::count(self.orders),
                format!("of {} people", self.buyers),
            ),
            figure(
                "average_order_value",
                "average order",
                Unit::Money,
                self.order_value.cell(),
                format!("{} orders", self.orders),
            ),
            figure(
                "repeat_rate",
                "buyers who bought again",
                Unit::Share,
                share(self.repeat_buyers, self.buyers),
                format!("{} of {} people", self.repeat_buyers, self.buyers),
            ),
            figure(
                "conversion",
                "conversion",
                Unit::Share,
                share(self.buyers.min(seen), seen),
                format!("{} of {seen} people seen bought", self.buyers),
            ),
            figure(
                "first_time_buyers",
                "first-time buyers",
                Unit::Count,
                Cell::count(self.first_time),
                format!("of {} people", self.buyers),
            ),
            figure("mails", "mails", Unit::Count, Cell::count(mails), "sent".to_owned()),
            figure(
                "revenue_owed_to_mail",
                "revenue owed to mail",
                Unit::Money,
                money(self.owed_minor),
                format!("{} orders", self.owed_orders),
            ),
        ]
    }

    fn notes(&self, sources: &Sources<'_>, windows: &Windows) -> Vec<String> {
        let mut notes = vec![
            format!(
                "{}; that is bookkeeping, not proof: what mail really changed is in `bespoke report lift`",
                windows.rule()
            ),
            "average order and revenue per mail have delta-method intervals over people, shares have Wilson intervals, all 95 %".to_owned(),
            "conversion is people who bought of people who did anything at all in the period".to_owned(),
        ];
        if self.loose_refunds_minor > 0 {
            notes.push(format!(
                "{:.2} {} of refunds name no order; they are taken off the revenue only",
                sources.major(self.loose_refunds_minor),
                sources.currency()
            ));
        }
        if sources.scope.campaign.is_some() {
            notes.push(
                "sales are the whole shop's; only what is about mail is of the one campaign".to_owned(),
            );
        }
        notes
    }
}
