//! The MJML 4 components: where each may stand, what it may hold, and the attributes that mrml reads. mrml itself
//! drops unknown attributes and passes unknown elements through, and says nothing of either.

/// What stands inside a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// These components, `<mj-raw>`, and control tags.
    Components(&'static [&'static str]),
    /// Text and HTML.
    Html,
    /// Text alone.
    Text,
    /// CSS.
    Css,
    /// Nothing.
    Nothing,
}

/// One component.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) name: &'static str,
    pub(super) content: Content,
    /// Attributes of its own.
    attributes: &'static [&'static str],
    /// Attributes that it shares with others.
    groups: &'static [&'static [&'static str]],
}

impl Component {
    /// Whether mrml reads this attribute here.
    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.attributes().any(|known| known == name)
    }

    /// All attributes that mrml reads here.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &'static str> {
        self.attributes.iter().chain(self.groups.iter().copied().flatten()).copied()
    }
}

/// The component called `name`.
pub(super) fn find(name: &str) -> Option<&'static Component> {
    COMPONENTS.iter().find(|component| component.name == name)
}

/// The names of all components.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMPONENTS.iter().map(|component| component.name)
}

/// All attributes of all components.
pub(super) fn all_attributes() -> impl Iterator<Item = &'static str> {
    COMPONENTS.iter().flat_map(Component::attributes)
}

/// The components that may hold `name`.
pub(super) fn parents(name: &str) -> impl Iterator<Item = &'static str> {
    COMPONENTS.iter().filter_map(move |component| match component.content {
        Content::Components(children) if children.contains(&name) => Some(component.name),
        _ => None,
    })
}

const CLASS: &[&str] = &["css-class", "mj-class"];
const PADDING: &[&str] = &["padding", "padding-top", "padding-right", "padding-bottom", "padding-left"];
const BORDER: &[&str] =
    &["border", "border-top", "border-right", "border-bottom", "border-left", "border-radius"];
const FONT: &[&str] = &["color", "font-family", "font-size", "line-height"];
const FONT_STYLE: &[&str] = &["font-style", "font-weight", "text-decoration"];
/// What a column draws around each of its children.
const CELL: &[&str] = &["container-background-color", "align"];
const BACKGROUND: &[&str] = &[
    "background-color",
    "background-url",
    "background-position",
    "background-position-x",
    "background-position-y",
    "background-repeat",
    "background-size",
];
const ICON: &[&str] = &[
    "icon-align",
    "icon-height",
    "icon-position",
    "icon-unwrapped-alt",
    "icon-unwrapped-url",
    "icon-width",
    "icon-wrapped-alt",
    "icon-wrapped-url",
];

/// What stands in a column, and in a hero.
const COLUMN_CONTENT: &[&str] = &[
    "mj-accordion",
    "mj-button",
    "mj-carousel",
    "mj-divider",
    "mj-image",
    "mj-navbar",
    "mj-raw",
    "mj-social",
    "mj-spacer",
    "mj-table",
    "mj-text",
];

const fn component(
    name: &'static str,
    content: Content,
    attributes: &'static [&'static str],
    groups: &'static [&'static [&'static str]],
) -> Component {
    Component { name, content, attributes, groups }
}

use Content::Components;
use Content::Css;
use Content::Html;
use Content::Nothing;
use Content::Text;

const COMPONENTS: &[Component] = &[
    component("mjml", Components(&["mj-head", "mj-body"]), &["owa", "lang", "dir"], &[]),
    component(
        "mj-head",
        Components(&[
            "mj-attributes",
            "mj-breakpoint",
            "mj-font",
            "mj-preview",
            "mj-raw",
            "mj-style",
            "mj-title",
        ]),
        &[],
        &[],
    ),
    component("mj-attributes", Nothing, &[], &[]),
    component("mj-breakpoint", Nothing, &["width"], &[]),
    component("mj-font", Nothing, &["name", "href"], &[]),
    component("mj-preview", Text, &[], &[]),
    component("mj-style", Css, &["inline"], &[]),
    component("mj-title", Text, &[], &[]),
    component("mj-raw", Html, &[], &[]),
    component(
        "mj-body",
        Components(&["mj-section", "mj-wrapper", "mj-hero", "mj-raw"]),
        &["background-color", "width"],
        &[CLASS],
    ),
    component(
        "mj-wrapper",
        Components(&["mj-section", "mj-hero", "mj-raw"]),
        &["full-width", "text-align", "direction"],
        &[CLASS, PADDING, BORDER, BACKGROUND],
    ),
    component(
        "mj-section",
        Components(&["mj-column", "mj-group", "mj-raw"]),
        &["full-width", "text-align", "direction"],
        &[CLASS, PADDING, BORDER, BACKGROUND],
    ),
    component(
        "mj-group",
        Components(&["mj-column", "mj-raw"]),
        &["background-color", "direction", "vertical-align", "width"],
        &[CLASS],
    ),
    component(
        "mj-column",
        Components(COLUMN_CONTENT),
        &[
            "background-color",
            "direction",
            "vertical-align",
            "width",
            "inner-background-color",
            "inner-border",
            "inner-border-top",
            "inner-border-right",
            "inner-border-bottom",
            "inner-border-left",
            "inner-border-radius",
        ],
        &[CLASS, PADDING, BORDER],
    ),
    component(
        "mj-hero",
        Components(COLUMN_CONTENT),
        &[
            "background-color",
            "background-url",
            "background-position",
            "background-width",
            "background-height",
            "height",
            "mode",
            "vertical-align",
            "width",
            "inner-background-color",
            "inner-padding",
            "inner-padding-top",
            "inner-padding-right",
            "inner-padding-bottom",
            "inner-padding-left",
        ],
        &[CLASS, PADDING],
    ),
    component(
        "mj-text",
        Html,
        &["height", "letter-spacing", "text-transform"],
        &[CLASS, PADDING, FONT, FONT_STYLE, CELL],
    ),
    component(
        "mj-button",
        Html,
        &[
            "background-color",
            "height",
            "href",
            "inner-padding",
            "letter-spacing",
            "name",
            "rel",
            "target",
            "text-align",
            "text-transform",
            "vertical-align",
            "width",
        ],
        &[CLASS, PADDING, BORDER, FONT, FONT_STYLE, CELL],
    ),
    component(
        "mj-image",
        Nothing,
        &[
            "alt",
            "border",
            "border-left",
            "border-radius",
            "border-right",
            "fluid-on-mobile",
            "font-size",
            "full-width",
            "height",
            "href",
            "max-height",
            "name",
            "rel",
            "src",
            "srcset",
            "target",
            "title",
            "usemap",
            "width",
        ],
        &[CLASS, PADDING, CELL],
    ),
    component(
        "mj-divider",
        Nothing,
        &["border-color", "border-style", "border-width", "width"],
        &[CLASS, PADDING, CELL],
    ),
    component("mj-spacer", Nothing, &["height", "container-background-color"], &[CLASS, PADDING]),
    component(
        "mj-table",
        Html,
        &["border", "cellpadding", "cellspacing", "table-layout", "width"],
        &[CLASS, PADDING, FONT, CELL],
    ),
    component(
        "mj-social",
        Components(&["mj-social-element", "mj-raw"]),
        &[
            "border-radius",
            "icon-height",
            "icon-padding",
            "icon-size",
            "inner-padding",
            "mode",
            "text-padding",
        ],
        &[CLASS, PADDING, FONT, FONT_STYLE, CELL],
    ),
    component(
        "mj-social-element",
        Html,
        &[
            "align",
            "alt",
            "background-color",
            "border-radius",
            "href",
            "icon-height",
            "icon-padding",
            "icon-size",
            "name",
            "rel",
            "src",
            "target",
            "text-padding",
            "title",
            "vertical-align",
        ],
        &[CLASS, PADDING, FONT, FONT_STYLE],
    ),
    component(
        "mj-navbar",
        Components(&["mj-navbar-link", "mj-raw"]),
        &[
            "base-url",
            "hamburger",
            "ico-align",
            "ico-close",
            "ico-color",
            "ico-font-family",
            "ico-font-size",
            "ico-line-height",
            "ico-open",
            "ico-padding",
            "ico-padding-top",
            "ico-padding-right",
            "ico-padding-bottom",
            "ico-padding-left",
            "ico-text-decoration",
            "ico-text-transform",
        ],
        &[CLASS, PADDING, CELL],
    ),
    component(
        "mj-navbar-link",
        Html,
        &["href", "letter-spacing", "name", "rel", "target", "text-transform"],
        &[CLASS, PADDING, FONT, FONT_STYLE],
    ),
    component(
        "mj-accordion",
        Components(&["mj-accordion-element", "mj-raw"]),
        &["border", "font-family"],
        &[CLASS, PADDING, ICON, CELL],
    ),
    component(
        "mj-accordion-element",
        Components(&["mj-accordion-title", "mj-accordion-text", "mj-raw"]),
        &["background-color", "border", "font-family"],
        &[CLASS, ICON],
    ),
    component(
        "mj-accordion-title",
        Html,
        &["background-color", "color", "font-family", "font-size"],
        &[CLASS, PADDING],
    ),
    component(
        "mj-accordion-text",
        Html,
        &["background-color", "font-weight", "letter-spacing"],
        &[CLASS, PADDING, FONT],
    ),
    component(
        "mj-carousel",
        Components(&["mj-carousel-image"]),
        &[
            "border-radius",
            "icon-width",
            "left-icon",
            "right-icon",
            "tb-border",
            "tb-border-radius",
            "tb-hover-border-color",
            "tb-selected-border-color",
            "tb-width",
            "thumbnails",
        ],
        &[CLASS, PADDING, CELL],
    ),
    component(
        "mj-carousel-image",
        Nothing,
        &[
            "alt",
            "border-radius",
            "href",
            "rel",
            "src",
            "target",
            "tb-border",
            "tb-border-radius",
            "thumbnails-src",
            "title",
        ],
        &[CLASS],
    ),
];

#[cfg(test)]
mod tests;
