//! Orders and mails, person by person, and which mail an order is owed to.

use jiff::Timestamp;

use crate::campaign::Kind;
use crate::history::PlacedOrder;
use crate::history::placed_orders;
use crate::profile::ProfileId;
use crate::report::ReportError;
use crate::report::scope::Sources;
use crate::store::ReportMail;

/// People that are read at a time; memory is bounded by it.
const PAGE_ROWS: usize = 100;

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
    /// For each order the mail that it is owed to: the one last clicked by a person within the days before it, else
    /// the lifecycle mail last delivered within them, else none. A receipt that nobody clicked in sold nothing.
    pub(super) fn credits(&self, within_ms: i64) -> Vec<Option<usize>> {
        let credit = |order: &PlacedOrder| {
            let before =
                |at: Timestamp| (0..=within_ms).contains(&(order.at.as_millisecond() - at.as_millisecond()));
            let mails = || self.mails.iter().enumerate();
            let clicks = mails().filter_map(|(index, mail)| Some((mail.clicked_at?, index)));
            let clicked = clicks.filter(|(at, _)| before(*at)).max();
            let sold = mails().filter(|(_, mail)| mail.kind == Kind::Lifecycle && before(mail.at));
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
        }
    }

    #[test]
    fn an_order_is_owed_to_the_last_click_else_to_the_last_mail_within_the_days() {
        let receipt = ReportMail { kind: Kind::Transactional, ..mail("08", None) };
        let mails = vec![mail("01", Some("02")), mail("05", None), receipt, mail("20", Some("25"))];
        let order = |day| PlacedOrder { at: at(day), minor: 100, refunded_minor: 0 };
        let orders = ["01", "04", "09", "12", "13", "20", "26"].map(order).to_vec();
        let person =
            Person { id: ProfileId::parse("ana").unwrap(), orders, loose_refunds: Vec::new(), mails };
        let credits = person.credits(7 * 24 * 3_600_000);
        assert_eq!(credits, [Some(0), Some(0), Some(0), Some(1), None, Some(3), Some(3)]);
    }
}
