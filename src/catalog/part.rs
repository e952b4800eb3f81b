//! What a head states, checked once per file: rule, weight, inputs, offer, features.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::contract::Contract;
use super::contract::FactType;
use super::file_rule;
use super::head::Part;
use super::name;
use super::nearest::nearest;
use super::offer::Offer;
use super::rule::Expected;
use super::rule::Rule;
use crate::fault::Fault;

/// Largest weight of a variant or option.
const WEIGHT_MAX: f64 = 1e6;

/// What of a head can be used by many variants.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) weight: f64,
    pub(super) when: Option<Arc<Rule>>,
}

/// Checks heads, each once.
pub(super) struct PartChecker<'a> {
    pub(super) contract: &'a Contract,
    /// `None` where they could not be read.
    pub(super) offers: Option<&'a BTreeMap<String, Offer>>,
    pub(super) checked: BTreeMap<PathBuf, Checked>,
}

impl PartChecker<'_> {
    /// What was found out about a part that was checked.
    pub(super) fn checked(&self, part: &Part) -> Option<Checked> {
        self.checked.get(&part.file.path).cloned()
    }

    /// An option's head, which cannot state everything.
    pub(super) fn check_option(&mut self, part: &Part, faults: &mut Vec<Fault>) {
        if self.checked.contains_key(&part.file.path) {
            return;
        }
        let head = &part.head;
        let of_variants = [
            ("layout", head.layout.as_ref().map(|value| part.place(value))),
            ("text", head.text.as_ref().map(|value| part.place(value))),
            ("slots", head.slots.keys().next().map(|value| part.place(value))),
            ("order", head.order.as_ref().map(|value| part.place(value))),
        ];
        for (key, span) in of_variants {
            if let Some(span) = span {
                let fault = Fault::at(&part.file, span, format!("an option cannot state `{key}`"));
                faults.push(fault.with_help("state it in the variant's head"));
            }
        }
        self.check(part, faults);
    }

    /// Any head.
    pub(super) fn check(&mut self, part: &Part, faults: &mut Vec<Fault>) {
        if self.checked.contains_key(&part.file.path) {
            return;
        }
        let head = &part.head;
        let mut fault = |span: Range<usize>, message: String, help: String| {
            faults.push(Fault::at(&part.file, span, message).with_help(help));
        };
        let weight = head.weight.as_ref().map_or(1.0, |weight| *weight.get_ref());
        if let Some(written) = &head.weight
            && !(0.0..=WEIGHT_MAX).contains(&weight)
        {
            let help = format!("write a number from 0 to {WEIGHT_MAX}; 1 is usual");
            fault(part.place(written), format!("a weight cannot be {weight}"), help);
        }
        if let Some(depth) = &head.discount_depth
            && !(0.0..=100.0).contains(depth.get_ref())
        {
            let message = format!("{} is no percentage", depth.get_ref());
            fault(part.place(depth), message, "write the percent off, from 0 to 100".to_owned());
        }
        for (what, word) in [("a tone", &head.tone), ("a category", &head.category)] {
            if let Some(word) = word
                && !name::is_name(word.get_ref())
            {
                let message = format!("{what} cannot be `{}`", word.get_ref());
                fault(part.place(word), message, "write one word in lower case, such as `warm`".to_owned());
            }
        }
        if let (Some(offer), Some(offers)) = (&head.offer, self.offers)
            && !offers.contains_key(offer.get_ref())
        {
            let help = match nearest(offer.get_ref(), offers.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write a section [{}] in offers.toml", offer.get_ref()),
            };
            fault(part.place(offer), format!("there is no offer `{}`", offer.get_ref()), help);
        }
        for input in &head.inputs {
            let path: Vec<&str> = input.get_ref().split('.').collect();
            match self.contract.lookup(&path) {
                Err(unknown) => fault(part.place(input), unknown.message, unknown.help),
                Ok((FactType::Bool, _)) => {
                    let help = format!("write `when = \"{}\"`", input.get_ref());
                    fault(part.place(input), "a yes-or-no fact is no input".to_owned(), help);
                }
                Ok(_) => {}
            }
        }
        let when = head.when.as_ref().and_then(|when| {
            let place = part.place(when);
            file_rule::compile(&part.file, &place, when.get_ref(), Expected::Condition, self.contract, faults)
        });
        self.checked.insert(part.file.path.clone(), Checked { weight, when: when.map(Arc::new) });
    }
}
