//! Operators, functions and conditions: what they take, and what they come to.

use cel::common::ast::CallExpr;
use cel::common::ast::Expr;
use cel::common::ast::IdedExpr;
use cel::common::ast::LiteralValue;
use cel::common::ast::operators;

use super::Checker;
use super::Scope;
use super::Typed;
use super::anything;
use super::build::call;
use super::build::guarded;
use super::build::literal;
use super::build::node;
use super::known;
use crate::catalog::condition::Argument;
use crate::catalog::condition::CONDITIONS;
use crate::catalog::condition::Condition;
use crate::catalog::condition::Last;
use crate::catalog::condition::Literal;
use crate::catalog::condition::WEEKDAYS;
use crate::catalog::contract::FactType;
use crate::catalog::nearest::nearest;
use crate::catalog::rule::function::FUNCTIONS;
use crate::catalog::rule::lookup;
use crate::catalog::rule::lookup::Lookup;

impl Checker<'_> {
    pub(super) fn call(&mut self, whole: &IdedExpr, written: &CallExpr, scope: &Scope) -> Typed {
        let name = written.func_name.as_str();
        match (name, written.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => {
                let first = self.condition(left, scope);
                let second = self.condition(right, &scope.knowing(known::when_true(left)));
                yes_or_no(call(name, vec![first, second]))
            }
            (operators::LOGICAL_OR, [left, right]) => {
                let first = self.condition(left, scope);
                let second = self.condition(right, &scope.knowing(known::when_false(left)));
                yes_or_no(call(name, vec![first, second]))
            }
            (operators::LOGICAL_NOT, [inner]) => {
                let inner = self.condition(inner, scope);
                yes_or_no(call(name, vec![inner]))
            }
            (operators::CONDITIONAL, [condition, yes, no]) => self.choice(whole, condition, yes, no, scope),
            (
                operators::EQUALS
                | operators::NOT_EQUALS
                | operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
            ) => self.comparison(whole, name, left, right, scope),
            (operators::IN, [value, list]) => self.membership(whole, value, list, scope),
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [left, right],
            ) => self.arithmetic(whole, name, left, right, scope),
            (operators::NEGATE, [inner]) => {
                let typed = self.number(inner, scope);
                Typed { expression: call(name, vec![typed.expression]), ..typed }
            }
            (operators::INDEX, _) => self.fault(
                whole,
                "a list is indexed with a number, an object with a name",
                "write such as `cart.items[0].price`",
            ),
            _ => self.function(whole, written, scope),
        }
    }

    fn choice(
        &mut self,
        whole: &IdedExpr,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
        scope: &Scope,
    ) -> Typed {
        let test = self.condition(condition, scope);
        let mut first = self.typed(yes, &scope.knowing(known::when_true(condition)));
        let mut second = self.typed(no, &scope.knowing(known::when_false(condition)));
        if !super::compare::comparable(&first.kind, &second.kind) {
            let message =
                format!("one side is {}, the other {}", first.kind.describe(), second.kind.describe());
            return self.fault(whole, message, "both sides of `? :` must be of one kind");
        }
        unify(&mut first, &mut second);
        let guards = [first.guards, second.guards].concat();
        let kind = if first.kind == FactType::Any { second.kind } else { first.kind };
        let expression = call(operators::CONDITIONAL, vec![test, first.expression, second.expression]);
        Typed { expression, kind, guards }
    }

    /// A node that must be a number; absent parts stay to be guarded.
    fn number(&mut self, expression: &IdedExpr, scope: &Scope) -> Typed {
        let typed = self.typed(expression, scope);
        if matches!(typed.kind, FactType::Integer | FactType::Number | FactType::Any) {
            return typed;
        }
        let message = format!("`{}` is {}; a number is wanted", self.text(expression), typed.kind.describe());
        self.fault(expression, message, "use a number, or `size(…)` of a list or text")
    }

    fn arithmetic(
        &mut self,
        whole: &IdedExpr,
        operator: &str,
        left: &IdedExpr,
        right: &IdedExpr,
        scope: &Scope,
    ) -> Typed {
        if operator == operators::ADD {
            let (first, second) = (self.typed(left, scope), self.typed(right, scope));
            let texts = |kind: &FactType| matches!(kind, FactType::Text | FactType::Date | FactType::List(_));
            if texts(&first.kind) && super::compare::comparable(&first.kind, &second.kind) {
                let guards = [first.guards, second.guards].concat();
                let kind = if first.kind == FactType::Date { FactType::Text } else { first.kind };
                return Typed {
                    expression: call(operator, vec![first.expression, second.expression]),
                    kind,
                    guards,
                };
            }
            let numbers =
                |kind: &FactType| matches!(kind, FactType::Integer | FactType::Number | FactType::Any);
            if !numbers(&first.kind) || !numbers(&second.kind) {
                let message =
                    format!("{} cannot be added to {}", second.kind.describe(), first.kind.describe());
                return self.fault(whole, message, "make both of one kind, such as with `string(…)`");
            }
            return sum(operator, first, second);
        }
        let (first, second) = (self.number(left, scope), self.number(right, scope));
        let divides = matches!(operator, operators::DIVIDE | operators::MODULO);
        if divides && matches!(&right.expr, Expr::Literal(LiteralValue::Int(value)) if *value.inner() == 0) {
            return self.fault(whole, "nothing can be divided by 0", "divide by another number");
        }
        if operator == operators::MODULO
            && (first.kind == FactType::Number || second.kind == FactType::Number)
        {
            return self.fault(whole, "`%` is for whole numbers", "write `int(…) % 2`");
        }
        sum(operator, first, second)
    }

    fn function(&mut self, whole: &IdedExpr, written: &CallExpr, scope: &Scope) -> Typed {
        let name = written.func_name.as_str();
        if written.target.is_none()
            && let Some(condition) = Condition::find(name)
        {
            return self.condition_call(whole, condition, &written.args);
        }
        let operands: Vec<&IdedExpr> = written.target.as_deref().into_iter().chain(&written.args).collect();
        match (name, written.target.is_some(), operands.as_slice()) {
            ("contains" | "startsWith" | "endsWith" | "matches", true, [text, part]) => {
                self.text_function(whole, name, text, part, scope)
            }
            ("size", _, [inner]) => {
                let typed = self.typed(inner, scope);
                if !matches!(typed.kind, FactType::List(_) | FactType::Text | FactType::Any) {
                    let message =
                        format!("`{}` is {}: it has no size", self.text(inner), typed.kind.describe());
                    return self.fault(whole, message, "ask the size of a list or of text");
                }
                Typed {
                    expression: call(name, vec![typed.expression]),
                    kind: FactType::Integer,
                    guards: typed.guards,
                }
            }
            ("int" | "double" | "string", false, [inner]) => self.conversion(whole, name, inner, scope),
            ("round", false, [inner]) => {
                let typed = self.number(inner, scope);
                let guards = typed.guards;
                Typed { expression: call(name, vec![typed.expression]), kind: FactType::Integer, guards }
            }
            ("min" | "max", false, [left, right]) => {
                let (first, second) = (self.number(left, scope), self.number(right, scope));
                sum(name, first, second)
            }
            _ => self.unknown_function(whole, name),
        }
    }

    fn unknown_function(&mut self, whole: &IdedExpr, name: &str) -> Typed {
        if let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) {
            let help = format!("write such as `{}`", function.example);
            return self.fault(whole, format!("`{name}` is not called like this"), help);
        }
        let functions = FUNCTIONS.iter().map(|function| (function.name, function.example));
        let conditions = CONDITIONS.iter().map(|condition| (condition.name, condition.example));
        let all: Vec<(&str, &str)> = functions.chain(conditions).collect();
        let near = nearest(name, all.iter().map(|(known, _)| *known));
        let help = match near.and_then(|near| all.iter().find(|(known, _)| *known == near)) {
            Some((_, example)) => format!("did you mean `{example}`?"),
            None => format!("known: {}", all.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ")),
        };
        self.fault(whole, format!("there is no function `{name}`"), help)
    }

    fn conversion(&mut self, whole: &IdedExpr, name: &str, inner: &IdedExpr, scope: &Scope) -> Typed {
        let typed = self.typed(inner, scope);
        if matches!(typed.kind, FactType::List(_) | FactType::Object(_) | FactType::Bool) {
            let message = format!(
                "`{}` is {}; `{name}` takes a number or text",
                self.text(inner),
                typed.kind.describe()
            );
            return self.fault(whole, message, "convert a number or text");
        }
        let kind = match name {
            "int" => FactType::Integer,
            "double" => FactType::Number,
            _ => FactType::Text,
        };
        Typed { expression: call(name, vec![typed.expression]), kind, guards: typed.guards }
    }

    fn text_function(
        &mut self,
        whole: &IdedExpr,
        name: &str,
        text: &IdedExpr,
        part: &IdedExpr,
        scope: &Scope,
    ) -> Typed {
        let (first, second) = (self.typed(text, scope), self.typed(part, scope));
        for (typed, written) in [(&first, text), (&second, part)] {
            if !matches!(typed.kind, FactType::Text | FactType::Date | FactType::Any) {
                let message =
                    format!("`{}` is {}; `{name}` is for text", self.text(written), typed.kind.describe());
                let help = if matches!(typed.kind, FactType::List(_)) {
                    format!("for a list write `{} in {}`", self.text(part), self.text(text))
                } else {
                    "compare numbers with `==`, `<` and `>`".to_owned()
                };
                return self.fault(whole, message, help);
            }
        }
        if name == "matches" {
            let Expr::Literal(LiteralValue::String(pattern)) = &part.expr else {
                return self.fault(
                    part,
                    "the pattern must be written out",
                    "write such as `.matches(\"^A\")`",
                );
            };
            let tried = format!("''.matches({:?})", pattern.inner());
            let sound = cel::Program::compile(&tried)
                .is_ok_and(|program| program.execute(&cel::Context::default()).is_ok());
            if !sound {
                return self.fault(
                    part,
                    "this is not a regular expression",
                    "write such as `\"^[A-Z]{2}-[0-9]+$\"`",
                );
            }
        }
        let asked = node(Expr::Call(CallExpr {
            func_name: name.to_owned(),
            target: Some(Box::new(first.expression)),
            args: vec![second.expression],
        }));
        yes_or_no(guarded([first.guards, second.guards].concat(), asked))
    }

    fn condition_call(
        &mut self,
        whole: &IdedExpr,
        condition: &'static Condition,
        written: &[IdedExpr],
    ) -> Typed {
        let fixed = condition.arguments.len();
        let counted = match condition.last {
            Last::Once => written.len() == fixed,
            Last::Repeated => written.len() >= fixed,
        };
        if !counted {
            let message = format!("`{}` does not take {} arguments", condition.name, written.len());
            return self.fault(whole, message, format!("write such as `{}`", condition.example));
        }
        let mut arguments = Vec::new();
        for (index, argument) in written.iter().enumerate() {
            let wanted = condition.arguments[index.min(fixed - 1)];
            let Some(value) = self.argument(condition, wanted, argument) else { return anything() };
            arguments.push(value);
        }
        for path in condition.paths(&arguments) {
            let names: Vec<&str> = path.split('.').collect();
            if let Err(unknown) = self.contract.lookup(&names) {
                let message = format!("`{}` reads `{path}`, and {}", condition.name, unknown.message);
                return self.fault(whole, message, unknown.help);
            }
        }
        self.lookups.push(Lookup::Condition(condition, arguments));
        yes_or_no(node(Expr::Ident(lookup::variable(self.lookups.len() - 1))))
    }

    fn argument(&mut self, condition: &Condition, wanted: Argument, written: &IdedExpr) -> Option<Literal> {
        let value = match (&written.expr, wanted) {
            (Expr::Literal(LiteralValue::Int(value)), Argument::Whole) => {
                return Some(Literal::Whole(*value.inner()));
            }
            (Expr::Literal(LiteralValue::String(text)), wanted) if wanted != Argument::Whole => text.inner(),
            _ => {
                let noun = if wanted == Argument::Whole { "a whole number" } else { "text in quotes" };
                let message = format!("`{}` takes {noun} here, written out", condition.name);
                self.fault(written, message, format!("write such as `{}`", condition.example));
                return None;
            }
        };
        if wanted == Argument::Weekday && !WEEKDAYS.contains(&value) {
            self.fault(written, format!("`{value}` is not a day"), format!("one of {}", WEEKDAYS.join(", ")));
            return None;
        }
        if wanted == Argument::DateTrait {
            let declared = self.contract.lookup(&["profile", value]);
            if declared.is_ok_and(|(kind, _)| kind != FactType::Date) {
                let help = format!("declare `{value} = \"date\"` under [traits] in bespoke.toml");
                self.fault(written, format!("the trait `{value}` is not a date"), help);
                return None;
            }
        }
        Some(Literal::Text(value.to_owned()))
    }
}

fn yes_or_no(expression: IdedExpr) -> Typed {
    Typed { expression, kind: FactType::Bool, guards: Vec::new() }
}

/// CEL's arithmetic never mixes whole and decimal numbers: the whole side is converted.
fn unify(first: &mut Typed, second: &mut Typed) {
    match (&first.kind, &second.kind) {
        (FactType::Integer, FactType::Number) => convert(first),
        (FactType::Number, FactType::Integer) => convert(second),
        _ => {}
    }
}

fn convert(whole: &mut Typed) {
    whole.expression = to_double(whole.expression.clone());
    whole.kind = FactType::Number;
}

fn to_double(expression: IdedExpr) -> IdedExpr {
    if let Expr::Literal(LiteralValue::Int(value)) = &expression.expr {
        #[expect(clippy::cast_precision_loss, reason = "a number that somebody wrote into a rule")]
        let value = *value.inner() as f64;
        return literal(LiteralValue::Double(value.into()));
    }
    call("double", vec![expression])
}

fn sum(operator: &str, mut first: Typed, mut second: Typed) -> Typed {
    unify(&mut first, &mut second);
    let kind = if first.kind == FactType::Any { second.kind } else { first.kind };
    let guards = [first.guards, second.guards].concat();
    Typed { expression: call(operator, vec![first.expression, second.expression]), kind, guards }
}
