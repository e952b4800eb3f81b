//! Reads the mails that teach, and what web pages showed, page by page, of all campaigns in the order of the decisions.

use std::collections::VecDeque;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::fit::Shown;
use crate::campaign::Campaign;
use crate::store::ClickedSend;
use crate::store::DecisionPlace;
use crate::store::Error;
use crate::store::RewardedSend;
use crate::store::Store;

/// Mails that are held at a time, of all campaigns together.
pub const PAGE_ROWS: usize = 5_000;
/// A campaign's part of a page is not smaller than this.
const PART_ROWS_MIN: usize = 200;
/// A mail goes out at most so long after its deadline; the decision is not older than the due time.
const LAST_ATTEMPT: SignedDuration = SignedDuration::from_hours(24);

/// What some campaigns showed after a time, one after another; memory does not grow with its number.
#[derive(Debug)]
pub struct Mails<'a> {
    store: &'a Store,
    streams: Vec<Stream<'a>>,
    submitted_after: Timestamp,
    part_rows: usize,
}

/// What is left of one campaign, by one channel.
#[derive(Debug)]
struct Stream<'a> {
    campaign: &'a Campaign,
    shown: Shown,
    place: DecisionPlace,
    page: VecDeque<RewardedSend>,
    ended: bool,
}

impl Shown {
    const ALL: [Self; 2] = [Self::ByMail, Self::OnPage];

    /// Where to begin reading decisions so that nothing that was shown after this time is missed.
    fn first_place(self, campaign: &Campaign, submitted_after: Timestamp) -> DecisionPlace {
        let longest = match self {
            Self::ByMail => SignedDuration::from_hours(i64::from(campaign.deadline_hours)) + LAST_ATTEMPT,
            Self::OnPage => SignedDuration::ZERO,
        };
        let decided_after = submitted_after.saturating_sub(longest).unwrap_or(Timestamp::MIN);
        // Behind everything of that millisecond: ids are hexadecimal.
        (decided_after, "~".to_owned())
    }
}

impl<'a> Mails<'a> {
    /// Those of `campaigns` that went out after this time.
    pub fn new(store: &'a Store, campaigns: &[&'a Campaign], submitted_after: Timestamp) -> Self {
        let stream = |campaign: &'a Campaign, shown: Shown| Stream {
            campaign,
            shown,
            place: shown.first_place(campaign, submitted_after),
            page: VecDeque::new(),
            ended: false,
        };
        let streams: Vec<Stream<'a>> =
            campaigns.iter().flat_map(|campaign| Shown::ALL.map(|shown| stream(campaign, shown))).collect();
        let part_rows = (PAGE_ROWS / streams.len().max(1)).max(PART_ROWS_MIN);
        Self { store, streams, submitted_after, part_rows }
    }

    /// The next, by the time of its decision, with its campaign and where it was shown; `None` behind the last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next(&mut self) -> Result<Option<(&'a Campaign, Shown, RewardedSend)>, Error> {
        for stream in self.streams.iter_mut().filter(|stream| stream.page.is_empty() && !stream.ended) {
            let Stream { campaign, shown, place, .. } = stream;
            let page = match shown {
                Shown::ByMail => {
                    let after = self.submitted_after;
                    self.store.rewarded_sends(&campaign.id, place, after, self.part_rows).await?
                }
                Shown::OnPage => self.store.rewarded_visits(&campaign.id, place, self.part_rows).await?,
            };
            stream.ended = page.len() < self.part_rows;
            if let Some(last) = page.last() {
                stream.place = (last.decided_at, last.send.as_str().to_owned());
            }
            stream.page = page.into();
        }
        let first = |stream: &&mut Stream<'a>| {
            stream.page.front().map(|send| (send.decided_at, send.send.as_str().to_owned()))
        };
        let streams = self.streams.iter_mut().filter(|stream| !stream.page.is_empty());
        let next = streams.min_by_key(|stream| first(stream));
        Ok(next.and_then(|stream| Some((stream.campaign, stream.shown, stream.page.pop_front()?))))
    }
}

/// What of a campaign was shown after this time and clicked by a person: little of all, so it is read at once.
///
/// # Errors
/// When the database does not answer.
pub async fn clicked(
    store: &Store,
    campaign: &Campaign,
    submitted_after: Timestamp,
) -> Result<Vec<ClickedSend>, Error> {
    let mut all = Vec::new();
    let mut place = Shown::ByMail.first_place(campaign, submitted_after);
    loop {
        let page = store.clicked_sends(&campaign.id, &place, submitted_after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        place = (last.decided_at, last.send.as_str().to_owned());
        all.extend(page);
    }
    let mut place = Shown::OnPage.first_place(campaign, submitted_after);
    loop {
        let page = store.rewarded_visits(&campaign.id, &place, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        place = (last.decided_at, last.send.as_str().to_owned());
        all.extend(page.into_iter().filter_map(RewardedSend::clicked));
    }
    Ok(all)
}
