//! From decided sends, and what became of them, to the next version of the policy's model.
//!
//! Pure: the caller reads the sends and keeps the model. What makes a fit applied twice change nothing is in
//! [`crate::select::model::head`]: each head remembers up to which time it has learnt for good.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::later_by;
use crate::decision::Channel;
use crate::select::model::head::{Course, FitReport};
use crate::select::model::heads::Windows;
use crate::select::model::vector::NamedFeatures;
use crate::select::model::{Heads, Observation, SparseVector};

/// One send whose mail went out, with the features that its decision was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct DecidedSend {
    /// The send's id: it is learnt from once.
    pub send_id: String,
    /// Where it was shown.
    pub channel: Channel,
    /// When the mail went out: its windows begin.
    pub submitted_at: Timestamp,
    /// How long it waits for each answer, by its campaign.
    pub windows: Windows,
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

/// The time after which mails that went out are needed for the next fit: everything before has been learnt by every
/// head. `None`: all of them.
pub fn needed_after(model: &Heads) -> Option<Timestamp> {
    let watermarks = [model.click.watermark(), model.purchase.watermark(), model.unsubscribe.watermark()];
    // One head without a watermark needs everything.
    watermarks.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min())
}

/// A fit under way, fed page by page: its memory does not grow with what it is given.
#[derive(Debug)]
pub struct Lesson {
    model: Heads,
    /// Click, purchase, unsubscribe.
    courses: [Course; 3],
    unknown_features: usize,
    unusable_sends: usize,
}

impl Lesson {
    /// Begins to teach `model`: with every mail that went out after [`needed_after`] and at or before `complete_until`.
    pub fn begin(mut model: Heads, complete_until: Timestamp, now: Timestamp) -> Self {
        let (space, heads) = model.parts();
        let courses = heads.map(|head| head.begin(space, complete_until, now));
        Self { model, courses, unknown_features: 0, unusable_sends: 0 }
    }

    /// Takes a mail, none twice.
    pub fn take(&mut self, send: &DecidedSend) {
        let Some(features) = resolve(&self.model, &send.features, &mut self.unknown_features) else {
            self.unusable_sends += 1;
            return;
        };
        let observations = observations(send, &features);
        let (space, heads) = self.model.parts();
        for ((head, course), observation) in heads.into_iter().zip(&mut self.courses).zip(observations) {
            if let Some(observation) = observation {
                head.take(space, course, &observation);
            }
        }
    }

    /// Ends: the next version of the model, and what was done.
    pub fn finish(mut self) -> (Heads, ModelFit) {
        let (space, heads) = self.model.parts();
        let mut reports = [FitReport::default(); 3];
        for ((head, course), report) in heads.into_iter().zip(self.courses).zip(&mut reports) {
            *report = head.finish(space, course);
        }
        let [click, purchase, unsubscribe] = reports;
        let Self { unknown_features, unusable_sends, .. } = self;
        (self.model, ModelFit { click, purchase, unsubscribe, unknown_features, unusable_sends })
    }
}

/// Learns from `sends` at once, in the order in which their mails went out.
pub fn fit(model: &mut Heads, sends: &[DecidedSend], complete_until: Timestamp, now: Timestamp) -> ModelFit {
    let mut sends: Vec<&DecidedSend> = sends.iter().collect();
    sends.sort_by_key(|send| (send.submitted_at, &send.send_id));
    let mut lesson = Lesson::begin(model.clone(), complete_until, now);
    for send in sends {
        lesson.take(send);
    }
    let (taught, report) = lesson.finish();
    *model = taught;
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

/// What the heads learn of a send: click, purchase, unsubscribe. Whether somebody buys is asked of those who clicked,
/// and from their click on: a purchase that no click came before is nobody's reward.
fn observations<'a>(send: &'a DecidedSend, features: &'a SparseVector) -> [Option<Observation<'a>>; 3] {
    let at = send.submitted_at;
    let until = |window| later_by(at, window);
    let observe = |since, until, answered_at| Observation {
        send_id: &send.send_id,
        at,
        since,
        until,
        channel: send.channel,
        features,
        answered_at,
        weight: 1.0,
    };
    let purchase_until = until(send.windows.purchase);
    let clicked_at = send.clicked_at.filter(|clicked| *clicked <= until(send.windows.click));
    [
        Some(observe(at, until(send.windows.click), clicked_at)),
        clicked_at
            .filter(|clicked| *clicked < purchase_until)
            .map(|clicked| observe(clicked.max(at), purchase_until, send.purchased_at)),
        // There is nothing to unsubscribe from on a page, so it says nothing of who does.
        (send.channel == Channel::Mail)
            .then(|| observe(at, until(send.windows.unsubscribe), send.unsubscribed_at)),
    ]
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
                channel: Channel::Mail,
                submitted_at: at(hour),
                windows: Windows::default(),
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
    fn a_page_says_nothing_of_who_unsubscribes() {
        let sends: Vec<_> =
            sends(600).into_iter().map(|send| DecidedSend { channel: Channel::Page, ..send }).collect();
        let mut model = model();
        let report = fit(&mut model, &sends, at(900), at(900));
        assert_eq!(
            (report.click.absorbed, report.unsubscribe.absorbed, report.unsubscribe.open),
            (600, 0, 0)
        );
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

    #[test]
    fn a_window_runs_from_the_mail_and_a_purchase_waits_from_the_click() {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        let windows = Windows { click: days(10), purchase: days(14), unsubscribe: days(7) };
        let send = |clicked: Option<i64>, purchased: Option<i64>| DecidedSend {
            channel: Channel::Mail,
            send_id: "a".to_owned(),
            submitted_at: at(0),
            windows,
            features: NamedFeatures::default(),
            clicked_at: clicked.map(at),
            purchased_at: purchased.map(at),
            unsubscribed_at: None,
        };
        let check = |send: &DecidedSend, clicked: Option<i64>, purchase: Option<[Option<i64>; 3]>| {
            let features = SparseVector::EMPTY;
            let [click, bought, _] = observations(send, &features);
            assert_eq!(click.unwrap().answered_at, clicked.map(at));
            let found = bought.map(|seen| [Some(seen.since), Some(seen.until), seen.answered_at]);
            assert_eq!(found, purchase.map(|times| times.map(|time| time.map(at))));
        };
        let fortnight = 24 * 14;
        check(&send(Some(239), Some(300)), Some(239), Some([Some(239), Some(fortnight), Some(300)]));
        check(&send(Some(241), Some(300)), None, None);
        check(&send(None, Some(2)), None, None);
        let short =
            DecidedSend { windows: Windows { purchase: days(5), ..windows }, ..send(Some(24 * 6), None) };
        check(&short, Some(24 * 6), None);
    }

    #[test]
    fn longer_windows_keep_sends_open_and_count_what_comes_late() {
        let windows = Windows { click: SignedDuration::from_hours(200), ..Windows::default() };
        let mut late = sends(300);
        for send in &mut late {
            send.windows = windows;
            send.clicked_at = send.clicked_at.map(|clicked| clicked + SignedDuration::from_hours(150));
            send.purchased_at = None;
        }
        let mut model = model();
        model.set_windows(windows);
        let report = fit(&mut model, &late, at(500), at(500));
        assert_eq!((report.click.absorbed, report.click.open), (300, 0));
        let shared = SparseVector::new(vec![(crate::select::model::FeatureId::INTERCEPT, 1.0)]).unwrap();
        let found = model.click_probability(&shared);
        assert!((0.2..0.45).contains(&found), "{found}: a third of the mails were clicked after 151 hours");
    }

    #[test]
    fn the_model_does_not_depend_on_how_the_reading_was_cut() {
        let sends = sends(400);
        let (mut at_once, now) = (model(), at(450));
        let report = fit(&mut at_once, &sends, now, now);
        let taught = |from: &Heads, pages: &[DecidedSend]| {
            let mut lesson = Lesson::begin(from.clone(), now, now);
            for send in pages {
                lesson.take(send);
            }
            lesson.finish()
        };
        let (by_page, same) = taught(&model(), &sends);
        assert_eq!((&by_page, same), (&at_once, report));
        let needed = needed_after(&by_page).unwrap();
        let rest: Vec<DecidedSend> =
            sends.iter().filter(|send| send.submitted_at > needed).cloned().collect();
        assert_eq!(taught(&by_page, &rest).0, at_once);
    }
}
