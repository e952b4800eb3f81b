//! The description as a page: every endpoint, what it takes, what it answers. Nothing is fetched from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

use crate::http::page::escape;
use crate::http::page::page;

/// The methods of a path, in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The tags, in the order in which somebody new wants them, and what they are about.
const PARTS: [(&str, &str); 7] = [
    ("ingest", "What people are and do"),
    ("sends", "Mail by request"),
    ("decisions", "Content for pages"),
    ("people", "Consent and privacy"),
    ("feedback", "Mail that comes back"),
    ("mail", "Where links in mails lead"),
    ("operation", "Operation"),
];

/// One endpoint of the description.
struct Endpoint<'a> {
    name: String,
    operation: &'a Value,
}

/// The page of a description.
pub(super) fn docs(description: &Value) -> String {
    let mut body = String::from(
        "<p>Send a key as <code>Authorization: Bearer KEY</code>, or as the user name of Basic auth. \
         <code>bespoke keys create</code> makes one. Only a key of scope ingest alone may stand in a web page, where \
         anybody can read it: it grants no consent, gives an address only to people who have none and to visitors, and \
         its questions about consent do not use up those of other keys. The same as JSON: <a href=\"/openapi.json\">openapi.json</a>.</p>",
    );
    let mut text = String::new();
    body.push_str("<nav>");
    for (tag, title) in PARTS {
        let _ = write!(body, "<p>{title}<br>");
        let _ = write!(text, "<h2>{title}</h2>");
        for endpoint in endpoints(description, tag) {
            let (id, name) = (anchor(&endpoint.name), escape(&endpoint.name));
            let _ = write!(body, "<a href=\"#{id}\"><code>{name}</code></a> ");
            endpoint_text(&mut text, &endpoint);
        }
        body.push_str("</p>");
    }
    body.push_str("</nav>");
    body.push_str(&text);
    body.push_str("<h2>Shapes</h2>");
    let none = serde_json::Map::new();
    for (name, schema) in description["components"]["schemas"].as_object().unwrap_or(&none) {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        let (name, text) = (escape(name), escape(&text));
        let _ = write!(body, "<details id=\"{name}\"><summary>{name}</summary><pre>{text}</pre></details>");
    }
    page("en", "bespoke: what can be asked for", &body)
}

/// The endpoints of one tag. Whatever has none of ours belongs to the last.
fn endpoints<'a>(description: &'a Value, tag: &str) -> Vec<Endpoint<'a>> {
    let known = |tag: &str| PARTS.iter().any(|(known, _)| *known == tag);
    let last = PARTS[PARTS.len() - 1].0;
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let own = operation["tags"][0].as_str().filter(|tag| known(tag)).unwrap_or(last);
            if own == tag {
                found.push(Endpoint { name: format!("{} {path}", method.to_uppercase()), operation });
            }
        }
    }
    found
}

/// `POST /v1/send` is found at `#POST-/v1/send`.
fn anchor(name: &str) -> String {
    escape(&name.replace(' ', "-"))
}

fn endpoint_text(body: &mut String, Endpoint { name, operation }: &Endpoint<'_>) {
    let _ = write!(body, "<h3 id=\"{}\"><code>{}</code></h3>", anchor(name), escape(name));
    for text in ["summary", "description"]
        .iter()
        .filter_map(|key| operation[*key].as_str())
        .filter(|text| !text.is_empty())
    {
        let _ = write!(body, "<p>{}</p>", escape(text));
    }
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

/// A link to a named shape, or the shape itself; nothing of plain text, whose kind says enough.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|link| link.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    let says_nothing = schema.is_null() || *schema == serde_json::json!({"type": "string"});
    if says_nothing { String::new() } else { format!("<code>{}</code>", escape(&schema.to_string())) }
}
