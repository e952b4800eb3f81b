//! Comparisons: both sides of one kind, and the words that a fact can have.

use cel::common::ast::Expr;
use cel::common::ast::IdedExpr;
use cel::common::ast::LiteralValue;
use cel::common::ast::operators;

use super::Absent;
use super::Checker;
use super::Scope;
use super::Typed;
use super::build::call;
use super::build::guarded;
use super::known;
use super::lookup;
use crate::catalog::contract::FactType;
use crate::catalog::nearest::nearest;

/// Facts that can only have these words.
const WORDS: &[(&str, &[&str])] = &[
    ("stage", &["discover", "educate", "compare", "purchase"]),
    ("profile.consent", &["unknown", "granted", "withdrawn"]),
    ("campaign.kind", &["lifecycle", "transactional"]),
];

/// Whether values of these types can be equal.
pub(super) fn comparable(left: &FactType, right: &FactType) -> bool {
    use FactType::{Any, Bool, Date, Integer, List, Number, Text};
    match (left, right) {
        (Any, _)
        | (_, Any)
        | (Bool, Bool)
        | (Integer | Number, Integer | Number)
        | (Text | Date, Text | Date) => true,
        (List(left), List(right)) => comparable(left, right),
        _ => false,
    }
}

impl Checker<'_> {
    /// `==`, `!=`, `<`, `<=`, `>`, `>=`.
    pub(super) fn comparison(
        &mut self,
        whole: &IdedExpr,
        operator: &str,
        left: &IdedExpr,
        right: &IdedExpr,
        scope: &Scope,
    ) -> Typed {
        let equality = matches!(operator, operators::EQUALS | operators::NOT_EQUALS);
        if equality && (known::is_null(left) || known::is_null(right)) {
            return self.null_comparison(whole, operator, left, right, scope);
        }
        let (mut first, mut second) = (self.typed(left, scope), self.typed(right, scope));
        let ordered =
            |kind: &FactType| !matches!(kind, FactType::Bool | FactType::List(_) | FactType::Object(_));
        let objects = matches!(first.kind, FactType::Object(_)) || matches!(second.kind, FactType::Object(_));
        let fits = comparable(&first.kind, &second.kind)
            && !objects
            && (equality || (ordered(&first.kind) && ordered(&second.kind)));
        if !fits {
            let message = format!(
                "`{}` is {}, and is compared with {}",
                self.text(left),
                first.kind.describe(),
                second.kind.describe()
            );
            let help = self.comparison_help(left, &first.kind);
            return self.fault(whole, message, help);
        }
        self.check_words(left, right);
        self.check_words(right, left);
        self.check_date(&first.kind, right);
        self.check_date(&second.kind, left);
        if equality {
            for (side, written) in [(&mut first, left), (&mut second, right)] {
                if known::path(written).is_some() {
                    side.guards.retain(|guard| guard.absent == Absent::Unreadable);
                }
            }
        }
        let compared = call(operator, vec![first.expression, second.expression]);
        let guards = [first.guards, second.guards].concat();
        Typed { expression: guarded(guards, compared), kind: FactType::Bool, guards: Vec::new() }
    }

    fn comparison_help(&self, left: &IdedExpr, kind: &FactType) -> String {
        let written = self.text(left);
        match kind {
            FactType::Integer | FactType::Number => format!("write a number, such as `{written} > 3`"),
            FactType::Text => format!("write text in quotes, such as `{written} == \"…\"`"),
            FactType::Date => format!("write a date in quotes, such as `{written} > \"2026-11-22\"`"),
            FactType::Bool => format!("write `{written}` or `!{written}` alone"),
            FactType::List(_) => format!("ask `size({written})`, or `\"…\" in {written}`"),
            FactType::Object(_) | FactType::Any => "name one of its facts and compare that".to_owned(),
        }
    }

    fn null_comparison(
        &mut self,
        whole: &IdedExpr,
        operator: &str,
        left: &IdedExpr,
        right: &IdedExpr,
        scope: &Scope,
    ) -> Typed {
        let side = if known::is_null(left) { right } else { left };
        let Some(path) = known::path(side) else {
            return self.fault(side, "only facts can be null", "compare a path with `null`");
        };
        let mut scope = scope.clone();
        scope.present.clear();
        let faults = self.faults.len();
        let typed = self.path(side, &path, &scope);
        if self.faults.len() > faults {
            return super::anything();
        }
        let mut present = self.presence(whole, typed, &lookup::display(&path));
        if operator == operators::EQUALS && present.kind == FactType::Bool {
            present.expression = call(operators::LOGICAL_NOT, vec![present.expression]);
        }
        present
    }

    /// `value in list`.
    pub(super) fn membership(
        &mut self,
        whole: &IdedExpr,
        value: &IdedExpr,
        list: &IdedExpr,
        scope: &Scope,
    ) -> Typed {
        let (item, container) = (self.typed(value, scope), self.typed(list, scope));
        let fits = match &container.kind {
            FactType::List(kind) => comparable(kind, &item.kind) && !matches!(item.kind, FactType::Object(_)),
            FactType::Any => true,
            _ => false,
        };
        if !fits {
            let message = format!(
                "`{}` is {}, and is looked for in {}{}",
                self.text(value),
                item.kind.describe(),
                container.kind.describe(),
                if let FactType::List(kind) = &container.kind {
                    format!(" whose items are {}", kind.describe())
                } else {
                    String::new()
                }
            );
            let help = match container.kind {
                FactType::Text => {
                    format!("for text inside text write `{}.contains({})`", self.text(list), self.text(value))
                }
                _ => "write such as `stage in [\"compare\", \"purchase\"]`".to_owned(),
            };
            return self.fault(whole, message, help);
        }
        if let Expr::List(written) = &list.expr {
            for word in &written.elements {
                self.check_words(value, word);
                self.check_date(&item.kind, word);
            }
        }
        let found = call(operators::IN, vec![item.expression, container.expression]);
        let guards = [item.guards, container.guards].concat();
        Typed { expression: guarded(guards, found), kind: FactType::Bool, guards: Vec::new() }
    }

    /// A word that this fact never has makes a rule that never holds.
    fn check_words(&mut self, fact: &IdedExpr, word: &IdedExpr) {
        let (Some(path), Expr::Literal(LiteralValue::String(text))) = (known::path(fact), &word.expr) else {
            return;
        };
        let path = lookup::display(&path);
        if let Some((_, words)) = WORDS.iter().find(|(known, _)| *known == path)
            && !words.contains(&text.inner())
        {
            let near = nearest(text.inner(), words.iter().copied());
            let help = near.map_or_else(
                || format!("it is one of {}", words.join(", ")),
                |near| format!("did you mean `\"{near}\"`?"),
            );
            self.fault(word, format!("`{path}` is never `{}`", text.inner()), help);
        }
    }

    fn check_date(&mut self, kind: &FactType, word: &IdedExpr) {
        if let (FactType::Date, Expr::Literal(LiteralValue::String(text))) = (kind, &word.expr)
            && text.inner().parse::<jiff::civil::Date>().is_err()
        {
            let message = format!("`{}` is not a date", text.inner());
            self.fault(word, message, "write it as year, month, day: `\"2026-11-22\"`");
        }
    }
}
