//! What the description can say and a type cannot: which of two fields must be there, how ids look, and which answer
//! names what another request asks for. A client can check by it before it sends.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::http::preferences::Action;
use crate::http::segment::shapes::SAID;

/// Says it, in the whole description.
pub(super) fn be_exact(description: &mut Value) {
    let schemas = &mut description["components"]["schemas"];
    for (shape, fields) in [
        ("Ask", ["profile"].as_slice()),
        ("RenderAsk", &["profile"]),
        ("Said", &["profile"]),
        ("DecideAsk", &["profile", "anonymous_id"]),
    ] {
        for field in fields {
            schemas[shape]["properties"][field]["pattern"] = json!(SAID);
        }
    }
    for field in ["source", "wording"] {
        schemas["Said"]["properties"][field]["pattern"] = json!("\\S");
    }
    let stated = |field: &str| json!({"required": [field], "properties": {field: {"type": "string"}}});
    for shape in ["Ask", "RenderAsk", "Said"] {
        schemas[shape]["anyOf"] = json!([stated("profile"), stated("address")]);
    }
    let slots = json!({"required": ["slots"], "properties": {"slots": {"minItems": 1}}});
    schemas["DecideAsk"]["allOf"] = json!([
        {"anyOf": [stated("campaign"), slots]},
        {"anyOf": [stated("profile"), stated("anonymous_id")]},
    ]);
    let paths = &mut description["paths"];
    for method in ["get", "delete"] {
        paths["/v1/profiles/{id}"][method]["parameters"][0]["schema"]["pattern"] = json!(SAID);
    }
    paths["/v1/bounces"]["post"]["requestBody"]["content"]["text/plain"]["schema"]["minLength"] = json!(1);
    for (provider, body) in provider_calls() {
        let content = &mut paths[format!("/v1/webhooks/{provider}")]["post"]["requestBody"]["content"];
        content["application/json"]["schema"] = body;
    }
    let action = json!({"type": "string", "enum": Action::WORDS.map(|(_, word)| word)});
    let form = json!({"type": "object", "required": ["action"], "properties": {"action": action}});
    paths["/p/{token}"]["post"]["requestBody"] =
        json!({"required": true, "content": {"application/x-www-form-urlencoded": {"schema": form}}});
    let leads_to =
        |operation: &str| json!({"operationId": operation, "parameters": {"id": "$response.body#/id"}});
    paths["/v1/send"]["post"]["responses"]["202"]["links"] =
        json!({"life": leads_to("life"), "cancel": leads_to("cancel")});
    let person = json!({"operationId": "export", "parameters": {"id": "$request.body#/userId"}});
    paths["/v1/identify"]["post"]["responses"]["200"]["links"] = json!({"person": person});
}

/// What providers call with, as far as it must be so to be understood at all.
fn provider_calls() -> [(&'static str, Value); 4] {
    let texts = |names: &[&str]| {
        let fields: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
        json!({"type": "object", "required": names, "properties": fields})
    };
    let sns = ["Type", "MessageId", "TopicArn", "Message", "Timestamp"];
    let signed = ["Signature", "SignatureVersion", "SigningCertURL"];
    let object = json!({"type": "object"});
    let mailgun = json!({
        "type": "object",
        "required": ["signature", "event-data"],
        "properties": {"signature": texts(&["timestamp", "token", "signature"]), "event-data": object},
    });
    [
        ("ses", texts(&[sns.as_slice(), &signed].concat())),
        ("sendgrid", json!({"type": "array", "items": object})),
        ("postmark", object),
        ("mailgun", mailgun),
    ]
}
