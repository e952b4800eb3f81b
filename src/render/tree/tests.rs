//! What is a tree and what is not.

use super::*;

/// The tree in short: `name(child child)`, `"text"`, `!` for comments.
fn short(element: &Element<'_>, text: &str) -> String {
    let children: Vec<String> = element
        .children
        .iter()
        .map(|child| match child {
            Node::Element(element) => short(element, text),
            Node::Text(range) => format!("{:?}", &text[range.clone()]),
            Node::Comment(_) => "!".to_owned(),
            Node::ConditionStart(_) => "[".to_owned(),
            Node::ConditionEnd => "]".to_owned(),
        })
        .collect();
    format!("{}({})", element.name, children.join(" "))
}

#[test]
fn well_formed_text_becomes_a_tree() {
    for (text, expected) in [
        ("<mjml/>", "mjml()"),
        ("<!doctype mjml>\n<mjml> <a/>x<br>y</mjml>\n", "mjml(\" \" a() \"x\" br() \"y\")"),
        ("<mjml><!-- < --><b c='>' d=\"'\" e></b></mjml>", "mjml(! b())"),
        ("<mjml><!--[if mso]><v:rect/><![endif]--></mjml>", "mjml([ v:rect() ])"),
        ("<mjml><!--[if !mso]><!--><i></i><!--<![endif]--></mjml>", "mjml([ i() ])"),
    ] {
        let root = parse(text).expect(text);
        assert_eq!(short(&root, text), expected);
    }
}

#[test]
fn malformed_text_is_a_fault_with_its_place() {
    for (text, expected) in [
        ("", "there is no element"),
        ("<p></p>", "the outermost element is `<p>`"),
        ("<mjml><b></i></mjml>", "`</i>` stands where `</b>` should"),
        ("<mjml><b></mjml>", "`</mjml>` stands where `</b>` should"),
        ("<mjml><b>", "`<b>` is never closed"),
        ("<mjml>a < b</mjml>", "a bare `<` is not text"),
        ("<mjml><!--[if mso] x</mjml>", "this comment or declaration is malformed"),
        ("<mjml><![endif></mjml>", "this comment or declaration is malformed"),
        ("<mjml><!-- a -- b --></mjml>", "this comment or declaration is malformed"),
        ("<mjml><a b=c/></mjml>", "the value of `b` is not in quotes"),
        ("<mjml><a b='1' b='2'/></mjml>", "`b` stands twice in one tag"),
        ("<mjml><a b='1'c='2'/></mjml>", "there is no space before this attribute"),
        ("<mjml><a ü='1'/></mjml>", "this is no attribute"),
        ("<mjml><a", "`<a` is never closed"),
        ("<mjml/>x", "there is text after `<mjml>`"),
        ("<mjml/><mjml/>", "there is a second outermost element"),
        ("</mjml>", "`</mjml>` closes nothing"),
    ] {
        assert_eq!(parse(text).map(|_| ()).expect_err(text).message, expected, "{text}");
    }
    let deep = format!("<mjml>{}", "<div>".repeat(10_000));
    assert_eq!(parse(&deep).expect_err("deep").message, "elements are nested over 200 levels deep");
}
