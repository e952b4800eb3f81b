//! Conditions and loops begin and end in one element. Where they do not, whoever they do not hold for would get an end
//! tag without its start tag, or the other way round.

use std::collections::HashMap;
use std::ops::Range;

use super::Lint;
use crate::render::fault::CompileFault;
use crate::render::fault::Part;
use crate::render::mask::TagKind;
use crate::render::tokens::Control;
use crate::render::tree::Element;
use crate::render::tree::Node;

/// What a tag stands in: an element's content, or one of its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'s> {
    name: &'s str,
    element: usize,
    attribute: Option<usize>,
}

impl<'a> Lint<'a> {
    /// Every `{% if %}`, `{% for %}`, `{% filter %}` and `{% set %}` with what belongs to it.
    pub(super) fn control(&mut self, root: &Element<'a>) {
        let places = self.places(root);
        let mut open: Vec<(usize, &Range<usize>)> = Vec::new();
        let mut told = Vec::new();
        for (index, tag) in self.tags.iter().enumerate().filter(|(_, tag)| tag.kind == TagKind::Control) {
            let opener = match Control::of(self.source, tag.inner.clone()) {
                Control::Opens(_) => {
                    open.push((index, &tag.range));
                    continue;
                }
                Control::Branches(_) => open.last().copied(),
                Control::Closes(_) => open.pop(),
                Control::Stands(_) => continue,
            };
            let Some((opener, begin)) = opener else { continue };
            if let (Some(first), Some(second)) = (places.get(&opener), places.get(&index))
                && first != second
                && !told.contains(&opener)
            {
                self.split(begin, (first, &tag.range, second));
                told.push(opener);
            }
        }
    }

    fn split(&mut self, begin: &Range<usize>, (first, end, second): (&Place<'a>, &Range<usize>, &Place<'a>)) {
        let (begins, ends) = (&self.source[begin.clone()], &self.source[end.clone()]);
        let message = if first.element == second.element {
            format!("`{begins}` stands in the start tag of `<{}>`, and its `{ends}` does not", first.name)
        } else if first.name == second.name {
            format!("`{begins}` stands in one `<{}>`, and its `{ends}` in another", first.name)
        } else {
            format!("`{begins}` stands in `<{}>`, and its `{ends}` in `<{}>`", first.name, second.name)
        };
        let help =
            "open and close each element on the same side of both: else somebody gets one of its tags alone";
        let fault = CompileFault::new(Part::Body, begin.clone(), message);
        self.faults.push(fault.help(help));
    }

    /// Where each tag stands, by its index. What `<mj-raw>` holds stands in what surrounds it: it leaves no element.
    fn places(&self, root: &Element<'a>) -> HashMap<usize, Place<'a>> {
        let mut places = HashMap::new();
        root.walk(&mut |element, ancestors| {
            let surrounds = ancestors.iter().rev().copied();
            let content = std::iter::once(element).chain(surrounds).find(|outer| outer.name != "mj-raw");
            let content = content.unwrap_or(element);
            let within = Place { name: content.name, element: content.range.start, attribute: None };
            for child in &element.children {
                if let Node::Text(range) = child {
                    self.note(&mut places, range, within);
                }
            }
            let own = Place { name: element.name, element: element.range.start, attribute: Some(usize::MAX) };
            for attribute in &element.attributes {
                let place = match &attribute.value {
                    Some(value) => Place { attribute: Some(value.range.start), ..own },
                    None => own,
                };
                self.note(&mut places, &attribute.range, place);
            }
        });
        places
    }

    fn note(&self, places: &mut HashMap<usize, Place<'a>>, range: &Range<usize>, place: Place<'a>) {
        places.extend(self.words.find(self.text(range)).map(|(_, index)| (index, place)));
    }
}
