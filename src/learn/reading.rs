//! Reads the mails that teach, page by page, those of all campaigns in the order of their decisions.

use std::collections::VecDeque;

use jiff::SignedDuration;
use jiff::Timestamp;

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

/// The mails of some campaigns that went out after a time, one after another; memory does not grow with their number.
#[derive(Debug)]
pub struct Mails<'a> {
    store: &'a Store,
    streams: Vec<Stream<'a>>,
    submitted_after: Timestamp,
    part_rows: usize,
}

/// What is left of one campaign.
#[derive(Debug)]
struct Stream<'a> {
    campaign: &'a Campaign,
    place: DecisionPlace,
    page: VecDeque<RewardedSend>,
    ended: bool,
}

/// Where to begin reading decisions so that no mail that went out after this time is missed.
fn first_place(campaign: &Campaign, submitted_after: Timestamp) -> DecisionPlace {
    let longest = SignedDuration::from_hours(i64::from(campaign.deadline_hours)) + LAST_ATTEMPT;
    let decided_after = submitted_after.saturating_sub(longest).unwrap_or(Timestamp::MIN);
    // Behind everything of that millisecond: ids are hexadecimal.
    (decided_after, "~".to_owned())
}

impl<'a> Mails<'a> {
    /// Those of `campaigns` that went out after this time.
    pub fn new(store: &'a Store, campaigns: &[&'a Campaign], submitted_after: Timestamp) -> Self {
        let stream = |campaign: &&'a Campaign| Stream {
            campaign,
            place: first_place(campaign, submitted_after),
            page: VecDeque::new(),
            ended: false,
        };
        Self {
            store,
            streams: campaigns.iter().map(stream).collect(),
            submitted_after,
            part_rows: (PAGE_ROWS / campaigns.len().max(1)).max(PART_ROWS_MIN),
        }
    }

    /// The next mail, by the time of its decision, with its campaign; `None` behind the last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next(&mut self) -> Result<Option<(&'a Campaign, RewardedSend)>, Error> {
        for stream in self.streams.iter_mut().filter(|stream| stream.page.is_empty() && !stream.ended) {
            let Stream { campaign, place, .. } = stream;
            let page =
                self.store.rewarded_sends(&campaign.id, place, self.submitted_after, self.part_rows).await?;
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
        Ok(next.and_then(|stream| Some((stream.campaign, stream.page.pop_front()?))))
    }
}

/// The mails of a campaign that went out after this time and in which a person clicked: few of all, so they are read at
/// once.
///
/// # Errors
/// When the database does not answer.
pub async fn clicked(
    store: &Store,
    campaign: &Campaign,
    submitted_after: Timestamp,
) -> Result<Vec<ClickedSend>, Error> {
    let mut place = first_place(campaign, submitted_after);
    let mut all = Vec::new();
    loop {
        let page = store.clicked_sends(&campaign.id, &place, submitted_after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(all) };
        place = (last.decided_at, last.send.as_str().to_owned());
        all.extend(page);
    }
}
