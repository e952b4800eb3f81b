//! Replays a campaign under other templates or another policy: who would get what, before and after, by the worker's own
//! gate → select → render. Nothing is sent and nothing is stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::Digest as _;
use sha2::Sha256;

use super::Gate;
use super::PreviewError;
use super::Progress;
use super::entry;
use super::ruling::Answer;
use super::ruling::rule;
use super::shot;
use super::subject;
use super::subject::Candidate;
use crate::campaign::CampaignId;
use crate::catalog::variant::CampaignEntry;
use crate::decision::Decision;
use crate::decision::NO_SEND;
use crate::profile::ProfileId;
use crate::send::SendId;
use crate::store::Store;
use crate::worker::engine::Engine;

mod tell;

/// Examples of each kind of change, at most.
const EXAMPLES_MAX: usize = 5;
/// People that are read at a time; memory is bounded by it.
const BATCH_ROWS: usize = 100;

/// What is replayed.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// Which campaign; both sides must have it.
    pub campaign: CampaignId,
    /// As if it were this time.
    pub now: Timestamp,
    /// Decides every draw: the same seed, the same draws.
    pub seed: u64,
    /// This many people, the same ones each time; everybody where none is stated.
    pub limit: Option<usize>,
}

/// What one person would get.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// This variant, with this subject; the hash is of all bytes of the mail.
    Mail { variant: String, subject: String, hash: [u8; 32] },
    /// Nothing, for this reason.
    Nothing { reason: String, detail: String },
}

/// How two fates differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The same mail, byte by byte.
    SameMail,
    /// The same variant with other content.
    OtherContent,
    /// Another variant.
    OtherVariant,
    /// A mail where there was none.
    Gained,
    /// No mail where there was one.
    Lost,
    /// No mail, for another reason.
    OtherReason,
    /// No mail, for the same reason.
    StillNothing,
}

impl Change {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::SameMail,
        Self::OtherContent,
        Self::OtherVariant,
        Self::Gained,
        Self::Lost,
        Self::OtherReason,
        Self::StillNothing,
    ];

    fn between(before: &Fate, after: &Fate) -> Self {
        match (before, after) {
            (Fate::Mail { .. }, Fate::Mail { .. }) if before == after => Self::SameMail,
            (Fate::Mail { variant, .. }, Fate::Mail { variant: other, .. }) if variant == other => {
                Self::OtherContent
            }
            (Fate::Mail { .. }, Fate::Mail { .. }) => Self::OtherVariant,
            (Fate::Nothing { .. }, Fate::Mail { .. }) => Self::Gained,
            (Fate::Mail { .. }, Fate::Nothing { .. }) => Self::Lost,
            (Fate::Nothing { reason, .. }, Fate::Nothing { reason: other, .. }) if reason == other => {
                Self::StillNothing
            }
            (Fate::Nothing { .. }, Fate::Nothing { .. }) => Self::OtherReason,
        }
    }
}

/// Somebody whose fate changes.
#[derive(Debug, Clone)]
struct Example {
    profile: ProfileId,
    before: Fate,
    after: Fate,
}

/// Before and after of one variant.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Drawn {
    /// How many people would get it.
    mails: [u64; 2],
    /// How many are expected to, over all draws: the sum of its probabilities.
    expected: [f64; 2],
}

/// What a replay found.
#[derive(Debug, Default)]
pub struct Replay {
    /// How many people changed how.
    pub changes: BTreeMap<Change, u64>,
    variants: BTreeMap<String, Drawn>,
    reasons: BTreeMap<String, [u64; 2]>,
    examples: BTreeMap<Change, Vec<Example>>,
    /// Hash over the catalogue's files, before and after.
    catalogs: [String; 2],
}

impl Replay {
    /// How many people were looked at.
    pub fn people(&self) -> u64 {
        self.changes.values().sum()
    }
}

/// Compares what `before` and `after` would do with the same people at the same time.
pub async fn replay(
    store: &Store,
    [before, after]: [&Engine; 2],
    request: &ReplayRequest,
    progress: Progress<'_>,
) -> Result<Replay, PreviewError> {
    let entries = [entry(before, &request.campaign)?, entry(after, &request.campaign)?];
    let ids = subject::sample(store, request.limit.unwrap_or(usize::MAX)).await?;
    if ids.is_empty() {
        let problem = "there are no profiles to replay for; import some with `bespoke import profiles`";
        return Err(PreviewError::Nobody(problem.to_owned()));
    }
    let mut replay = Replay {
        catalogs: [before, after].map(|engine| engine.catalog.version.clone()),
        ..Replay::default()
    };
    let mut done = 0;
    for batch in ids.chunks(BATCH_ROWS) {
        // Each side reads for itself: what it asks for depends on its campaigns.
        let mut sides = [before, after].into_iter().zip(entries);
        let (one, two) = (sides.next(), sides.next());
        let (Some((before, entry)), Some((after, other))) = (one, two) else { break };
        let candidates = load(store, before, entry, batch, request).await?;
        let others = load(store, after, other, batch, request).await?;
        for (candidate, other_candidate) in candidates.iter().zip(&others) {
            if candidate.start.is_missing() && other_candidate.start.is_missing() {
                continue;
            }
            let (fate, decision) = fate(store, before, entry, candidate, request.now).await?;
            let (other_fate, other_decision) =
                self::fate(store, after, other, other_candidate, request.now).await?;
            replay.count(0, &fate, decision.as_deref());
            replay.count(1, &other_fate, other_decision.as_deref());
            replay.compare(candidate.subject.profile.id.clone(), fate, other_fate);
        }
        done += batch.len();
        progress(done, ids.len());
    }
    Ok(replay)
}

async fn load(
    store: &Store,
    engine: &Engine,
    entry: &CampaignEntry,
    ids: &[ProfileId],
    request: &ReplayRequest,
) -> Result<Vec<Candidate>, PreviewError> {
    let mut candidates = subject::load(store, engine, entry, ids, request.now).await?;
    let occurrence = format!("replay/{}", request.seed);
    for candidate in &mut candidates {
        let send = &mut candidate.subject.send;
        send.id = SendId::derive(request.now, &send.campaign, &send.profile, &occurrence);
    }
    Ok(candidates)
}

/// What the worker would do with one person, down to the bytes.
async fn fate(
    store: &Store,
    engine: &Engine,
    entry: &CampaignEntry,
    candidate: &Candidate,
    now: Timestamp,
) -> Result<(Fate, Option<Box<Decision>>), PreviewError> {
    let ruling = rule(store, engine, entry, candidate, Gate::Kept, now).await?;
    let decision = match &ruling.answer {
        Answer::Mail(decision) => Some(decision.clone()),
        Answer::Nothing(_, decision) => decision.clone(),
    };
    let shot = shot::take(engine, entry, ruling);
    let fate = match (shot.files, shot.card.outcome) {
        (Some(files), _) => Fate::Mail {
            variant: shot.card.variant.unwrap_or_default(),
            subject: shot.card.subject,
            hash: Sha256::digest(&files.eml).into(),
        },
        (None, Some([_, reason, detail])) => Fate::Nothing { reason, detail },
        (None, None) => Fate::Nothing { reason: NO_SEND.to_owned(), detail: String::new() },
    };
    Ok((fate, decision))
}

impl Replay {
    fn count(&mut self, side: usize, fate: &Fate, decision: Option<&Decision>) {
        match fate {
            Fate::Mail { variant, .. } => {
                self.variants.entry(variant.clone()).or_default().mails[side] += 1;
            }
            Fate::Nothing { reason, .. } => self.reasons.entry(reason.clone()).or_default()[side] += 1,
        }
        for candidate in decision.map(|decision| decision.candidates.as_slice()).unwrap_or_default() {
            let drawn = self.variants.entry(candidate.variant.as_str().to_owned()).or_default();
            drawn.expected[side] += candidate.probability;
        }
    }

    fn compare(&mut self, profile: ProfileId, before: Fate, after: Fate) {
        let change = Change::between(&before, &after);
        *self.changes.entry(change).or_default() += 1;
        let examples = self.examples.entry(change).or_default();
        if !matches!(change, Change::SameMail | Change::StillNothing) && examples.len() < EXAMPLES_MAX {
            examples.push(Example { profile, before, after });
        }
    }
}
