//! Names in Tera tags, checked against the facts: Tera keeps its syntax tree to itself, and says nothing of names
//! before it renders.

use std::collections::BTreeMap;
use std::ops::Range;

use super::fault::CompileFault;
use super::fault::Part;
use super::filters;
use super::mask::Tag;
use super::mask::TagKind;
use super::tokens::Token;
use super::tokens::tokens;
use crate::catalog::contract::Contract;
use crate::catalog::contract::FactType;
use crate::catalog::nearest::nearest;

mod expression;
#[cfg(test)]
mod tests;

use expression::Expression;
use expression::Ternary;

/// Functions that an author may call.
pub const FUNCTIONS: &[&str] = &["range", "throw"];

/// Tests that follow `is`.
pub const TESTS: &[&str] = &[
    "string",
    "number",
    "map",
    "bool",
    "array",
    "integer",
    "float",
    "none",
    "iterable",
    "defined",
    "undefined",
    "odd",
    "even",
    "divisible_by",
    "starting_with",
    "ending_with",
    "containing",
];

/// Filters of Tera itself, beside `safe`.
pub const TERA_FILTERS: &[&str] = &[
    "default",
    "upper",
    "lower",
    "wordcount",
    "escape",
    "escape_html",
    "escape_xml",
    "newlines_to_br",
    "pluralize",
    "trim",
    "trim_start",
    "trim_end",
    "replace",
    "capitalize",
    "title",
    "truncate",
    "indent",
    "str",
    "int",
    "float",
    "length",
    "reverse",
    "split",
    "abs",
    "round",
    "first",
    "last",
    "nth",
    "join",
    "sort",
    "unique",
    "get",
    "values",
    "keys",
    "pairs",
    "group_by",
];

/// What is wrong with the names in `tags`. The syntax must be right already.
pub(super) fn check(part: Part, source: &str, tags: &[Tag], contract: &Contract) -> Vec<CompileFault> {
    let mut scanner =
        Scanner { part, source, contract, frames: vec![Frame::new(Opened::Root)], faults: Vec::new() };
    for tag in tags {
        match tag.kind {
            TagKind::Comment => {}
            TagKind::Expression => scanner.print(tag),
            TagKind::Control => scanner.control(tag),
        }
    }
    scanner.faults
}

/// A variable that the template itself makes.
#[derive(Debug, Clone)]
struct Variable {
    kind: FactType,
    /// Whether `set` made it: then its size is under the template's control.
    is_set: bool,
}

/// What opened a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Opened {
    Root,
    For,
    If,
    /// `{% set x %}` … `{% endset %}`.
    SetBlock(String),
    FilterBlock,
    Comprehension,
}

/// How long a variable lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the end of the innermost loop's round, or of the template where there is no loop.
    Loop,
    /// To the end of the template.
    Template,
}

#[derive(Debug)]
struct Frame {
    opened: Opened,
    variables: BTreeMap<String, Variable>,
}

impl Frame {
    fn new(opened: Opened) -> Self {
        Self { opened, variables: BTreeMap::new() }
    }
}

struct Scanner<'a> {
    part: Part,
    source: &'a str,
    contract: &'a Contract,
    frames: Vec<Frame>,
    faults: Vec<CompileFault>,
}

impl<'a> Scanner<'a> {
    fn fault(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(CompileFault::new(self.part, span, message).help(help));
    }

    fn variable(&self, name: &str) -> Option<&Variable> {
        self.frames.iter().rev().find_map(|frame| frame.variables.get(name))
    }

    fn is_inside(&self, wanted: impl Fn(&Opened) -> bool) -> bool {
        self.frames.iter().any(|frame| wanted(&frame.opened))
    }

    /// Makes a variable in the innermost loop, or in the template.
    fn define(&mut self, name: &str, kind: FactType, reach: Reach) {
        let lasting = |frame: &&mut Frame| matches!(frame.opened, Opened::Root | Opened::For);
        let frame = match reach {
            Reach::Template => self.frames.first_mut(),
            Reach::Loop => self.frames.iter_mut().rev().find(lasting),
        };
        if let Some(frame) = frame {
            frame.variables.insert(name.to_owned(), Variable { kind, is_set: true });
        }
    }

    /// `{{ … }}`.
    fn print(&mut self, tag: &Tag) {
        let tokens = tokens(self.source, tag.inner.clone());
        let mut expression = Expression::new(self, &tokens);
        let kind = expression.run();
        let mentions_set = expression.mentions_set;
        if matches!(kind, FactType::List(_) | FactType::Object(_)) {
            let message = format!("this prints {} as it is", kind.describe());
            self.fault(
                tag.range.clone(),
                message,
                "print one of its fields, or go through it with `{% for %}`",
            );
        }
        if mentions_set && self.is_inside(|opened| matches!(opened, Opened::SetBlock(_))) {
            self.refuse_growth(tag.range.clone());
        }
    }

    fn refuse_growth(&mut self, span: Range<usize>) {
        self.fault(
            span,
            "a variable made by `set` is built into another one: such texts can double without end",
            "build it from facts in one `set`, or print the pieces one after the other",
        );
    }

    /// `{% … %}`.
    fn control(&mut self, tag: &Tag) {
        let tokens = tokens(self.source, tag.inner.clone());
        let Some(first) = tokens.first() else { return };
        match first.text {
            "for" => self.open_for(tag, &tokens[1..]),
            "if" => {
                Expression::new(self, &tokens[1..]).run();
                self.frames.push(Frame::new(Opened::If));
            }
            "elif" => {
                Expression::new(self, &tokens[1..]).run();
            }
            "set" => self.set(tag, &tokens[1..], Reach::Loop),
            "set_global" => self.set(tag, &tokens[1..], Reach::Template),
            "filter" => {
                Expression::new(self, &tokens[1..]).filters_of_block();
                self.frames.push(Frame::new(Opened::FilterBlock));
            }
            "endfor" | "endif" | "endfilter" => {
                self.frames.pop();
            }
            "endset" => {
                if let Some(Frame { opened: Opened::SetBlock(name), .. }) = self.frames.pop() {
                    self.define(&name, FactType::Text, Reach::Loop);
                }
            }
            "include" | "extends" | "block" | "endblock" | "component" | "endcomponent" | "<" | "</" => self
                .fault(
                    tag.range.clone(),
                    format!("`{{% {} %}}` is not used here", first.text),
                    "write a file templates/blocks/NAME.mjml and `<mj-block name=\"NAME\" />`",
                ),
            _ => {}
        }
    }

    fn open_for(&mut self, tag: &Tag, tokens: &[Token<'a>]) {
        if self.is_inside(|opened| matches!(opened, Opened::SetBlock(_) | Opened::FilterBlock)) {
            self.fault(
                tag.range.clone(),
                "a loop stands inside `{% set %}` or `{% filter %}`",
                "write the loop where its output belongs",
            );
        }
        let mut expression = Expression::new(self, tokens);
        let variables = expression.for_clause(Ternary::Allowed);
        let mut frame = Frame::new(Opened::For);
        frame.variables = variables;
        self.frames.push(frame);
    }

    fn set(&mut self, tag: &Tag, tokens: &[Token<'a>], reach: Reach) {
        let Some(name) = tokens.first() else { return };
        self.own_name(name);
        if !tokens.get(1).is_some_and(|token| token.is("=")) {
            Expression::new(self, &tokens[1..]).filters_of_block();
            self.frames.push(Frame::new(Opened::SetBlock(name.text.to_owned())));
            return;
        }
        let mut expression = Expression::new(self, &tokens[2..]);
        let kind = expression.run();
        if expression.mentions_set && expression.grows {
            self.refuse_growth(tag.range.clone());
        }
        self.define(name.text, kind, reach);
    }

    /// A name that the template gives.
    fn own_name(&mut self, name: &Token<'a>) {
        if name.text.starts_with("__") {
            self.fault(
                name.span.clone(),
                "names that start with `__` are the program's own",
                "choose another name",
            );
        } else if self.contract.root().field(name.text).is_some() {
            let message = format!("`{}` is a fact; a variable of that name would hide it", name.text);
            self.fault(name.span.clone(), message, "choose another name");
        }
    }

    /// The name after `|`, with its arguments' names.
    fn filter_name(&mut self, name: &Token<'a>, arguments: &[&Token<'a>]) {
        if name.text == "safe" {
            return self.fault(
                name.span.clone(),
                "`safe` prints a value unescaped: it could hold any HTML",
                "write the HTML in the template and print values without `safe`",
            );
        }
        let own = filters::all().find(|filter| filter.name == name.text);
        if own.is_none() && !TERA_FILTERS.contains(&name.text) {
            let known = filters::all().map(|filter| filter.name).chain(TERA_FILTERS.iter().copied());
            return self.unknown(name, "filter", known);
        }
        let Some(own) = own else { return };
        let known: Vec<&str> = own.argument_names().collect();
        for argument in arguments {
            if !known.contains(&argument.text) {
                let message = format!("the filter `{}` has no argument `{}`", own.name, argument.text);
                let help = if known.is_empty() {
                    "it takes none".to_owned()
                } else {
                    format!("it takes: {}", known.join(", "))
                };
                self.fault(argument.span.clone(), message, help);
            }
        }
    }

    fn test_name(&mut self, name: &Token<'a>) {
        if !TESTS.contains(&name.text) {
            self.unknown(name, "test", TESTS.iter().copied());
        }
    }

    fn function_name(&mut self, name: &Token<'a>) {
        if !FUNCTIONS.contains(&name.text) {
            self.unknown(name, "function", FUNCTIONS.iter().copied());
        }
    }

    fn unknown<'n>(&mut self, name: &Token<'a>, what: &str, known: impl Iterator<Item = &'n str>) {
        let mut known: Vec<&str> = known.collect();
        known.sort_unstable();
        let help = match nearest(name.text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.fault(name.span.clone(), format!("there is no {what} `{}`", name.text), help);
    }
}
