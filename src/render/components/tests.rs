//! The table against mrml: each attribute changes what mrml makes.

use mrml::prelude::parser::ParserOptions;
use mrml::prelude::render::RenderOptions;

use super::*;

/// A document in which `element` with `attributes` stands where it may.
fn document(component: &Component, attribute: &str) -> String {
    let content = match component.content {
        Content::Components(_) => match component.name {
            "mj-body" => "<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>",
            "mj-wrapper" => {
                "<mj-section border=\"1px solid red\"><mj-column><mj-text>x</mj-text></mj-column></mj-section>"
            }
            "mj-section" | "mj-group" => "<mj-column><mj-text>x</mj-text></mj-column>",
            "mj-social" => "<mj-social-element name=\"web\" href=\"https://a.b\">x</mj-social-element>",
            "mj-navbar" => "<mj-navbar-link href=\"/x\">x</mj-navbar-link>",
            "mj-accordion" => {
                "<mj-accordion-element><mj-accordion-title>x</mj-accordion-title><mj-accordion-text>x\
                 </mj-accordion-text></mj-accordion-element>"
            }
            "mj-accordion-element" => {
                "<mj-accordion-title>x</mj-accordion-title><mj-accordion-text>x</mj-accordion-text>"
            }
            "mj-carousel" => {
                "<mj-carousel-image src=\"https://a.b/c\"/><mj-carousel-image src=\"https://a.b/d\"/>"
            }
            _ => "<mj-text>x</mj-text>",
        },
        Content::Html => "x",
        _ => "",
    };
    // What an attribute needs beside it to have an effect.
    let beside = match (component.name, attribute) {
        ("mj-section" | "mj-wrapper", name)
            if name.starts_with("background-") && name != "background-url" =>
        {
            " background-url=\"https://a.b/c.png\""
        }
        ("mj-hero", "mode") => " background-url=\"https://a.b/c\"",
        ("mj-hero", "background-width" | "background-height" | "background-position") => {
            " background-url=\"https://a.b/c.png\""
        }
        ("mj-column", name) if name.starts_with("inner-") => " padding=\"3px\" border-radius=\"2px\"",
        ("mj-navbar", name) if name.starts_with("ico-") => " hamburger=\"hamburger\"",
        ("mj-image", "name" | "rel" | "target") => " src=\"https://a.b/c\" href=\"https://a.b\"",
        ("mj-image", name) if name != "src" => " src=\"https://a.b/c\"",
        ("mj-button", name) if name != "href" => " href=\"https://a.b\"",
        ("mj-social-element", name) if name != "href" => " href=\"https://a.b\"",
        ("mj-carousel-image", name) if name != "href" => " href=\"https://a.b\"",
        ("mj-carousel", name) if name.starts_with("tb-") => " thumbnails=\"visible\"",
        _ => "",
    };
    let name = component.name;
    let own = |attributes: &str| format!("<{name}{attributes}{beside}>{content}</{name}>");
    let with = own(&format!(" {attribute}=\"{}\"", value(attribute)));
    let placed = |inner: &str| {
        let mut document = inner.to_owned();
        let mut element = name;
        while element != "mj-body" {
            let parent = match element {
                "mj-section" | "mj-wrapper" | "mj-hero" => "mj-body",
                "mj-column" | "mj-group" => "mj-section",
                _ => parents(element).next().expect("a parent"),
            };
            document = format!("<{parent}>{document}</{parent}>");
            element = parent;
        }
        format!(
            "<mjml><mj-head><mj-attributes><mj-class name=\"k\" css-class=\"k2\" padding=\"7px\" color=\"red\" \
             background-color=\"red\"/></mj-attributes></mj-head>{document}</mjml>"
        )
    };
    placed(&with)
}

/// A value that differs from every default.
fn value(attribute: &str) -> &'static str {
    match attribute {
        "mj-class" => "k",
        "mode" | "full-width" | "fluid-on-mobile" | "thumbnails" | "hamburger" => match attribute {
            "mode" => "fluid",
            "full-width" => "full-width",
            "thumbnails" => "hidden",
            "hamburger" => "hamburger",
            _ => "true",
        },
        "padding" | "inner-padding" | "icon-padding" | "text-padding" | "ico-padding" => "3px 5px 7px 9px",
        name if name.ends_with("-radius") || name.contains("padding-") => "7px",
        "align" | "ico-align" | "text-align" => "right",
        "icon-position" => "left",
        "vertical-align" | "icon-align" => "bottom",
        "direction" => "rtl",
        "border-style" => "dashed",
        "border-width" => "9px",
        name if name.ends_with("color") => "#123456",
        name if name.contains("border") => "3px solid #123456",
        "width" | "height" | "icon-size" | "icon-height" | "icon-width" | "tb-width" | "max-height"
        | "background-width" | "background-height" | "background-size" => "77px",
        "background-position" => "left bottom",
        "background-position-x" => "left",
        "background-position-y" => "bottom",
        "background-repeat" => "no-repeat",
        "font-size" | "letter-spacing" | "ico-font-size" => "29px",
        "line-height" | "ico-line-height" => "2.7",
        "href" | "src" | "background-url" | "base-url" | "left-icon" | "right-icon" | "thumbnails-src" => {
            "https://z.example/z"
        }
        "name" => "facebook",
        "table-layout" => "fixed",
        _ => "zzz",
    }
}

fn html(mjml: &str) -> String {
    let parsed = mrml::parse_with_options(mjml, &ParserOptions::default()).expect(mjml);
    parsed.element.render(&RenderOptions::default()).expect(mjml)
}

#[test]
fn every_attribute_of_the_table_is_one_that_mrml_reads() {
    let mut ignored = Vec::new();
    for component in COMPONENTS {
        if matches!(component.name, "mjml" | "mj-head" | "mj-attributes" | "mj-raw")
            || parents(component.name).any(|parent| parent == "mj-head")
        {
            continue;
        }
        for attribute in component.attributes() {
            let with = document(component, attribute);
            let without = with.replacen(&format!(" {attribute}=\"{}\"", value(attribute)), "", 1);
            if html(&with) == html(&without) {
                ignored.push(format!("{} {attribute}", component.name));
            }
        }
    }
    assert_eq!(ignored, Vec::<String>::new());
}

/// Read by mrml, though MJML does not know them there: side effects of code that components share.
fn is_a_quirk(component: &str, attribute: &str) -> bool {
    match component {
        "mj-group" => {
            attribute == "align" || attribute.starts_with("border") || attribute.starts_with("padding")
        }
        "mj-column" | "mj-hero" => attribute == "align",
        "mj-accordion-title" => attribute == "border" || attribute.starts_with("icon-"),
        "mj-accordion-text" => attribute == "border",
        "mj-carousel-image" => attribute == "tb-width",
        "mj-spacer" => matches!(attribute, "align" | "vertical-align"),
        _ => attribute == "vertical-align",
    }
}

#[test]
fn no_attribute_that_mrml_reads_is_left_out_of_the_table() {
    let mut union: Vec<&str> = COMPONENTS.iter().flat_map(Component::attributes).collect();
    union.sort_unstable();
    union.dedup();
    let mut missing = Vec::new();
    for component in COMPONENTS {
        let in_head = parents(component.name).any(|parent| parent == "mj-head");
        if in_head || matches!(component.name, "mjml" | "mj-head" | "mj-attributes" | "mj-raw") {
            continue;
        }
        for attribute in union.iter().filter(|attribute| !component.has_attribute(attribute)) {
            let with = document(component, attribute);
            let without = with.replacen(&format!(" {attribute}=\"{}\"", value(attribute)), "", 1);
            if !is_a_quirk(component.name, attribute) && html(&with) != html(&without) {
                missing.push(format!("{} {attribute}", component.name));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
