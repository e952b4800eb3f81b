//! From decided sends, and what became of them, to the next version of the policy's model.
//!
//! Pure: the caller reads the sends and keeps the model. What makes a fit applied twice change nothing is in
//! [`crate::select::model::head`]: each head remembers up to which decision it has learnt for good.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::select::model::head::{Batch, FitReport};
use crate::select::model::vector::NamedFeatures;
use crate::select::model::{Heads, Observation, SparseVector};

/// One send whose mail went out, with the features that its decision was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct DecidedSend {
    /// The send's id: it is learnt from once.
    pub send_id: String,
    /// When the decision was frozen.
    pub decided_at: Timestamp,
    /// The features of the customer and of the chosen variant together, by name.
    pub features: NamedFeatures,
    /// The first click of a human; those of scanners and privacy proxies teach nothing.
    pub clicked_at: Option<Timestamp>,
    /// The first purchase that is attributed to this send.
    pub purchased_at: Option<Timestamp>,
    /// The unsubscribe or complaint that it caused.
    pub unsubscribed_at: Option<Timestamp>,
}

/// What a fit did, head by head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFit {
    /// P(click).
    pub click: FitReport,
    /// P(purchase | click): only clicked sends are counted here.
    pub purchase: FitReport,
    /// P(unsubscribe).
    pub unsubscribe: FitReport,
    /// Features that the model does not know, of variants that are gone: they were left out.
    pub unknown_features: usize,
    /// Sends left out because a feature had a value that is no number.
    pub unusable_sends: usize,
}

/// The decision time after which sends are needed for the next fit: everything before has been learnt by every head.
/// `None`: all of them.
pub fn needed_after(model: &Heads) -> Option<Timestamp> {
    let watermarks = [model.click.watermark(), model.purchase.watermark(), model.unsubscribe.watermark()];
    // One head without a watermark needs everything.
    watermarks.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min())
}

/// Learns from `sends`, which hold every send decided after [`needed_after`] and at or before `complete_until`.
pub fn fit(model: &mut Heads, sends: &[DecidedSend], complete_until: Timestamp, now: Timestamp) -> ModelFit {
    let mut report = ModelFit::default();
    let resolved: Vec<(&DecidedSend, SparseVector)> = sends
        .iter()
        .filter_map(|send| {
            let known = resolve(model, &send.features, &mut report.unknown_features);
            report.unusable_sends += usize::from(known.is_none());
            Some((send, known?))
        })
        .collect();
    let clicks = observe(&resolved, |_| true, |send| send.clicked_at);
    let purchases = observe(&resolved, |send| send.clicked_at.is_some(), |send| send.purchased_at);
    let unsubscribes = observe(&resolved, |_| true, |send| send.unsubscribed_at);
    let space = model.space().clone();
    let batch = |observations| Batch { observations, complete_until, now };
    report.click = model.click.fit(&space, batch(&clicks));
    report.purchase = model.purchase.fit(&space, batch(&purchases));
    report.unsubscribe = model.unsubscribe.fit(&space, batch(&unsubscribes));
    report
}

/// The features that the model knows; `None` when one of them has no proper value.
fn resolve(model: &Heads, features: &NamedFeatures, unknown: &mut usize) -> Option<SparseVector> {
    let mut pairs = Vec::with_capacity(features.0.len());
    for (name, value) in &features.0 {
        match model.space().lookup(name) {
            Some(id) => pairs.push((id, *value)),
            None => *unknown += 1,
        }
    }
    SparseVector::new(pairs).ok()
}

/// The sends that one head learns from, with the answer that it waits for.
fn observe<'a>(
    sends: &'a [(&'a DecidedSend, SparseVector)],
    wanted: impl Fn(&DecidedSend) -> bool,
    answer: impl Fn(&DecidedSend) -> Option<Timestamp>,
) -> Vec<Observation<'a>> {
    let observation = |(send, features): &'a (&'a DecidedSend, SparseVector)| Observation {
        send_id: &send.send_id,
        decided_at: send.decided_at,
        features,
        answered_at: answer(send),
        weight: 1.0,
    };
    sends.iter().filter(|(send, _)| wanted(send)).map(observation).collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::select::model::heads::BaseRates;
    use crate::select::model::{FeatureSpace, Kind};

    fn at(hours: i64) -> Timestamp {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    /// One send an hour; every third is clicked an hour later, every second click buys, nobody leaves.
    fn sends(count: i64) -> Vec<DecidedSend> {
        let one = |hour: i64| {
            let clicked_at = (hour % 3 == 0).then(|| at(hour + 1));
            DecidedSend {
                send_id: format!("send-{hour}"),
                decided_at: at(hour),
                features: NamedFeatures(vec![("1".to_owned(), 1.0), (format!("tone={}", hour % 2), 1.0)]),
                clicked_at,
                purchased_at: clicked_at
                    .filter(|_| hour % 6 == 0)
                    .map(|time| time + SignedDuration::from_hours(2)),
                unsubscribed_at: None,
            }
        };
        (0..count).map(one).collect()
    }

    fn model() -> Heads {
        let mut model = Heads::new(FeatureSpace::new(), BaseRates::default());
        for tone in ["tone=0", "tone=1"] {
            model.intern("tone", Kind::Arm, tone).unwrap();
        }
        model
    }

    #[test]
    fn each_head_learns_its_own_sends_and_a_second_fit_changes_nothing() {
        let (mut model, sends) = (model(), sends(600));
        assert_eq!(needed_after(&model), None);
        let now = at(700);
        let first = fit(&mut model, &sends, now, now);
        // Clicks close after 72 hours, purchases and unsubscribes after 168.
        assert_eq!((first.click.absorbed, first.click.open), (600, 0));
        assert_eq!((first.purchase.absorbed, first.purchase.open), (178, 22));
        assert_eq!((first.unsubscribe.absorbed, first.unsubscribe.open), (533, 67));
        assert_eq!(needed_after(&model), Some(at(532)));
        let once = model.clone();
        let second = fit(&mut model, &sends, now, now);
        assert_eq!(model, once);
        assert_eq!((second.click.absorbed, second.click.known), (0, 600));
    }

    #[test]
    fn a_send_of_a_variant_that_is_gone_still_teaches_what_is_left() {
        let mut sends = sends(300);
        sends[0].features.0.push(("variant=gone".to_owned(), 1.0));
        sends[1].features.0.push(("tone=0".to_owned(), f64::NAN));
        let mut model = model();
        let report = fit(&mut model, &sends, at(900), at(900));
        assert_eq!((report.unknown_features, report.unusable_sends, report.click.absorbed), (1, 1, 299));
    }
}
