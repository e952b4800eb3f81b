//! The tables of the shop's figures: over time, and by campaign.

use std::collections::BTreeMap;

use super::Counts;
use crate::report::document::Cell;
use crate::report::document::Column;
use crate::report::document::Readers;
use crate::report::document::Section;
use crate::report::document::Table;
use crate::report::document::Unit;
use crate::report::estimate::real;
use crate::report::estimate::share;
use crate::report::plot::Chart;
use crate::report::plot::Dots;
use crate::report::plot::Plot;
use crate::report::plot::Shape;
use crate::report::scope::Grain;
use crate::report::scope::Sources;

impl Counts {
    pub(super) fn over_time(&self, sources: &Sources<'_>) -> Section {
        let grain = self.extent.map_or(Grain::Month, |(first, last)| Grain::of(first, last));
        let none = BTreeMap::new();
        let steps = super::GRAINS
            .iter()
            .zip(&self.steps)
            .find(|(known, _)| **known == grain)
            .map_or(&none, |(_, steps)| steps);
        let mut table = Table::new(&[
            Column::new("period", grain.as_str(), Unit::Text),
            Column::new("orders", "orders", Unit::Count),
            Column::new("buyers", "buyers", Unit::Count),
            Column::new("first_time_buyers", "of them for the first time", Unit::Count),
            Column::new("revenue", "revenue", Unit::Money),
            Column::new("average_order_value", "average order", Unit::Money),
        ]);
        let mut revenue = Chart::default();
        let (mut values, mut first, mut returning) = (Vec::new(), Vec::new(), Vec::new());
        let (mut start, last) = match (steps.keys().next(), steps.keys().next_back()) {
            (Some(start), Some(last)) => (*start, *last),
            _ => (jiff::civil::Date::MAX, jiff::civil::Date::MIN),
        };
        let nothing = super::Step::default();
        while start <= last {
            let step = steps.get(&start).unwrap_or(&nothing);
            let worth = sources.major(step.net_minor);
            let average = (step.orders > 0).then(|| worth / real(step.orders));
            table.row([
                Cell::text(grain.label(start)),
                Cell::count(step.orders),
                Cell::count(step.buyers),
                Cell::count(step.first_time),
                Cell::exact(Some(worth)),
                Cell::exact(average),
            ]);
            revenue.labels.push(grain.label(start));
            values.push(Some(worth));
            first.push(Some(real(step.first_time)));
            returning.push(Some(real(step.buyers - step.first_time)));
            start = grain.next(start);
        }
        let buyers = Chart {
            labels: revenue.labels.clone(),
            series: vec![("for the first time".to_owned(), first), ("again".to_owned(), returning)],
        };
        revenue.series = vec![("revenue".to_owned(), values)];
        let money = format!("Revenue in {}, after refunds", sources.currency());
        Section {
            name: "sales",
            title: "Sales over time".to_owned(),
            lead: "By the time of the order; refunds are taken off where their order stands.".to_owned(),
            plots: vec![
                Plot { title: money, unit: Unit::Money, shape: Shape::Columns(revenue) },
                Plot {
                    title: "People who bought".to_owned(),
                    unit: Unit::Count,
                    shape: Shape::Stack(buyers),
                },
            ],
            table,
            readers: Readers::Everybody,
            missing: "There is no order in this period: import orders with `bespoke import events`, or send them to `/v1/track`.",
        }
    }

    pub(super) fn by_campaign(&self, sources: &Sources<'_>) -> Section {
        let mut table = Table::new(&[
            Column::new("campaign", "campaign", Unit::Text),
            Column::new("mails", "mails", Unit::Count),
            Column::new("people", "people", Unit::Count),
            Column::estimated("opened", "opened", Unit::Share),
            Column::estimated("clicked", "clicked", Unit::Share),
            Column::estimated("bought", "led to an order", Unit::Share),
            Column::new("orders", "orders", Unit::Count),
            Column::new("revenue", "revenue", Unit::Money),
            Column::estimated("revenue_per_mail", "revenue a mail", Unit::Money),
            Column::estimated("unsubscribed", "unsubscribed", Unit::Share),
            Column::estimated("complained", "complained", Unit::Share),
        ]);
        let mut dots = Dots::default();
        for (name, campaign) in &self.campaigns {
            let revenue = campaign.revenue.cell();
            if let Cell::Value(value, interval) = &revenue {
                dots.rows.push((name.clone(), *value, *interval));
            }
            table.row([
                Cell::text(name),
                Cell::count(campaign.sent),
                Cell::count(campaign.people),
                share(campaign.opened, campaign.sent),
                share(campaign.clicked, campaign.sent),
                share(campaign.buying, campaign.sent),
                Cell::count(campaign.orders),
                Cell::exact(Some(sources.major(campaign.net_minor))),
                revenue,
                share(campaign.unsubscribed, campaign.sent),
                share(campaign.complained, campaign.sent),
            ]);
        }
        let title = format!("Revenue a mail in {}, with 95 % intervals", sources.currency());
        Section {
            name: "campaigns",
            title: "Mail by campaign".to_owned(),
            lead: "Of the mails sent within the period. Opened and clicked by people, not by scanners."
                .to_owned(),
            plots: if dots.rows.is_empty() {
                Vec::new()
            } else {
                vec![Plot { title, unit: Unit::Money, shape: Shape::Dots(dots) }]
            },
            table,
            readers: Readers::Everybody,
            missing: "No order of this period is owed to a mail.",
        }
    }
}
