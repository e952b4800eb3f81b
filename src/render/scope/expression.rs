//! One expression: every name in it, and what it gives.

use std::collections::BTreeMap;

use super::Frame;
use super::Opened;
use super::Scanner;
use super::Token;
use super::Variable;
use crate::catalog::contract::FactType;
use crate::catalog::contract::Presence;
use crate::catalog::contract::descend;
use crate::render::tokens::TokenKind;

/// Words that are no names of facts.
const LITERALS: &[&str] = &["true", "True", "false", "False", "none", "None", "null"];

/// Filters whose result can be larger than what went in.
const GROWING_FILTERS: &[&str] = &["replace", "join", "indent", "sentence", "default", "str", "get"];

/// Reads one tag's tokens from left to right. Precedence does not matter for names.
pub(super) struct Expression<'e, 'a> {
    scanner: &'e mut Scanner<'a>,
    tokens: &'e [Token<'a>],
    at: usize,
    /// Whether a variable made by `set` occurs.
    pub(super) mentions_set: bool,
    /// Whether something occurs that makes a text or list larger.
    pub(super) grows: bool,
}

/// Whether `a if b else c` can stand here: not in a comprehension's clauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ternary {
    Allowed,
    Excluded,
}

impl<'e, 'a> Expression<'e, 'a> {
    pub(super) fn new(scanner: &'e mut Scanner<'a>, tokens: &'e [Token<'a>]) -> Self {
        Self { scanner, tokens, at: 0, mentions_set: false, grows: false }
    }

    fn peek(&self) -> Option<&'e Token<'a>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'e Token<'a>> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    fn peek_is(&self, text: &str) -> bool {
        self.peek().is_some_and(|token| token.is(text))
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.peek_is(text);
        self.at += usize::from(found);
        found
    }

    /// The whole of the tokens.
    pub(super) fn run(&mut self) -> FactType {
        self.expression(Ternary::Allowed)
    }

    /// `product in recommended`, `key, value in map`: what each round sees.
    pub(super) fn for_clause(&mut self, ternary: Ternary) -> BTreeMap<String, Variable> {
        let mut names = Vec::new();
        while let Some(name) = self.next() {
            self.scanner.own_name(name);
            names.push(name.text.to_owned());
            if !self.take(",") {
                break;
            }
        }
        self.take("in");
        let target = self.expression(ternary);
        let item = match target {
            FactType::List(item) => *item,
            _ => FactType::Any,
        };
        let mut variables = BTreeMap::new();
        if let Some(value) = names.pop() {
            let is_set = self.mentions_set;
            variables.insert(value, Variable { kind: item, is_set });
        }
        for key in names {
            variables.insert(key, Variable { kind: FactType::Text, is_set: false });
        }
        variables
    }

    /// `upper | trim` of `{% filter upper | trim %}`, or `| upper` of `{% set x | upper %}`.
    pub(super) fn filters_of_block(&mut self) {
        self.take("|");
        while self.peek().is_some_and(|token| token.kind == TokenKind::Name) {
            self.filter(FactType::Text);
            if !self.take("|") {
                break;
            }
        }
    }

    fn expression(&mut self, ternary: Ternary) -> FactType {
        let mut kind = self.operand();
        while let Some(token) = self.peek() {
            match token.text {
                "|" => {
                    self.at += 1;
                    kind = self.filter(kind);
                }
                "is" => {
                    self.at += 1;
                    self.take("not");
                    if let Some(name) = self.next() {
                        self.scanner.test_name(name);
                    }
                    self.arguments();
                    kind = FactType::Bool;
                }
                "[" | "?[" => {
                    self.at += 1;
                    kind = self.subscript(kind, &[]);
                }
                "or" => {
                    self.at += 1;
                    self.operand();
                }
                "and" | "in" | "not" => {
                    self.at += 1;
                    self.take("in");
                    self.operand();
                    kind = FactType::Bool;
                }
                "if" if ternary == Ternary::Allowed => {
                    self.at += 1;
                    self.expression(Ternary::Allowed);
                    self.take("else");
                    let other = self.expression(Ternary::Allowed);
                    return if kind == other { kind } else { FactType::Any };
                }
                "+" | "-" | "*" | "/" | "//" | "%" | "**" => {
                    self.at += 1;
                    self.operand();
                    kind = FactType::Number;
                }
                "==" | "!=" | "<" | ">" | "<=" | ">=" => {
                    self.at += 1;
                    self.operand();
                    kind = FactType::Bool;
                }
                "~" => {
                    self.at += 1;
                    self.grows = true;
                    self.operand();
                    kind = FactType::Text;
                }
                _ => break,
            }
        }
        kind
    }

    fn operand(&mut self) -> FactType {
        while self.peek_is("-") || self.peek_is("not") {
            self.at += 1;
        }
        let Some(token) = self.next() else { return FactType::Any };
        match token.kind {
            TokenKind::Number => FactType::Number,
            TokenKind::Text => {
                if token.text.contains("{{") || token.text.contains("{%") {
                    let help = "write the words that the customer should read";
                    self.scanner.fault(
                        token.span.clone(),
                        "this would show a template tag to the customer",
                        help,
                    );
                }
                FactType::Text
            }
            TokenKind::Sign => match token.text {
                "(" => {
                    let kind = self.expression(Ternary::Allowed);
                    self.take(")");
                    kind
                }
                "[" => self.list(),
                "{" => self.map(),
                "<" => {
                    let help = "write a file templates/blocks/NAME.mjml and `<mj-block name=\"NAME\" />`";
                    self.scanner.fault(token.span.clone(), "components are not used here", help);
                    self.at = self.tokens.len();
                    FactType::Any
                }
                _ => FactType::Any,
            },
            TokenKind::Name if LITERALS.contains(&token.text) => FactType::Any,
            TokenKind::Name if self.peek_is("(") => {
                self.scanner.function_name(token);
                self.arguments();
                if token.text == "range" {
                    FactType::List(Box::new(FactType::Integer))
                } else {
                    FactType::Any
                }
            }
            TokenKind::Name => self.chain(token),
        }
    }

    /// `(name=value, …)`; gives the names.
    fn arguments(&mut self) -> Vec<&'e Token<'a>> {
        let mut names = Vec::new();
        if !self.take("(") {
            return names;
        }
        while let Some(name) = self.peek() {
            if self.take(")") {
                break;
            }
            self.at += 1;
            if self.take("=") {
                names.push(name);
                self.expression(Ternary::Allowed);
            }
            self.take(",");
        }
        names
    }

    fn filter(&mut self, kind: FactType) -> FactType {
        let Some(name) = self.next() else { return kind };
        let arguments = self.arguments();
        self.scanner.filter_name(name, &arguments);
        self.grows |= GROWING_FILTERS.contains(&name.text);
        match name.text {
            "first" | "last" | "nth" => match kind {
                FactType::List(item) => *item,
                _ => FactType::Any,
            },
            "default" | "sort" | "reverse" | "unique" => kind,
            "length" | "int" | "wordcount" => FactType::Integer,
            "split" | "keys" | "values" | "pairs" | "group_by" | "get" | "abs" | "round" | "float" => {
                FactType::Any
            }
            _ => FactType::Text,
        }
    }

    /// A list, or a comprehension: `[product.name for product in recommended if product.price > 5]`.
    fn list(&mut self) -> FactType {
        self.grows = true;
        let start = self.at;
        if let Some(clause) = self.comprehension_clause() {
            let inside = |opened: &Opened| *opened == Opened::Comprehension;
            if self.scanner.is_inside(inside) {
                let span = self.tokens[clause].span.clone();
                self.scanner.fault(span, "a list is made inside the making of a list", "use `{% for %}`");
            }
            self.at = clause + 1;
            let mut frame = Frame::new(Opened::Comprehension);
            frame.variables = self.for_clause(Ternary::Excluded);
            self.scanner.frames.push(frame);
            if self.take("if") {
                self.expression(Ternary::Excluded);
            }
            let end = self.at;
            self.at = start;
            let item = self.expression(Ternary::Allowed);
            self.scanner.frames.pop();
            self.at = end;
            self.take("]");
            return FactType::List(Box::new(item));
        }
        while self.peek().is_some() && !self.take("]") {
            self.take("...");
            self.expression(Ternary::Allowed);
            if !self.take(",") && !self.peek_is("]") {
                break;
            }
        }
        FactType::List(Box::new(FactType::Any))
    }

    /// Where `for` stands, if the list that starts here is a comprehension.
    fn comprehension_clause(&self) -> Option<usize> {
        let mut depth = 0_u32;
        for (offset, token) in self.tokens[self.at..].iter().enumerate() {
            match token.text {
                "for" if depth == 0 && token.kind == TokenKind::Name => return Some(self.at + offset),
                "," if depth == 0 => return None,
                "(" | "[" | "{" | "?[" if token.kind == TokenKind::Sign => depth += 1,
                ")" | "]" | "}" if token.kind == TokenKind::Sign => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
        None
    }

    fn map(&mut self) -> FactType {
        self.grows = true;
        while self.peek().is_some() && !self.take("}") {
            if !self.take("...") {
                self.at += 1;
                self.take(":");
            }
            self.expression(Ternary::Allowed);
            if !self.take(",") && !self.peek_is("}") {
                break;
            }
        }
        FactType::Any
    }

    /// `profile.first_name`, `cart.items[0]?.product["name"]`.
    fn chain(&mut self, root: &Token<'a>) -> FactType {
        let mut path = vec![root.text];
        let mut kind = self.root(root);
        while let Some(token) = self.peek() {
            match token.text {
                "." | "?." => {
                    self.at += 1;
                    let Some(name) = self.next() else { break };
                    kind = self.field(&kind, name, name.text, &path);
                    path.push(name.text);
                }
                "[" | "?[" => {
                    self.at += 1;
                    kind = self.subscript(kind, &path);
                }
                _ => break,
            }
        }
        kind
    }

    fn root(&mut self, root: &Token<'a>) -> FactType {
        if let Some(variable) = self.scanner.variable(root.text) {
            self.mentions_set |= variable.is_set;
            return variable.kind.clone();
        }
        if root.text == "loop" && self.scanner.is_inside(|opened| *opened == Opened::For) {
            return FactType::Any;
        }
        if root.text.starts_with("__") {
            let help = "use the facts: profile, history, cart, recommended and so on";
            self.scanner.fault(root.span.clone(), "names that start with `__` are the program's own", help);
            return FactType::Any;
        }
        match self.scanner.contract.lookup(&[root.text]) {
            Ok((kind, _)) => kind,
            Err(unknown) => {
                self.scanner.fault(root.span.clone(), unknown.message, unknown.help);
                FactType::Any
            }
        }
    }

    fn field(&mut self, kind: &FactType, token: &Token<'a>, name: &str, path: &[&str]) -> FactType {
        match descend(kind, Presence::Always, &[name], path) {
            Ok((kind, _)) => kind,
            Err(unknown) => {
                self.scanner.fault(token.span.clone(), unknown.message, unknown.help);
                FactType::Any
            }
        }
    }

    /// After `[`: a name in quotes, an index, or a slice.
    fn subscript(&mut self, kind: FactType, path: &[&str]) -> FactType {
        if let Some(token) = self.peek().filter(|token| token.kind == TokenKind::Text)
            && self.tokens.get(self.at + 1).is_some_and(|next| next.is("]"))
        {
            self.at += 2;
            let name = &token.text[1..token.text.len() - 1];
            return if path.is_empty() { FactType::Any } else { self.field(&kind, token, name, path) };
        }
        let mut is_slice = false;
        while self.peek().is_some() && !self.take("]") {
            if self.take(":") {
                is_slice = true;
            } else {
                self.expression(Ternary::Allowed);
                if !self.peek_is(":") && !self.peek_is("]") {
                    break;
                }
            }
        }
        match kind {
            _ if is_slice => kind,
            FactType::List(item) => *item,
            _ => FactType::Any,
        }
    }
}
