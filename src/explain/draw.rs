//! The draw, so that a reader can follow it by hand: the candidates side by side on a line from 0 to 1, and the number
//! that fell upon one of them.

use super::wrap::line;
use super::wrap::paragraph;
use crate::decision::Candidate;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::NO_SEND;
use crate::decision::ScoredDraw;
use crate::decision::Slice;

/// Candidates that are told, at most.
const CANDIDATES_MAX: usize = 15;

/// A candidate with its part of the line.
struct Part<'a> {
    candidate: &'a Candidate,
    from: f64,
    to: f64,
}

/// The parts in the order in which the policy had the candidates.
fn parts(decision: &Decision) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(decision.candidates.len());
    for candidate in &decision.candidates {
        let from = parts.last().map_or(0.0, |part| part.to);
        parts.push(Part { candidate, from, to: from + candidate.probability });
    }
    parts
}

/// The name under which the choice stands among the candidates.
fn name(decision: &Decision) -> &str {
    match &decision.choice {
        Choice::Variant { variant, .. } => variant.as_str(),
        Choice::NoSend => NO_SEND,
    }
}

/// How it was drawn, sentence by sentence, each with its label.
pub(super) fn sentences(decision: &Decision) -> Vec<(&'static str, String)> {
    let mut told = vec![("draw", policy(decision))];
    for earlier in &decision.withdrawn {
        told.push((
            "",
            format!(
                "before it, {} was drawn (probability {:.4}{}, seed {}), but no coupon was left for offer {}",
                earlier.variant.as_str(),
                earlier.propensity,
                number(earlier.drawn_at),
                earlier.seed,
                earlier.offer
            ),
        ));
    }
    let draw = decision.scoring.as_ref().and_then(|scoring| scoring.draw.as_ref());
    told.extend(draw.map(|draw| ("", shortlist(decision, draw))));
    told.extend(lot(decision).map(|lot| ("the lot", lot)));
    told
}

fn policy(decision: &Decision) -> String {
    let slice = match decision.slice {
        Slice::Policy => "the policy decides for this person",
        Slice::Uniform => "this person is in the learning slice: an even draw over the eligible",
        Slice::Holdout => "this person is kept without mail",
    };
    format!(
        "policy {}, probability {:.4}, seed {}, at {}; {slice}",
        decision.policy, decision.propensity, decision.seed, decision.at
    )
}

fn number(drawn_at: Option<f64>) -> String {
    drawn_at.map_or_else(String::new, |at| format!(", the number was {at:.6}"))
}

/// Which part of the eligible was drawn from; a probability of two parts is taken apart.
fn shortlist(decision: &Decision, draw: &ScoredDraw) -> String {
    let (listed, eligible) = (draw.arms.len(), draw.eligible);
    if draw.inclusion >= 1.0 {
        return format!("{listed} of {eligible} eligible were in the shortlist");
    }
    format!(
        "{listed} of {eligible} eligible were in the shortlist, and this one came into it by lot: its probability \
         {:.4} is {:.4} of coming in times {:.4} of being drawn then",
        decision.propensity,
        draw.inclusion,
        decision.propensity / draw.inclusion
    )
}

/// The number that chose, and on whose part it fell.
fn lot(decision: &Decision) -> Option<String> {
    let at = decision.drawn_at?;
    let parts = parts(decision);
    let own = parts.iter().find(|part| part.candidate.variant.as_str() == name(decision))?;
    let origin = match (decision.policy.as_str(), decision.slice) {
        ("ab", Slice::Policy) => "this person's place in the test, the same for ever, is",
        _ => "the seed gave",
    };
    Some(format!(
        "{origin} the number {at:.6}; side by side on a line from 0 to 1, in the order of their columns “from” and \
         “to”, the candidates take as much of it as their probability; {:.6} to {:.6} belongs to {}",
        own.from,
        own.to,
        own.candidate.variant.as_str()
    ))
}

/// The table of the candidates, the likeliest first.
pub(super) fn candidates(out: &mut String, decision: &Decision) {
    let mut parts = parts(decision);
    parts.sort_by(|one, two| two.candidate.probability.total_cmp(&one.candidate.probability));
    let at = parts.iter().position(|part| part.candidate.variant.as_str() == name(decision));
    line(out, &format!("\ncandidates  {} could have been chosen", parts.len()));
    out.push_str("   probability      from        to     score  variant\n");
    for (index, Part { candidate, from, to }) in parts.iter().enumerate() {
        if index >= CANDIDATES_MAX && Some(index) != at {
            continue;
        }
        let mark = if Some(index) == at { ">" } else { " " };
        let percent = candidate.probability * 100.0;
        let numbers = format!("{mark} {percent:>10.2} %  {from:>8.6}  {to:>8.6}  {:>8.3}  ", candidate.score);
        paragraph(out, 0, &numbers, numbers.len(), candidate.variant.as_str());
    }
    let shown = CANDIDATES_MAX + usize::from(at.is_some_and(|at| at >= CANDIDATES_MAX));
    if parts.len() > shown {
        line(out, &format!("   and {} more; --format json has them all", parts.len() - shown));
    }
}
