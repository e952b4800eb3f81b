//! One MJML text from layout, body, chosen options and blocks, with a map back to the files.
//!
//! Only three elements are ours: `<mj-content />` (in a layout), `<mj-slot name="hero" />` and
//! `<mj-block name="product-grid" title="For you" />`, whose attributes replace `[[title]]` in the block's text.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;

use super::element;
use super::element::Element;
use super::nearest::nearest;
use crate::fault::Fault;
use crate::fault::SourceFile;

/// Blocks and slots inside blocks and slots, at most.
pub const BLOCK_LEVELS_MAX: usize = 10;
/// Largest composed text, in bytes (1 MB).
pub const COMPOSED_BYTES_MAX: usize = 1_000_000;

/// A text made of pieces of files.
#[derive(Debug, Clone, Default)]
pub(super) struct Composed {
    pub(super) text: String,
    /// In the order of the text: where a piece starts in it, its file, and where it starts there.
    pieces: Vec<(usize, SourceFile, usize)>,
}

impl Composed {
    fn add(&mut self, file: &SourceFile, range: Range<usize>) {
        if !range.is_empty() {
            self.pieces.push((self.text.len(), file.clone(), range.start));
            self.text.push_str(&file.text[range]);
        }
    }

    /// The file and place that `span` of the text came from: its end is cut where another file begins.
    pub(super) fn locate(&self, span: &Range<usize>) -> Option<(&SourceFile, Range<usize>)> {
        let index = self.pieces.partition_point(|(start, ..)| *start <= span.start).checked_sub(1)?;
        let (start, file, offset) = &self.pieces[index];
        let piece_end = self.pieces.get(index + 1).map_or(self.text.len(), |(start, ..)| *start);
        let end = span.end.clamp(span.start, piece_end.max(span.start));
        Some((file, span.start - start + offset..end - start + offset))
    }
}

/// A piece of a file that goes into a composed text.
#[derive(Debug, Clone)]
pub(super) struct Fragment {
    pub(super) file: SourceFile,
    pub(super) range: Range<usize>,
}

/// What a text is composed of.
pub(super) struct Ingredients<'a> {
    pub(super) blocks: &'a BTreeMap<String, Fragment>,
    /// What stands in the place of each slot.
    pub(super) slots: BTreeMap<&'a str, Fragment>,
    /// Slots that the head names, those with faults too.
    pub(super) named: BTreeSet<&'a str>,
    /// What stands in the place of `<mj-content />`.
    pub(super) content: Option<Fragment>,
}

/// What composing found out beside the text.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) blocks: BTreeSet<String>,
    pub(super) slots: BTreeSet<String>,
    pub(super) content: usize,
}

/// Composes `layout` with everything that it, and what it holds, asks for.
pub(super) fn compose(
    layout: &Fragment,
    ingredients: &Ingredients<'_>,
    faults: &mut Vec<Fault>,
) -> (Composed, Used) {
    let mut composer = Composer { ingredients, composed: Composed::default(), used: Used::default(), faults };
    composer.fragment(layout, &Attributes::default(), &mut Vec::new());
    (composer.composed, composer.used)
}

/// The attributes of one `<mj-block>`: where each value stands, and in which attributes it was itself written.
#[derive(Clone, Default)]
struct Attributes<'a> {
    /// `None` outside blocks, where `[[…]]` means nothing.
    block: Option<&'a str>,
    values: BTreeMap<String, Value<'a>>,
}

#[derive(Clone)]
struct Value<'a> {
    file: SourceFile,
    range: Range<usize>,
    outer: &'a Attributes<'a>,
}

struct Composer<'a, 'f> {
    ingredients: &'a Ingredients<'a>,
    composed: Composed,
    used: Used,
    faults: &'f mut Vec<Fault>,
}

impl Composer<'_, '_> {
    fn fault(&mut self, file: &SourceFile, span: Range<usize>, message: impl Into<String>, help: &str) {
        self.faults.push(Fault::at(file, span, message).with_help(help));
    }

    fn fragment(&mut self, fragment: &Fragment, attributes: &Attributes<'_>, path: &mut Vec<String>) {
        let file = &fragment.file;
        let mut at = fragment.range.start;
        for found in element::find(&file.text, fragment.range.clone()) {
            let element = match found {
                Ok(element) => element,
                Err(broken) => {
                    self.fault(file, broken.span, broken.message, broken.help);
                    return;
                }
            };
            self.text(file, at..element.range.start, attributes);
            at = element.range.end;
            self.element(file, &element, attributes, path);
            if self.composed.text.len() > COMPOSED_BYTES_MAX {
                let message = format!("the composed mail is over {COMPOSED_BYTES_MAX} bytes");
                self.fault(file, element.range, message, "use fewer or smaller blocks");
                return;
            }
        }
        self.text(file, at..fragment.range.end, attributes);
    }

    fn element(
        &mut self,
        file: &SourceFile,
        element: &Element,
        attributes: &Attributes<'_>,
        path: &mut Vec<String>,
    ) {
        if path.len() >= BLOCK_LEVELS_MAX {
            let message =
                format!("blocks are nested more than {BLOCK_LEVELS_MAX} deep: {}", path.join(" > "));
            return self.fault(file, element.range.clone(), message, "take one of them out of the others");
        }
        match element.name.as_str() {
            "mj-content" => self.content(file, element, path),
            "mj-slot" => self.slot(file, element, path),
            _ => self.block(file, element, attributes, path),
        }
    }

    fn content(&mut self, file: &SourceFile, element: &Element, path: &mut Vec<String>) {
        let Some(content) = &self.ingredients.content else {
            let help = "put it into a layout (layouts/NAME.mjml)";
            return self.fault(
                file,
                element.range.clone(),
                "`<mj-content />` only has a meaning in a layout",
                help,
            );
        };
        self.used.content += 1;
        if self.used.content > 1 {
            return self.fault(
                file,
                element.range.clone(),
                "the layout has more than one `<mj-content />`",
                "keep one of them",
            );
        }
        path.push("content".to_owned());
        self.mark(file, element, "{#region#}");
        self.fragment(content, &Attributes::default(), path);
        self.mark(file, element, "{#/region#}");
        path.pop();
    }

    fn slot(&mut self, file: &SourceFile, element: &Element, path: &mut Vec<String>) {
        let Some(name) = self.name_of(file, element) else { return };
        let Some(option) = self.ingredients.slots.get(name.as_str()).cloned() else {
            if self.ingredients.named.contains(name.as_str()) {
                return;
            }
            let known: Vec<&str> = self.ingredients.slots.keys().copied().collect();
            let help = match nearest(&name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("list its options in the head: [slots] {name} = [\"…\"]"),
            };
            return self.fault(
                file,
                element.range.clone(),
                format!("the head names no options for the slot `{name}`"),
                &help,
            );
        };
        if path.contains(&format!("slot {name}")) {
            return self.fault(
                file,
                element.range.clone(),
                format!("the slot `{name}` holds itself"),
                "take it out",
            );
        }
        self.used.slots.insert(name.clone());
        path.push(format!("slot {name}"));
        self.mark(file, element, &format!("{{#region {name}#}}"));
        self.fragment(&option, &Attributes::default(), path);
        self.mark(file, element, &format!("{{#/region {name}#}}"));
        path.pop();
    }

    /// Marks where a region begins or ends, by a note that leaves nothing in the mail. It is shorter than the element
    /// in whose place it stands, so that its place can be shown.
    fn mark(&mut self, file: &SourceFile, element: &Element, note: &str) {
        self.composed.pieces.push((self.composed.text.len(), file.clone(), element.range.start));
        self.composed.text.push_str(note);
    }

    fn block(
        &mut self,
        file: &SourceFile,
        element: &Element,
        outer: &Attributes<'_>,
        path: &mut Vec<String>,
    ) {
        let Some(name) = self.name_of(file, element) else { return };
        let Some(block) = self.ingredients.blocks.get(&name) else {
            let help = match nearest(&name, self.ingredients.blocks.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write it as blocks/{name}.mjml"),
            };
            return self.fault(file, element.range.clone(), format!("there is no block `{name}`"), &help);
        };
        if path.contains(&name) {
            let chain = path.join(" > ");
            return self.fault(
                file,
                element.range.clone(),
                format!("the block `{name}` holds itself ({chain})"),
                "take it out",
            );
        }
        self.used.blocks.insert(name.clone());
        let mut inner = Attributes { block: Some(&name), values: BTreeMap::new() };
        let wanted = element::placeholders(&block.file.text, block.range.clone());
        for attribute in element.attributes.iter().filter(|attribute| attribute.name != "name") {
            if !wanted.iter().any(|(wanted, _)| *wanted == attribute.name) {
                let near = nearest(&attribute.name, wanted.iter().map(|(name, _)| name.as_str()));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "leave it out, or use `[[{}]]` in {}",
                        attribute.name,
                        block.file.path.display()
                    ),
                };
                let message = format!("the block `{name}` does not use `{}`", attribute.name);
                self.fault(file, attribute.name_range.clone(), message, &help);
                continue;
            }
            let value = Value { file: file.clone(), range: attribute.value.clone(), outer };
            inner.values.insert(attribute.name.clone(), value);
        }
        for (missing, _) in &wanted {
            if inner.values.contains_key(missing) {
                continue;
            }
            let message = format!("the block `{name}` needs `{missing}`");
            let help = format!("write `<mj-block name=\"{name}\" {missing}=\"…\" />`");
            self.fault(file, element.range.clone(), message, &help);
            let value = Value { file: file.clone(), range: 0..0, outer };
            inner.values.insert(missing.clone(), value);
        }
        path.push(name.clone());
        self.fragment(block, &inner, path);
        path.pop();
    }

    fn name_of(&mut self, file: &SourceFile, element: &Element) -> Option<String> {
        let name = element.attributes.iter().find(|attribute| attribute.name == "name");
        if element.name == "mj-slot"
            && let Some(other) = element.attributes.iter().find(|attribute| attribute.name != "name")
        {
            let help = "a slot only has a name: put the rest into its options";
            self.fault(file, other.name_range.clone(), format!("a slot has no `{}`", other.name), help);
        }
        let Some(name) = name else {
            let help = format!("write `<{} name=\"…\" />`", element.name);
            self.fault(file, element.range.clone(), format!("`<{}>` has no name", element.name), &help);
            return None;
        };
        Some(file.text[name.value.clone()].to_owned())
    }

    /// Copies text; in a block, `[[name]]` becomes the value of that attribute.
    fn text(&mut self, file: &SourceFile, range: Range<usize>, attributes: &Attributes<'_>) {
        if attributes.block.is_none() {
            for (name, place) in element::placeholders(&file.text, range.clone()) {
                let message = format!("`[[{name}]]` means nothing here: it stands for a block's attribute");
                self.fault(file, place, message, "write what should stand here, or move it into a block");
            }
            return self.composed.add(file, range);
        }
        let mut at = range.start;
        for (name, place) in element::placeholders(&file.text, range.clone()) {
            self.composed.add(file, at..place.start);
            at = place.end;
            if let Some(value) = attributes.values.get(&name) {
                self.text(&value.file, value.range.clone(), value.outer);
            }
        }
        self.composed.add(file, at..range.end);
    }
}
