//! A draw that falls on an offer whose coupons have just run out is made again, by a number of its own.

use bespoke::campaign::Kind;
use bespoke::decision::Channel;
use bespoke::decision::Choice;
use bespoke::decision::Decision;
use bespoke::decision::Slice;
use bespoke::decision::VariantId;
use bespoke::explain::explain;
use bespoke::explain::text;
use bespoke::worker::decide::Plan;
use bespoke::worker::decide::Subject;
use bespoke::worker::decide::Verdict;
use bespoke::worker::exhausted::Exhausted;

use crate::support::TestApp;
use crate::support::given;

const PLAIN: &str = "+++\nsubject = \"A deal\"\n+++\n<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>";
const GIFT: &str = "+++\nsubject = \"A gift\"\nweight = 2\noffer = \"gift\"\n+++\n<mj-section><mj-column><mj-text>Your code: {{ offer.code }}</mj-text></mj-column></mj-section>";

/// Half of all draws are a gift, whose pool is empty; the rest is shared by two.
const DEAL: [(&str, &str); 5] = [
    (
        "deal/campaign.toml",
        "kind = \"lifecycle\"\npolicy = \"weighted\"\nuniform_percent = 0\nholdout_percent = 0\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * MON\" } }\n",
    ),
    ("deal/any/one.mjml", PLAIN),
    ("deal/any/two.mjml", PLAIN),
    ("deal/any/zero.mjml", GIFT),
    ("offers.toml", "[gift]\ndescription = \"A gift\"\nkind = \"coupon\"\npercent = '10'\n"),
];

fn name(decision: &Decision) -> &str {
    match &decision.choice {
        Choice::Variant { variant, .. } => variant.as_str(),
        Choice::NoSend => "nothing",
    }
}

/// The number lies in the part of the line that belongs to what was chosen.
fn check_drawn_at(decision: &Decision) {
    let at = decision.drawn_at.unwrap();
    let mut from = 0.0;
    for candidate in &decision.candidates {
        let to = from + candidate.probability;
        assert_eq!((from..to).contains(&at), candidate.variant.as_str() == name(decision), "{decision:?}");
        from = to;
    }
}

#[tokio::test]
async fn the_second_draw_does_not_depend_on_where_the_first_fell() {
    let app = TestApp::on_sqlite(&DEAL).await;
    let engine = app.engine().await;
    let entry = engine.catalog.campaigns().find(|entry| entry.campaign.id.as_str() == "deal").unwrap();
    let drawn = |subject: &Subject, exhausted: &Exhausted| -> Box<Plan> {
        match engine.choose(subject, Channel::Mail, entry, Slice::Policy, exhausted, app.now()) {
            Verdict::Go(plan) => plan,
            stopped @ Verdict::Stop { .. } => panic!("{stopped:?}"),
        }
    };
    let (mut again, mut one) = (0, 0);
    for number in 0..600 {
        let name_of_person = format!("p{number}");
        let mut send = given::send(&name_of_person, "1", Kind::Lifecycle, app.now());
        send.campaign = entry.campaign.id.clone();
        let subject = Subject::of_stranger(send, given::profile(&name_of_person));
        let first = drawn(&subject, &Exhausted::default());
        check_drawn_at(&first.decision);
        let Some(offer) = &first.coupon else {
            assert!((first.decision.propensity - 0.25).abs() < 1e-12);
            continue;
        };
        let mut exhausted = Exhausted::default();
        exhausted.withdraw(&first, offer);
        let second = drawn(&subject, &exhausted).decision;
        check_drawn_at(&second);
        assert!((second.propensity - 0.5).abs() < 1e-12 && second.seed != first.decision.seed);
        assert_eq!(second.withdrawn.len(), 1);
        assert_eq!(second.withdrawn[0].variant, VariantId::new("deal/any/zero"));
        assert_eq!(second.withdrawn[0].seed, first.decision.seed);
        assert!((second.withdrawn[0].propensity - 0.5).abs() < 1e-12);
        again += 1;
        one += usize::from(name(&second) == "deal/any/one");
    }
    // Three standard deviations of a fair coin.
    assert!((240..360).contains(&again), "{again} of 600 draws fell on the gift");
    assert!(one.abs_diff(again / 2) < 28, "{one} of {again} second draws fell on the first of two");
}

#[tokio::test]
async fn whoever_finds_the_pool_empty_gets_something_else_and_the_record_says_so() {
    for app in TestApp::on_each_database(&DEAL).await {
        for number in 0..12 {
            app.given_profile(&format!("p{number}")).await;
        }
        app.at("2026-03-02T00:30:00Z").await;
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        let mut decisions = Vec::new();
        for stored in app.sends().await {
            decisions.push(app.decision(&stored.send.id).await);
        }
        assert!(decisions.iter().all(|decision| name(decision) != "deal/any/zero"));
        for decision in &decisions {
            check_drawn_at(decision);
        }
        // The first to find it empty tells the others.
        let again: Vec<&Decision> = decisions.iter().filter(|one| !one.withdrawn.is_empty()).collect();
        assert_eq!(again.len(), 1);
        let page = text(&explain(&app.database.store, &again[0].send).await.unwrap().unwrap());
        let flat = page.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in [
            "no coupon was left for offer gift",
            "before it, deal/any/zero was drawn (probability 0.5000, the number was 0.",
            "the lot the seed gave the number 0.",
            &format!("belongs to {}", name(again[0])),
        ] {
            assert!(flat.contains(words), "{words:?} is not in\n{page}");
        }
    }
}
