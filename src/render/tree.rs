//! The MJML as a tree with places. It is stricter than mrml, which takes wrong end tags, says no place for unclosed
//! elements, and panics on malformed conditional comments.

use std::ops::Range;

#[cfg(test)]
mod tests;

/// Deepest nesting of elements. mrml recurses, and aborts the process some thousands deeper.
pub const NESTING_LEVELS_MAX: usize = 200;

/// HTML elements that have no end tag.
const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];

/// What stands between two tags, or is one.
#[derive(Debug)]
pub(super) enum Node<'s> {
    Element(Element<'s>),
    Text(Range<usize>),
    /// `<!-- … -->`.
    Comment(Range<usize>),
    /// `<!--[if mso]>`, `<!--[if !mso]><!-->`: what follows is for Outlook alone, or for all others.
    ConditionStart(Range<usize>),
    /// `<![endif]-->`.
    ConditionEnd,
}

/// An element with its attributes and children.
#[derive(Debug)]
pub(super) struct Element<'s> {
    pub(super) name: &'s str,
    /// The name in the start tag.
    pub(super) name_range: Range<usize>,
    /// From the start tag to the end tag.
    pub(super) range: Range<usize>,
    pub(super) attributes: Vec<Attribute<'s>>,
    pub(super) children: Vec<Node<'s>>,
}

/// One attribute of a start tag.
#[derive(Debug)]
pub(super) struct Attribute<'s> {
    pub(super) name: &'s str,
    /// Name and value.
    pub(super) range: Range<usize>,
    /// Without the quotes; `None` where there is a name alone.
    pub(super) value: Option<Value<'s>>,
}

/// The value of an attribute.
#[derive(Debug)]
pub(super) struct Value<'s> {
    pub(super) text: &'s str,
    pub(super) range: Range<usize>,
}

impl<'s> Element<'s> {
    /// The attribute called `name`.
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute<'s>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The value of the attribute called `name`.
    pub(super) fn value(&self, name: &str) -> Option<&'s str> {
        self.attribute(name).and_then(|attribute| attribute.value.as_ref()).map(|value| value.text)
    }

    /// Its child elements.
    pub(super) fn elements(&self) -> impl Iterator<Item = &Element<'s>> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            _ => None,
        })
    }

    /// Calls `visit` for this element and all below, each with its ancestors, outermost first.
    pub(super) fn walk<'t>(&'t self, visit: &mut impl FnMut(&'t Element<'s>, &[&'t Element<'s>])) {
        self.walk_below(&mut Vec::new(), visit);
    }

    fn walk_below<'t>(
        &'t self,
        ancestors: &mut Vec<&'t Element<'s>>,
        visit: &mut impl FnMut(&'t Element<'s>, &[&'t Element<'s>]),
    ) {
        visit(self, ancestors);
        ancestors.push(self);
        for child in self.elements() {
            child.walk_below(ancestors, visit);
        }
        ancestors.pop();
    }
}

/// Why a text is no tree. The range counts in the parsed text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TreeFault {
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Reads `text` as one `<mjml>` element.
pub(super) fn parse(text: &str) -> Result<Element<'_>, TreeFault> {
    let mut parser = Parser { text, at: 0, open: Vec::new() };
    let root = parser.document()?;
    if root.name != "mjml" {
        return Err(fault(
            root.name_range,
            format!("the outermost element is `<{}>`", root.name),
            "write `<mjml>`",
        ));
    }
    Ok(root)
}

fn fault(range: Range<usize>, message: impl Into<String>, help: &'static str) -> TreeFault {
    TreeFault { range, message: message.into(), help }
}

struct Parser<'s> {
    text: &'s str,
    at: usize,
    open: Vec<Element<'s>>,
}

impl<'s> Parser<'s> {
    fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }

    fn document(&mut self) -> Result<Element<'s>, TreeFault> {
        let mut root = None;
        while self.at < self.text.len() {
            let start = self.at;
            let Some(offset) = self.rest().find('<') else {
                self.at = self.text.len();
                self.add(Node::Text(start..self.at), root.as_ref())?;
                break;
            };
            if offset > 0 {
                self.at += offset;
                self.add(Node::Text(start..self.at), root.as_ref())?;
                continue;
            }
            if self.rest().starts_with("<!") {
                let node = self.declaration()?;
                if !self.open.is_empty() {
                    self.add(node, root.as_ref())?;
                }
            } else if self.rest().starts_with("</") {
                let closed = self.end_tag()?;
                self.finish(closed, &mut root)?;
            } else {
                self.start_tag(&mut root)?;
            }
        }
        if let Some(open) = self.open.pop() {
            let end = open.name_range.end;
            return Err(fault(
                open.range.start..end,
                format!("`<{}>` is never closed", open.name),
                "write its end tag, or `/>` at the end of its start tag",
            ));
        }
        root.ok_or_else(|| fault(0..0, "there is no element", "write `<mjml><mj-body>…</mj-body></mjml>`"))
    }

    /// Puts a node into the innermost open element.
    fn add(&mut self, node: Node<'s>, root: Option<&Element<'s>>) -> Result<(), TreeFault> {
        match (self.open.last_mut(), &node) {
            (Some(parent), _) => parent.children.push(node),
            (None, Node::Text(range)) if self.text[range.clone()].trim().is_empty() => {}
            (None, Node::Text(range) | Node::Comment(range) | Node::ConditionStart(range)) => {
                let place = if root.is_some() { "after" } else { "before" };
                let message = format!("there is text {place} `<mjml>`");
                return Err(fault(range.clone(), message, "put it into an `<mj-text>`, or take it away"));
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn finish(&mut self, element: Element<'s>, root: &mut Option<Element<'s>>) -> Result<(), TreeFault> {
        if let Some(parent) = self.open.last_mut() {
            parent.children.push(Node::Element(element));
        } else if root.is_some() {
            return Err(fault(
                element.name_range,
                "there is a second outermost element",
                "keep one `<mjml>`",
            ));
        } else {
            *root = Some(element);
        }
        Ok(())
    }

    /// A comment, a conditional comment or `<!doctype>`.
    fn declaration(&mut self) -> Result<Node<'s>, TreeFault> {
        let start = self.at;
        let rest = self.rest();
        let starts_condition = rest.starts_with("<!--[if") || rest.starts_with("<![if");
        let ends_condition = rest.starts_with("<![endif]") || rest.starts_with("<!--<![endif]");
        let length = if starts_condition || ends_condition {
            let bracket = rest.find(']');
            bracket.and_then(|bracket| {
                let after = &rest[bracket + 1..];
                let close =
                    [">-->", "><!-->", "-->", ">"].into_iter().find(|close| after.starts_with(close))?;
                Some(bracket + 1 + close.len())
            })
        } else if let Some(comment) = rest.strip_prefix("<!--") {
            comment.find("-->").filter(|end| !comment[..*end].contains("--")).map(|end| end + 7)
        } else if rest.get(..9).is_some_and(|open| open.eq_ignore_ascii_case("<!doctype")) {
            rest.find('>').map(|end| end + 1)
        } else {
            None
        };
        let Some(length) = length else {
            return Err(fault(
                start..start + 2,
                "this comment or declaration is malformed",
                "write `<!-- … -->` without `--` inside, or `<!--[if mso]> … <![endif]-->`",
            ));
        };
        self.at += length;
        let range = start..self.at;
        Ok(match (starts_condition, ends_condition) {
            (true, _) => Node::ConditionStart(range),
            (_, true) => Node::ConditionEnd,
            _ => Node::Comment(range),
        })
    }

    fn end_tag(&mut self) -> Result<Element<'s>, TreeFault> {
        let start = self.at;
        self.at += 2;
        let (name, _) = self.name();
        self.spaces();
        if name.is_empty() || !self.rest().starts_with('>') {
            return Err(fault(start..self.at, "this end tag is malformed", "write `</name>`"));
        }
        self.at += 1;
        let Some(mut element) = self.open.pop() else {
            return Err(fault(start..self.at, format!("`</{name}>` closes nothing"), "take it away"));
        };
        if element.name != name {
            let message = format!("`</{name}>` stands where `</{}>` should", element.name);
            return Err(fault(
                start..self.at,
                message,
                "close elements in the reverse order of their opening",
            ));
        }
        element.range.end = self.at;
        Ok(element)
    }

    fn start_tag(&mut self, root: &mut Option<Element<'s>>) -> Result<(), TreeFault> {
        let start = self.at;
        self.at += 1;
        let (name, name_range) = self.name();
        if name.is_empty() {
            return Err(fault(start..start + 1, "a bare `<` is not text", "write `&lt;`"));
        }
        let mut element =
            Element { name, name_range, range: start..start, attributes: Vec::new(), children: Vec::new() };
        let empty = loop {
            let spaces = self.spaces();
            if self.rest().starts_with("/>") {
                self.at += 2;
                break true;
            }
            if self.rest().starts_with('>') {
                self.at += 1;
                break VOID.contains(&name);
            }
            let place = self.at..self.at + self.rest().chars().next().map_or(0, char::len_utf8);
            if self.rest().is_empty() {
                return Err(fault(start..self.at, format!("`<{name}` is never closed"), "write `>`"));
            }
            if spaces == 0 {
                return Err(fault(place, "there is no space before this attribute", "write a space"));
            }
            let attribute = self.attribute()?;
            if element.attribute(attribute.name).is_some() {
                let message = format!("`{}` stands twice in one tag", attribute.name);
                return Err(fault(attribute.range, message, "keep one of them"));
            }
            element.attributes.push(attribute);
        };
        element.range.end = self.at;
        if empty {
            return self.finish(element, root);
        }
        if self.open.len() >= NESTING_LEVELS_MAX {
            let message = format!("elements are nested over {NESTING_LEVELS_MAX} levels deep");
            return Err(fault(start..self.at, message, "nest fewer elements"));
        }
        self.open.push(element);
        Ok(())
    }

    fn attribute(&mut self) -> Result<Attribute<'s>, TreeFault> {
        let (name, name_range) = self.name();
        if name.is_empty() {
            let end = self.at + self.rest().chars().next().map_or(0, char::len_utf8);
            return Err(fault(self.at..end, "this is no attribute", "write `name=\"value\"`"));
        }
        let before = self.at;
        self.spaces();
        if !self.rest().starts_with('=') {
            self.at = before;
            return Ok(Attribute { name, range: name_range, value: None });
        }
        self.at += 1;
        self.spaces();
        let quote = self.rest().chars().next().filter(|first| matches!(first, '"' | '\''));
        let Some((quote, end)) = quote.and_then(|quote| Some((quote, self.rest()[1..].find(quote)?))) else {
            return Err(fault(
                name_range,
                format!("the value of `{name}` is not in quotes"),
                "write `name=\"value\"`",
            ));
        };
        let range = self.at + 1..self.at + 1 + end;
        self.at = range.end + quote.len_utf8();
        let value = Value { text: &self.text[range.clone()], range };
        Ok(Attribute { name, range: name_range.start..self.at, value: Some(value) })
    }

    fn name(&mut self) -> (&'s str, Range<usize>) {
        let start = self.at;
        let length = self
            .rest()
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.'))
            .count();
        self.at += length;
        (&self.text[start..self.at], start..self.at)
    }

    fn spaces(&mut self) -> usize {
        let length = self.rest().len() - self.rest().trim_ascii_start().len();
        self.at += length;
        length
    }
}
