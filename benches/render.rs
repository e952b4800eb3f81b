//! What one mail costs to render, and what a catalogue costs to load.
//!
//! Budgets, one core: rendering a 30 KB mail (subject, preheader, HTML and text; 33 links in the HTML, those of the
//! shop signed with HMAC-SHA256 in both parts) 60 µs; compiling one template 3 ms; the first mails of 600
//! compiled ones of 31 KB 300 ms.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use bespoke::campaign::Tracking;
use bespoke::catalog::contract::Contract;
use bespoke::catalog::contract::TraitType;
use bespoke::decision::TemplateHash;
use bespoke::render::CompiledTemplate;
use bespoke::render::LinkContext;
use bespoke::render::LinkSigner;
use bespoke::render::Renderer;
use bespoke::render::TemplateParts;
use bespoke::render::compile;
use bespoke::token::Keyring;
use bespoke::worker::links::Links;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEND: &str = "0199f0c2a7b47c5e8d1f2a3b4c5d6e7f";

/// Six sections with a link each, a loop over six recommended products with picture and button, and one over six
/// viewed ones in words, two links each.
fn mjml() -> String {
    let paragraph = "<p>Freshly roasted on Tuesday, on its way on Wednesday. We keep the roast light enough that you \
                     can tell the washed from the natural, and write the date on every bag.</p>";
    let card = "<mj-raw>{% for product in recommended %}</mj-raw><mj-column width=\"50%\">\
                <mj-image src=\"{{ product.image_url }}\" alt=\"{{ product.name }}\" href=\"{{ product.url }}?from=mail\" \
                width=\"240px\" /><mj-text><b>{{ product.name }}</b><br />{{ product.description | ellipsis(length=60) }}\
                <br />{{ product | money }}</mj-text><mj-button href=\"{{ product.url }}\">Have a look</mj-button>\
                </mj-column><mj-raw>{% endfor %}</mj-raw>";
    let line = "<mj-section><mj-column><mj-text>{% for product in viewed %}<p><a href=\"{{ product.url }}?from=mail\">\
                {{ product.name }}</a>, {{ product | money }}<br />{{ product.description | ellipsis(length=60) }} \
                <a href=\"{{ product.url }}\">Have a look</a></p>{% endfor %}</mj-text></mj-column></mj-section>";
    let section = |inner: &str| format!("<mj-section>{inner}</mj-section>");
    let text = |link: u32| {
        format!(
            "<mj-column><mj-text>{paragraph}{{% if profile.first_name %}}<p>For you, {{{{ profile.first_name }}}}.</p>{{% endif %}}\
             <p><a href=\"https://shop.example/{link}\">Read more</a></p></mj-text></mj-column>"
        )
    };
    let body: String = (0..6).map(|link| section(&text(link))).collect();
    format!(
        "<mjml><mj-head><mj-attributes><mj-all font-family=\"Helvetica, Arial, sans-serif\" /></mj-attributes></mj-head>\
         <mj-body>{body}{}{line}<mj-section><mj-column><mj-text><a href=\"{{{{ links.unsubscribe }}}}\">Unsubscribe</a> \
         <a href=\"{{{{ links.preferences }}}}\">Choose</a> <a href=\"{{{{ links.view }}}}\">View</a>{paragraph}</mj-text></mj-column>\
         </mj-section></mj-body></mjml>",
        section(card),
    )
}

fn facts() -> Value {
    let products = |from: u32| -> Vec<Value> {
        let product = |id: u32| {
            json!({"id": id.to_string(), "name": format!("Ethiopia Guji {id}"), "category": "coffee",
                "description": "Apricot, jasmine and a long finish of black tea; washed, grown at 2,000 metres.",
                "price": 1450, "currency": "EUR", "url": format!("https://shop.example/p/guji-{id}"),
                "image_url": format!("https://shop.example/i/guji-{id}.jpg")})
        };
        (from..from + 6).map(product).collect()
    };
    json!({
        "profile": {"id": "c-1001", "email": "ana@example.test", "locale": "en-GB", "time_zone": "Europe/Berlin",
            "consent": "granted", "created_at": "2026-01-01T00:00:00Z", "first_name": "Ana"},
        "stage": "compare",
        "recommended": products(1),
        "viewed": products(20),
        "now": "2026-11-22T09:00:00Z",
    })
}

fn contract() -> Contract {
    let traits = BTreeMap::from([("first_name".to_owned(), TraitType::String)]);
    Contract::new(&traits, &[], &Map::new())
}

fn parts(mjml: &str) -> TemplateParts<'_> {
    TemplateParts {
        subject: "{{ profile.first_name or \"Hello\" }}, your next bag is {{ recommended[0].name }}",
        preheader: "From {{ recommended[0].price | money(currency=\"EUR\") }}, roasted this week",
        mjml,
        text: None,
        language: None,
    }
}

fn renderer() -> Renderer {
    let keys = Arc::new(Keyring::new(b"a secret of the bench", []));
    let signer: Arc<dyn LinkSigner> =
        Arc::new(Links::new(keys, Some("https://mail.shop.example"), "shop.example"));
    Renderer::new(signer, &Map::new())
}

fn links() -> LinkContext<'static> {
    LinkContext {
        send: SEND,
        tracking: Tracking::On,
        unsubscribe: "https://mail.shop.example/u/token",
        preferences: Some("https://mail.shop.example/p/token"),
        view: Some("https://mail.shop.example/v/token"),
        honeypot: None,
    }
}

fn render_mail(criterion: &mut Criterion) {
    let mjml = mjml();
    let template = Arc::new(compile(&parts(&mjml), &contract()).expect("the template compiles").template);
    let mut renderer = renderer();
    renderer.add([("bench/any/mail".to_owned(), Arc::clone(&template))]);
    let facts = facts();
    let mail = renderer.render(&template.hash, &facts, &links()).expect("the mail renders");
    let hrefs = mail.html.matches("href=\"").count();
    assert!((28 * 1024..36 * 1024).contains(&mail.html.len()), "the HTML has {} bytes", mail.html.len());
    assert_eq!(hrefs, 33, "links in the HTML");
    criterion.bench_function("render a 30 KB mail", |bencher| {
        bencher.iter(|| renderer.render(&template.hash, black_box(&facts), &links()).is_ok());
    });
    let untracked = LinkContext { tracking: Tracking::Off, ..links() };
    criterion.bench_function("render a 30 KB mail without tracking", |bencher| {
        bencher.iter(|| renderer.render(&template.hash, black_box(&facts), &untracked).is_ok());
    });
}

fn load_catalogue(criterion: &mut Criterion) {
    let mjml = mjml();
    let contract = contract();
    criterion.bench_function("compile one template", |bencher| {
        bencher.iter(|| compile(&parts(black_box(&mjml)), &contract).is_ok());
    });
    let compiled = compile(&parts(&mjml), &contract).expect("the template compiles").template;
    let templates: Vec<(String, Arc<CompiledTemplate>)> = (0..600)
        .map(|number| {
            let template =
                CompiledTemplate { hash: TemplateHash(format!("{number:064x}")), ..compiled.clone() };
            (format!("bench/any/{number}"), Arc::new(template))
        })
        .collect();
    let facts = facts();
    criterion.bench_function("first mails of 600 templates", |bencher| {
        bencher.iter(|| {
            let mut renderer = renderer();
            renderer.add(templates.iter().cloned());
            let first = |(_, template): &(_, Arc<CompiledTemplate>)| {
                renderer.render(&template.hash, &facts, &links())
            };
            templates.iter().all(|template| first(template).is_ok())
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = render_mail, load_catalogue
}
criterion_main!(benches);
