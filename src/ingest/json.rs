//! One JSON object from a line of JSONL.

use serde_json::Map;
use serde_json::Value;

use super::COLUMNS_MAX;
use super::JSON_DEPTH_MAX;

/// Parses a line. The reason for which it is refused says what is wrong and where.
pub(super) fn object(line: &str) -> Result<Map<String, Value>, String> {
    if let Some(column) = too_deep(line) {
        return Err(format!("column {column}: nested deeper than {JSON_DEPTH_MAX} levels"));
    }
    let value: Value = serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or("not JSON");
        format!("column {}: not JSON: {reason}", error.column())
    })?;
    let Value::Object(object) = value else {
        return Err("not a JSON object; write {\"name\": value, …} on each line".to_owned());
    };
    if object.len() > COLUMNS_MAX {
        return Err(format!("{} fields; at most {COLUMNS_MAX} are allowed", object.len()));
    }
    Ok(object)
}

/// The column of the bracket that nests too deeply, from 1. Looked for before parsing, so that no parser recurses.
pub(crate) fn too_deep(line: &str) -> Option<usize> {
    let (mut depth, mut inside, mut escaped) = (0_usize, false, false);
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Some(index + 1);
                }
            }
            b'}' | b']' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The value at a key, else at a path of keys joined by points; null is absent.
pub(super) fn at_path<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let found = object.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        at_path(object.get(first)?.as_object()?, rest)
    });
    found.filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_an_object_within_limits_or_says_why_not() {
        let deep = |levels: usize| format!("{}{}{}", "{\"a\":".repeat(levels), 1, "}".repeat(levels));
        assert!(object(&deep(JSON_DEPTH_MAX)).is_ok());
        for (line, expected) in [
            (deep(JSON_DEPTH_MAX + 1), "column 161: nested deeper than 32 levels"),
            ("{\"a\": 1".to_owned(), "column 7: not JSON: EOF while parsing an object"),
            ("[1]".to_owned(), "not a JSON object; write {\"name\": value, …} on each line"),
            ("{\"a\": nope}".to_owned(), "column 8: not JSON: expected ident"),
        ] {
            assert_eq!(object(&line).unwrap_err(), expected);
        }
        assert!(object(&format!("{{\"text\": \"{}\"}}", "[{\\\"".repeat(100))).is_ok());
    }

    #[test]
    fn a_path_goes_through_objects_and_a_key_with_points_wins() {
        let object = json!({"user": {"id": 7, "none": null}, "user.id": 8, "a": {"b.c": 9}});
        let object = object.as_object().unwrap();
        for (path, expected) in
            [("user.id", Some(8)), ("a.b.c", Some(9)), ("user.none", None), ("user.id.x", None), ("x", None)]
        {
            assert_eq!(at_path(object, path).and_then(Value::as_i64), expected, "{path}");
        }
    }
}
