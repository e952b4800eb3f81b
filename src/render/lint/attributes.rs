//! Attributes: which there are, and which may hold a tag.

use std::collections::BTreeSet;

use super::Lint;
use crate::catalog::nearest::nearest;
use crate::render::components;
use crate::render::components::Component;
use crate::render::mask::TagKind;
use crate::render::tree::Attribute;
use crate::render::tree::Element;

/// Attributes of components that stay attributes in the HTML; all others become styles or numbers.
const MAY_HOLD_TAGS: &[&str] = &[
    "alt",
    "background-url",
    "css-class",
    "href",
    "icon-unwrapped-alt",
    "icon-wrapped-alt",
    "lang",
    "src",
    "thumbnails-src",
    "title",
];

/// HTML attributes in which a value could run, load or restyle something.
const NEVER_HOLD_TAGS: &[&str] =
    &["style", "srcset", "srcdoc", "action", "formaction", "http-equiv", "content"];

impl<'a> Lint<'a> {
    pub(super) fn attributes(&mut self, element: &Element<'a>) {
        let component = components::find(element.name);
        for attribute in &element.attributes {
            if self.words.find(attribute.name).next().is_some() {
                self.name_with_tag(element, attribute);
                continue;
            }
            if let Some(component) = component {
                self.known(component, attribute);
                self.colour(attribute);
            }
            self.harmless(attribute);
            let Some(value) = &attribute.value else { continue };
            if !self.holds_tag(&value.range) {
                continue;
            }
            if component.is_some() && !MAY_HOLD_TAGS.contains(&attribute.name) {
                let message =
                    format!("`{}` becomes a style or a number; a tag cannot stand in it", attribute.name);
                let help = "write the value as it is, or two elements with `{% if %}` around each";
                self.fault(&value.range, message, help);
            } else if NEVER_HOLD_TAGS.contains(&attribute.name) {
                let message = format!("a tag stands in `{}`", attribute.name);
                let help = "write the value as it is, or two elements with `{% if %}` around each";
                self.fault(&value.range, message, help);
            }
        }
        self.classes_exist(element);
    }

    /// `<span {% if x %} class="a" {% endif %}>` is right; `<span {{ x }}>` is not.
    fn name_with_tag(&mut self, element: &Element<'a>, attribute: &Attribute<'a>) {
        let tags = self.tags_in(&(attribute.range.start..attribute.range.start + attribute.name.len()));
        let is_control = match tags.as_slice() {
            [(place, tag)] => place.len() == attribute.name.len() && tag.kind == TagKind::Control,
            _ => false,
        };
        if components::find(element.name).is_some() {
            let help = "write `{% if %}` around two elements";
            self.fault(&attribute.range, "MJML drops a tag between attributes", help);
        } else if !is_control || attribute.value.is_some() {
            let help =
                "write `name=\"{{ … }}\"`, or `{% if … %} name=\"…\" {% endif %}` with spaces around each";
            self.fault(&attribute.range, "a value stands outside the quotes of an attribute", help);
        }
    }

    fn known(&mut self, component: &Component, attribute: &Attribute<'a>) {
        if component.has_attribute(attribute.name) {
            return;
        }
        let message = format!("`<{}>` has no attribute `{}`", component.name, attribute.name);
        let name = attribute.range.start..attribute.range.start + attribute.name.len();
        let mut names: Vec<&str> = component.attributes().collect();
        names.sort_unstable();
        let help = match nearest(attribute.name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "it takes none".to_owned(),
            None => format!("it takes: {}", names.join(", ")),
        };
        self.fault(&name, message, help);
    }

    /// No handlers, no scripts in addresses.
    fn harmless(&mut self, attribute: &Attribute<'a>) {
        let name = attribute.name.to_ascii_lowercase();
        if name.starts_with("on") {
            let help = "nothing runs in a mail; use a link";
            self.fault(&attribute.range, format!("`{name}` is a handler"), help);
        }
        let Some(value) = &attribute.value else { return };
        let plain: String = value
            .text
            .chars()
            .filter(|c| !c.is_whitespace() && !c.is_control())
            .collect::<String>()
            .to_ascii_lowercase();
        for scheme in ["javascript:", "vbscript:", "data:text"] {
            if plain.contains(scheme) {
                let message = format!("`{scheme}` may not stand in a mail");
                return self.fault(&value.range, message, "use `https://`, `mailto:` or `tel:`");
            }
        }
    }

    /// mrml overlooks the name of a class that is not defined.
    fn classes_exist(&mut self, element: &Element<'a>) {
        let Some(value) = element.attribute("mj-class").and_then(|attribute| attribute.value.as_ref()) else {
            return;
        };
        for class in value.text.split_ascii_whitespace() {
            if !self.classes.contains_key(class) && !self.holds_tag(&value.range) {
                let known: Vec<&str> = self.classes.keys().copied().collect();
                let help = match nearest(class, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "define it: `<mj-attributes><mj-class name=\"…\" …/></mj-attributes>`".to_owned(),
                };
                self.fault(&value.range, format!("there is no `<mj-class>` called `{class}`"), help);
            }
        }
    }

    /// The children of `<mj-attributes>`: `<mj-all>`, `<mj-class name>`, or a component.
    pub(super) fn defaults(&mut self, element: &Element<'a>) {
        let component = components::find(element.name);
        let is_general = matches!(element.name, "mj-all" | "mj-class");
        if component.is_none() && !is_general {
            let names = components::names().chain(["mj-all", "mj-class"]);
            let help = match nearest(element.name, names) {
                Some(near) => format!("did you mean `<{near}>`?"),
                None => "name a component, `<mj-all>` or `<mj-class name=\"…\">`".to_owned(),
            };
            return self.fault(&element.name_range, format!("there is no `<{}>`", element.name), help);
        }
        if element.name == "mj-class" && element.value("name").is_none() {
            self.fault(&element.name_range, "this `<mj-class>` has no `name`", "write `name=\"…\"`");
        }
        for attribute in &element.attributes {
            if self.holds_tag(&attribute.range) {
                let help = "write the value as it is: it becomes a style";
                self.fault(&attribute.range, "a tag stands in `<mj-attributes>`", help);
                continue;
            }
            match component {
                Some(component) => self.known(component, attribute),
                None if element.name == "mj-class" && attribute.name == "name" => {}
                None => self.known_anywhere(attribute),
            }
        }
    }

    fn known_anywhere(&mut self, attribute: &Attribute<'a>) {
        if components::all_attributes().all(|known| known != attribute.name) {
            // Of equals the first is nearest.
            let help = match nearest(attribute.name, components::all_attributes().collect::<BTreeSet<_>>()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "see the components at https://documentation.mjml.io".to_owned(),
            };
            let message = format!("no component has an attribute `{}`", attribute.name);
            self.fault(&attribute.range, message, help);
        }
    }
}
