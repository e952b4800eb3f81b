//! Random templates and values: no panic, no fault outside its source.

use bespoke::campaign::Tracking;
use bespoke::render::Part;
use bespoke::render::compile;
use proptest::prelude::*;

use super::contract;
use super::hostile::cleaned;
use super::hostile::facts_with;
use super::hostile::template;
use super::mail;
use super::parts;
use super::render_with;

/// Pieces that templates are made of, right and wrong.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "<mjml>",
        "</mjml>",
        "<mj-body>",
        "</mj-body>",
        "<mj-section>",
        "</mj-section>",
        "<mj-column>",
        "</mj-column>",
        "<mj-text>",
        "</mj-text>",
        "<mj-image src=\"https://a.b\" alt=\"\"/>",
        "<b>",
        "</b>",
        "<br>",
        "<a href=\"",
        "\">",
        "'",
        "\"",
        "<",
        ">",
        "€>",
        "é",
        "&amp;",
        "&",
        "<!--",
        "-->",
        "<!--[if mso]>",
        "<![endif]-->",
        "<![if",
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        " if ",
        " for p in recommended ",
        " endfor ",
        " endif ",
        " profile.first_name ",
        "| upper",
        "[0]",
        ".name",
        "(",
        ")",
        "{{ stage }}",
        "{% if stage %}",
        "{% endif %}",
        "\n",
        " ",
        "=",
        "`",
        "\\",
        "tq0z",
        "<mj-raw>",
        "</mj-raw>",
        "]]>",
        "<![CDATA[",
        "<?xml ",
        "1",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever an author writes, the answer is a template or faults whose carets are inside the source.
    #[test]
    fn no_source_panics(pieces in prop::collection::vec(piece(), 0..40), subject in prop::collection::vec(piece(), 0..8)) {
        let (inner, subject) = (pieces.concat(), subject.concat());
        for mjml in [inner.clone(), mail(&inner), mail(&format!("<mj-text>{inner}</mj-text>"))] {
            let parts = parts(&subject, &mjml);
            match compile(&parts, &contract()) {
                Ok(compiled) => prop_assert_eq!(compiled.template.hash.0.len(), 64),
                Err(faults) => for fault in faults {
                    let source = if fault.part == Part::Subject { subject.as_str() } else { mjml.as_str() };
                    prop_assert!(source.get(fault.span.clone()).is_some(), "{:?} in {:?}", fault, source);
                },
            }
        }
    }

    /// Whatever a value is, it is printed as it is, or refused.
    #[test]
    fn no_value_panics(value in ".{0,200}") {
        let mjml = template();
        let mail = render_with(&parts("Hi {{ profile.first_name }}", &mjml), &facts_with(&value), Tracking::On);
        if let Ok(mail) = mail {
            prop_assert!(!mail.html.contains("{{") || cleaned(&value).contains("{{"));
        }
    }
}
