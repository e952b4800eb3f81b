//! The shipped shop: how much of it there is, and that every mail of it is fit to be sent.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;

use bespoke::campaign::Kind;
use bespoke::catalog::Catalog;
use bespoke::catalog::CatalogSettings;
use bespoke::catalog::check::check;
use bespoke::catalog::offer::OfferKind;
use bespoke::catalog::variant::CampaignEntry;
use bespoke::catalog::variant::Variant;
use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::fault::render_all;
use bespoke::render::GMAIL_CLIP_BYTES;
use bespoke::render::LinkContext;
use bespoke::render::Rendered;
use bespoke::render::Renderer;
use bespoke::stage::Stage;
use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::render::PlainSigner;

const UNSUBSCRIBE: &str = "https://t.example/u/s1";
/// The only pictures that a sample's products have.
const PICTURES: &str = "https://img.brindle.example/";
/// What the preview line and the inbox list show of a subject.
const SUBJECT_CHARACTERS_MAX: usize = 78;

static SHOP: LazyLock<Catalog> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let nothing = Environment::from_pairs([]);
    let config = Config::load(Some(&root.join("bespoke.toml")), &nothing, &Overrides::default());
    let settings = CatalogSettings::of_config(&config.unwrap_or_else(|faults| panic!("{faults}")));
    Catalog::load(&root.join("templates"), &settings)
        .unwrap_or_else(|faults| panic!("{}", render_all(&faults)))
});

static RENDERER: LazyLock<Renderer> = LazyLock::new(|| {
    let mut renderer = Renderer::new(Arc::new(PlainSigner), &Map::new());
    renderer.add(SHOP.templates());
    renderer
});

/// The facts of one sample as this variant would see them; `None` where the sample cannot get it.
fn facts_for(entry: &CampaignEntry, variant: &Variant, sample: &str) -> Option<Value> {
    let sample = SHOP.samples_for(&entry.campaign).find(|known| known.name == sample)?;
    let mut facts = sample.facts_for(&entry.campaign, variant.stage);
    if let Some(locale) = &variant.locale {
        facts["profile"]["locale"] = json!(locale);
    }
    let rules = variant.when.iter().map(AsRef::as_ref).chain(&entry.audience);
    let fits =
        variant.missing_input(&facts).is_none() && rules.into_iter().all(|rule| rule.holds(&facts).unwrap());
    if let Some(offer) = variant.offer.as_deref().and_then(|name| SHOP.offer(name)) {
        let mut values = offer.values(&facts, Timestamp::UNIX_EPOCH).unwrap();
        if offer.kind == OfferKind::Coupon {
            values.insert("code".to_owned(), json!("CODE-1"));
        }
        facts["offer"] = Value::Object(values);
    }
    fits.then_some(facts)
}

fn mail(entry: &CampaignEntry, variant: &Variant, facts: &Value) -> Rendered {
    let links = LinkContext {
        send: "s1",
        tracking: entry.campaign.tracking,
        unsubscribe: UNSUBSCRIBE,
        preferences: Some("https://t.example/p/s1"),
        view: Some("https://t.example/v/s1"),
        honeypot: None,
    };
    let rendered = RENDERER.render(&variant.template, facts, &links);
    rendered.unwrap_or_else(|fault| panic!("{}: {fault}", variant.id.as_str()))
}

/// Each variant with its first ordinary sample.
fn each_mail(visit: impl Fn(&CampaignEntry, &Variant, &Rendered)) {
    let names: Vec<&str> = SHOP.samples().iter().map(|sample| sample.name.as_str()).collect();
    for entry in SHOP.campaigns() {
        for variant in entry.variants() {
            let mut ordinary = names.iter().filter(|name| **name != "odd-name");
            let facts = ordinary.find_map(|name| facts_for(entry, variant, name));
            let facts = facts.unwrap_or_else(|| panic!("nobody gets {}", variant.id.as_str()));
            visit(entry, variant, &mail(entry, variant, &facts));
        }
    }
}

/// The variants that most people get: files without a locale, in the folder of a stage, of lifecycle campaigns.
fn lifecycle_variants() -> impl Iterator<Item = (&'static Variant, Stage)> {
    let campaigns = SHOP.campaigns().filter(|entry| entry.campaign.kind == Kind::Lifecycle);
    campaigns
        .flat_map(CampaignEntry::variants)
        .filter(|variant| variant.locale.is_none())
        .filter_map(|variant| Some((variant, variant.stage?)))
}

#[test]
fn every_variant_renders_with_every_sample_that_may_get_it_and_nothing_is_left_to_say() {
    let report = check(&SHOP);
    assert!(report.faults.is_empty(), "{}", render_all(&report.faults));
    assert!(report.renders > 4 * lifecycle_variants().count());
}

#[test]
fn the_shop_has_hundreds_of_lifecycle_variants_over_all_stages_and_four_transactional_campaigns() {
    assert!(lifecycle_variants().count() >= 240, "{}", lifecycle_variants().count());
    let seen = |variant: &Variant| SHOP.template(&variant.template).unwrap().html.clone();
    let distinct: BTreeSet<String> = lifecycle_variants().map(|(variant, _)| seen(variant)).collect();
    assert!(distinct.len() >= 240, "{} without those that differ in their subject alone", distinct.len());
    for stage in Stage::ALL {
        let here = lifecycle_variants().filter(|(_, of)| *of == stage);
        assert!(here.count() >= 60, "{stage}");
        let of_journey = lifecycle_variants()
            .filter(|(variant, of)| *of == stage && variant.campaign.as_str() == "journey");
        let files: BTreeSet<&str> = of_journey.map(|(variant, _)| variant.id.family()).collect();
        assert!(files.len() >= 8, "{stage}: {files:?}");
    }
    let transactional = SHOP.campaigns().filter(|entry| entry.campaign.kind == Kind::Transactional);
    let names: Vec<&str> = transactional.map(|entry| entry.campaign.id.as_str()).collect();
    assert_eq!(names, ["confirm-subscription", "order-confirmation", "password-reset", "shipping"]);
}

#[test]
fn every_mail_can_be_read_without_fetching_anything_and_left() {
    each_mail(|entry, variant, mail| {
        let id = variant.id.as_str();
        assert!(mail.html.len() <= GMAIL_CLIP_BYTES, "{id}: {} bytes", mail.html.len());
        assert!(mail.subject.chars().count() <= SUBJECT_CHARACTERS_MAX, "{id}: {}", mail.subject);
        assert!(mail.text.split_whitespace().count() > 20, "{id}: {}", mail.text);
        // The tile beside a product shows its initial; those who read the text need none.
        assert!(mail.text.lines().all(|line| line.trim().chars().count() != 1), "{id}: {}", mail.text);
        for part in [&mail.subject, &mail.preheader, &mail.text, &mail.html] {
            assert!(!part.trim().is_empty() && !part.contains("{{") && !part.contains("{%"), "{id}: {part}");
        }
        for remote in ["<link", "@import", "@font-face", "url(", "<script", "<iframe", "background="] {
            assert!(!mail.html.contains(remote), "{id} has {remote}");
        }
        for picture in mail.html.split("<img").skip(1) {
            let tag = picture.split('>').next().unwrap_or_default();
            assert!(tag.contains("alt=\""), "{id}: {tag}");
            let is_pixel = tag.contains("https://t.example/o/");
            assert!(is_pixel || tag.contains(&format!("src=\"{PICTURES}")), "{id}: {tag}");
        }
        if entry.campaign.kind == Kind::Lifecycle {
            assert!(mail.html.contains(UNSUBSCRIBE) && mail.text.contains(UNSUBSCRIBE), "{id}");
        }
        assert!(!mail.text.lines().any(has_glued_prices), "{id}: {}", mail.text);
    });
}

/// Whether one price follows another without a blank, such as £38.00£32.00.
fn has_glued_prices(line: &str) -> bool {
    let after: Vec<&str> = line.split('£').skip(1).collect();
    let is_number = |text: &str| text.ends_with(|last: char| last.is_ascii_digit()) && !text.contains(' ');
    after.iter().rev().skip(1).any(|text| is_number(text))
}

#[test]
fn a_campaign_that_speaks_german_speaks_it_throughout_and_nothing_else() {
    for entry in SHOP.campaigns() {
        let speaks = |variant: &Variant| variant.locale.as_deref() == Some("de");
        let german = entry.arms.iter().filter(|arm| arm.locales.iter().any(speaks)).count();
        let all = entry.arms.len();
        assert!(german == 0 || german == all, "{}: {german} of {all}", entry.campaign.id.as_str());
    }
    each_mail(|entry, variant, mail| {
        if variant.locale.is_none() || entry.campaign.kind == Kind::Transactional {
            return;
        }
        let read = format!("{} {} {}", mail.subject, mail.preheader, mail.text).to_lowercase();
        let words = read.split_whitespace().filter(|word| !word.contains('/'));
        let english = words
            .map(|word| word.trim_matches(|letter: char| !letter.is_alphabetic()))
            .find(|word| ["the", "and", "you", "your"].contains(word));
        assert_eq!(english, None, "{}: {read}", variant.id.as_str());
    });
}

#[test]
fn markup_and_template_language_in_a_name_come_out_as_they_were_typed() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in SHOP.campaigns() {
        for variant in entry.variants() {
            let Some(facts) = facts_for(entry, variant, "odd-name") else { continue };
            let mail = mail(entry, variant, &facts);
            let id = variant.id.as_str();
            assert!(!mail.html.contains("<script") && !mail.html.contains("<b>Bold"), "{id}");
            assert!(!mail.html.contains("1,000,000") && !mail.text.contains(" 49 "), "{id}");
            assert!(mail.html.len() <= GMAIL_CLIP_BYTES, "{id}: {} bytes", mail.html.len());
            for (word, part) in
                [("&lt;b&gt;Bold", &mail.html), ("<b>Bold", &mail.text), ("{{ name }}", &mail.text)]
            {
                *seen.entry(word).or_default() += usize::from(part.contains(word));
            }
        }
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count > 100), "{seen:?}");
}

#[test]
fn whoever_reads_german_is_welcomed_in_german() {
    let german = |campaign: &str, stage: Stage| {
        let entry = SHOP.campaigns().find(|entry| entry.campaign.id.as_str() == campaign).unwrap();
        entry.arms_at(stage).map(|arm| arm.for_locale(Some("de-AT")).unwrap().locale.as_deref()).collect()
    };
    for (campaign, stage) in [
        ("welcome", Stage::Discover),
        ("welcome", Stage::Purchase),
        ("cart", Stage::Compare),
        ("review-request", Stage::Purchase),
        ("order-confirmation", Stage::Purchase),
        ("password-reset", Stage::Compare),
        ("confirm-subscription", Stage::Discover),
    ] {
        let locales: BTreeSet<Option<&str>> = german(campaign, stage);
        assert_eq!(locales, BTreeSet::from([Some("de")]), "{campaign}");
    }
}
