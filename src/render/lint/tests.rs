//! Refusals, by table.

use super::*;
use crate::fault::Severity;
use crate::render::mask;
use crate::render::tree;

/// What the faults say, each with the text under its caret; warnings start with `warning: `.
fn faults(source: &str) -> Vec<String> {
    let tags = mask::find_tags(source, Part::Body).expect("closed tags");
    let mut words = Words::new(source);
    let masked = mask::mask(source, &tags, &mut words);
    let root = tree::parse(&masked.text).expect(source);
    check(&root, source, &masked, &tags, &words)
        .into_iter()
        .map(|fault| {
            let level = if fault.severity == Severity::Warning { "warning: " } else { "" };
            format!("{level}{} @ {}", fault.message, &source[fault.span])
        })
        .collect()
}

fn column(inner: &str) -> String {
    format!("<mjml><mj-body><mj-section><mj-column>{inner}</mj-column></mj-section></mj-body></mjml>")
}

fn body(inner: &str) -> String {
    format!("<mjml><mj-body>{inner}</mj-body></mjml>")
}

fn head(inner: &str) -> String {
    format!("<mjml><mj-head>{inner}</mj-head><mj-body></mj-body></mjml>")
}

#[test]
fn what_mjml_can_do_is_let_through() {
    for source in [
        column(
            "<mj-text align=\"center\" css-class=\"{{ stage }}\"><p class=\"{{ stage }}\" {% if a %} dir=\"rtl\" {% endif %}>{{ a < 3 }}</p></mj-text>",
        ),
        column(
            "{% if a %}<mj-text>x</mj-text>{% endif %}<mj-raw>{% for p in q %}</mj-raw><mj-spacer height=\"3px\"/><mj-raw>{% endfor %}</mj-raw>",
        ),
        column("<mj-raw><tr><td>{{ x }}</td></tr></mj-raw>"),
        column(
            "<mj-image src=\"{{ x }}\" alt=\"{{ y }}\" href=\"{{ z }}\" width=\"50px\"/><mj-table><tr><td>1</td></tr></mj-table>",
        ),
        column(
            "<mj-social><mj-social-element name=\"x-noshare\" href=\"https://a.b\" alt=\"X\"/></mj-social>",
        ),
        body(
            "<mj-wrapper><mj-raw>{% if a %}</mj-raw><mj-section></mj-section><mj-raw>{# note #}{% endif %}</mj-raw></mj-wrapper>",
        ),
        body(
            "<mj-section><mj-raw>{% for a in b %}</mj-raw><mj-column width=\"50%\"></mj-column><mj-raw>{% endfor %}</mj-raw><mj-column></mj-column></mj-section>",
        ),
        head(
            "<mj-attributes><mj-all padding=\"0\"/><mj-class name=\"a\" color=\"red\"/><mj-text color=\"red\"/></mj-attributes><mj-style>a > b { color: red }</mj-style><mj-title>{{ x }}</mj-title><mj-preview>{{ x }}</mj-preview><mj-raw><meta name=\"color-scheme\" content=\"light dark\"/></mj-raw>",
        ),
        head("<mj-font name=\"Lato\" href=\"https://fonts.example/lato\"/><mj-breakpoint width=\"480px\"/>"),
    ] {
        assert_eq!(faults(&source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn unknown_elements_and_attributes_are_refused() {
    for (source, expected) in [
        (column("<mj-txt>x</mj-txt>"), "there is no `<mj-txt>` @ mj-txt"),
        (column("<mj-block name=\"x\"/>"), "there is no `<mj-block>` @ mj-block"),
        (body("<mj-include path=\"/etc/passwd\"/>"), "there is no `<mj-include>` @ mj-include"),
        (column("<mj-text colour=\"red\">x</mj-text>"), "`<mj-text>` has no attribute `colour` @ colour"),
        (column("<mj-column></mj-column>"), "`<mj-column>` cannot stand in `<mj-column>` @ mj-column"),
        (body("<mj-text>x</mj-text>"), "`<mj-text>` cannot stand in `<mj-body>` @ mj-text"),
        (
            column("<mj-text><mj-button href=\"#\">x</mj-button></mj-text>"),
            "`<mj-button>` cannot stand in `<mj-text>` @ mj-button",
        ),
        (column("<p>x</p>"), "`<p>` cannot stand in `<mj-column>` @ p"),
        (body("<mj-section>Hello</mj-section>"), "text cannot stand in `<mj-section>` @ Hello"),
        (column("{{ x }}"), "text cannot stand in `<mj-column>` @ {{ x }}"),
        (column("<mj-text mj-class=\"big\">x</mj-text>"), "there is no `<mj-class>` called `big` @ big"),
        (head("<mj-attributes><mj-txt/></mj-attributes>"), "there is no `<mj-txt>` @ mj-txt"),
        (
            head("<mj-attributes><mj-all colr=\"red\"/></mj-attributes>"),
            "no component has an attribute `colr` @ colr=\"red\"",
        ),
        (
            head("<mj-attributes><mj-class color=\"red\"/></mj-attributes>"),
            "this `<mj-class>` has no `name` @ mj-class",
        ),
        (head("<title>x</title>"), "`<title>` cannot stand in `<mj-head>` @ title"),
    ] {
        assert_eq!(faults(&source), [expected], "{source}");
    }
}

#[test]
fn what_comes_out_wrong_is_refused() {
    for (source, expected) in [
        (
            body(
                "<mj-section><mj-raw>{% for a in b %}</mj-raw><mj-column></mj-column><mj-raw>{% endfor %}</mj-raw></mj-section>",
            ),
            "this `<mj-column>` stands in a loop and has no width @ mj-column",
        ),
        (
            body("<mj-section>{% for a in b %}<mj-group></mj-group>{% endfor %}</mj-section>"),
            "this `<mj-group>` stands in a loop and has no width @ mj-group",
        ),
        (body("<mj-wrapper><mj-raw><p>x</p></mj-raw></mj-wrapper>"), "only Outlook would show this @ p"),
        (body("<mj-wrapper><mj-raw>{{ x }}</mj-raw></mj-wrapper>"), "only Outlook would show this @ {{ x }}"),
        (column("<mj-raw><p>x</p></mj-raw>"), "this would stand between the rows of a table @ p"),
        (
            head("<mj-style inline=\"inline\">a {}</mj-style>"),
            "styles are not written into elements here @ mj-style",
        ),
        (
            body("<mj-hero mode=\"fluid-height\"></mj-hero>"),
            "a hero of fluid height does not come out right @ mode=\"fluid-height\"",
        ),
        (column("<mj-image src=\"https://a.b/c\"/>"), "this picture has no `alt` @ mj-image"),
        (column("<mj-text><img src=\"https://a.b/c\"></mj-text>"), "this picture has no `alt` @ img"),
        (column("<mj-image alt=\"\"/>"), "this picture has no `src` @ mj-image"),
        (
            column("<mj-social><mj-social-element name=\"web\" href=\"#\"/></mj-social>"),
            "this icon has neither text nor `alt` @ mj-social-element",
        ),
        (column("<mj-button>x</mj-button>"), "warning: this `<mj-button>` leads nowhere @ mj-button"),
        (head("<mj-font name=\"x\" href=\"http://a.b\"/>"), "this font has no `https://` address @ mj-font"),
    ] {
        assert_eq!(faults(&source), [expected], "{source}");
    }
}

/// Each context in which escaping does not help (faults.md 6, row 12).
#[test]
fn values_where_escaping_does_not_help_are_refused() {
    for (source, expected) in [
        (
            column("<mj-text color=\"{{ x }}\">x</mj-text>"),
            "`color` becomes a style or a number; a tag cannot stand in it @ {{ x }}",
        ),
        (
            column("<mj-image width=\"{{ w }}px\" src=\"#\" alt=\"\"/>"),
            "`width` becomes a style or a number; a tag cannot stand in it @ {{ w }}px",
        ),
        (
            column("<mj-text><p style=\"color:{{ x }}\">x</p></mj-text>"),
            "a tag stands in `style` @ color:{{ x }}",
        ),
        (
            column("<mj-text><p {{ x }}>x</p></mj-text>"),
            "a value stands outside the quotes of an attribute @ {{ x }}",
        ),
        (
            column("<mj-text><p data-{{ x }}=\"1\">x</p></mj-text>"),
            "a value stands outside the quotes of an attribute @ data-{{ x }}=\"1\"",
        ),
        (
            column("<mj-text {% if x %} color=\"red\">x</mj-text>"),
            "MJML drops a tag between attributes @ {% if x %}",
        ),
        (column("<mj-text><h{{ x }}/></mj-text>"), "a tag stands in the name of an element @ h{{ x }}"),
        (
            column("<mj-text><script>{{ x }}</script></mj-text>"),
            "`<script>` does not work in a mail @ script",
        ),
        (
            column("<mj-text><iframe src=\"https://a.b\"></iframe></mj-text>"),
            "`<iframe>` does not work in a mail @ iframe",
        ),
        (column("<mj-text><!-- {{ x }} --></mj-text>"), "a tag stands in an HTML comment @ <!-- {{ x }} -->"),
        (
            column("<mj-text><!--[if {{ x }}]>a<![endif]--></mj-text>"),
            "a tag stands in an HTML comment @ <!--[if {{ x }}]>",
        ),
        (head("<mj-style>a { color: {{ x }} }</mj-style>"), "a tag stands in a style sheet @ {{ x }}"),
        (head("<mj-raw><style>{{ x }}</style></mj-raw>"), "a tag stands in a style sheet @ {{ x }}"),
        (
            head("<mj-attributes><mj-all color=\"{{ x }}\"/></mj-attributes>"),
            "a tag stands in `<mj-attributes>` @ color=\"{{ x }}\"",
        ),
        (
            head("<mj-raw><meta http-equiv=\"refresh\" content=\"{{ x }}\"/></mj-raw>"),
            "a tag stands in `content` @ {{ x }}",
        ),
        (
            column("<mj-text><p onclick=\"{{ x }}\">x</p></mj-text>"),
            "`onclick` is a handler @ onclick=\"{{ x }}\"",
        ),
        (
            column("<mj-text><img srcset=\"{{ x }}\" src=\"#\" alt=\"\"></mj-text>"),
            "a tag stands in `srcset` @ {{ x }}",
        ),
        (
            column("<mj-text><a href=\"java\nscript:{{ x }}\">x</a></mj-text>"),
            "`javascript:` may not stand in a mail @ java\nscript:{{ x }}",
        ),
        (
            column("<mj-text><p title=\"vbscript:x\">x</p></mj-text>"),
            "`vbscript:` may not stand in a mail @ vbscript:x",
        ),
        (column("<mj-text><meta></mj-text>"), "`<meta>` cannot stand in the body @ meta"),
    ] {
        assert_eq!(faults(&source), [expected], "{source}");
    }
}
