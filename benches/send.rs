//! The pure parts of one send on one core: select, compose, sign.
//!
//! Budgets: `select` among the shipped journey's variants ≤ 20 µs (240 variants, `weighted`); `compose` of a 30 KB
//! mail ≤ 80 µs; `sign` by RSA-2048 ≤ 400 µs, by Ed25519 ≤ 100 µs.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::campaign::PolicyKind;
use bespoke::catalog::Catalog;
use bespoke::catalog::CatalogSettings;
use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::decision::Slice;
use bespoke::deliver::dkim::DkimKey;
use bespoke::deliver::dkim::sign;
use bespoke::deliver::message::Mail;
use bespoke::deliver::message::MailPurpose;
use bespoke::profile::EmailAddress;
use bespoke::select::Situation;
use bespoke::select::features::Customer;
use bespoke::select::select;
use bespoke::send::SendId;
use bespoke::stage::Stage;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use jiff::Timestamp;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn at() -> Timestamp {
    "2026-11-22T09:30:00Z".parse().expect("a time")
}

fn selection(criterion: &mut Criterion) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bespoke.toml");
    let config =
        Config::load(Some(&file), &Environment::default(), &Overrides::default()).expect("a configuration");
    let catalog =
        Catalog::load(Path::new("builtin"), &CatalogSettings::of_config(&config)).expect("the shipped shop");
    let mut entry = catalog.campaign(&CampaignId("journey".to_owned())).expect("the journey").clone();
    Arc::make_mut(&mut entry.campaign).policy = PolicyKind::Weighted;
    assert!(entry.arms.len() >= 240, "{} variants", entry.arms.len());
    let sample =
        catalog.samples().iter().find(|sample| sample.name.contains("compare-full")).expect("a sample");
    let facts = sample.facts_for(&entry.campaign, Some(Stage::Compare));
    let situation = Situation {
        entry: &entry,
        facts: &facts,
        mails: &[],
        customer: Customer::default(),
        model: None,
        stage: Stage::Compare,
        locale: Some("en-GB"),
        slice: Slice::Policy,
        position: 0.5,
        no_coupons: &[],
        now: at(),
        seed: 7,
    };
    criterion.bench_function("select", |bencher| bencher.iter(|| black_box(select(black_box(&situation)))));
}

fn composing(criterion: &mut Criterion) {
    let send = SendId::parse("0193f0a1b2c3d4e5f60718293a4b5c6d").expect("an id");
    let from = "Shop <hello@shop.test>".parse().expect("a mailbox");
    let to = EmailAddress::parse("ana@example.test").expect("an address");
    let return_path = EmailAddress::parse("b-x@shop.test").expect("an address");
    let html = "<p style=\"margin:0\">Two hundred grams of coffee, ground as you like it.</p>\n".repeat(400);
    let text = "Two hundred grams of coffee, ground as you like it.\n".repeat(60);
    let mail = Mail {
        send: &send,
        from: &from,
        reply_to: None,
        to: &to,
        to_name: Some("Ana"),
        date: at(),
        subject: "Your weekly cup",
        html: &html,
        text: &text,
        return_path: &return_path,
        message_id_domain: "shop.test",
        kind: Kind::Transactional,
        list: None,
        feedback_id: "a:b:c:d",
        attachments: &[],
        purpose: MailPurpose::Delivery,
        postmark_metadata: None,
    };
    criterion.bench_function("compose", |bencher| bencher.iter(|| black_box(mail.compose())));
    let bytes = mail.compose().expect("a mail").bytes;
    for (name, key) in [
        ("sign/rsa-2048", DkimKey::generate_rsa("shop.test", "r").expect("a key")),
        ("sign/ed25519", DkimKey::generate_ed25519("shop.test", "e").expect("a key")),
    ] {
        let keys = [key];
        criterion.bench_function(name, |bencher| bencher.iter(|| black_box(sign(&bytes, &keys, at()))));
    }
}

criterion_group!(benches, selection, composing);
criterion_main!(benches);
