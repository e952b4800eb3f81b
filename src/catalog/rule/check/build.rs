//! Nodes of the rewritten tree.

use cel::common::ast::CallExpr;
use cel::common::ast::Expr;
use cel::common::ast::IdedExpr;
use cel::common::ast::LiteralValue;
use cel::common::ast::SelectExpr;
use cel::common::ast::operators;

use super::Guard;
use crate::catalog::rule::lookup::Segment;

pub(super) fn node(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

pub(super) fn literal(value: LiteralValue) -> IdedExpr {
    node(Expr::Literal(value))
}

pub(super) fn call(operator: &str, args: Vec<IdedExpr>) -> IdedExpr {
    node(Expr::Call(CallExpr { func_name: operator.to_owned(), target: None, args }))
}

/// Whether a selection reads a field or asks for it.
#[derive(Clone, Copy)]
pub(super) enum Ask {
    Value,
    Presence,
}

pub(super) fn select(operand: IdedExpr, field: &str, ask: Ask) -> IdedExpr {
    let test = matches!(ask, Ask::Presence);
    node(Expr::Select(SelectExpr { operand: Box::new(operand), field: field.to_owned(), test }))
}

pub(super) fn root_of(path: &[Segment]) -> IdedExpr {
    match path.first() {
        Some(Segment::Name(name)) => node(Expr::Ident(name.clone())),
        _ => literal(LiteralValue::Null),
    }
}

pub(super) fn not_null(expression: &IdedExpr) -> IdedExpr {
    call(operators::NOT_EQUALS, vec![expression.clone(), literal(LiteralValue::Null)])
}

/// All guards, in order, each once.
pub(super) fn conjunction(guards: Vec<Guard>) -> Option<IdedExpr> {
    let mut tests: Vec<IdedExpr> = Vec::new();
    for guard in guards {
        if !tests.contains(&guard.test) {
            tests.push(guard.test);
        }
    }
    tests.into_iter().reduce(|left, right| call(operators::LOGICAL_AND, vec![left, right]))
}

/// `test && expression`: false when something is absent.
pub(super) fn guarded(guards: Vec<Guard>, expression: IdedExpr) -> IdedExpr {
    match conjunction(guards) {
        Some(test) => call(operators::LOGICAL_AND, vec![test, expression]),
        None => expression,
    }
}
