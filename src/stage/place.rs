//! Scored, time-decayed evidence, with hysteresis.

use jiff::Timestamp;

use super::Placement;
use super::Stage;
use super::StagePoints;
use super::StageRecord;
use super::StageWeights;
use super::Transition;
use super::reason;
use crate::history::EventCounts;
use crate::history::History;

/// One kind of deed and what it says.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// Slug of the event, or [`reason::REPEAT_VIEWS`].
    pub(super) slug: &'a str,
    pub(super) counts: &'a EventCounts,
    pub(super) points: &'a StagePoints,
    /// The decayed count, as far as it counts.
    pub(super) weight: f64,
}

/// Why a profile stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This stage has the best score.
    Best,
    /// Another one leads, but not by the margin.
    Kept {
        /// The one that leads.
        leader: Stage,
    },
}

/// Places a profile.
///
/// The stage with the best score is entered when it leads the present one by `margin`, or when the evidence for the
/// present one has decayed below `discover_base`. A profile with no history is Discover. Equal scores go to the present
/// stage, then to the earlier one on the journey.
///
/// `history` must have been folded with the same weights: they hold the half-life.
pub fn place(
    history: &History,
    previous: Option<&StageRecord>,
    weights: &StageWeights,
    now: Timestamp,
) -> Placement {
    let evidence = evidence(history, weights);
    let mut scores = StagePoints { discover: weights.discover_base, ..StagePoints::default() };
    if history.orders_total > 0 {
        scores.educate = weights.customer_base;
    }
    for item in &evidence {
        scores.add(item.points, item.weight);
    }
    let present = previous.map(|record| record.stage);
    let (stage, verdict) = decide(&scores, present, weights);
    let reason = reason::sentence(history, &evidence, stage, verdict);
    let transition = (present != Some(stage)).then(|| Transition {
        from: present,
        to: stage,
        at: now,
        reason: reason.clone(),
    });
    Placement { stage, scores, reason, transition }
}

fn evidence<'a>(history: &'a History, weights: &'a StageWeights) -> Vec<Evidence<'a>> {
    let events = weights
        .events
        .iter()
        .filter_map(|(slug, points)| Some((slug.as_str(), history.events.get(slug)?, points)));
    let repeat = (reason::REPEAT_VIEWS, &history.repeat_views, &weights.repeat_view);
    events
        .chain([repeat])
        .filter(|(_, counts, _)| counts.count > 0)
        .map(|(slug, counts, points)| Evidence {
            slug,
            counts,
            points,
            weight: counts.recent.min(weights.count_max),
        })
        .collect()
}

fn decide(scores: &StagePoints, present: Option<Stage>, weights: &StageWeights) -> (Stage, Verdict) {
    let first = Stage::ALL[0];
    let best = Stage::ALL[1..]
        .iter()
        .fold(first, |best, stage| if scores.of(*stage) > scores.of(best) { *stage } else { best });
    let Some(present) = present else { return (best, Verdict::Best) };
    let own = scores.of(present);
    if scores.of(best) <= own {
        return (present, Verdict::Best);
    }
    let decayed = own < weights.discover_base;
    if decayed || scores.of(best) >= own * (1.0 + weights.margin) {
        (best, Verdict::Best)
    } else {
        (present, Verdict::Kept { leader: best })
    }
}
