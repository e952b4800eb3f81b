//! How a rule reads its facts: each path, or condition, is a variable of its own, read when it is asked for.

use std::collections::HashMap;

use cel::common::types::CelBool;
use cel::common::types::CelDouble;
use cel::common::types::CelInt;
use cel::common::types::CelList;
use cel::common::types::CelMap;
use cel::common::types::CelMapKey;
use cel::common::types::CelNull;
use cel::common::types::CelString;
use cel::common::value::CowVal;
use cel::common::value::Val;
use cel::context::VariableResolver;
use serde_json::Value;

use crate::catalog::condition::Condition;
use crate::catalog::condition::Literal;
use crate::catalog::contract::FactType;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    Name(String),
    Index(usize),
}

/// What one variable of the rewritten rule stands for.
#[derive(Debug, Clone)]
pub(super) enum Lookup {
    /// A fact, and its type by the contract.
    Path(Vec<Segment>, FactType),
    /// A condition function with its arguments.
    Condition(&'static Condition, Vec<Literal>),
}

impl Lookup {
    /// The paths that it reads, each as text and as segments.
    pub(super) fn paths(&self) -> Vec<(String, Vec<Segment>)> {
        match self {
            Self::Path(segments, _) => vec![(display(segments), segments.clone())],
            Self::Condition(condition, arguments) => condition
                .paths(arguments)
                .into_iter()
                .map(|path| {
                    let segments = path.split('.').map(|name| Segment::Name(name.to_owned())).collect();
                    (path, segments)
                })
                .collect(),
        }
    }
}

/// `cart.items[0].price`.
pub(super) fn display(segments: &[Segment]) -> String {
    let mut out = String::new();
    for segment in segments {
        match segment {
            Segment::Name(name) if out.is_empty() => out.push_str(name),
            Segment::Name(name) => {
                out.push('.');
                out.push_str(name);
            }
            Segment::Index(index) => {
                out.push('[');
                out.push_str(&index.to_string());
                out.push(']');
            }
        }
    }
    out
}

/// The value at a path; `None` when something on the way is absent.
pub(super) fn walk<'a>(facts: &'a Value, segments: &[Segment]) -> Option<&'a Value> {
    segments.iter().try_fold(facts, |value, segment| match segment {
        Segment::Name(name) => value.get(name.as_str()),
        Segment::Index(index) => value.get(*index),
    })
}

/// The name of the variable that stands for lookup `index`. No name in a rule can hold a `$`.
pub(super) fn variable(index: usize) -> String {
    format!("${index}")
}

/// Reads variables from the facts.
pub(super) struct Resolver<'a> {
    pub(super) lookups: &'a [Lookup],
    pub(super) facts: &'a Value,
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let index: usize = variable.strip_prefix('$')?.parse().ok()?;
        Some(match self.lookups.get(index)? {
            Lookup::Path(segments, kind) => convert(walk(self.facts, segments), kind),
            Lookup::Condition(condition, arguments) => {
                CowVal::owned(CelBool::from((condition.holds)(self.facts, arguments)))
            }
        })
    }
}

/// A fact as CEL sees it. What the contract calls a number is a double, whole or not, so that arithmetic never
/// mixes types; absent and null are null.
fn convert<'v>(value: Option<&'v Value>, kind: &'v FactType) -> CowVal<'v, 'v> {
    match value {
        None | Some(Value::Null) => CowVal::owned(CelNull),
        Some(Value::Bool(value)) => CowVal::owned(CelBool::from(*value)),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(whole) if *kind != FactType::Number => CowVal::owned(CelInt::from(whole)),
            _ => CowVal::owned(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Some(Value::String(text)) => CowVal::owned(CelString::from(text.as_str())),
        Some(Value::Array(items)) => {
            let item_kind = if let FactType::List(item) = kind { item } else { &FactType::Any };
            let items: Vec<Box<dyn Val + 'v>> =
                items.iter().map(|item| convert(Some(item), item_kind).into_owned()).collect();
            CowVal::owned(CelList::from(items))
        }
        Some(Value::Object(values)) => {
            let size = if let FactType::Object(known) = kind { known.len() } else { values.len() };
            let mut fields: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::with_capacity(size);
            if let FactType::Object(known) = kind {
                for (name, fact) in known {
                    let value = convert(values.get(name), &fact.kind).into_owned();
                    fields.insert(CelMapKey::from(name.as_str()), value);
                }
            } else {
                for (name, value) in values {
                    let value = convert(Some(value), &FactType::Any).into_owned();
                    fields.insert(CelMapKey::from(name.as_str()), value);
                }
            }
            CowVal::owned(CelMap::from(fields))
        }
    }
}
