//! Walks a rule's tree against the contract: every node gets a type, every path becomes a variable, and what may be
//! absent is guarded.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use cel::common::ast::Expr;
use cel::common::ast::IdedExpr;
use cel::common::ast::LiteralValue;
use cel::common::ast::SourceInfo;
use cel::common::ast::operators;

use super::Expected;
use super::RuleFault;
use super::known;
use super::lookup;
use super::lookup::Lookup;
use super::lookup::Segment;
use super::parse::Places;
use crate::catalog::contract::Contract;
use crate::catalog::contract::FactType;
use crate::catalog::contract::Presence;

use build::Ask;
use build::call;
use build::conjunction;
use build::guarded;
use build::literal;
use build::node;
use build::not_null;
use build::root_of;
use build::select;

mod build;
mod call;
mod compare;
mod comprehension;

/// Checks one rule.
pub(super) struct Checker<'a> {
    places: Places<'a>,
    contract: &'a Contract,
    lookups: Vec<Lookup>,
    variables: BTreeMap<String, usize>,
    faults: Vec<RuleFault>,
}

/// A checked node: rewritten, with its type and what must be there before it may be evaluated.
struct Typed {
    expression: IdedExpr,
    kind: FactType,
    guards: Vec<Guard>,
}

/// A test that a fact is there.
#[derive(Clone)]
struct Guard {
    path: String,
    test: IdedExpr,
    absent: Absent,
}

/// What evaluating an absent fact gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// Null, which `==` can compare.
    Null,
    /// An error.
    Unreadable,
}

/// What is known at a place in the rule.
#[derive(Clone, Default)]
struct Scope {
    /// Variables of `exists(line, …)` and the like, with the type of what they go through.
    locals: Vec<(String, FactType)>,
    /// Facts that are surely there.
    present: BTreeSet<String>,
}

impl Scope {
    fn local(&self, name: &str) -> Option<&FactType> {
        self.locals.iter().rev().find(|(local, _)| local == name).map(|(_, kind)| kind)
    }

    fn knowing(&self, present: BTreeSet<String>) -> Self {
        let mut scope = self.clone();
        scope.present.extend(present);
        scope
    }
}

impl<'a> Checker<'a> {
    pub(super) fn new(source: &'a str, info: &'a SourceInfo, contract: &'a Contract) -> Self {
        let places = Places { source, info };
        Self { places, contract, lookups: Vec::new(), variables: BTreeMap::new(), faults: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Lookup>, Vec<RuleFault>) {
        (self.lookups, self.faults)
    }

    /// Checks the whole rule and rewrites it.
    pub(super) fn root(&mut self, expression: &IdedExpr, expected: Expected) -> IdedExpr {
        let scope = Scope::default();
        if expected == Expected::Condition {
            return self.condition(expression, &scope);
        }
        let typed = self.plain(expression, &scope);
        if typed.kind != FactType::Any && !expected.accepts(&typed.kind) {
            let message =
                format!("the rule comes to {}; it must be {}", typed.kind.describe(), expected.describe());
            let help = match expected {
                Expected::Number => "write a number, such as `15` or `history.orders_total >= 10 ? 15 : 10`",
                _ => "write text, such as `stage == \"compare\" ? \"15 %\" : \"10 %\"`",
            };
            self.fault(expression, message, help);
        }
        typed.expression
    }

    fn fault(&mut self, at: &IdedExpr, message: impl Into<String>, help: impl Into<String>) -> Typed {
        self.faults.push(RuleFault {
            span: self.places.span(at),
            message: message.into(),
            help: help.into(),
        });
        anything()
    }

    /// The source of a node, for messages.
    fn text(&self, expression: &IdedExpr) -> &'a str {
        self.places.source.get(self.places.span(expression)).unwrap_or_default()
    }

    /// A node that must come to yes or no; what is absent is no.
    fn condition(&mut self, expression: &IdedExpr, scope: &Scope) -> IdedExpr {
        let typed = self.typed(expression, scope);
        match typed.kind {
            FactType::Bool => guarded(typed.guards, typed.expression),
            FactType::Any => {
                let truth = literal(LiteralValue::Boolean(true.into()));
                let is_true = call(operators::EQUALS, vec![typed.expression, truth]);
                guarded(typed.guards, is_true)
            }
            kind => {
                let written = self.text(expression);
                let message = format!("`{written}` is {}; it must be true or false", kind.describe());
                let help = match kind {
                    FactType::Integer | FactType::Number => format!("compare it, such as `{written} > 0`"),
                    FactType::List(_) => format!("ask `size({written}) > 0`, or `\"…\" in {written}`"),
                    FactType::Object(_) => "name one of its facts and compare that".to_owned(),
                    _ => format!("compare it, such as `{written} == \"…\"`"),
                };
                self.fault(expression, message, help).expression
            }
        }
    }

    /// A node whose value is used as it is: nothing in it may be absent.
    fn plain(&mut self, expression: &IdedExpr, scope: &Scope) -> Typed {
        let mut typed = self.typed(expression, scope);
        if let Some(guard) = typed.guards.first() {
            let (path, written) = (guard.path.clone(), self.text(expression));
            let help = format!("guard it: `has({path}) ? {written} : 0`, with what fits instead of 0");
            self.fault(expression, format!("`{path}` may be absent"), help);
            typed.guards.clear();
        }
        typed
    }

    fn typed(&mut self, expression: &IdedExpr, scope: &Scope) -> Typed {
        if let Some(path) = known::tested_path(expression) {
            return self.has(expression, &path, scope);
        }
        if let Some(path) = known::path(expression) {
            return self.path(expression, &path, scope);
        }
        match &expression.expr {
            Expr::Literal(value) => self.literal(expression, value),
            Expr::Call(written) => self.call(expression, written, scope),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, scope),
            Expr::List(list) => {
                let items: Vec<Typed> = list.elements.iter().map(|item| self.plain(item, scope)).collect();
                let kind = items.first().map_or(FactType::Any, |first| first.kind.clone());
                for (item, written) in items.iter().zip(&list.elements) {
                    if !compare::comparable(&kind, &item.kind) {
                        let message =
                            format!("the list holds {} and {}", kind.describe(), item.kind.describe());
                        self.fault(written, message, "put things of one kind into a list");
                    }
                }
                let elements = items.into_iter().map(|item| item.expression).collect();
                let list = Expr::List(cel::common::ast::ListExpr::new(elements));
                Typed { expression: node(list), kind: FactType::List(Box::new(kind)), guards: Vec::new() }
            }
            Expr::Select(_) | Expr::Ident(_) => self.fault(
                expression,
                "facts can only be taken by their path",
                "write such as `cart.items[0].price`",
            ),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => self.fault(
                expression,
                "rules cannot make objects",
                "compare facts with texts, numbers and lists",
            ),
        }
    }

    fn literal(&mut self, expression: &IdedExpr, value: &LiteralValue) -> Typed {
        let kind = match value {
            LiteralValue::Boolean(_) => FactType::Bool,
            LiteralValue::Int(_) => FactType::Integer,
            LiteralValue::Double(_) => FactType::Number,
            LiteralValue::String(_) => FactType::Text,
            LiteralValue::Null => {
                return self.fault(
                    expression,
                    "`null` can only be compared with `==` and `!=`",
                    "ask `has(…)` whether a fact is there",
                );
            }
            LiteralValue::UInt(_) | LiteralValue::Bytes(_) => {
                let help = "write plain numbers and texts, such as `3` and `\"boots\"`";
                return self.fault(expression, "facts are never unsigned numbers or bytes", help);
            }
        };
        Typed { expression: expression.clone(), kind, guards: Vec::new() }
    }

    fn has(&mut self, expression: &IdedExpr, path: &[Segment], scope: &Scope) -> Typed {
        let mut scope = scope.clone();
        scope.present.clear();
        let faults = self.faults.len();
        let typed = self.path(expression, path, &scope);
        if self.faults.len() > faults {
            return anything();
        }
        self.presence(expression, typed, &lookup::display(path))
    }

    /// `has(path)`, `path != null`: that everything on the way is there.
    fn presence(&mut self, expression: &IdedExpr, typed: Typed, path: &str) -> Typed {
        let Some(test) = conjunction(typed.guards) else {
            let help = match typed.kind {
                FactType::List(_) => format!("ask whether it is empty: `size({path}) > 0`"),
                _ => "leave the question out".to_owned(),
            };
            return self.fault(expression, format!("`{path}` is always there"), help);
        };
        Typed { expression: test, kind: FactType::Bool, guards: Vec::new() }
    }

    fn path(&mut self, expression: &IdedExpr, path: &[Segment], scope: &Scope) -> Typed {
        if let Some(Segment::Name(root)) = path.first()
            && let Some(kind) = scope.local(root)
        {
            let kind = kind.clone();
            return self.local_path(expression, path, &kind, scope);
        }
        let Some((kind, presence)) = self.descend(expression, self.contract.root().clone(), path, 0) else {
            return anything();
        };
        let text = lookup::display(path);
        let next = self.lookups.len();
        let index = *self.variables.entry(text.clone()).or_insert(next);
        if index == next {
            self.lookups.push(Lookup::Path(path.to_vec(), kind.clone()));
        }
        let variable = node(Expr::Ident(lookup::variable(index)));
        let mut guards = Vec::new();
        if presence == Presence::Optional && !scope.present.contains(&text) {
            guards.push(Guard { path: text, test: not_null(&variable), absent: Absent::Null });
        }
        Typed { expression: variable, kind, guards }
    }

    /// `line.product.list_price` where `line` goes through a list.
    fn local_path(
        &mut self,
        expression: &IdedExpr,
        path: &[Segment],
        kind: &FactType,
        scope: &Scope,
    ) -> Typed {
        let Some((reached, _)) = self.descend(expression, kind.clone(), path, 1) else { return anything() };
        let mut typed = Typed { expression: root_of(path), kind: kind.clone(), guards: Vec::new() };
        for (position, segment) in path.iter().enumerate().skip(1) {
            let Segment::Name(name) = segment else {
                return self.fault(
                    expression,
                    "a list inside a list cannot be indexed",
                    "go through it with `exists`",
                );
            };
            let text = lookup::display(&path[..=position]);
            let before = typed.expression.clone();
            let selected = select(before.clone(), name, Ask::Value);
            if !scope.present.contains(&text) {
                if typed.kind == FactType::Any {
                    let asked = select(before, name, Ask::Presence);
                    typed.guards.push(Guard { path: text.clone(), test: asked, absent: Absent::Unreadable });
                }
                let presence = typed.kind.field(name).map(|(_, presence)| presence);
                if presence == Some(Presence::Optional) {
                    let asked = not_null(&selected);
                    typed.guards.push(Guard { path: text, test: asked, absent: Absent::Null });
                }
            }
            let field = typed.kind.field(name);
            typed.expression = selected;
            typed.kind = field.map_or(FactType::Any, |(kind, _)| kind.clone());
        }
        typed.kind = reached;
        typed
    }

    /// The type at the end of a path, from step `skip` on.
    fn descend(
        &mut self,
        expression: &IdedExpr,
        start: FactType,
        path: &[Segment],
        skip: usize,
    ) -> Option<(FactType, Presence)> {
        let mut kind = start;
        let mut presence = Presence::Always;
        let mut names: Vec<&str> = path[..skip]
            .iter()
            .filter_map(|segment| if let Segment::Name(name) = segment { Some(name.as_str()) } else { None })
            .collect();
        for segment in &path[skip..] {
            match (segment, kind) {
                (Segment::Index(_), FactType::List(item)) => {
                    (kind, presence) = (*item, Presence::Optional);
                }
                (Segment::Index(_), FactType::Any) => (kind, presence) = (FactType::Any, Presence::Optional),
                (Segment::Index(_), other) => {
                    let message =
                        format!("`{}` is {}: it has no numbered parts", names.join("."), other.describe());
                    self.fault(expression, message, "name one of its facts");
                    return None;
                }
                (Segment::Name(name), parent) => {
                    let found =
                        crate::catalog::contract::descend(&parent, presence, &[name.as_str()], &names);
                    match found {
                        Ok(found) => (kind, presence) = found,
                        Err(unknown) => {
                            self.fault(expression, unknown.message, unknown.help);
                            return None;
                        }
                    }
                    names.push(name);
                }
            }
        }
        Some((kind, presence))
    }
}

/// What stands for a node with a fault, so that one mistake is told once.
fn anything() -> Typed {
    let expression = literal(LiteralValue::Boolean(false.into()));
    Typed { expression, kind: FactType::Any, guards: Vec::new() }
}
