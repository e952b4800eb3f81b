//! The plain-text template, derived from the MJML at load.

use std::ops::Range;

use super::entities;
use super::links::Rewritten;
use super::mask::Tag;
use super::mask::TagKind;
use super::mask::Words;
use super::tree::Element;
use super::tree::Node;

/// Stands for a divider.
const RULE: &str = "----------------------------------------";

/// Derives the text of `body`, still masked. Blocks end with an empty line, rows and list items with a line end;
/// control flow stands where it stood, so that a loop repeats whole lines.
pub(super) fn derive(
    body: &Element<'_>,
    text: &str,
    tags: &[Tag],
    words: &Words,
    rewritten: &Rewritten,
) -> String {
    let mut writer = Writer { text, tags, words, rewritten, out: String::new(), line_ends: 2, hidden: 0 };
    writer.children(body, Flow::Block);
    writer.out.trim().to_owned()
}

/// Whether text stands in a line, or between blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Between blocks, only control tags are kept: nothing else can stand there.
    Block,
    /// In a line.
    Inline,
}

struct Writer<'a> {
    text: &'a str,
    tags: &'a [Tag],
    words: &'a Words,
    rewritten: &'a Rewritten,
    out: String,
    /// Line ends at the end of `out`, looking through control tags between blocks: those print nothing.
    line_ends: usize,
    /// How many conditional comments for Outlook alone are open.
    hidden: usize,
}

impl Writer<'_> {
    fn children(&mut self, element: &Element<'_>, flow: Flow) {
        for child in &element.children {
            match child {
                Node::ConditionStart(range) => {
                    let shown_elsewhere = self.text[range.clone()].contains("[if !");
                    self.hidden += usize::from(!shown_elsewhere || self.hidden > 0);
                }
                Node::ConditionEnd => self.hidden = self.hidden.saturating_sub(1),
                _ if self.hidden > 0 => {}
                Node::Text(range) => self.line_text(range.clone(), flow),
                Node::Element(child) => self.element(child, flow),
                Node::Comment(_) => {}
            }
        }
    }

    fn element(&mut self, element: &Element<'_>, flow: Flow) {
        // What is only to look at (a tile with an initial beside its product's name) is hidden from those who listen,
        // and from those who read.
        if element.value("aria-hidden") == Some("true") {
            return;
        }
        match element.name {
            "mj-text" | "mj-accordion-title" | "mj-accordion-text" | "p" | "div" | "blockquote"
            | "address" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.block(element),
            "mj-button" => self.link_block(element, "\n\n"),
            "mj-navbar-link" | "mj-social-element" => self.link_block(element, "\n"),
            "mj-navbar" | "mj-social" => {
                self.children(element, Flow::Block);
                self.end("\n\n");
            }
            "mj-image" | "mj-carousel-image" => self.picture_block(element),
            "mj-divider" | "hr" => {
                self.end("\n");
                self.push(RULE);
                self.end("\n\n");
            }
            "mj-table" | "table" | "ul" | "ol" | "dl" => {
                self.end("\n");
                self.children(element, Flow::Block);
                self.end("\n\n");
            }
            "li" => {
                self.end("\n");
                self.push("- ");
                self.children(element, Flow::Inline);
                self.end("\n");
            }
            "tr" | "dt" | "dd" => {
                self.children(element, Flow::Block);
                self.end("\n");
            }
            "td" | "th" => {
                if self.line_ends == 0 {
                    self.push("  ");
                }
                self.children(element, Flow::Inline);
            }
            "br" => {
                self.out.push('\n');
                self.line_ends += 1;
            }
            "a" | "area" => self.link_inline(element),
            "img" => self.push(&decoded(element.value("alt").unwrap_or_default())),
            "mj-spacer" | "style" | "script" | "title" | "mj-style" => {}
            name if name.starts_with("mj-") => self.children(element, Flow::Block),
            _ => self.children(element, flow),
        }
    }

    fn block(&mut self, element: &Element<'_>) {
        self.end("\n");
        self.children(element, Flow::Inline);
        self.end("\n\n");
    }

    /// Text with its whitespace collapsed. Between blocks only control tags stay.
    fn line_text(&mut self, range: Range<usize>, flow: Flow) {
        let text = &self.text[range];
        if flow == Flow::Block || self.is_control_only(text) {
            for (place, index) in self.words.find(text) {
                if self.tags.get(index).is_none_or(|tag| tag.kind != TagKind::Comment) {
                    self.out.push_str(&text[place]);
                }
            }
            return;
        }
        let decoded = decoded(text);
        for (position, word) in decoded.split([' ', '\t', '\r', '\n']).enumerate() {
            if position > 0 && self.line_ends == 0 && !self.out.ends_with(' ') {
                self.push(" ");
            }
            self.push(word);
        }
    }

    /// Whether a text prints nothing by itself.
    fn is_control_only(&self, text: &str) -> bool {
        let mut at = 0;
        for (place, index) in self.words.find(text) {
            let prints = self.tags.get(index).is_none_or(|tag| tag.kind == TagKind::Expression);
            if prints || !text[at..place.start].trim().is_empty() {
                return false;
            }
            at = place.end;
        }
        at > 0 && text[at..].trim().is_empty()
    }

    fn link_block(&mut self, element: &Element<'_>, end: &str) {
        self.end("\n");
        self.link_inline(element);
        self.end(end);
    }

    /// `label: address`; the address alone where it is its own label.
    fn link_inline(&mut self, element: &Element<'_>) {
        let start = self.out.len();
        let line_ends = self.line_ends;
        self.children(element, Flow::Inline);
        let label = self.out.split_off(start);
        self.line_ends = line_ends;
        let mut name = label.trim().to_owned();
        if name.is_empty() {
            name = decoded(element.value("alt").or(element.value("title")).unwrap_or_default());
        }
        if label.starts_with(' ') {
            self.push(" ");
        }
        self.labelled(name.trim(), self.address(element, "href"));
        if label.len() > 1 && label.ends_with(' ') {
            self.push(" ");
        }
    }

    fn picture_block(&mut self, element: &Element<'_>) {
        let alt = decoded(element.value("alt").unwrap_or_default());
        self.end("\n");
        self.labelled(alt.trim(), self.address(element, "href"));
        self.end("\n\n");
    }

    fn labelled(&mut self, label: &str, address: Option<String>) {
        match address {
            Some(address) if label.is_empty() || label == address => self.push(&address),
            Some(address) => self.push(&format!("{label}: {address}")),
            None => self.push(label),
        }
    }

    /// The address as it stands in the text: signed like the one in the HTML; without `mailto:`; nothing for `#…`.
    fn address(&self, element: &Element<'_>, name: &str) -> Option<String> {
        let value = element.attribute(name)?.value.as_ref()?;
        if let Some((_, word)) = self.rewritten.edits.get(&value.range.start) {
            return Some(word.clone());
        }
        let address = decoded(value.text.trim());
        let address = address.strip_prefix("mailto:").or(address.strip_prefix("tel:")).unwrap_or(&address);
        (!address.is_empty() && !address.starts_with('#')).then(|| address.to_owned())
    }

    /// Adds what prints something.
    fn push(&mut self, text: &str) {
        if !text.is_empty() {
            self.out.push_str(text);
            self.line_ends = 0;
        }
    }

    /// Ends the line, or the paragraph. What control flow leaves over is collapsed when a mail is rendered.
    fn end(&mut self, end: &str) {
        let missing = end.len().saturating_sub(self.line_ends);
        if missing > 0 {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.out.extend(std::iter::repeat_n('\n', missing));
            self.line_ends += missing;
        }
    }
}

fn decoded(text: &str) -> String {
    entities::decode(text)
        .replace(['\u{a0}', '\u{2002}', '\u{2003}', '\u{2009}'], " ")
        .replace(['\u{ad}', '\u{200c}'], "")
}
