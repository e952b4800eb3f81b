//! Templates compiled and rendered as the catalogue and the worker do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bespoke::campaign::Tracking;
use bespoke::catalog::contract::Contract;
use bespoke::catalog::contract::TraitType;
use bespoke::render::CompileFault;
use bespoke::render::Compiled;
use bespoke::render::LinkContext;
use bespoke::render::LinkSigner;
use bespoke::render::RenderFault;
use bespoke::render::Rendered;
use bespoke::render::Renderer;
use bespoke::render::TemplateParts;
use bespoke::render::compile;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

mod hostile;
mod random;

/// Signs so that a reader sees what was signed.
pub(crate) struct PlainSigner;

impl LinkSigner for PlainSigner {
    fn click(&self, send: &str, link: u32, target: &str) -> String {
        format!("https://t.example/c/{send}/{link}?to={target}")
    }

    fn open(&self, send: &str) -> String {
        format!("https://t.example/o/{send}.gif")
    }
}

fn shop() -> Map<String, Value> {
    let shop = json!({"name": "Tom & Jerry", "url": "https://shop.example", "currency": "EUR",
        "support_email": "help@shop.example"});
    shop.as_object().cloned().unwrap()
}

pub(crate) fn contract() -> Contract {
    let traits = BTreeMap::from([("first_name".to_owned(), TraitType::String)]);
    Contract::new(&traits, &[], &shop())
}

fn product(id: u32) -> Value {
    json!({"id": id.to_string(), "name": format!("Boot {id}"), "description": "Warm.", "category": "boots",
        "price": 1999, "currency": "EUR", "url": format!("https://shop.example/p/{id}"),
        "image_url": format!("https://shop.example/i/{id}.jpg")})
}

pub(crate) fn facts() -> Value {
    json!({
        "profile": {"id": "1", "email": "ana@example.test", "locale": "en", "time_zone": "Europe/Berlin",
            "consent": "granted", "created_at": "2026-01-01T00:00:00Z", "first_name": "Ana"},
        "stage": "compare",
        "recommended": [product(1), product(2)],
        "cart": {"items": [], "value": 0},
        "now": "2026-11-22T09:00:00Z",
        "data": {},
    })
}

pub(crate) fn mail(content: &str) -> String {
    format!(
        "<mjml><mj-head></mj-head><mj-body><mj-section><mj-column>{content}</mj-column></mj-section></mj-body></mjml>"
    )
}

pub(crate) fn parts<'a>(subject: &'a str, mjml: &'a str) -> TemplateParts<'a> {
    TemplateParts { subject, preheader: "", mjml, text: None, language: None }
}

fn compiled(parts: &TemplateParts<'_>) -> Compiled {
    compile(parts, &contract()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

pub(crate) fn links(tracking: Tracking) -> LinkContext<'static> {
    LinkContext {
        send: "s1",
        tracking,
        unsubscribe: "https://t.example/u/s1",
        preferences: Some("https://t.example/p/s1"),
        view: Some("https://t.example/v/s1"),
        honeypot: None,
    }
}

fn render_with(
    parts: &TemplateParts<'_>,
    facts: &Value,
    tracking: Tracking,
) -> Result<Rendered, RenderFault> {
    let template = Arc::new(compiled(parts).template);
    let mut renderer = Renderer::new(Arc::new(PlainSigner), &shop_globals());
    renderer.add([("test/any/mail".to_owned(), Arc::clone(&template))]);
    renderer.render(&template.hash, facts, &links(tracking))
}

fn shop_globals() -> Map<String, Value> {
    Map::from_iter([("shop".to_owned(), Value::Object(shop()))])
}

#[test]
fn a_mail_has_subject_html_and_text_with_signed_links() {
    let mjml = mail(
        r#"<mj-text><h1>Hello {{ profile.first_name }},</h1><p>from <b>{{ shop.name }}</b> &amp; friends.</p></mj-text>
        <mj-raw>{% for product in recommended %}</mj-raw>
        <mj-image src="{{ product.image_url }}" alt="{{ product.name }}" href="{{ product.url }}?a=1&amp;b=2" />
        <mj-raw>{% endfor %}</mj-raw>
        <mj-button href="https://shop.example/sale">Shop now</mj-button>
        <mj-text><a href="{{ links.unsubscribe }}">Unsubscribe</a> or write to <a href="mailto:{{ shop.support_email }}">us</a></mj-text>"#,
    );
    let parts = TemplateParts {
        preheader: "For {{ profile.first_name }} only",
        ..parts("Hi {{ profile.first_name }} & co", &mjml)
    };
    let mail = render_with(&parts, &facts(), Tracking::On).unwrap();
    assert_eq!(mail.subject, "Hi Ana & co");
    assert_eq!(mail.preheader, "For Ana only");
    assert_eq!(
        mail.text,
        "Hello Ana,\n\nfrom Tom & Jerry & friends.\n\n\
         Boot 1: https://t.example/c/s1/0?to=https://shop.example/p/1?a=1&b=2\n\n\
         Boot 2: https://t.example/c/s1/0?to=https://shop.example/p/2?a=1&b=2\n\n\
         Shop now: https://t.example/c/s1/1?to=https://shop.example/sale\n\n\
         Unsubscribe: https://t.example/u/s1 or write to us: help@shop.example\n"
    );
    for expected in [
        "<title>Hi Ana &amp; co</title>",
        "mso-hide:all\">For Ana only&#847;",
        "Hello Ana,",
        "<b>Tom &amp; Jerry</b> &amp; friends",
        "href=\"https://t.example/c/s1/0?to=https://shop.example/p/2?a=1&amp;b=2\"",
        "src=\"https://shop.example/i/2.jpg\"",
        "href=\"https://t.example/u/s1\"",
        "href=\"mailto:help@shop.example\"",
        "<img src=\"https://t.example/o/s1.gif\" width=\"1\"",
    ] {
        assert!(mail.html.contains(expected), "{expected}\n{}", mail.html);
    }
    assert!(!mail.html.contains("tabindex"), "no honeypot was asked for");
}

#[test]
fn without_tracking_links_are_as_written_and_there_is_no_pixel() {
    let mjml = mail(r#"<mj-button href="https://shop.example/sale">Shop now</mj-button>"#);
    let mail = render_with(&parts("Hi", &mjml), &facts(), Tracking::Off).unwrap();
    assert_eq!(mail.text, "Shop now: https://shop.example/sale\n");
    assert!(mail.html.contains("href=\"https://shop.example/sale\""));
    assert!(!mail.html.contains("t.example"));
}

#[test]
fn a_missing_fact_is_a_fault_with_its_place() {
    let mjml = mail("<mj-text>Hi {{ profile.first_name }}</mj-text>");
    let parts = parts("Hello", &mjml);
    let compiled = compiled(&parts);
    let mut facts = facts();
    facts["profile"]["first_name"] = Value::Null;
    let fault = render_with(&parts, &facts, Tracking::On).unwrap_err();
    let RenderFault::MissingVariable { template, part, span, variable } = fault else { panic!("{fault}") };
    assert_eq!((template.as_str(), variable.as_str()), ("test/any/mail", "profile.first_name"));
    let (_, place) = compiled.source_map.locate(part, &span).unwrap();
    assert_eq!(&mjml[place], "{{ profile.first_name }}");
}

#[test]
fn a_missing_fact_is_named_whole_wherever_it_is_used() {
    let mut facts = facts();
    facts["profile"]["first_name"] = Value::Null;
    facts["recommended"][0]["price"] = Value::Null;
    for (tag, expected) in [
        ("{{ profile.first_name | upper }}", "profile.first_name"),
        ("{{ profile.first_name | trim | upper }}", "profile.first_name"),
        ("{{ profile.first_name | sentence }}", "profile.first_name"),
        ("{{ profile?.first_name | upper }}", "profile?.first_name"),
        ("{{ history.orders_total | number }}", "history"),
        ("{% for p in recommended %}{{ p.price | money }}{% endfor %}", "p.price"),
        ("{{ recommended[0].price | money }}", "recommended[0].price"),
    ] {
        let mjml = mail(&format!("<mj-text>{tag}</mj-text>"));
        let fault = render_with(&parts("Hello", &mjml), &facts, Tracking::On).unwrap_err();
        let RenderFault::MissingVariable { variable, .. } = fault else { panic!("{tag}: {fault}") };
        assert_eq!(variable, expected, "{tag}");
    }
}

/// What the faults say, each with the source under its caret.
fn said(source: &str, faults: &[CompileFault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{} @ {}", fault.message, &source[fault.span.clone()])).collect()
}

#[test]
fn broken_tags_are_faults_at_their_place() {
    let mjml = mail("<mj-text>{% if profile.first_name %}Hi</mj-text>");
    let faults = compile(&parts("Hi", &mjml), &contract()).map(|_| ()).unwrap_err();
    let expected = "`{% if profile.first_name %}` is never closed @ {% if profile.first_name %}";
    assert_eq!(said(&mjml, &faults), [expected]);
}

#[test]
fn regions_within_a_link_are_no_part_of_its_label() {
    let mjml = mail(
        r#"<mj-text><a href="https://shop.example/">{#region call#}Buy now{#/region call#}</a> <a href="https://shop.example/sale">{#region none#}{#/region none#}</a></mj-text>"#,
    );
    let template = compiled(&parts("Hi", &mjml)).template;
    let labels: Vec<&str> = template.links.iter().map(|link| link.label.as_str()).collect();
    assert_eq!(labels, ["Buy now", "https://shop.example/sale"]);
    let mail = render_with(&parts("Hi", &mjml), &facts(), Tracking::Off).unwrap();
    assert!(mail.html.chars().all(|c| !c.is_control() || c == '\n'), "no mark goes out");
    assert_eq!(mail.text, "Buy now: https://shop.example/ https://shop.example/sale\n");
}
