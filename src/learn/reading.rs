//! Reads the mails that teach, and what web pages showed, page by page, of all campaigns in the order of the decisions.

use std::collections::VecDeque;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::rewards;
use crate::campaign::Campaign;
use crate::clock::earlier_by;
use crate::decision::Channel;
use crate::store::DecisionPlace;
use crate::store::Error;
use crate::store::LATE_AFTER_MS;
use crate::store::PersonClick;
use crate::store::RewardedSend;
use crate::store::Store;

/// Mails that are held at a time, of all campaigns together.
pub const PAGE_ROWS: usize = 5_000;
/// A stream's part of a page is not smaller than this.
const PART_ROWS_MIN: usize = 200;
/// A mail goes out at most so long after its deadline, unless somebody sends it again by hand, and then it is among the
/// late ones; the decision is not older than the due time.
const LAST_ATTEMPT: SignedDuration = SignedDuration::from_millis(LATE_AFTER_MS);

/// What some campaigns showed after a time, one after another; memory does not grow with its number.
#[derive(Debug)]
pub struct Mails<'a> {
    store: &'a Store,
    streams: Vec<Stream<'a>>,
    submitted_after: Timestamp,
    part_rows: usize,
}

/// What is left of one campaign, from one source.
#[derive(Debug)]
struct Stream<'a> {
    campaign: &'a Campaign,
    source: Source,
    place: DecisionPlace,
    page: VecDeque<RewardedSend>,
    ended: bool,
}

/// Where decisions are read from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// Mails that were decided behind where the stream began.
    Mails,
    /// Mails that were decided up to then and went out long after, by hand.
    Late { decided_until: Timestamp },
    /// Pages.
    Pages,
}

impl Source {
    fn channel(self) -> Channel {
        match self {
            Self::Mails | Self::Late { .. } => Channel::Mail,
            Self::Pages => Channel::Page,
        }
    }
}

/// Behind everything of that millisecond: ids are hexadecimal.
fn behind(at: Timestamp) -> DecisionPlace {
    (at, "~".to_owned())
}

impl<'a> Stream<'a> {
    /// The streams that together miss nothing of a campaign that was shown after this time.
    fn all_of(campaign: &'a Campaign, submitted_after: Timestamp) -> [Self; 3] {
        let longest = SignedDuration::from_hours(i64::from(campaign.deadline_hours)) + LAST_ATTEMPT;
        let decided_until = earlier_by(submitted_after, longest);
        let from = |source, decided_after| Self {
            campaign,
            source,
            place: behind(decided_after),
            page: VecDeque::new(),
            ended: false,
        };
        [
            from(Source::Mails, decided_until),
            from(Source::Late { decided_until }, Timestamp::MIN),
            from(Source::Pages, submitted_after),
        ]
    }

    async fn read(&self, mails: &Mails<'a>) -> Result<Vec<RewardedSend>, Error> {
        let Mails { store, submitted_after: after, part_rows: limit, .. } = *mails;
        let (campaign, place) = (&self.campaign.id, &self.place);
        match self.source {
            Source::Mails => store.rewarded_sends(campaign, place, after, limit).await,
            Source::Late { decided_until } => {
                store.rewarded_late(campaign, place, decided_until, after, limit).await
            }
            Source::Pages => store.rewarded_visits(campaign, place, limit).await,
        }
    }
}

impl<'a> Mails<'a> {
    /// Those of `campaigns` that went out after this time.
    pub fn new(store: &'a Store, campaigns: &[&'a Campaign], submitted_after: Timestamp) -> Self {
        let of = |campaign: &&'a Campaign| Stream::all_of(campaign, submitted_after);
        let streams: Vec<Stream<'a>> = campaigns.iter().flat_map(of).collect();
        let part_rows = (PAGE_ROWS / streams.len().max(1)).max(PART_ROWS_MIN);
        Self { store, streams, submitted_after, part_rows }
    }

    /// The next, by the time of its decision, with its campaign and where it was shown; `None` behind the last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next(&mut self) -> Result<Option<(&'a Campaign, Channel, RewardedSend)>, Error> {
        for index in 0..self.streams.len() {
            let stream = &self.streams[index];
            if !stream.page.is_empty() || stream.ended {
                continue;
            }
            let page = stream.read(self).await?;
            let stream = &mut self.streams[index];
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
        Ok(next.and_then(|stream| Some((stream.campaign, stream.source.channel(), stream.page.pop_front()?))))
    }
}

/// All clicks by people after this time: in mails of every campaign, whatever policy chose them, and on pages of these.
/// It is little of all, so it is read at once.
///
/// # Errors
/// When the database does not answer.
pub async fn clicked(
    store: &Store,
    campaigns: impl Iterator<Item = &Campaign>,
    clicked_after: Timestamp,
) -> Result<Vec<PersonClick>, Error> {
    let mut all: Vec<PersonClick> = Vec::new();
    let mut place = behind(clicked_after);
    loop {
        let page = store.clicks_in_mails(&place, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        place = (last.clicked_at, last.send.as_str().to_owned());
        all.extend(page);
    }
    for campaign in campaigns {
        let windows = rewards::windows(&campaign.reward);
        let window = windows.click.max(windows.purchase);
        let mut place = behind(earlier_by(clicked_after, window));
        loop {
            let page = store.clicks_on_pages(&campaign.id, &place, PAGE_ROWS).await?;
            let Some(last) = page.last() else { break };
            place = (last.submitted_at, last.send.as_str().to_owned());
            all.extend(page);
        }
    }
    Ok(all)
}
