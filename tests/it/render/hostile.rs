//! Values that want to be more than values, and templates that want the whole machine.

use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

use bespoke::campaign::Tracking;
use bespoke::render::HTML_BYTES_MAX;
use bespoke::render::LOOP_ROUNDS_MAX;
use bespoke::render::NESTING_LEVELS_MAX;
use bespoke::render::Part;
use bespoke::render::RenderFault;
use bespoke::render::TemplateParts;
use bespoke::render::compile;
use serde_json::Value;
use serde_json::json;

use crate::support::not_tested;

use super::contract;
use super::facts;
use super::mail;
use super::parts;
use super::render_with;

/// Stands where the payload will stand.
const PLACEHOLDER: &str = "Qplaceholderq";

/// Strings that have broken templates, mails, browsers and databases.
fn payloads() -> Vec<String> {
    let mut payloads: Vec<String> = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg/onload=alert(1)>",
        "\" onmouseover=\"alert(1)",
        "' style='background:url(javascript:alert(1))",
        "</title><script>alert(1)</script>",
        "</style><script>alert(1)</script>",
        "--><script>alert(1)</script><!--",
        "<![endif]--><script>alert(1)</script>",
        "<!--[if mso]><b>x</b><![endif]-->",
        "<![CDATA[<b>x</b>]]>",
        "javascript:alert(1)",
        "data:text/html;base64,PHNjcmlwdD4=",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#60;b&#62;x&#60;/b&#62;",
        "&amp;amp;",
        "<a href=\"https://evil.example\">x</a>",
        "<iframe src=\"https://evil.example\"></iframe>",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<mj-text>x</mj-text>",
        "</mj-text></mj-column></mj-section>",
        "<mj-include path=\"/etc/passwd\" />",
        "{{ 7*7 }}",
        "{{ profile.email }}",
        "{% for a in range(end=1000) %}x{% endfor %}",
        "{% raw %}{{ x }}{% endraw %}",
        "{# gone #}",
        "{{ __tera_context }}",
        "}}{{ 7*7 }}{{",
        "${7*7} #{7*7} <%= 7*7 %> [[title]] tq0z tq1z",
        "a\r\nBcc: everybody@example.test",
        "a\nSubject: other\n\nbody",
        "a%0d%0aBcc: x@example.test",
        "=?utf-8?q?a=0ABcc=3A_x?=",
        "line\u{2028}separator\u{2029}",
        "\u{202e}gnp.exe\u{202c}",
        "\u{2066}isolate\u{2069}",
        "nul\u{0}bell\u{7}esc\u{1b}[31mdel\u{7f}c1\u{9b}mark\u{1}",
        "tab\tand\u{b}vertical\u{c}form",
        "שלום עולם",
        "مرحبا بالعالم",
        "田中さんにあげて下さい",
        "👩‍👧‍👦 👾 🙇 💁🏽 🇩🇪",
        "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮",
        "é e\u{301} ﷽ ǅ ß İ ı",
        "\u{feff}bom\u{200b}zero\u{200d}width",
        "'; drop table profiles; --",
        "1 or 1=1",
        "../../../etc/passwd",
        "%n%s%x%d",
        "null undefined NaN true",
        "\\\" \\' \\\\ \\u0022",
        "`backticks` $(command)",
        "http://a/%%30%30",
        "-----BEGIN PGP MESSAGE-----",
        ".",
        "\n.\n",
        "From here on",
        "O'Neil & Sons <o@example.test>",
    ]
    .map(str::to_owned)
    .to_vec();
    payloads.push("long ".repeat(2_000));
    payloads.push("x".repeat(10_000));
    payloads.push("<b>".repeat(3_000));
    payloads
}

/// Every context in which a template may print a value.
pub(super) fn template() -> String {
    mail(
        r#"<mj-text css-class="{{ data.note }}"><h1>{{ profile.first_name }}</h1>
        <p title="{{ profile.first_name }}" lang='{{ data.note }}' {% if data.note %} dir="auto" {% endif %}>{{ data.note }}</p>
        {% if profile.first_name %}<b>{{ profile.first_name }}</b>{% endif %}
        <img src="https://shop.example/i.png" alt="{{ profile.first_name }}"></mj-text>
        <mj-raw>{% for product in recommended %}</mj-raw>
        <mj-image src="https://shop.example/i.png" alt="{{ product.name }}" title="{{ product.description }}" href="https://shop.example/p?q={{ product.id | urlencode }}" />
        <mj-table><tr><td>{{ product.name }}</td><td>{{ product.category }}</td></tr></mj-table>
        <mj-button href="https://shop.example/" >{{ product.description }}</mj-button>
        <mj-raw>{% endfor %}</mj-raw>
        <mj-navbar><mj-navbar-link href="https://shop.example/">{{ data.note }}</mj-navbar-link></mj-navbar>"#,
    )
}

pub(super) fn facts_with(payload: &str) -> Value {
    let id: String = payload.chars().take(500).collect();
    let product = json!({"id": id, "name": payload, "description": payload, "category": payload,
        "price": 1999, "currency": "EUR", "url": "https://shop.example/p", "image_url": "https://shop.example/i"});
    let mut facts = facts();
    facts["profile"]["first_name"] = json!(payload);
    facts["recommended"] = json!([product.clone(), product]);
    facts["data"] = json!({"note": payload});
    facts
}

/// What is left of a value: everything but control characters and what turns the direction of text.
pub(super) fn cleaned(payload: &str) -> String {
    payload
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\t' | '\n'))
        .filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The whole HTML of a hostile mail is the HTML of a harmless one with the escaped value in its place, and so is the
/// text with the value itself.
#[test]
fn hostile_values_come_out_literally_and_nothing_else_changes() {
    let mjml = template();
    let subject = "Hello {{ profile.first_name }}!";
    let parts = TemplateParts { preheader: "{{ data.note }} for you", ..parts(subject, &mjml) };
    // The title and the preheader are single lines: they are looked at below.
    let body_parts = super::parts("Hello", &mjml);
    let benign = render_with(&body_parts, &facts_with(PLACEHOLDER), Tracking::Off).unwrap();
    for payload in payloads() {
        let value = cleaned(&payload);
        let hostile = render_with(&body_parts, &facts_with(&payload), Tracking::Off).unwrap();
        let in_address = format!("q={PLACEHOLDER}");
        let id: String = payload.chars().take(500).collect();
        let encoded_id = format!("q={}", percent_encoded(&cleaned(&id)));
        let expected = benign.html.replace(&in_address, &encoded_id).replace(PLACEHOLDER, &escaped(&value));
        assert_eq!(hostile.html, expected, "{payload:?}");
        let expected = benign.text.replace(&in_address, &encoded_id).replace(PLACEHOLDER, &value);
        assert_eq!(words(&hostile.text), words(&expected), "{payload:?}");

        let lines = render_with(&parts, &facts_with(&payload), Tracking::Off).unwrap();
        let line = value.replace(['\u{2028}', '\u{2029}'], " ");
        assert_eq!(words(&lines.subject), words(&format!("Hello {line}!")), "{payload:?}");
        assert_eq!(words(&lines.preheader), words(&format!("{line} for you")), "{payload:?}");
        for single in [&lines.subject, &lines.preheader] {
            assert!(!single.contains(|c: char| c.is_control()), "{single:?}");
        }
        assert!(lines.html.contains(&format!("<title>{}</title>", escaped(&lines.subject))), "{payload:?}");
    }
}

/// Prints every start tag with the names of its attributes, and the schemes of its addresses.
const SKELETON: &str = r"
import sys, json
from html.parser import HTMLParser
class Skeleton(HTMLParser):
    def handle_starttag(self, tag, attributes):
        out.append([tag, [name for name, value in attributes],
                    [value.split(':')[0] for name, value in attributes if name in ('href', 'src')]])
    def handle_comment(self, data): out.append(['comment', data])
    def handle_decl(self, data): out.append(['declaration', data])
for line in sys.stdin:
    out = []
    parser = Skeleton()
    parser.feed(json.loads(line))
    parser.close()
    print(json.dumps(out))
";

/// A parser that nobody here wrote sees the same elements, attributes and schemes in every hostile mail.
#[test]
fn another_parser_sees_no_new_element_attribute_or_scheme() {
    let mjml = template();
    let parts = parts("Hello {{ profile.first_name }}", &mjml);
    let mut input = String::new();
    for payload in std::iter::once(PLACEHOLDER.to_owned()).chain(payloads()) {
        let mail = render_with(&parts, &facts_with(&payload), Tracking::Off).unwrap();
        input.push_str(&serde_json::to_string(&mail.html).unwrap());
        input.push('\n');
    }
    let python =
        Command::new("python3").args(["-c", SKELETON]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut python) = python else {
        return not_tested("hostile values against another parser: python3 is not there");
    };
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let skeletons: Vec<&str> = output.lines().collect();
    assert_eq!(skeletons.len(), payloads().len() + 1);
    for (skeleton, payload) in skeletons[1..].iter().zip(payloads()) {
        assert_eq!(*skeleton, skeletons[0], "{payload:?}");
    }
}

#[test]
fn a_hostile_address_is_a_fault_and_never_a_link() {
    let link = mail(r#"<mj-text><a href="{{ data.url }}">Go</a></mj-text>"#);
    let picture = mail(r#"<mj-image src="{{ data.url }}" alt="A boot" />"#);
    for address in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " \u{1}javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "//evil.example",
        "/p/1",
        "https://shop.example@evil.example/",
        "https://shop.example\"><script>",
        "https://shop.example\r\nBcc: x",
        "",
    ] {
        for (mjml, label) in [(&link, "link “Go”"), (&picture, "picture “A boot”")] {
            let mut facts = facts();
            facts["data"] = json!({"url": address});
            let fault = render_with(&parts("Hi", mjml), &facts, Tracking::On).unwrap_err();
            let RenderFault::BadAddress { label: found, .. } = &fault else { panic!("{address:?}: {fault}") };
            assert_eq!(found, label);
            assert!(!fault.to_string().contains("evil"), "the address is somebody's data: {fault}");
        }
    }
}

#[test]
fn what_no_address_may_hold_is_encoded_behind_the_host() {
    let link = mail(r#"<mj-text><a href="https://shop.example/orders/{{ data.id }}">Go</a></mj-text>"#);
    for (id, expected) in [
        ("SO 1234", "SO%201234"),
        ("\"><script>alert(1)</script>", "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"),
        ("a\r\nBcc: x@y.test", "a%0ABcc:%20x@y.test"),
    ] {
        let mut facts = facts();
        facts["data"] = json!({"id": id});
        let rendered = render_with(&parts("Hi", &link), &facts, Tracking::Off).unwrap();
        let expected = format!("href=\"https://shop.example/orders/{expected}\"");
        assert!(rendered.html.contains(&expected), "{expected} is missing in\n{}", rendered.html);
    }
}

#[test]
fn loops_and_sizes_end_at_their_limits() {
    let rounds = mail(
        "<mj-text>{% for a in range(end=1000) %}{% for b in range(end=1000) -%} x {% endfor %}{% endfor %}</mj-text>",
    );
    let fault = render_with(&parts("Hi", &rounds), &facts(), Tracking::On).unwrap_err();
    assert_eq!(
        fault,
        RenderFault::TooManyRounds {
            template: "test/any/mail".to_owned(),
            part: Part::Body,
            limit: LOOP_ROUNDS_MAX
        }
    );
    let sizes = mail("<mj-text>{% for a in range(end=900) %}{{ profile.first_name }}{% endfor %}</mj-text>");
    let mut facts = facts();
    facts["profile"]["first_name"] = json!("x".repeat(10_000));
    let fault = render_with(&parts("Hi", &sizes), &facts, Tracking::On).unwrap_err();
    assert_eq!(
        fault,
        RenderFault::TooLarge {
            template: "test/any/mail".to_owned(),
            part: Part::Body,
            limit_bytes: HTML_BYTES_MAX
        }
    );
    let subject = "{% for a in range(end=900) %}{{ profile.first_name }}{% endfor %}";
    let mjml = mail("<mj-text>x</mj-text>");
    let fault = render_with(&parts(subject, &mjml), &facts, Tracking::On).unwrap_err();
    assert!(matches!(fault, RenderFault::TooLarge { part: Part::Subject, .. }), "{fault}");
}

#[test]
fn bombs_are_refused_before_anything_runs_them() {
    let refused = |mjml: &str| compile(&parts("Hi", mjml), &contract()).map(|_| ()).unwrap_err();
    let text = |inner: &str| mail(&format!("<mj-text>{inner}</mj-text>"));
    for mjml in [
        "<div>".repeat(10_000),
        format!("<mjml><mj-body>{}", "<mj-section>".repeat(100_000)),
        text(&"<b>".repeat(NESTING_LEVELS_MAX)),
        text(&"{% if stage %}".repeat(1_000)),
        text(&format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000))),
        text(&format!("{{{{ {}stage }}}}", "not ".repeat(10_000))),
        text("{% component a() %}{{<a/>}}{% endcomponent a %}{{<a/>}}"),
        text("{% include \"self.html\" %}"),
        text("{% extends \"self.html\" %}"),
        text("{% set a = \"x\" %}{% set b = a ~ a %}{% set c = b ~ b %}{{ c }}"),
        text("{{ 1 | money }}").repeat(1_000_000 / 100),
        mail("<mj-include path=\"/etc/passwd\" />"),
        mail("<mj-include path=\"../../secret.mjml\" />"),
        "\u{0}".repeat(100),
        String::new(),
    ] {
        assert!(!refused(&mjml).is_empty());
    }
}
