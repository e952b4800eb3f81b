//! Layout: what compiles to something else than it looks like.

use super::Lint;
use crate::render::mask::TagKind;
use crate::render::tree::Element;
use crate::render::tree::Node;

impl<'a> Lint<'a> {
    pub(super) fn layout(&mut self, element: &Element<'a>, ancestors: &[&Element<'a>]) {
        match element.name {
            "mj-section" | "mj-group" => self.loops_around_columns(element),
            "mj-raw" => self.raw(element, ancestors.last().copied()),
            "mj-style" if element.attribute("inline").is_some() => {
                let help = "take `inline` away and use `css-class`, or set the attributes of the components";
                self.fault(&element.name_range, "styles are not written into elements here", help);
            }
            "mj-hero" => self.hero(element),
            "img" | "mj-image" | "mj-carousel-image" => self.picture(element),
            "mj-social-element" => self.social(element),
            "mj-button" | "mj-navbar-link" if element.attribute("href").is_none() => {
                let message = format!("this `<{}>` leads nowhere", element.name);
                self.warning(&element.name_range, message, "write `href=\"https://…\"`");
            }
            "mj-font" => self.font(element),
            _ => {}
        }
    }

    /// MJML shares the width among the columns that it sees: a column in a loop is one column to it.
    fn loops_around_columns(&mut self, element: &Element<'a>) {
        let mut loops = 0_usize;
        for child in &element.children {
            match child {
                Node::Text(range) => loops = self.loops_after(range, loops),
                Node::Element(raw) if raw.name == "mj-raw" => {
                    for inner in &raw.children {
                        if let Node::Text(range) = inner {
                            loops = self.loops_after(range, loops);
                        }
                    }
                }
                Node::Element(column)
                    if loops > 0
                        && matches!(column.name, "mj-column" | "mj-group")
                        && !self.has_width(column) =>
                {
                    let message = format!("this `<{}>` stands in a loop and has no width", column.name);
                    let help =
                        "MJML counts it as one column: write `width=\"33.33%\"` for three beside each other";
                    self.fault(&column.name_range, message, help);
                }
                _ => {}
            }
        }
    }

    fn has_width(&self, column: &Element<'a>) -> bool {
        let classes = column.value("mj-class").unwrap_or_default();
        column.attribute("width").is_some()
            || classes
                .split_ascii_whitespace()
                .filter_map(|class| self.classes.get(class))
                .any(|names| names.contains(&"width"))
    }

    /// How many loops are open after a text.
    fn loops_after(&self, range: &std::ops::Range<usize>, before: usize) -> usize {
        let mut loops = before;
        for (_, tag) in self.tags_in(range) {
            if tag.kind == TagKind::Control {
                match self.source[tag.inner.clone()].split_ascii_whitespace().next() {
                    Some("for") => loops += 1,
                    Some("endfor") => loops = loops.saturating_sub(1),
                    _ => {}
                }
            }
        }
        loops
    }

    fn raw(&mut self, element: &Element<'a>, parent: Option<&Element<'a>>) {
        let Some(parent) = parent else { return };
        let visible = element.children.iter().find_map(|child| match child {
            Node::Text(range) => self.visible(range),
            Node::Element(inner) if parent.name == "mj-wrapper" || inner.name != "tr" => {
                Some(inner.name_range.clone())
            }
            _ => None,
        });
        let Some(place) = visible else { return };
        match parent.name {
            "mj-wrapper" => {
                let help =
                    "put it into an `<mj-text>`; directly in `<mj-wrapper>`, `<mj-raw>` is for control tags";
                self.fault(&place, "only Outlook would show this", help);
            }
            "mj-column" | "mj-hero" => {
                let help = "put it into an `<mj-text>`, or write table rows (`<tr>`)";
                self.fault(&place, "this would stand between the rows of a table", help);
            }
            _ => {}
        }
    }

    fn hero(&mut self, element: &Element<'a>) {
        if let Some(mode) = element.attribute("mode")
            && element.value("mode") != Some("fixed-height")
        {
            let help = "write `mode=\"fixed-height\"` and `height=\"…px\"`";
            self.fault(&mode.range, "a hero of fluid height does not come out right", help);
        }
    }

    fn picture(&mut self, element: &Element<'a>) {
        if element.attribute("alt").is_none_or(|alt| alt.value.is_none()) {
            let help = "say what it shows: `alt=\"…\"`, or `alt=\"\"` where it only decorates";
            self.fault(&element.name_range, "this picture has no `alt`", help);
        }
        if element.attribute("src").is_none() {
            self.fault(&element.name_range, "this picture has no `src`", "write `src=\"https://…\"`");
        }
    }

    fn social(&mut self, element: &Element<'a>) {
        let has_text = element.children.iter().any(|child| match child {
            Node::Text(range) => self.visible(range).is_some(),
            Node::Element(_) => true,
            _ => false,
        });
        if !has_text && element.value("alt").is_none_or(|alt| alt.trim().is_empty()) {
            let help = "write `alt=\"…\"`, or the name as its text";
            self.fault(&element.name_range, "this icon has neither text nor `alt`", help);
        }
    }

    fn font(&mut self, element: &Element<'a>) {
        if !element.value("href").is_some_and(|href| href.starts_with("https://")) {
            self.fault(
                &element.name_range,
                "this font has no `https://` address",
                "write `href=\"https://…\"`",
            );
        }
    }
}
