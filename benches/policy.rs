//! One choice of the default policy, as a worker makes it for each recipient.
//!
//! Budget, on one core: 150 µs among 240 variants with all three heads (click, purchase, unsubscribe), NO SEND, and the
//! shortlist of 24 + 8. Measured when this was written: 83 µs, and 34 µs with the click head alone (116 and 44 before
//! half of the draws mirrored the other half).

use std::hint::black_box;

use bespoke::select::model::heads::{BaseRates, Earned};
use bespoke::select::model::{
    Arm, ChoiceOptions, Chooser, FeatureId, FeatureSpace, Heads, Kind, SparseVector, Values,
};
use criterion::{Criterion, criterion_group, criterion_main};

const VARIANTS: usize = 240;
/// Facts about the customer: each is a feature, and one more with the family of the offer.
const FACTS: [&str; 7] = ["stage=educate", "recency", "frequency", "value", "tenure", "clicks", "no value"];
/// Slots and how many options each has: their product is [`VARIANTS`].
const SLOTS: [(&str, usize); 4] = [("subject", 4), ("hero", 5), ("offer", 4), ("action", 3)];

/// A model, the customer's features and those of each variant: 22 a variant, as the shipped shop has.
fn shop() -> (Heads, SparseVector, Vec<SparseVector>) {
    let mut model = Heads::new(FeatureSpace::new(), BaseRates::default());
    let mut feature = |group: &str, kind, name: &str| model.intern(group, kind, name).expect("few features");
    let mut shared = vec![(FeatureId::INTERCEPT, 1.0)];
    shared.extend(FACTS.iter().map(|fact| (feature("customer", Kind::Shared, fact), 0.7)));
    let variants = (0..VARIANTS)
        .map(|variant| {
            let mut pairs = Vec::new();
            let mut rest = variant;
            for (slot, options) in SLOTS {
                let option = format!("{slot}={}", rest % options);
                rest /= options;
                pairs.push((feature(slot, Kind::Arm, &option), 1.0));
                let both = format!("stage=educate × {option}");
                pairs.push((feature(&format!("stage × {slot}"), Kind::Interaction, &both), 1.0));
            }
            for fact in FACTS {
                let both = format!("{fact} × family={}", variant % 5);
                pairs.push((feature("customer × family", Kind::Interaction, &both), 0.7));
            }
            pairs.push((feature("tone", Kind::Arm, &format!("tone={}", variant % 4)), 1.0));
            pairs.push((feature("category", Kind::Arm, &format!("category={}", variant % 12)), 1.0));
            pairs.push((feature("variant", Kind::Arm, &format!("variant={variant}")), 1.0));
            pairs.push((
                feature("discount", Kind::Arm, "discount depth"),
                [0.05, 0.1, 0.15, 0.2][variant % 4],
            ));
            pairs.push((
                feature("recency", Kind::Recency, "recency of the variant"),
                [0.2, 0.5, 0.9][variant % 3],
            ));
            pairs.push((feature("recency", Kind::Recency, "recency of the family"), [0.4, 0.8][variant % 2]));
            SparseVector::new(pairs).expect("finite values")
        })
        .collect();
    (model, SparseVector::new(shared).expect("finite values"), variants)
}

fn choose(criterion: &mut Criterion) {
    let (model, shared, variants) = shop();
    let send = |features| Arm::Send { features, margin: 20.0, cost: 0.001, share_max: None };
    let mut arms: Vec<Arm<'_>> = variants.iter().map(send).collect();
    arms.push(Arm::NoSend);
    let mut group = criterion.benchmark_group("thompson among 240 variants");
    for (name, values) in [
        ("all heads", Values { earned: Earned::ByPurchase, unsubscribe_loss: 5.0 }),
        ("click head", Values { earned: Earned::ByClick, unsubscribe_loss: 0.0 }),
    ] {
        let options = ChoiceOptions::new(values);
        let mut chooser = Chooser::default();
        let mut seed = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seed += 1;
                black_box(chooser.choose(&arms, black_box(&shared), &model, seed, &options))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, choose);
criterion_main!(benches);
