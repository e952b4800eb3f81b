//! What is wrong with the MJML itself: what mrml would drop, misplace or pass through without a word, and where a
//! value must not stand.

use std::collections::BTreeMap;
use std::ops::Range;

use super::components;
use super::components::Content;
use super::fault::CompileFault;
use super::fault::Part;
use super::mask::Edited;
use super::mask::Tag;
use super::mask::TagKind;
use super::mask::Words;
use super::tree::Element;
use super::tree::Node;
use crate::catalog::nearest::nearest;

mod attributes;
mod colours;
mod control;
mod layout;
#[cfg(test)]
mod tests;

/// Elements that mail programs remove, or that must not stand in a mail.
const FORBIDDEN: &[&str] = &[
    "applet", "audio", "base", "button", "canvas", "embed", "form", "frame", "frameset", "iframe", "input",
    "math", "object", "script", "select", "svg", "textarea", "video",
];

/// All faults of the tree.
pub(super) fn check(
    root: &Element<'_>,
    source: &str,
    masked: &Edited,
    tags: &[Tag],
    words: &Words,
) -> Vec<CompileFault> {
    let mut lint = Lint { source, masked, tags, words, classes: classes(root), faults: Vec::new() };
    root.walk(&mut |element, ancestors| {
        let parent = ancestors.last().copied();
        let in_attributes = ancestors.iter().any(|ancestor| ancestor.name == "mj-attributes");
        if in_attributes {
            lint.defaults(element);
            return;
        }
        lint.element(element, parent, ancestors);
        lint.attributes(element);
        lint.children(element);
        lint.says_something(element);
        lint.layout(element, ancestors);
    });
    lint.control(root);
    lint.faults
}

/// The attributes of each `<mj-class>` by its name.
fn classes<'s>(root: &Element<'s>) -> BTreeMap<&'s str, Vec<&'s str>> {
    let mut classes = BTreeMap::new();
    root.walk(&mut |element, _| {
        if element.name == "mj-class"
            && let Some(name) = element.value("name")
        {
            let names: Vec<&str> = element.attributes.iter().map(|attribute| attribute.name).collect();
            classes.entry(name).or_insert_with(Vec::new).extend(names);
        }
    });
    classes
}

struct Lint<'a> {
    source: &'a str,
    masked: &'a Edited,
    tags: &'a [Tag],
    words: &'a Words,
    classes: BTreeMap<&'a str, Vec<&'a str>>,
    faults: Vec<CompileFault>,
}

impl<'a> Lint<'a> {
    /// A fault at a place of the masked text.
    fn fault(&mut self, range: &Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let span = self.masked.source(range);
        self.faults.push(CompileFault::new(Part::Body, span, message).help(help));
    }

    fn warning(&mut self, range: &Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.fault(range, message, help);
        if let Some(fault) = self.faults.pop() {
            self.faults.push(fault.warning());
        }
    }

    fn text(&self, range: &Range<usize>) -> &'a str {
        &self.masked.text[range.clone()]
    }

    /// The tags in a piece of the masked text, each with its place.
    fn tags_in(&self, range: &Range<usize>) -> Vec<(Range<usize>, &'a Tag)> {
        self.words
            .find(self.text(range))
            .filter_map(|(place, index)| {
                let tag = self.tags.get(index)?;
                Some((range.start + place.start..range.start + place.end, tag))
            })
            .collect()
    }

    fn holds_tag(&self, range: &Range<usize>) -> bool {
        self.words.find(self.text(range)).next().is_some()
    }

    /// A link without words cannot be seen.
    fn says_something(&mut self, element: &Element<'a>) {
        let has_words = element.children.iter().any(|child| match child {
            Node::Text(range) => self.visible(range).is_some(),
            Node::Element(_) => true,
            _ => false,
        });
        if element.name == "mj-button" && !has_words {
            let help = "write what it leads to between its tags";
            self.fault(&element.name_range, "this button has no words", help);
        }
    }

    /// What a text holds beside tags that print nothing.
    fn visible(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let text = self.text(range);
        let mut at = 0;
        let end = (range.end - range.start, None);
        let stops = self.words.find(text).map(|(place, index)| {
            let prints = self.tags.get(index).is_none_or(|tag| tag.kind == TagKind::Expression);
            (place.start, Some((place, prints)))
        });
        for (stop, word) in stops.chain(std::iter::once(end)) {
            let between = &text[at..stop];
            if !between.trim().is_empty() {
                let start = range.start + at + between.len() - between.trim_start().len();
                return Some(start..start + between.trim().len());
            }
            if let Some((place, prints)) = word {
                if prints {
                    return Some(range.start + place.start..range.start + place.end);
                }
                at = place.end;
            }
        }
        None
    }

    /// Whether the element is known, and may stand where it stands.
    fn element(&mut self, element: &Element<'a>, parent: Option<&Element<'a>>, ancestors: &[&Element<'a>]) {
        let name = element.name;
        if self.words.find(name).next().is_some() {
            let help = "write the element's name";
            return self.fault(&element.name_range, "a tag stands in the name of an element", help);
        }
        if name.starts_with("mj-") || name == "mjml" {
            return self.component(element, parent);
        }
        if FORBIDDEN.contains(&name.to_ascii_lowercase().as_str()) {
            let message = format!("`<{name}>` does not work in a mail");
            return self.fault(
                &element.name_range,
                message,
                "mail programs remove it; use text, pictures and links",
            );
        }
        let in_head = ancestors.iter().any(|ancestor| ancestor.name == "mj-head");
        if !in_head && matches!(name, "link" | "meta" | "html" | "head" | "body") {
            let help = "put it into an `<mj-raw>` in `<mj-head>`";
            return self.fault(&element.name_range, format!("`<{name}>` cannot stand in the body"), help);
        }
        if let Some(parent) = parent
            && let Some(component) = components::find(parent.name)
            && !matches!(component.content, Content::Html)
        {
            let message = format!("`<{name}>` cannot stand in `<{}>`", parent.name);
            self.fault(&element.name_range, message, "put it into an `<mj-text>`");
        }
    }

    fn component(&mut self, element: &Element<'a>, parent: Option<&Element<'a>>) {
        let name = element.name;
        if components::find(name).is_none() {
            let help = match name {
                "mj-block" | "mj-slot" | "mj-content" => {
                    "it is filled in when the catalogue loads; check its name".to_owned()
                }
                "mj-include" => {
                    "put the part into templates/blocks and write `<mj-block name=\"…\" />`".to_owned()
                }
                _ => match nearest(name, components::names()) {
                    Some(near) => format!("did you mean `<{near}>`?"),
                    None => "see the components at https://documentation.mjml.io".to_owned(),
                },
            };
            return self.fault(&element.name_range, format!("there is no `<{name}>`"), help);
        }
        let Some(parent) = parent else { return };
        let allowed = match components::find(parent.name).map(|component| component.content) {
            Some(Content::Components(children)) => children.contains(&name),
            _ => false,
        };
        if !allowed {
            let parents: Vec<String> =
                components::parents(name).map(|parent| format!("`<{parent}>`")).collect();
            let message = format!("`<{name}>` cannot stand in `<{}>`", parent.name);
            let help = match parents.as_slice() {
                [] => "take it out: the layout has it already".to_owned(),
                parents => format!("it stands in {}", parents.join(" or ")),
            };
            self.fault(&element.name_range, message, help);
        }
    }

    /// What stands in an element beside other elements.
    fn children(&mut self, element: &Element<'a>) {
        let content = components::find(element.name).map(|component| component.content);
        let is_css = content == Some(Content::Css) || element.name == "style";
        for child in &element.children {
            match child {
                Node::Comment(range) | Node::ConditionStart(range) if self.holds_tag(range) => {
                    let help = "write `{# … #}` for a note, or take the tag out of the comment";
                    self.fault(range, "a tag stands in an HTML comment", help);
                }
                Node::Text(range) if is_css => {
                    for (place, _) in self.tags_in(range) {
                        let help = "write the style as it is; a value could hold any CSS";
                        self.fault(&place, "a tag stands in a style sheet", help);
                    }
                }
                Node::Text(range) if matches!(content, Some(Content::Components(_) | Content::Nothing)) => {
                    if let Some(place) = self.visible(range) {
                        let message = format!("text cannot stand in `<{}>`", element.name);
                        self.fault(&place, message, "put it into an `<mj-text>`");
                    }
                }
                _ => {}
            }
        }
    }
}
