//! What we sent to a person, and what came of it.

use jiff::Timestamp;

use super::Mail;
use super::MailHistory;
use super::fold::Moment;

/// How many of the newest mails rules and templates see.
const LAST_MAX: usize = 10;
/// Share of mails that are clicked where nothing is known of a person.
const BASE_CLICK_RATE: f64 = 0.03;
/// How many mails' worth the base rate weighs.
const BASE_CLICK_WEIGHT: f64 = 2.0;

/// Folds the mails up to this moment; what is dated later has not happened yet.
pub(super) fn fold(mails: &[Mail], moment: &Moment) -> MailHistory {
    let mut past: Vec<&Mail> = mails.iter().filter(|mail| moment.is_past(mail.at)).collect();
    past.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.send.cmp(&a.send)));
    past.truncate(super::MAILS_PER_PROFILE_MAX);
    let happened = |at: Option<Timestamp>| at.filter(|at| moment.is_past(*at));
    let within = |days: i64| past.iter().filter(|mail| moment.days_since(mail.at) < days).count();
    let last_five: Vec<bool> = past.iter().take(5).map(|mail| happened(mail.clicked_at).is_some()).collect();
    let clicks = last_five.iter().filter(|clicked| **clicked).count();
    MailHistory {
        sent: super::count(past.len()),
        sent_7d: super::count(within(7)),
        sent_30d: super::count(within(30)),
        opened: super::count(past.iter().filter(|mail| happened(mail.opened_at).is_some()).count()),
        clicked: super::count(past.iter().filter(|mail| happened(mail.clicked_at).is_some()).count()),
        days_since_sent: past.first().map(|mail| moment.days_since(mail.at)),
        days_since_clicked: past
            .iter()
            .filter_map(|mail| happened(mail.clicked_at))
            .max()
            .map(|at| moment.days_since(at)),
        click_rate_last_5: (f64::from(super::count(clicks)) + BASE_CLICK_WEIGHT * BASE_CLICK_RATE)
            / (f64::from(super::count(last_five.len())) + BASE_CLICK_WEIGHT),
        last: past.into_iter().take(LAST_MAX).cloned().collect(),
    }
}
