//! A row by the names of our fields: what every source is brought to before it becomes a noun.

use serde_json::Map;
use serde_json::Value;

use super::Noun;
use super::aliases;
use super::aliases::Meaning;

/// The fields of one row, and its traits, properties or attributes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields {
    named: Vec<(&'static str, usize, Value)>,
    /// Traits, properties or attributes.
    pub extras: Map<String, Value>,
}

impl Fields {
    /// The fields of an object by the obvious names: `email`, `userId`, `traits.…`. What has no name of its own becomes
    /// a trait, property or attribute.
    pub fn of_object(noun: Noun, object: &Map<String, Value>) -> Self {
        let mut fields = Self::default();
        for (key, value) in object {
            match (aliases::meaning(noun, key), value) {
                (Meaning::Extras, Value::Object(extras)) => {
                    fields.extras.extend(extras.iter().map(|(name, value)| (name.clone(), value.clone())));
                }
                (meaning, value) => fields.put(noun, meaning, value.clone()),
            }
        }
        fields
    }

    /// Puts a value where its meaning says. Of several that mean the same field the best name's counts, and the others
    /// are kept as extras.
    pub(super) fn put(&mut self, noun: Noun, meaning: Meaning, value: Value) {
        match meaning {
            Meaning::Field { name, rank } => {
                let Some(known) = self.named.iter_mut().find(|(known, _, _)| *known == name) else {
                    self.named.push((name, rank, value));
                    return;
                };
                let (rank_left, left) = if rank < known.1 {
                    (std::mem::replace(&mut known.1, rank), std::mem::replace(&mut known.2, value))
                } else {
                    (rank, value)
                };
                if let Some(alias) = aliases::alias(noun, name, rank_left) {
                    self.extras.insert(alias.to_owned(), left);
                }
            }
            Meaning::Extra(name) => {
                self.extras.insert(name, value);
            }
            Meaning::Extras => {
                self.extras.insert(aliases::extras(noun).to_owned(), value);
            }
            Meaning::Envelope => {}
        }
    }

    /// Sets a field.
    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        self.named.push((name, 0, value));
    }

    /// A field that is there.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.named.iter_mut().find(|(known, _, _)| *known == name).map(|(_, _, value)| value)
    }

    /// Takes a field out; null and blank text are absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.named.iter().position(|(known, _, _)| *known == name)?;
        let value = self.named.swap_remove(index).2;
        match &value {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => None,
            _ => Some(value),
        }
    }

    /// Takes a field out as trimmed text; numbers and truths are printed, lists and objects refused.
    pub(super) fn take_text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(format!("{name} is a list or an object, not a text")),
        }
    }
}
