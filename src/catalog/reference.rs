//! What a template author may write, as Markdown: facts, filters, rules and the texts of pages, from the tables by which
//! the program itself goes.

use std::fmt::Write as _;

use super::condition::CONDITIONS;
use super::contract::Contract;
use super::contract::FactType;
use super::contract::Presence;
use super::page_texts;
use super::rule;
use crate::render;

mod facts;

use facts::COUNTS;
use facts::FACTS;
use facts::FactDoc;
use facts::OWN_SHOP;
use facts::OWN_TRAIT;
use facts::PRODUCT;

/// Width of the left column of examples, in characters.
const EXAMPLE_CHARACTERS: usize = 64;

/// One line of the contract.
#[derive(Debug)]
struct Line<'a> {
    path: String,
    kind: &'a FactType,
    presence: Presence,
}

/// Walks a contract. Products and counts, which stand in many places, are not gone into.
struct Walk<'a> {
    product: &'a FactType,
    counts: &'a FactType,
    lines: Vec<Line<'a>>,
}

impl<'a> Walk<'a> {
    fn of(contract: &'a Contract) -> Self {
        let at = |path: &[&str]| {
            let step = |kind: &'a FactType, name: &&str| kind.field(name).map(|(kind, _)| kind);
            path.iter().try_fold(contract.root(), step).unwrap_or(&FactType::Any)
        };
        let (product, counts) = (at(&["related_to"]), at(&["history", "repeat_views"]));
        let mut walk = Self { product, counts, lines: Vec::new() };
        walk.enter(contract.root(), "");
        walk
    }

    fn is_shape(&self, kind: &FactType) -> bool {
        kind == self.product || kind == self.counts
    }

    fn enter(&mut self, kind: &'a FactType, path: &str) {
        match kind {
            FactType::List(item) if !self.is_shape(item) => self.enter(item, &format!("{path}[]")),
            FactType::Object(fields) if path == "history.events" => {
                let any = fields.values().next();
                self.lines.extend(any.map(|fact| Line {
                    path: format!("{path}.EVENT"),
                    kind: &fact.kind,
                    presence: fact.presence,
                }));
            }
            FactType::Object(fields) if !self.is_shape(kind) => {
                for (name, fact) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    let is_inner = matches!(fact.kind, FactType::Object(_)) && !self.is_shape(&fact.kind);
                    if !is_inner || fact.presence == Presence::Optional {
                        self.lines.push(Line {
                            path: path.clone(),
                            kind: &fact.kind,
                            presence: fact.presence,
                        });
                    }
                    self.enter(&fact.kind, &path);
                }
            }
            _ => {}
        }
    }

    fn word(&self, kind: &FactType, presence: Presence) -> String {
        let word = match kind {
            _ if kind == self.product => "a product",
            _ if kind == self.counts => "counts of an event",
            FactType::List(item) if **item == *self.product => "a list of products",
            FactType::List(item) if **item == FactType::Text => "a list of texts",
            FactType::Integer => "a whole number",
            other => other.describe(),
        };
        let absent = if presence == Presence::Optional { ", or absent" } else { "" };
        format!("{word}{absent}")
    }
}

/// What stands in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn row(out: &mut String, path: &str, word: &str, doc: Option<&FactDoc>, otherwise: &str) {
    let example = doc.map(|doc| doc.example).filter(|example| !["[]", "{}"].contains(example));
    let example = example.map_or_else(String::new, |example| format!("`{}`", cell(example)));
    let what = cell(doc.map_or(otherwise, |doc| doc.what));
    let _ = writeln!(out, "| `{path}` | {word} | {example} | {what} |");
}

const HEAD: &str = "| fact | is | example | what it says |\n|---|---|---|---|\n";

/// Every fact that templates and rules may name, with the traits, events and `[shop]` of the contract.
pub fn facts(contract: &Contract) -> String {
    let walk = Walk::of(contract);
    let mut out = format!(
        "## Facts\n\n`{{{{ profile.first_name or 'friend' }}}}` in templates, `history.orders_total > 0` in rules. A fact \
         that may be absent wants `or`, `is defined` or an `if`; a rule that compares it is false where it is absent. Money \
         is in minor units of the shop's currency.\n\n{HEAD}"
    );
    for line in &walk.lines {
        let doc = FACTS.iter().find(|doc| doc.path == line.path);
        let own = if line.path.starts_with("shop.") { OWN_SHOP } else { OWN_TRAIT };
        row(&mut out, &line.path, &walk.word(line.kind, line.presence), doc, own);
    }
    // Where nothing is declared, it is told what can be.
    for (own, path, what) in [("profile.", "profile.TRAIT", OWN_TRAIT), ("shop.", "shop.KEY", OWN_SHOP)] {
        let is_own =
            |line: &&Line<'_>| line.path.starts_with(own) && !FACTS.iter().any(|doc| doc.path == line.path);
        if walk.lines.iter().find(is_own).is_none() {
            row(&mut out, path, "as declared", None, what);
        }
    }
    for (title, shape, docs) in
        [("A product", walk.product, PRODUCT), ("Counts of an event", walk.counts, COUNTS)]
    {
        let _ = write!(out, "\n### {title}\n\n{HEAD}");
        for doc in docs {
            let word =
                shape.field(doc.path).map_or_else(String::new, |(kind, presence)| walk.word(kind, presence));
            row(&mut out, doc.path, &word, Some(doc), "");
        }
    }
    out
}

/// Every filter, test and function of templates.
pub fn filters() -> String {
    let mut out = "## Filters\n\nBehind `|`, in templates. What comes out is told for a recipient in Berlin who reads \
                   English, at 2026-11-22 09:00 UTC, in a shop that sells in euros, as it stands in the HTML.\n\n\
                   | filter | arguments | what it gives |\n|---|---|---|\n"
        .to_owned();
    for filter in render::filters() {
        let _ = writeln!(out, "| `{}` | {} | {} |", filter.name, cell(filter.arguments), cell(filter.what));
    }
    out.push_str("\n```\n");
    for example in render::filters().flat_map(|filter| filter.examples) {
        let _ = writeln!(out, "{:<EXAMPLE_CHARACTERS$}  {}", example.write, example.gives);
    }
    let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let _ = write!(
        out,
        "```\n\nTera's own filters are there too: {}.\n\nTests, behind `is`: {}.\n\nFunctions: {}; `range` makes at most \
         {} numbers.\n",
        list(render::TERA_FILTERS),
        list(render::TERA_TESTS),
        list(render::TERA_FUNCTIONS),
        render::RANGE_LENGTH_MAX
    );
    out
}

/// Everything that rules may call.
pub fn rules() -> String {
    let mut out = "## Rules\n\n`when`, `audience` and the values of offers are CEL over the facts, with `&&`, `||`, `!`, \
                   `==`, `<`, `in`, `? :`.\n\n| condition | holds where |\n|---|---|\n"
        .to_owned();
    for condition in CONDITIONS {
        let _ = writeln!(out, "| `{}` | {} |", cell(condition.example), cell(condition.help));
    }
    out.push_str("\nFunctions, each in an example:\n\n```\n");
    for function in rule::FUNCTIONS {
        let _ = writeln!(out, "{}", function.example);
    }
    out.push_str("```\n");
    out
}

/// Every text of the pages behind the links of a mail.
pub fn pages() -> String {
    let filled: Vec<String> = page_texts::KEYS
        .iter()
        .filter(|(_, holes)| !holes.is_empty())
        .map(|(key, holes)| {
            let holes: Vec<String> = holes.iter().map(|hole| format!("`{{{hole}}}`")).collect();
            format!("{} in `{key}`", holes.join(", "))
        })
        .collect();
    format!(
        "## templates/pages/LANGUAGE.toml\n\nWhat the pages behind the links of a mail say. English, German and Spanish are \
         built in; a file of theirs replaces what it states, and a file of another language (`fr.toml`, `pt-BR.toml`) \
         states every text. A reader gets the language of their profile, else the first that their browser asks for, else \
         `templates.default_locale`, else English. Plain text; what is put in: {}. `[topics]` names the topics.\n\n\
         ```toml\n{}\n[topics]\n# weekly-picks = \"Weekly picks\"\n```\n",
        filled.join("; "),
        page_texts::ENGLISH
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use serde_json::Map;
    use serde_json::Value;

    use super::*;
    use crate::catalog::contract::TraitType;
    use crate::catalog::contract::breaches;

    #[test]
    fn every_fact_is_told_once_with_an_example_that_fits_and_when_it_is_absent() {
        let contract = Contract::new(&BTreeMap::new(), &[], &Map::new());
        let walk = Walk::of(&contract);
        let shapes = [("", FACTS), ("a product: ", PRODUCT), ("counts: ", COUNTS)];
        let told: Vec<String> = shapes
            .iter()
            .flat_map(|(of, docs)| docs.iter().map(move |doc| format!("{of}{}", doc.path)))
            .collect();
        let mut known: BTreeMap<String, (&FactType, Presence)> =
            walk.lines.iter().map(|line| (line.path.clone(), (line.kind, line.presence))).collect();
        for (of, shape) in [("a product: ", walk.product), ("counts: ", walk.counts)] {
            let FactType::Object(fields) = shape else { panic!("{of}{shape:?}") };
            known.extend(
                fields.iter().map(|(name, fact)| (format!("{of}{name}"), (&fact.kind, fact.presence))),
            );
        }
        let names: BTreeSet<&String> = told.iter().collect();
        assert_eq!(names.len(), told.len(), "a fact is told twice");
        assert_eq!(names, known.keys().collect());
        for (of, doc) in shapes.iter().flat_map(|(of, docs)| docs.iter().map(move |doc| (of, doc))) {
            let (kind, presence) = known[&format!("{of}{}", doc.path)];
            let example: Value = serde_json::from_str(doc.example).unwrap();
            let is_shape = example.as_object().is_some_and(Map::is_empty);
            let breaches = if is_shape { Vec::new() } else { breaches::find(kind, &example) };
            assert_eq!(breaches, Vec::<String>::new(), "{}", doc.path);
            assert!(
                presence == Presence::Always || doc.what.contains("absent"),
                "{}: when is it absent?",
                doc.path
            );
        }
    }

    #[test]
    fn what_the_shop_declares_is_told_too() {
        let traits = BTreeMap::from([("shoe_size".to_owned(), TraitType::Number)]);
        let shop = Map::from_iter([("vat".to_owned(), Value::from(0.2))]);
        let told = facts(&Contract::new(&traits, &[], &shop));
        for line in [
            format!("| `profile.shoe_size` | a number, or absent |  | {OWN_TRAIT} |"),
            format!("| `shop.vat` | a number |  | {OWN_SHOP} |"),
        ] {
            assert!(told.contains(&line), "{told}");
        }
    }
}
