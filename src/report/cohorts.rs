//! Retention: of the people who first bought in a month, how many bought in each later month.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::civil::Date;

use super::ReportError;
use super::document::Cell;
use super::document::Column;
use super::document::Figure;
use super::document::Readers;
use super::document::Report;
use super::document::Section;
use super::document::Table;
use super::document::Unit;
use super::estimate::real;
use super::estimate::share;
use super::people::Person;
use super::people::each_person;
use super::plot::Chart;
use super::plot::Heat;
use super::plot::Plot;
use super::plot::Shape;
use super::scope::Scope;
use super::scope::Sources;

/// Months after the first that are told, at most.
const MONTHS_MAX: usize = 36;

/// Months since January of year 0.
type Month = i32;

/// Who bought when, by the month of the first purchase.
#[derive(Debug, Default)]
struct Cohorts {
    /// For each first month the number of people who bought so many months later; the first is everybody.
    active: BTreeMap<Month, Vec<u64>>,
    /// The month in which the report ends: the last that can be told of.
    last: Month,
}

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let mut cohorts = Cohorts { last: last_month(sources.scope), ..Cohorts::default() };
    each_person(sources, |person| cohorts.add(&person, sources.scope)).await?;
    Ok(cohorts.tell(sources))
}

fn month(date: Date) -> Month {
    Month::from(date.year()) * 12 + Month::from(date.month()) - 1
}

fn last_month(scope: &Scope) -> Month {
    month(scope.date(crate::clock::from_millisecond(scope.until.as_millisecond() - 1)))
}

fn name(month: Month) -> String {
    format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
}

impl Cohorts {
    /// A person belongs to the month of their first order of all; only cohorts within the period are told.
    fn add(&mut self, person: &Person, scope: &Scope) {
        let Some(first) = person.orders.first().filter(|order| scope.holds(order.at)) else { return };
        let first = month(scope.date(first.at));
        let orders = person.orders.iter().filter(|order| order.at < scope.until);
        let months: BTreeSet<Month> = orders.map(|order| month(scope.date(order.at)) - first).collect();
        let active = self.active.entry(first).or_default();
        for later in months
            .into_iter()
            .filter_map(|later| usize::try_from(later).ok())
            .filter(|later| *later <= MONTHS_MAX)
        {
            if active.len() <= later {
                active.resize(later + 1, 0);
            }
            active[later] += 1;
        }
    }

    /// People of a cohort who bought so many months later; `None` where that lies beyond the period.
    fn bought(&self, first: Month, later: usize) -> Option<u64> {
        let active = self.active.get(&first)?;
        let told = usize::try_from(self.last - first).is_ok_and(|last| later <= last.min(MONTHS_MAX));
        told.then(|| active.get(later).copied().unwrap_or(0))
    }

    fn months(&self) -> usize {
        let first = self.active.keys().next().copied().unwrap_or(self.last);
        usize::try_from(self.last - first).unwrap_or(0).min(MONTHS_MAX)
    }

    /// All cohorts that are old enough, together: how many bought so many months later, of how many.
    fn pooled(&self, later: usize) -> (u64, u64) {
        let cohorts = self
            .active
            .iter()
            .filter_map(|(first, active)| Some((self.bought(*first, later)?, *active.first()?)));
        cohorts.fold((0, 0), |(bought, of), (more, people)| (bought + more, of + people))
    }

    fn tell(&self, sources: &Sources<'_>) -> Report {
        let mut report = sources.report("cohorts", "Retention by month of the first purchase");
        let people: u64 = self.active.values().filter_map(|active| active.first()).sum();
        let figure = |key, title, later: usize| {
            let (bought, of) = self.pooled(later);
            Figure {
                key,
                title,
                unit: Unit::Share,
                value: share(bought, of),
                from: format!("{bought} of {of} people"),
            }
        };
        report.headline = vec![
            Figure {
                key: "people",
                title: "first-time buyers",
                unit: Unit::Count,
                value: Cell::count(people),
                from: format!("in {} cohorts", self.active.len()),
            },
            figure("bought_after_1_month", "buy 1 month later", 1),
            figure("bought_after_3_months", "buy 3 months later", 3),
            figure("bought_after_6_months", "buy 6 months later", 6),
            figure("bought_after_12_months", "buy 12 months later", 12),
        ];
        report.headline.retain(|figure| figure.value != Cell::None);
        report.sections = vec![self.curve(), self.grid()];
        report.notes = vec![
            format!(
                "a month later means the next calendar month; the last month, {}, may not be over",
                name(self.last)
            ),
            "people whose first order is older than the data look new in its first months".to_owned(),
        ];
        report
    }

    fn curve(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("months_later", "months later", Unit::Count),
            Column::new("bought", "people who bought", Unit::Count),
            Column::new("people", "of people", Unit::Count),
            Column::estimated("retention", "retention", Unit::Share),
        ]);
        let mut chart = Chart::default();
        let mut values = Vec::new();
        for later in 1..=self.months() {
            let (bought, of) = self.pooled(later);
            table.row([Cell::count(later), Cell::count(bought), Cell::count(of), share(bought, of)]);
            chart.labels.push(format!("+{later}"));
            values.push((of > 0).then(|| real(bought) / real(of)));
        }
        chart.series = vec![("all cohorts".to_owned(), values)];
        Section {
            name: "curve",
            title: "All cohorts together".to_owned(),
            lead: "The share of buyers who bought again so many months after their first month. Cohorts too young for a month are not counted in it.".to_owned(),
            plots: vec![Plot { title: "Bought again, by months since the first".to_owned(), unit: Unit::Share, shape: Shape::Lines(chart) }],
            table,
            readers: Readers::Everybody,
            missing: "No cohort has a later month yet: this takes two months with orders.",
        }
    }

    fn grid(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("cohort", "cohort", Unit::Text),
            Column::new("months_later", "months later", Unit::Count),
            Column::new("bought", "people who bought", Unit::Count),
            Column::new("people", "of people", Unit::Count),
            Column::estimated("retention", "retention", Unit::Share),
        ]);
        let mut heat = Heat { corner: "cohort".to_owned(), ..Heat::default() };
        heat.columns = (1..=self.months()).map(|later| format!("+{later}")).collect();
        for (first, active) in &self.active {
            let people = active.first().copied().unwrap_or(0);
            let mut shares = Vec::new();
            for later in 0..=self.months() {
                let Some(bought) = self.bought(*first, later) else { continue };
                table.row([
                    Cell::text(name(*first)),
                    Cell::count(later),
                    Cell::count(bought),
                    Cell::count(people),
                    share(bought, people),
                ]);
                if later > 0 {
                    shares.push(Some(real(bought) / real(people)));
                }
            }
            heat.rows.push((name(*first), people, shares));
        }
        Section {
            name: "cohorts",
            title: "Month by month".to_owned(),
            lead: "Each row is the people who first bought in that month; percent of them who bought so many months later.".to_owned(),
            plots: vec![Plot { title: "Percent of each cohort who bought again".to_owned(), unit: Unit::Share, shape: Shape::Heat(heat) }],
            table,
            readers: Readers::Programs,
            missing: "Nobody has bought yet: import orders with `bespoke import events`, or send them to `/v1/track`.",
        }
    }
}
