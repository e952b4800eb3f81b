//! Links and pictures: at load every address is put between marks, and checked and signed when a mail is rendered.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde::Serialize;

use super::entities;
use super::fault::CompileFault;
use super::fault::Part;
use super::mask::Edited;
use super::mask::Tag;
use super::mask::TagKind;
use super::mask::Word;
use super::mask::Words;
use super::tree::Element;
use super::tree::Node;
use super::tree::Value;
use super::writer::ADDRESS;
use super::writer::ADDRESS_END;
use super::writer::Form;
use super::writer::PICTURE;
use crate::words::shortened;

/// Most links in one template; each needs a row in reports.
pub const LINKS_PER_TEMPLATE_MAX: usize = 200;
/// Longest label of a link, in characters.
const LABEL_CHARS_MAX: usize = 80;

/// One link of a template, in the order of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number, from 0: what a click is counted under.
    pub index: u32,
    /// What the recipient sees: its text, or its picture's alternative text.
    pub label: String,
    /// The address as written in the template.
    pub target: String,
    /// Whether it is counted.
    pub kind: LinkKind,
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// To the shop: counted where the campaign tracks.
    Tracked,
    /// `links.unsubscribe`: never counted.
    Unsubscribe,
    /// `links.preferences`: never counted.
    Preferences,
    /// `links.view`: never counted.
    View,
    /// `mailto:`, `tel:` or `#`: as written.
    Plain,
}

/// Attributes that hold the address of a link.
fn is_link(element: &str, attribute: &str) -> bool {
    attribute == "href"
        && matches!(
            element,
            "a" | "area"
                | "mj-button"
                | "mj-image"
                | "mj-navbar-link"
                | "mj-social-element"
                | "mj-carousel-image"
        )
}

/// Attributes that hold the address of a picture.
fn is_picture(attribute: &str) -> bool {
    matches!(attribute, "src" | "background" | "background-url" | "thumbnails-src")
        || attribute.ends_with("wrapped-url")
        || matches!(attribute, "left-icon" | "right-icon")
}

/// What the rewriting gives.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// Places of the masked text and the words that go there, in order.
    pub(super) edits: BTreeMap<usize, (Range<usize>, String)>,
    pub(super) links: Vec<Link>,
    /// What shows each picture whose address comes from facts: its alternative text, by number.
    pub(super) pictures: Vec<String>,
    pub(super) faults: Vec<CompileFault>,
}

/// Rewrites the links and pictures of the body.
pub(super) fn rewrite(
    body: &Element<'_>,
    source: &str,
    masked: &Edited,
    tags: &[Tag],
    words: &mut Words,
) -> Rewritten {
    let mut rewriter = Rewriter { source, masked, tags, words, out: Rewritten::default() };
    body.walk(&mut |element, _| {
        for attribute in &element.attributes {
            let Some(value) = &attribute.value else { continue };
            if is_link(element.name, attribute.name) {
                rewriter.link(element, value);
            } else if is_picture(attribute.name) {
                rewriter.picture(element, value);
            }
        }
    });
    rewriter.out
}

struct Rewriter<'a> {
    source: &'a str,
    masked: &'a Edited,
    tags: &'a [Tag],
    words: &'a mut Words,
    out: Rewritten,
}

impl Rewriter<'_> {
    fn fault(&mut self, value: &Value<'_>, message: &str, help: &str) {
        let span = self.masked.source(&value.range);
        self.out.faults.push(CompileFault::new(Part::Body, span, message).help(help));
    }

    fn link(&mut self, element: &Element<'_>, value: &Value<'_>) {
        if self.out.links.len() >= LINKS_PER_TEMPLATE_MAX {
            let message = format!("there are over {LINKS_PER_TEMPLATE_MAX} links");
            return self.fault(value, &message, "show fewer");
        }
        let target = self.source[self.masked.source(&value.range)].trim().to_owned();
        let Some((kind, written)) = self.address(value, Role::Link) else { return };
        let index = u32::try_from(self.out.links.len()).unwrap_or(u32::MAX);
        let label = self.label(element, &target);
        self.out.links.push(Link { index, label, target, kind });
        if kind == LinkKind::Tracked {
            self.replace(value, &index.to_string(), &written);
        }
    }

    fn picture(&mut self, element: &Element<'_>, value: &Value<'_>) {
        let Some((_, written)) = self.address(value, Role::Picture) else { return };
        if !written.is_empty() && self.words.find(value.text).next().is_some() {
            let what = element.value("alt").map_or(element.name, |alt| alt.trim());
            let number = format!("{PICTURE}{}", self.out.pictures.len());
            self.out.pictures.push(shortened(&self.unmasked(what), LABEL_CHARS_MAX).into_owned());
            self.replace(value, &number, &written);
        }
    }

    /// The pieces of the address; none where it stays as written. Says what is wrong with it otherwise.
    fn address(&mut self, value: &Value<'_>, role: Role) -> Option<(LinkKind, Vec<Written>)> {
        let found: Vec<(Range<usize>, usize)> = self.words.find(value.text).collect();
        let first = found.first().map_or(value.text.len(), |(range, _)| range.start);
        let start = value.text[..first].trim_start().to_ascii_lowercase();
        if found.iter().any(|(_, index)| self.tags[*index].kind != TagKind::Expression) {
            let help = "write `{{ a if condition else b }}`, or two links with `{% if %}` around each";
            self.fault(value, "an address may hold `{{ }}` only", help);
            return None;
        }
        if value.text.trim().is_empty() {
            self.fault(value, "the address is empty", "write where it leads");
            return None;
        }
        let own =
            start.is_empty().then(|| found.first().and_then(|(_, index)| self.own_link(*index))).flatten();
        let kind = match (role, own) {
            (_, Some(kind)) => return Some((kind, Vec::new())),
            (Role::Link, _) if ["mailto:", "tel:", "#"].iter().any(|scheme| start.starts_with(scheme)) => {
                return Some((LinkKind::Plain, Vec::new()));
            }
            _ => LinkKind::Tracked,
        };
        let whole = ["https://", "http://"].iter().any(|scheme| {
            start.strip_prefix(scheme).is_some_and(|host| !host.is_empty() || !found.is_empty())
        });
        if !(whole || start.is_empty()) {
            let (message, help) = role.wrong_scheme(&start);
            self.fault(value, &message, help);
            return None;
        }
        let written = self.written(value, &found)?;
        Some((kind, written))
    }

    /// `links.unsubscribe` and the like: made for this mail, signed already.
    fn own_link(&self, tag: usize) -> Option<LinkKind> {
        match self.source[self.tags[tag].inner.clone()].trim() {
            "links.unsubscribe" => Some(LinkKind::Unsubscribe),
            "links.preferences" => Some(LinkKind::Preferences),
            "links.view" => Some(LinkKind::View),
            _ => None,
        }
    }

    /// `https://shop.example/`, then `product.id`.
    fn written(&mut self, value: &Value<'_>, found: &[(Range<usize>, usize)]) -> Option<Vec<Written>> {
        let end = value.text.trim_end().len();
        let fixed = value.text[..end].trim_start();
        if fixed.contains(|c: char| c.is_whitespace() || c.is_control()) {
            self.fault(value, "there is a space in this address", "write `%20`, or take it away");
            return None;
        }
        let mut out = Vec::new();
        let mut at = value.text.len() - value.text.trim_start().len();
        for (range, tag) in found {
            out.push(Written::Fixed(entities::decode(&value.text[at..range.start])));
            out.push(Written::Expression(self.source[self.tags[*tag].inner.clone()].trim().to_owned()));
            at = range.end;
        }
        out.push(Written::Fixed(entities::decode(&value.text[at..end])));
        Some(out)
    }

    fn replace(&mut self, value: &Value<'_>, number: &str, written: &[Written]) {
        let indices: Vec<usize> = self.words.find(value.text).map(|(_, index)| index).collect();
        let tags =
            indices.first().map_or(0..0, |first| *first..indices.last().map_or(*first, |last| last + 1));
        let word = self.words.add(Word {
            restored: marked(number, written, Form::Html),
            in_text: Some(marked(number, written, Form::Text)),
            source: self.masked.source(&value.range),
            tags,
        });
        self.out.edits.insert(value.range.start, (value.range.clone(), word));
    }

    fn label(&self, element: &Element<'_>, target: &str) -> String {
        let mut text = String::new();
        collect_text(element, &self.masked.text, &mut text);
        for name in ["alt", "title", "name"] {
            if text.trim().is_empty() {
                element.value(name).unwrap_or_default().clone_into(&mut text);
            }
        }
        let text = entities::decode(&self.unmasked(&text));
        let label = text.split_whitespace().collect::<Vec<_>>().join(" ");
        shortened(if label.is_empty() { target } else { &label }, LABEL_CHARS_MAX).into_owned()
    }

    fn unmasked(&self, text: &str) -> String {
        self.words.restore(text, Form::Html).text
    }
}

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Link,
    Picture,
}

impl Role {
    fn wrong_scheme(self, start: &str) -> (String, &'static str) {
        let scheme = start.split_once(':').map(|(scheme, _)| scheme);
        match (self, scheme) {
            (_, Some(scheme)) if !scheme.contains(['/', '?', '.']) => {
                let help = match self {
                    Self::Link => "use `https://`, `mailto:` or `tel:`",
                    Self::Picture => "put the picture on the web and write its `https://` address",
                };
                (format!("`{scheme}:` may not stand in a mail"), help)
            }
            _ => (
                "this address is not whole; mail programs do not know where it starts from".to_owned(),
                "write it with `https://` and the host",
            ),
        }
    }
}

/// A piece of an address.
enum Written {
    /// As it goes out.
    Fixed(String),
    /// A Tera expression.
    Expression(String),
}

/// An address between its marks, for the writer to check and sign: `3:https://shop.example/{{ product.id }}`.
fn marked(number: &str, written: &[Written], form: Form) -> String {
    let pieces = written.iter().map(|piece| match (piece, form) {
        (Written::Fixed(text), Form::Text) => text.clone(),
        (Written::Fixed(text), Form::Html) => entities::escape(text),
        (Written::Expression(expression), _) => format!("{{{{ {expression} }}}}"),
    });
    format!("{ADDRESS}{number}:{}{ADDRESS_END}", pieces.collect::<String>())
}

/// Whether a word stands for a link between its marks.
pub(super) fn is_marked_link(restored: &str) -> bool {
    restored.strip_prefix(ADDRESS).is_some_and(|rest| !rest.starts_with(PICTURE))
}

fn collect_text(element: &Element<'_>, text: &str, out: &mut String) {
    for child in &element.children {
        match child {
            Node::Text(range) => out.push_str(&text[range.clone()]),
            Node::Element(child) => {
                out.push(' ');
                out.push_str(child.value("alt").unwrap_or_default());
                collect_text(child, text, out);
            }
            Node::Comment(_) | Node::ConditionStart(_) | Node::ConditionEnd => {}
        }
    }
}
