//! The facts of a decision, a line each: scalars as they are, lists by their names.

use serde_json::Value;

/// Lines of facts, at most.
const LINES_MAX: usize = 40;
/// Names of a list that are told, at most.
const NAMES_MAX: usize = 4;
/// Levels that are looked into.
const LEVELS_MAX: usize = 3;

/// `path = value`: who it was first, then by path.
pub(super) fn lines(inputs: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk(inputs, "", 0, &mut lines);
    lines.sort_by_key(|line| !line.starts_with("profile."));
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} more; --format json has them all"));
    }
    lines
}

fn walk(value: &Value, path: &str, level: usize, lines: &mut Vec<String>) {
    match value {
        Value::Null => {}
        // What is empty was not what a mail was about.
        Value::Array(items) if items.is_empty() => {}
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) => lines.push(format!("{path} = {}", list(items))),
        Value::Object(fields) if level < LEVELS_MAX && !is_product(path) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                // Counts of every event in six windows: rules that asked for one have named it.
                if path != "history.events" {
                    walk(value, &path, level + 1, lines);
                }
            }
        }
        Value::Object(_) => lines.push(format!("{path} = {}", name_of(value))),
        Value::String(text) => lines.push(format!("{path} = {text}")),
        scalar => lines.push(format!("{path} = {scalar}")),
    }
}

fn is_product(path: &str) -> bool {
    path == "related_to"
}

fn list(items: &[Value]) -> String {
    let names: Vec<String> = items.iter().take(NAMES_MAX).map(name_of).collect();
    let more = items.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}: {}{more}", items.len(), names.join(", "))
}

/// What a thing is called.
fn name_of(value: &Value) -> String {
    let named = ["/name", "/product/name", "/id", "/product_id", "/variant"];
    let name = named.iter().find_map(|path| value.pointer(path)?.as_str());
    match (name, value) {
        (Some(name), _) => name.to_owned(),
        (None, Value::String(text)) => text.clone(),
        (None, Value::Object(fields)) => format!("{} values", fields.len()),
        (None, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_told_by_name_and_nothing_empty_is() {
        let inputs = json!({
            "profile": {"first_name": "Ana", "locale": null, "city": ""},
            "cart": {"items": [{"product": {"name": "Kettle"}, "quantity": 1}], "value": 4900},
            "recommended": [{"id": "a", "name": "A"}, {"id": "b"}, {"id": "c"}, {"id": "d"}, {"id": "e"}],
            "related_to": {"id": "k", "name": "Kettle"},
            "history": {"orders_total": 2, "events": {"product_viewed": {"count": 1}}},
            "wish_list": []
        });
        assert_eq!(
            lines(&inputs),
            [
                "profile.first_name = Ana",
                "cart.items = 1: Kettle",
                "cart.value = 4900",
                "history.orders_total = 2",
                "recommended = 5: A, b, c, d and 1 more",
                "related_to = Kettle",
            ]
        );
    }
}
