//! Which facts are surely there once a condition is known to hold, or known not to.

use std::collections::BTreeSet;

use cel::common::ast::Expr;
use cel::common::ast::IdedExpr;
use cel::common::ast::LiteralValue;
use cel::common::ast::operators;

use super::lookup::Segment;
use super::lookup::display;

/// The root and the steps of `a.b[0]["c"]`; `None` for anything that is no path.
pub(super) fn path(expression: &IdedExpr) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut expression = expression;
    loop {
        match &expression.expr {
            Expr::Ident(name) => {
                segments.push(Segment::Name(name.clone()));
                segments.reverse();
                return Some(segments);
            }
            Expr::Select(select) if !select.test => {
                segments.push(Segment::Name(select.field.clone()));
                expression = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                segments.push(match &call.args[1].expr {
                    Expr::Literal(LiteralValue::Int(index)) => {
                        Segment::Index(usize::try_from(*index.inner()).ok()?)
                    }
                    Expr::Literal(LiteralValue::String(name)) => Segment::Name(name.inner().to_owned()),
                    _ => return None,
                });
                expression = &call.args[0];
            }
            _ => return None,
        }
    }
}

/// The path of a `has(…)`.
pub(super) fn tested_path(expression: &IdedExpr) -> Option<Vec<Segment>> {
    let Expr::Select(select) = &expression.expr else { return None };
    if !select.test {
        return None;
    }
    let mut segments = path(&select.operand)?;
    segments.push(Segment::Name(select.field.clone()));
    Some(segments)
}

/// Whether this is the literal `null`.
pub(super) fn is_null(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Literal(LiteralValue::Null))
}

/// Facts that are there when `condition` holds.
pub(super) fn when_true(condition: &IdedExpr) -> BTreeSet<String> {
    if let Some(path) = tested_path(condition).or_else(|| path(condition)) {
        return BTreeSet::from([display(&path)]);
    }
    let Expr::Call(call) = &condition.expr else { return BTreeSet::new() };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, [left, right]) => &when_true(left) | &when_true(right),
        (operators::LOGICAL_OR, [left, right]) => &when_true(left) & &when_true(right),
        (operators::LOGICAL_NOT, [inner]) => when_false(inner),
        (operators::NOT_EQUALS, [left, right]) if is_null(left) || is_null(right) => direct(&[left, right]),
        (operators::EQUALS, [left, right]) if literal(left) || literal(right) => direct(&[left, right]),
        (
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
            [left, right],
        ) => {
            let mut paths = BTreeSet::new();
            needed(left, &mut paths);
            needed(right, &mut paths);
            paths
        }
        _ => BTreeSet::new(),
    }
}

/// Facts that are there when `condition` does not hold.
pub(super) fn when_false(condition: &IdedExpr) -> BTreeSet<String> {
    let Expr::Call(call) = &condition.expr else { return BTreeSet::new() };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, [left, right]) => &when_false(left) & &when_false(right),
        (operators::LOGICAL_OR, [left, right]) => &when_false(left) | &when_false(right),
        (operators::LOGICAL_NOT, [inner]) => when_true(inner),
        (operators::EQUALS, [left, right]) if is_null(left) || is_null(right) => direct(&[left, right]),
        _ => BTreeSet::new(),
    }
}

fn direct(sides: &[&IdedExpr]) -> BTreeSet<String> {
    sides.iter().filter_map(|side| path(side)).map(|path| display(&path)).collect()
}

fn literal(expression: &IdedExpr) -> bool {
    matches!(expression.expr, Expr::Literal(_)) && !is_null(expression)
}

/// The paths that arithmetic cannot do without.
fn needed(expression: &IdedExpr, paths: &mut BTreeSet<String>) {
    if let Some(path) = path(expression) {
        paths.insert(display(&path));
        return;
    }
    if let Expr::Call(call) = &expression.expr
        && call.func_name != operators::CONDITIONAL
    {
        for operand in call.target.as_deref().into_iter().chain(&call.args) {
            needed(operand, paths);
        }
    }
}
