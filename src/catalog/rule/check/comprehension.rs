//! `exists`, `all`, `exists_one`, `filter` and `map`, which the parser has unfolded into loops.

use cel::common::ast::CallExpr;
use cel::common::ast::ComprehensionExpr;
use cel::common::ast::Expr;
use cel::common::ast::IdedExpr;
use cel::common::ast::ListExpr;
use cel::common::ast::LiteralValue;
use cel::common::ast::operators;

use super::Checker;
use super::Scope;
use super::Typed;
use super::build::guarded;
use super::build::node;
use crate::catalog::contract::FactType;

impl Checker<'_> {
    pub(super) fn comprehension(&mut self, written: &ComprehensionExpr, scope: &Scope) -> Typed {
        let range = self.typed(&written.iter_range, scope);
        let item = match range.kind {
            FactType::List(item) => *item,
            FactType::Any => FactType::Any,
            other => {
                let message = format!(
                    "`{}` is {}; only lists are gone through",
                    self.text(&written.iter_range),
                    other.describe()
                );
                let help = "write such as `cart.items.exists(line, line.price > 5000)`";
                return self.fault(&written.iter_range, message, help);
            }
        };
        let mut inner = scope.clone();
        inner.locals.push((written.iter_var.clone(), item));
        let mut looped = written.clone();
        looped.iter_range = range.expression;
        let kind = match &written.accu_init.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => {
                self.rewrite_argument(&mut looped.loop_step, 1, &inner);
                FactType::Bool
            }
            Expr::Literal(_) => {
                self.rewrite_argument(&mut looped.loop_step, 0, &inner);
                FactType::Bool
            }
            _ => FactType::List(Box::new(self.collected(&mut looped.loop_step, &inner))),
        };
        let expression = node(Expr::Comprehension(Box::new(looped)));
        if kind == FactType::Bool {
            return Typed { expression: guarded(range.guards, expression), kind, guards: Vec::new() };
        }
        Typed { expression, kind, guards: range.guards }
    }

    /// The condition of a loop is one argument of its step.
    fn rewrite_argument(&mut self, step: &mut IdedExpr, index: usize, scope: &Scope) {
        if let Expr::Call(CallExpr { args, .. }) = &mut step.expr
            && let Some(argument) = args.get_mut(index)
        {
            *argument = self.condition(argument, scope);
        }
    }

    /// `map` and `filter`: the step adds a list of one item, perhaps under a condition. Gives the item's type.
    fn collected(&mut self, step: &mut IdedExpr, scope: &Scope) -> FactType {
        let Expr::Call(CallExpr { func_name, args, .. }) = &mut step.expr else { return FactType::Any };
        if func_name == operators::CONDITIONAL {
            if let Some(condition) = args.get_mut(0) {
                *condition = self.condition(condition, scope);
            }
            return args.get_mut(1).map_or(FactType::Any, |added| self.collected(added, scope));
        }
        match args.get_mut(1).map(|added| &mut added.expr) {
            Some(Expr::List(ListExpr { elements, .. })) => {
                let Some(element) = elements.first_mut() else { return FactType::Any };
                let typed = self.plain(element, scope);
                *element = typed.expression;
                typed.kind
            }
            _ => FactType::Any,
        }
    }
}
