//! The miniature catalogue, loaded: what it stands for, who gets which file, what the mails say.

use std::sync::Arc;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Tracking;
use bespoke::catalog::Catalog;
use bespoke::catalog::check::check;
use bespoke::catalog::files::Files;
use bespoke::catalog::variant::Variant;
use bespoke::fault::Severity;
use bespoke::fault::render_all;
use bespoke::render::LinkContext;
use bespoke::render::LinkSigner;
use bespoke::render::Rendered;
use bespoke::render::Renderer;
use bespoke::stage::Stage;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::folder;
use super::settings;
use super::with;

fn fixture() -> Catalog {
    Catalog::load(&folder(), &settings()).unwrap_or_else(|faults| panic!("{}", render_all(&faults)))
}

fn find<'a>(catalog: &'a Catalog, id: &str, locale: Option<&str>) -> &'a Variant {
    catalog
        .variants()
        .find(|variant| variant.id.as_str() == id && variant.locale.as_deref() == locale)
        .unwrap()
}

#[derive(Debug)]
struct Plain;

impl LinkSigner for Plain {
    fn click(&self, _send: &str, _link: u32, target: &str) -> String {
        target.to_owned()
    }

    fn open(&self, _send: &str) -> String {
        String::new()
    }
}

fn mail(catalog: &Catalog, variant: &Variant, facts: &Value) -> Rendered {
    let mut renderer = Renderer::new(Arc::new(Plain), &Map::new());
    renderer.add(catalog.templates());
    let links = LinkContext {
        send: "0",
        tracking: Tracking::Off,
        unsubscribe: "https://shop.example/u",
        preferences: Some("https://shop.example/p"),
        view: Some("https://shop.example/v"),
        honeypot: None,
    };
    renderer.render(&variant.template, facts, &links).unwrap()
}

#[test]
fn a_file_stands_for_every_combination_of_its_options() {
    let catalog = fixture();
    let ids: Vec<String> = catalog
        .variants()
        .map(|variant| format!("{} {}", variant.id.as_str(), variant.locale.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        ids,
        [
            "picks/compare/versus -",
            "picks/any/news -",
            "picks/discover/hello+hero=none+subject=named -",
            "picks/discover/hello+hero=none+subject=plain -",
            "picks/discover/hello+hero=photo+subject=named -",
            "picks/discover/hello+hero=photo+subject=named de",
            "picks/discover/hello+hero=photo+subject=plain -",
            "picks/discover/hello+hero=photo+subject=plain de",
            "picks/discover/hello+hero=quote+subject=named -",
            "picks/discover/hello+hero=quote+subject=plain -",
            "receipt/any/receipt -",
            "receipt/any/receipt de-AT",
        ]
    );
}

#[test]
fn options_narrow_weigh_and_describe_their_combination() {
    let catalog = fixture();
    let quote = find(&catalog, "picks/discover/hello+hero=quote+subject=named", None);
    let rules: Vec<&str> = quote.when.iter().map(|rule| rule.source()).collect();
    assert_eq!(
        (quote.weight, rules, quote.tone.as_deref(), quote.category.as_deref()),
        (1.5, vec!["has(profile.first_name)"], Some("warm"), Some("voices"))
    );
    assert_eq!(quote.id.family(), "picks/discover/hello");
    assert_eq!(
        quote.options.iter().map(|(slot, option)| format!("{slot}={option}")).collect::<Vec<_>>(),
        ["hero=quote", "subject=named"]
    );
    let files: Vec<String> = quote.files.iter().map(|file| file.display().to_string()).collect();
    let expected =
        ["picks/discover/hello.mjml", "picks/slots/hero/quote.mjml", "picks/slots/subject/named.mjml"];
    assert_eq!(files, expected);
    let versus = find(&catalog, "picks/compare/versus", None);
    assert_eq!((versus.stage, versus.order, versus.weight), (Some(Stage::Compare), Some(1), 2.0));
    assert_eq!((versus.offer.as_deref(), versus.discount_depth), (Some("first-order"), Some(10.0)));
}

#[test]
fn people_get_the_file_of_their_locale_or_its_language_or_the_one_for_everybody() {
    let catalog = fixture();
    let check = |campaign: &str, id: &str, locale: Option<&str>, expected: Option<Option<&str>>| {
        let entry = catalog.campaign(&CampaignId(campaign.to_owned())).unwrap();
        let arm = entry.arms.iter().find(|arm| arm.id.as_str() == id).unwrap();
        let found = arm.for_locale(locale).map(|variant| variant.locale.as_deref());
        assert_eq!(found, expected, "{id} {locale:?}");
    };
    let hello = "picks/discover/hello+hero=photo+subject=plain";
    check("picks", hello, Some("de-AT"), Some(Some("de")));
    check("picks", hello, Some("de"), Some(Some("de")));
    check("picks", hello, Some("fr-CH"), Some(None));
    check("picks", hello, None, Some(None));
    check("receipt", "receipt/any/receipt", Some("de-AT"), Some(Some("de-AT")));
    check("receipt", "receipt/any/receipt", Some("de-DE"), Some(None));
    let only_german = [(
        "picks/any/gruss.de.mjml",
        "+++\nsubject = \"s\"\npreheader = \"p\"\n+++\n<mj-block name=\"heading\" title=\"x\" />\n",
    )];
    let catalog = Catalog::from_files(&with(&only_german), &settings()).unwrap();
    let entry = catalog.campaign(&CampaignId("picks".to_owned())).unwrap();
    let arm = entry.arms.iter().find(|arm| arm.id.as_str() == "picks/any/gruss").unwrap();
    assert!(arm.for_locale(Some("en")).is_none() && arm.for_locale(Some("de-CH")).is_some());
}

#[test]
fn a_stage_has_its_own_arms_and_those_for_everybody() {
    let catalog = fixture();
    let entry = catalog.campaign(&CampaignId("picks".to_owned())).unwrap();
    let count = |stage| entry.arms_at(stage).count();
    assert_eq!(Stage::ALL.map(count), [7, 1, 2, 1]);
    let first: Vec<&str> = entry.arms_at(Stage::Compare).map(|arm| arm.id.as_str()).collect();
    assert_eq!(first, ["picks/compare/versus", "picks/any/news"]);
}

#[test]
fn a_mail_is_made_of_layout_slots_and_blocks_in_its_language() {
    let catalog = fixture();
    let facts = json!({
        "profile": {"first_name": "Ana <b>"},
        "shop": settings().shop,
        "recommended": [{"name": "Lamp & Co", "url": "https://shop.example/p/1"}],
    });
    let english =
        mail(&catalog, find(&catalog, "picks/discover/hello+hero=quote+subject=named", None), &facts);
    assert_eq!(english.subject, "Ana <b>, something for you");
    assert_eq!(english.preheader, "Chosen for you");
    for part in ["“The best shop in town”", "For you", "Lamp &amp; Co", "https://shop.example/u"] {
        assert!(english.html.contains(part), "{part}");
    }
    let order = ["The best shop", "For you", "Lamp & Co", "1 Main Street", "https://shop.example/u"];
    let places: Vec<usize> = order.iter().map(|part| english.text.find(part).unwrap()).collect();
    assert!(places.is_sorted(), "{}", english.text);
    let german =
        mail(&catalog, find(&catalog, "picks/discover/hello+hero=photo+subject=plain", Some("de")), &facts);
    assert_eq!((german.subject.as_str(), german.preheader.as_str()), ("Etwas für Sie", "Für Sie ausgesucht"));
}

#[test]
fn offers_are_worked_out_for_each_person() {
    let catalog = fixture();
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    let values = |name: &str, orders: i64| {
        let facts = json!({"history": {"orders_total": orders, "spend_total": 2_010}});
        Value::Object(catalog.offer(name).unwrap().values(&facts, now).unwrap())
    };
    assert_eq!(
        values("first-order", 0),
        json!({"name": "first-order", "description": "Ten percent off the first order", "percent": 10,
            "expires_at": "2026-12-06T10:00:00Z"})
    );
    let loyal = |percent: Value| json!({"name": "loyal", "description": "A rate that grows with orders", "percent": percent});
    assert_eq!(values("loyal", 12), loyal(json!(15)));
    assert_eq!(values("loyal", 1), loyal(json!(10.5)));
    let spent = json!({"name": "spent", "description": "A twentieth of what was spent", "amount": 100});
    assert_eq!(values("spent", 1), spent);
}

#[test]
fn the_version_names_the_content_and_content_that_is_the_same_is_compiled_once() {
    let catalog = fixture();
    assert_eq!(catalog.version, fixture().version);
    let other = Catalog::from_files(&with(&[("samples/x.json", "{}")]), &settings()).unwrap();
    assert_ne!(catalog.version, other.version);
    let twin = "+++\nsubject = \"s\"\npreheader = \"p\"\nweight = 3\n+++\n<mj-block name=\"heading\" title=\"x\" />\n";
    let twins =
        Catalog::from_files(&with(&[("picks/any/a.mjml", twin), ("picks/any/b.mjml", twin)]), &settings());
    let twins = twins.unwrap();
    let (a, b) = (find(&twins, "picks/any/a", None), find(&twins, "picks/any/b", None));
    assert_eq!(a.template, b.template);
    assert_eq!(twins.templates().count(), catalog.templates().count() + 1);
}

#[test]
fn every_variant_is_rendered_for_whoever_may_get_it() {
    let catalog = fixture();
    let report = check(&catalog);
    assert_eq!(render_all(&report.faults), "");
    // `hello` 8 × 2, `news` 4, `versus` 2, `receipt` 2 × 2: each for a sample, and for the barest of it;
    // `hello` 8 and `news` 1 link products, which may have no picture and no page.
    assert_eq!(report.renders, 35);
}

#[test]
fn a_file_may_stand_for_five_thousand_variants_and_not_for_more() {
    let mut files =
        vec![("news/campaign.toml".to_owned(), "kind = \"lifecycle\"\ntrigger = { api = {} }\n".to_owned())];
    let mut slots = String::new();
    for (slot, options) in [("a", 10), ("b", 10), ("c", 51)] {
        let names: Vec<String> = (0..options).map(|option| format!("o{option}")).collect();
        slots = format!("{slots}{slot} = {names:?}\n");
        for name in names {
            let text =
                format!("<mj-section><mj-column><mj-text>{slot} {name}</mj-text></mj-column></mj-section>");
            files.push((format!("news/slots/{slot}/{name}.mjml"), text));
        }
    }
    let load = |slots: &str| {
        let body = "<mj-slot name=\"a\" /><mj-slot name=\"b\" /><mj-slot name=\"c\" />";
        let variant = format!("+++\nsubject = \"s\"\npreheader = \"p\"\n[slots]\n{slots}+++\n{body}");
        let mut changes: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        changes.push(("news/any/x.mjml", &variant));
        Catalog::from_files(&with(&changes), &settings())
    };
    let faults = load(&slots).unwrap_err();
    let told: Vec<String> =
        faults.iter().filter(|fault| fault.severity == Severity::Error).map(super::line).collect();
    assert_eq!(
        told,
        [
            "news/any/x.mjml:1 «» the campaign comes to more than 5000 variants → give fewer options, or make it two campaigns"
        ]
    );
    let (fewer, _) = slots.split_once("c = ").unwrap();
    let catalog = load(&format!("{fewer}c = [\"o50\"]\n")).unwrap();
    assert_eq!(catalog.campaign(&CampaignId("news".to_owned())).unwrap().arms.len(), 100);
}

#[test]
fn a_folder_is_never_left_and_its_limits_hold() {
    let missing = Files::read(&folder().join("nowhere")).unwrap_err();
    assert!(missing[0].message.starts_with("there is no folder of templates at "), "{}", missing[0].message);
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.mjml"), "secret").unwrap();
    let inside = tempfile::tempdir().unwrap();
    std::fs::create_dir(inside.path().join("blocks")).unwrap();
    let secret = outside.path().join("secret.mjml");
    std::os::unix::fs::symlink(&secret, inside.path().join("blocks/link.mjml")).unwrap();
    std::os::unix::fs::symlink(outside.path(), inside.path().join("layouts")).unwrap();
    std::fs::write(inside.path().join("blocks/big.mjml"), "x".repeat(1_000_001)).unwrap();
    std::fs::write(inside.path().join("blocks/latin1.mjml"), b"line\n\xe9").unwrap();
    std::fs::write(inside.path().join("blocks/.hidden"), b"\xff").unwrap();
    std::fs::write(inside.path().join("README.md"), "notes").unwrap();
    let told: Vec<String> = Files::read(inside.path()).unwrap_err().iter().map(super::line).collect();
    assert_eq!(
        told,
        [
            "blocks/big.mjml has 1000001 bytes; at most 1000000 are allowed → split it into blocks",
            "blocks/latin1.mjml is not UTF-8 (line 2) → save it as UTF-8",
            "blocks/link.mjml is a symbolic link → copy the file into the folder",
            "layouts is a symbolic link → copy the file into the folder",
        ]
    );
}

#[test]
fn the_templates_inside_the_binary_are_those_of_the_folder() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    assert_eq!(Files::builtin().version(), Files::read(&folder).unwrap().version());
}
