//! Small histories and where they place a person.

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::event::Event;
use crate::history::FoldContext;
use crate::history::fold;
use crate::product::ProductIndex;
use crate::profile::ProfileId;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

/// Places by `(days ago, event, product or order)`.
fn placed(list: &[(i64, &str, &str)], previous: Option<Stage>) -> Placement {
    let event = |(index, (days, name, of)): (usize, &(i64, &str, &str))| Event {
        id: format!("e{index}"),
        profile: ProfileId::parse("ana").unwrap(),
        name: (*name).to_owned(),
        at: days_ago(*days),
        properties: json!({"product_id": of, "order_id": of}).as_object().unwrap().clone(),
    };
    let events: Vec<Event> = list.iter().enumerate().map(event).collect();
    let weights = StageWeights::default();
    let history = fold(
        &FoldContext::new(&[], "EUR", &weights),
        &ProductIndex::default(),
        days_ago(500),
        &events,
        &[],
        now(),
    );
    let previous =
        previous.map(|stage| StageRecord { stage, since: days_ago(20), reason: "earlier".to_owned() });
    place(&history, previous.as_ref(), &weights, now())
}

fn check(list: &[(i64, &str, &str)], previous: Option<Stage>, stage: Stage, reason: &str) {
    let placement = placed(list, previous);
    assert_eq!((placement.stage, placement.reason.as_str()), (stage, reason), "{:?}", placement.scores);
    let transition = (previous != Some(stage)).then(|| Transition {
        from: previous,
        to: stage,
        at: now(),
        reason: reason.to_owned(),
    });
    assert_eq!(placement.transition, transition);
    let record = transition.map(|step| StageRecord { stage, since: step.at, reason: step.reason });
    assert_eq!(placement.record(), record);
}

#[test]
fn evidence_places_and_its_reason_names_the_facts() {
    use Stage::*;
    check(&[], None, Discover, "Discover: nothing is known yet");
    check(&[(3, "Signed Up", "")], None, Discover, "Discover: 1 sign-up in 7 days");
    let reads = [(2, "Article Viewed", ""), (1, "Article Viewed", ""), (0, "Product List Viewed", "")];
    check(&reads, None, Educate, "Educate: 2 articles read and 1 category view in 7 days");
    let mut weighs = vec![(1, "Product Compared", "a"); 4];
    weighs.extend([(2, "Product Viewed", "a"), (2, "Product Viewed", "b")].repeat(3));
    check(&weighs, None, Compare, "Compare: 4 product comparisons and 6 views of 2 products in 7 days");
    let looks = [(6, "Product Viewed", "a"), (2, "Product Viewed", "b"), (1, "Products Searched", "")];
    check(&looks, None, Educate, "Educate: 2 views of 2 products and 1 search in 7 days");
    check(
        &[(0, "Product Added", "a")],
        Some(Compare),
        Purchase,
        "Purchase: 1 addition to the cart in 24 hours",
    );
    check(&[(3, "Order Completed", "1")], None, Purchase, "Purchase: 1 order in 7 days");
}

#[test]
fn a_buyer_falls_back_by_decay_and_stays_a_customer() {
    use Stage::*;
    check(&[(20, "Order Completed", "1")], Some(Purchase), Purchase, "Purchase: 1 order in 30 days");
    let reason = "Educate: a customer whose last order was 60 days ago";
    check(&[(60, "Order Completed", "1")], Some(Purchase), Educate, reason);
    let looks = [(300, "Article Viewed", "a")];
    check(&looks, Some(Educate), Discover, "Discover: last seen 300 days ago");
}

#[test]
fn a_stage_is_not_left_for_a_lead_under_the_margin() {
    use Stage::*;
    // Compare 2·2 = 4, Purchase 4 + 0.5 for Compare: 4.5 against 4.
    let even = [(0, "Product Compared", "a"), (0, "Product Compared", "b"), (0, "Product Added", "a")];
    let reason = "Purchase: 1 addition to the cart in 24 hours";
    let placement = placed(&even, Some(Purchase));
    assert_eq!((placement.stage, placement.transition.is_none()), (Purchase, true));
    assert_eq!(
        placement.reason,
        reason.replace("Purchase:", "Purchase, kept because Compare leads by too little:")
    );
    assert_eq!(placed(&even, None).stage, Compare);
    // One more comparison leads by enough.
    let mut ahead = even.to_vec();
    ahead.push((0, "Product Compared", "c"));
    assert_eq!(placed(&ahead, Some(Purchase)).stage, Compare);
}

#[test]
fn weights_of_a_file_lie_over_the_defaults_and_are_checked() {
    let weights: StageWeights = toml::from_str(
        "margin = 0.5\n[events]\n\"Product Viewed\" = { compare = 9 }\n\"Quiz Done\" = { educate = -1 }",
    )
    .unwrap();
    let mut expected = StageWeights { margin: 0.5, ..StageWeights::default() };
    let points = |educate, compare| StagePoints { educate, compare, ..StagePoints::default() };
    expected.events.insert("product_viewed".to_owned(), points(0.0, 9.0));
    expected.events.insert("quiz_done".to_owned(), points(-1.0, 0.0));
    assert_eq!(weights, expected);
    assert_eq!(
        weights.problems(&[]),
        [
            "stage.events.quiz_done is no known event; declare it, or correct its name",
            "stage.events.quiz_done holds a number that is not 0 or more"
        ]
    );
    assert_eq!(weights.problems(&["Quiz Done".to_owned()]).len(), 1);
    assert!(StageWeights::default().problems(&[]).is_empty());
    assert!(toml::from_str::<StageWeights>("[events]\nproduct_viewed = { buy = 1 }").is_err());
    assert_eq!(StageWeights { half_life_days: 0.0, ..StageWeights::default() }.problems(&[]).len(), 1);
}
