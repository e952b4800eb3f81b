//! Rules: CEL expressions over the facts, checked against the contract when they are compiled.
//!
//! The crate `cel` parses and evaluates; nothing outside this folder names it. Between the two, the checker walks
//! the syntax tree: every path, function, literal and result type is checked, every path becomes a variable that is
//! read straight from the facts (only what is used is looked at), and whatever may be absent is guarded.
//!
//! # Absent facts
//!
//! A comparison, or a function that answers yes or no, is **false** when a fact that it needs is absent or null.
//! `==` and `!=` compare absent facts like any value: absent equals only `null`. An absent yes-or-no fact counts as
//! no. `has(path)` asks whether a fact is there. Where a number or text is wanted (offers), a fact that may be
//! absent must be guarded: `has(history.days_since_order) ? history.days_since_order : 0`.

use std::ops::Range;
use std::sync::LazyLock;

use cel::Context;
use cel::Env;
use cel::IdedExpr;
use cel::Value as CelValue;
use cel::common::types::CelBool;
use cel::common::types::CelDouble;
use cel::common::types::CelInt;
use cel::common::types::CelString;
use cel::common::value::CowVal;
use serde_json::Value;

use super::contract::Contract;
use super::contract::FactType;

mod check;
mod function;
mod known;
mod lookup;
mod parse;
#[cfg(test)]
mod tests;

pub(super) use function::FUNCTIONS;

/// Longest rule, in bytes.
pub const RULE_BYTES_MAX: usize = 4_096;

/// Longest value in an explanation, in bytes.
const EXPLAINED_BYTES_MAX: usize = 80;

/// What a rule must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Yes or no: `when`, `audience`.
    Condition,
    /// A number: an offer's values.
    Number,
    /// Text.
    Text,
}

/// What is wrong with a rule, and where in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// Bytes of the rule's source.
    pub span: Range<usize>,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// A rule could not be evaluated on these facts (a number that overflows, a request's data of another type).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: the rule `{source_text}` cannot be evaluated: {reason}")]
pub struct RuleError {
    /// File and line that it was written in.
    pub place: String,
    /// The rule.
    pub source_text: String,
    /// Why, in the words of the evaluator.
    pub reason: String,
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    source: String,
    place: String,
    expression: IdedExpr,
    lookups: Vec<lookup::Lookup>,
}

impl Rule {
    /// Compiles and checks `source`. `place` (file and line) is named by errors.
    pub fn compile(
        source: &str,
        place: &str,
        expected: Expected,
        contract: &Contract,
    ) -> Result<Self, Vec<RuleFault>> {
        if source.len() > RULE_BYTES_MAX {
            let message =
                format!("the rule has {} bytes; at most {RULE_BYTES_MAX} are allowed", source.len());
            let help = "split it over several variants, or say it with a condition function".to_owned();
            return Err(vec![RuleFault { span: 0..source.len(), message, help }]);
        }
        let program = parse::parse(source)?;
        let mut checker = check::Checker::new(source, program.source_info(), contract);
        let expression = checker.root(program.expression(), expected);
        let (lookups, faults) = checker.finish();
        let rule = Self { source: source.to_owned(), place: place.to_owned(), expression, lookups };
        if faults.is_empty() { Ok(rule) } else { Err(faults) }
    }

    /// The rule as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// File and line that it was written in.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether the condition holds for these facts.
    pub fn holds(&self, facts: &Value) -> Result<bool, RuleError> {
        self.evaluate(facts, |value| value.downcast_ref::<CelBool>().map(|value| *value.inner()))
    }

    /// The number that the rule comes to.
    pub fn number(&self, facts: &Value) -> Result<f64, RuleError> {
        self.evaluate(facts, |value| {
            #[expect(clippy::cast_precision_loss, reason = "money and percentages are far below 2^52")]
            let whole = value.downcast_ref::<CelInt>().map(|value| *value.inner() as f64);
            whole.or_else(|| value.downcast_ref::<CelDouble>().map(|value| *value.inner()))
        })
    }

    /// The text that the rule comes to.
    pub fn text(&self, facts: &Value) -> Result<String, RuleError> {
        self.evaluate(facts, |value| value.downcast_ref::<CelString>().map(|text| text.inner().to_owned()))
    }

    /// The paths that the rule reads, such as `history.events.product_viewed.count_30d`.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.lookups.iter().flat_map(lookup::Lookup::paths).map(|(path, _)| path)
    }

    /// Each path that the rule reads, with its value in these facts (null when absent): why it held or did not.
    pub fn facts_used<'a>(&self, facts: &'a Value) -> Vec<(String, &'a Value)> {
        let mut used: Vec<(String, &Value)> = Vec::new();
        for (path, segments) in self.lookups.iter().flat_map(lookup::Lookup::paths) {
            if !used.iter().any(|(known, _)| *known == path) {
                used.push((path, lookup::walk(facts, &segments).unwrap_or(&Value::Null)));
            }
        }
        used
    }

    /// The facts that it read, in words for people: `history.orders_total = 2, stage = "compare"`. Long values are
    /// cut.
    pub fn explain(&self, facts: &Value) -> String {
        let words = self.facts_used(facts).into_iter().map(|(path, value)| {
            let mut value = value.to_string();
            if value.len() > EXPLAINED_BYTES_MAX {
                value.truncate(value.floor_char_boundary(EXPLAINED_BYTES_MAX));
                value.push('…');
            }
            format!("{path} = {value}")
        });
        words.collect::<Vec<_>>().join(", ")
    }

    fn evaluate<T>(
        &self,
        facts: &Value,
        read: impl FnOnce(&CowVal<'_, '_>) -> Option<T>,
    ) -> Result<T, RuleError> {
        static ENVIRONMENT: LazyLock<std::sync::Arc<Env>> =
            LazyLock::new(|| std::sync::Arc::new(function::environment()));
        let resolver = lookup::Resolver { lookups: &self.lookups, facts };
        let mut context = Context::with_env(std::sync::Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&resolver);
        let error = |reason: String| RuleError {
            place: self.place.clone(),
            source_text: self.source.clone(),
            reason,
        };
        let value = CelValue::resolve_val(&self.expression, &context)
            .map_err(|failure| error(failure.to_string()))?;
        read(&value).ok_or_else(|| error("it came to a value of another type".to_owned()))
    }
}

impl Expected {
    fn describe(self) -> &'static str {
        match self {
            Self::Condition => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
        }
    }

    fn accepts(self, kind: &FactType) -> bool {
        match self {
            Self::Condition => matches!(kind, FactType::Bool),
            Self::Number => matches!(kind, FactType::Integer | FactType::Number),
            Self::Text => matches!(kind, FactType::Text | FactType::Date),
        }
    }
}
