//! A posterior that learns from sends, from each of them once, and forgets.
//!
//! # Why a fit applied twice changes nothing
//! A send is *closed* when the longest reward window has passed since its mail went out. Closed sends are absorbed for
//! good and the head remembers up to which time it did so: the watermark. Whatever went out at or before the watermark
//! is skipped, so a send is absorbed at most once whichever batches it comes in. Sends that are still open are not
//! absorbed: at every fit the published posterior is made afresh from the absorbed evidence plus the open sends, each
//! with the likelihood of its age. Forgetting and the re-estimation of the priors happen only when the watermark moves.
//!
//! What this asks of the caller: a fit is given *every* send that went out after the watermark and at or before its
//! `complete_until`, and the time at which a mail went out never changes once it is given.
//!
//! # Why a fit may be fed page by page
//! A [`Course`] keeps at most [`ABSORBED_AT_ONCE`] sends of each sort and counts them from the first on, so the model
//! does not depend on how the reading was cut, and memory does not grow with what is read.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::delay::DelayCurve;
use super::newton::{Effort, Outcome, Rows};
use super::posterior::{Evidence, GroupPrior, Posterior, PriorByFeature, Score, default_priors};
use super::shrink::reestimate;
use super::space::FeatureSpace;
use super::vector::SparseVector;
use crate::clock::earlier_by;
use crate::decision::Channel;

/// What was learnt is worth half after this time.
pub const HALF_LIFE: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Sends that are absorbed in one step.
pub const ABSORBED_AT_ONCE: usize = 20_000;

/// One send, for one head.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The send: each is learnt from once.
    pub send_id: &'a str,
    /// When its mail went out.
    pub at: Timestamp,
    /// When the wait for the answer began: not before `at`.
    pub since: Timestamp,
    /// When the answer is too late to count; at most the head's window after `at`.
    pub until: Timestamp,
    /// Where it was shown: pages are answered at another pace than mails.
    pub channel: Channel,
    /// The features of the customer and the chosen arm together.
    pub features: &'a SparseVector,
    /// When the answer came, if it did.
    pub answered_at: Option<Timestamp>,
    /// ω: how much this send counts; 1 unless there is a reason.
    pub weight: f64,
}

/// What is known at the time of a fit.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The sends.
    pub observations: &'a [Observation<'a>],
    /// No send that went out up to this time, and after the watermark, is missing.
    pub complete_until: Timestamp,
    /// When this is.
    pub now: Timestamp,
}

/// What a fit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitReport {
    /// Closed sends learnt for good.
    pub absorbed: usize,
    /// Sends whose window is open: they shape the published posterior until the next fit.
    pub open: usize,
    /// Sends that had been absorbed before.
    pub known: usize,
    /// Sends that came twice in the batch, or whose mail went out after `now`.
    pub refused: usize,
}

/// One head of the model, as P(click).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    base_rate: f64,
    window: SignedDuration,
    half_life: SignedDuration,
    priors: Vec<GroupPrior>,
    evidence: Evidence,
    /// How late mails are answered.
    delay: DelayCurve,
    /// How late pages are, once one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page_delay: Option<DelayCurve>,
    /// Everything that went out at or before this has been absorbed.
    watermark: Option<Timestamp>,
    published: Posterior,
}

impl Head {
    /// A head that knows only its priors. `base_rate` is the share of sends expected to be answered (0 to 1), `window`
    /// how long an answer may take.
    pub fn new(space: &FeatureSpace, base_rate: f64, window: SignedDuration) -> Self {
        let mut head = Self {
            base_rate,
            window,
            half_life: HALF_LIFE,
            priors: Vec::new(),
            evidence: Evidence::default(),
            delay: DelayCurve::new(window),
            page_delay: None,
            watermark: None,
            published: Posterior::default(),
        };
        head.cover(space);
        head
    }

    /// The same head, forgetting at another pace.
    #[must_use]
    pub fn with_half_life(self, half_life: SignedDuration) -> Self {
        Self { half_life, ..self }
    }

    /// How long an answer may take from now on; what was learnt stays. Whatever the watermark passed stays closed.
    pub fn set_window(&mut self, window: SignedDuration) {
        if window != self.window {
            for delay in self.delays() {
                *delay = delay.with_window(window);
            }
            self.window = window;
        }
    }

    /// Makes room for features that `space` learnt since: they start at their priors, and nothing else changes.
    pub fn cover(&mut self, space: &FeatureSpace) {
        let priors = default_priors(space, self.base_rate);
        self.priors.extend(priors.into_iter().skip(self.priors.len()));
        self.evidence.cover(space.len());
        for index in self.published.len()..space.len() {
            let prior = self.priors[space.group_of(index).expect("index is below the length").index()];
            self.published.mean.push(prior.mean);
            self.published.variance.push(1.0 / prior.precision);
        }
    }

    /// The linear predictor of these features, in log-odds.
    pub fn score(&self, features: &SparseVector) -> Score {
        self.published.score(features)
    }

    /// What is believed now.
    pub fn posterior(&self) -> &Posterior {
        &self.published
    }

    /// Sets what is believed of one weight, for tests of what follows from it.
    #[cfg(test)]
    pub(super) fn set_published(&mut self, id: super::space::FeatureId, mean: f64, variance: f64) {
        self.published.mean[id.index()] = mean;
        self.published.variance[id.index()] = variance;
    }

    /// The priors by group, as they were last re-estimated.
    pub fn priors(&self) -> &[GroupPrior] {
        &self.priors
    }

    /// How long an answer may take.
    pub fn window(&self) -> SignedDuration {
        self.window
    }

    /// What went out up to here is learnt for good; a batch need not hold it.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }

    /// How late answers come.
    pub fn delay(&self, channel: Channel) -> &DelayCurve {
        match channel {
            Channel::Mail => &self.delay,
            Channel::Page => self.page_delay.as_ref().unwrap_or(&self.delay),
        }
    }

    fn delays(&mut self) -> impl Iterator<Item = &mut DelayCurve> {
        [&mut self.delay].into_iter().chain(&mut self.page_delay)
    }

    fn count_delay(&mut self, send: &Kept, answered_at: Timestamp) {
        let curve = match send.channel {
            Channel::Mail => &mut self.delay,
            Channel::Page => self.page_delay.get_or_insert_with(|| DelayCurve::new(self.window)),
        };
        curve.count(answered_at.duration_since(send.since), send.weight);
    }

    /// Learns from a batch; see the module about what a batch must hold. Its order does not matter.
    pub fn fit(&mut self, space: &FeatureSpace, batch: Batch<'_>) -> FitReport {
        let mut sends: Vec<&Observation<'_>> = batch.observations.iter().collect();
        sends.sort_by_key(|send| (send.at, send.send_id));
        let before = sends.len();
        sends.dedup_by_key(|send| send.send_id);
        let mut course = self.begin(space, batch.complete_until, batch.now);
        course.report.refused += before - sends.len();
        for send in sends {
            self.take(space, &mut course, send);
        }
        self.finish(space, course)
    }

    /// Begins a fit that is fed send by send: to each [`Head::take`], then [`Head::finish`].
    pub fn begin(&mut self, space: &FeatureSpace, complete_until: Timestamp, now: Timestamp) -> Course {
        self.cover(space);
        let closes = earlier_by(now, self.window).min(complete_until);
        Course {
            known_until: self.watermark,
            closes,
            now,
            closed: Vec::new(),
            open: Vec::new(),
            draft: None,
            at_once: ABSORBED_AT_ONCE,
            report: FitReport::default(),
        }
    }

    /// Takes one send, none twice. Their order should be that in which mails went out; what is somewhat out of order is
    /// forgotten a little later than it should be.
    pub fn take(&mut self, space: &FeatureSpace, course: &mut Course, send: &Observation<'_>) {
        if course.known_until.is_some_and(|watermark| send.at <= watermark) {
            course.report.known += 1;
        } else if send.at > course.now {
            course.report.refused += 1;
        } else if send.at <= course.closes {
            course.closed.push(Kept::of(send));
            course.report.absorbed += 1;
            if course.closed.len() == course.at_once {
                self.absorb(space, course, send.at);
            }
        } else {
            course.open.push(Kept::of(send));
            course.report.open += 1;
            if course.open.len() == course.at_once {
                // Open sends are absorbed by a copy of what all closed ones so far have said.
                self.close(space, course);
                self.sketch(space, course);
            }
        }
    }

    /// Ends a fit: publishes what is believed now.
    pub fn finish(&mut self, space: &FeatureSpace, mut course: Course) -> FitReport {
        self.close(space, &mut course);
        self.sketch(space, &mut course);
        let prior = PriorByFeature::new(space, &self.priors);
        self.published = course.draft.as_ref().unwrap_or(&self.evidence).posterior(&prior);
        course.report
    }

    /// Absorbs the closed sends that are left, and moves the watermark to where they end.
    fn close(&mut self, space: &FeatureSpace, course: &mut Course) {
        if self.watermark.is_none_or(|watermark| course.closes > watermark) || !course.closed.is_empty() {
            self.absorb(space, course, course.closes);
        }
    }

    /// Absorbs the closed sends and moves the watermark to `until`, or leaves it where it is further.
    fn absorb(&mut self, space: &FeatureSpace, course: &mut Course, until: Timestamp) {
        let from = self.watermark.unwrap_or(until);
        let until = until.max(from);
        let half_lives = until.duration_since(from).as_secs_f64() / self.half_life.as_secs_f64();
        let factor = (-half_lives).exp2();
        self.evidence.fade(factor);
        self.delays().for_each(|delay| delay.fade(factor));
        self.watermark = Some(until);
        let mut rows = Rows::default();
        for send in course.closed.drain(..) {
            let answered = send.answered_at.filter(|at| *at <= send.until);
            if let Some(at) = answered {
                self.count_delay(&send, at);
            }
            let outcome = if answered.is_some() { Outcome::Positive } else { Outcome::Negative };
            rows.push(&[&send.features], outcome, send.weight);
        }
        let prior = PriorByFeature::new(space, &self.priors);
        self.evidence.absorb(&prior, &rows, Effort::EXACT);
        // Closed sends that come behind open ones: the copy with the open ones was made without them.
        if let Some(draft) = &mut course.draft {
            draft.absorb(&prior, &rows, Effort::EXACT);
        }
        self.priors = reestimate(space, &self.priors, &self.evidence);
    }

    /// Absorbs the open sends into the draft of what is published, each with the likelihood of its age.
    fn sketch(&self, space: &FeatureSpace, course: &mut Course) {
        let mut rows = Rows::default();
        for send in course.open.drain(..) {
            let outcome = match send.answered_at {
                Some(at) if at <= course.now && at <= send.until => Outcome::Positive,
                _ => Outcome::Pending(self.delay(send.channel).arrived_of(
                    course.now.duration_since(send.since),
                    send.until.duration_since(send.since),
                )),
            };
            rows.push(&[&send.features], outcome, send.weight);
        }
        let prior = PriorByFeature::new(space, &self.priors);
        let draft = course.draft.get_or_insert_with(|| self.evidence.clone());
        draft.absorb(&prior, &rows, Effort::EXACT);
    }
}

/// A fit under way: what it was given and has not absorbed yet.
#[derive(Debug)]
pub struct Course {
    /// What went out up to here was learnt by an earlier fit.
    known_until: Option<Timestamp>,
    /// What went out up to here is closed.
    closes: Timestamp,
    now: Timestamp,
    closed: Vec<Kept>,
    open: Vec<Kept>,
    /// The evidence with the open sends.
    draft: Option<Evidence>,
    /// How many of each are absorbed in one step.
    at_once: usize,
    report: FitReport,
}

/// An [`Observation`] of its own.
#[derive(Debug)]
struct Kept {
    since: Timestamp,
    until: Timestamp,
    channel: Channel,
    features: SparseVector,
    answered_at: Option<Timestamp>,
    weight: f64,
}

impl Kept {
    fn of(send: &Observation<'_>) -> Self {
        Self {
            since: send.since,
            until: send.until,
            channel: send.channel,
            features: send.features.clone(),
            answered_at: send.answered_at,
            weight: send.weight,
        }
    }
}

#[cfg(test)]
mod tests;
