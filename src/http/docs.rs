//! The description as a page: every endpoint, what it takes, what it answers. Nothing is fetched from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

use crate::http::page::escape;
use crate::http::page::page;

/// The methods of a path, in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The page of a description.
pub(super) fn docs(description: &Value) -> String {
    let mut body = String::from(
        "<p>Send a key as <code>Authorization: Bearer KEY</code>, or as the user name of Basic auth. \
         <code>bespoke keys create</code> makes one. The same as JSON: <a href=\"/openapi.json\">openapi.json</a>.</p>",
    );
    let none = serde_json::Map::new();
    for (path, item) in description["paths"].as_object().unwrap_or(&none) {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                operation_text(&mut body, path, method, operation);
            }
        }
    }
    body.push_str("<h2>Shapes</h2>");
    for (name, schema) in description["components"]["schemas"].as_object().unwrap_or(&none) {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        let (name, text) = (escape(name), escape(&text));
        let _ = write!(body, "<details id=\"{name}\"><summary>{name}</summary><pre>{text}</pre></details>");
    }
    page("bespoke: what can be asked for", &body)
}

fn operation_text(body: &mut String, path: &str, method: &str, operation: &Value) {
    let text = |key: &str| escape(operation[key].as_str().unwrap_or_default());
    let _ = write!(
        body,
        "<h2><code>{} {}</code></h2><p>{}</p><p>{}</p>",
        method.to_uppercase(),
        escape(path),
        text("summary"),
        text("description")
    );
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let text = |key: &str| escape(parameter[key].as_str().unwrap_or_default());
        let _ =
            write!(body, "<p><code>{}</code> in {}: {}</p>", text("name"), text("in"), text("description"));
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        for (kind, media) in content {
            let _ = write!(body, "<p>Takes {}: {}</p>", escape(kind), shape(&media["schema"]));
        }
    }
    body.push_str("<table><tr><th>answer<th>means<th>shape</tr>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let shapes: Vec<String> = response["content"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(kind, media)| format!("{} {}", escape(kind), shape(&media["schema"])))
            .collect();
        let meaning = escape(response["description"].as_str().unwrap_or_default());
        let _ = write!(body, "<tr><td>{}<td>{meaning}<td>{}</tr>", escape(status), shapes.join("<br>"));
    }
    body.push_str("</table>");
}

/// A link to a named shape, or the shape itself.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|link| link.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if schema.is_null() { String::new() } else { format!("<code>{}</code>", escape(&schema.to_string())) }
}
