//! The description and the service agree: schemathesis makes requests from the one and checks the answers of the other.

use std::path::Path;

use mail_parser::MessageParser;
use reqwest::Client;
use serde_json::Value;
use serde_json::json;

use super::mailed::PUBLIC;
use crate::support::judge;
use crate::support::program::Program;
use crate::support::program::Server;

/// What only this shop knows, so that requests get past "there is no such thing", and the one endpoint of which no schema
/// can say everything: that `send_at` lies within 366 days from now, and which files' names and types mailbox hosts take.
/// Its 422 is accepted for requests that fit the schema; every other check stands there too.
const CONFIG: &str = r#"
[dictionaries]
campaigns = { values = ["receipt", "news", "confirm"] }
requested = { values = ["receipt", "confirm"] }
times = { values = ["2026-01-01T00:00:00Z"] }
people = { values = ["ana", "bo"] }
files = { values = ["invoice.pdf"] }
types = { values = ["application/pdf"] }
contents = { values = ["aGk="] }
sends = { values = ["SEND"] }

[parameters]
"body.campaign" = { dictionary = "campaigns", probability = 0.7 }
"body.profile" = { dictionary = "people", probability = 0.7 }

"body.attachments[*].name" = { dictionary = "files", probability = 0.9 }
"body.attachments[*].content_type" = { dictionary = "types", probability = 0.9 }
"body.attachments[*].content" = { dictionary = "contents", probability = 0.9 }

[[operations]]
include-path = "/v1/send"
[operations.parameters]
"body.campaign" = { dictionary = "requested", probability = 0.7 }
"body.send_at" = { dictionary = "times", probability = 0.9 }
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "429", "5xx", "422"]

[[operations]]
include-path-regex = "^/v1/sends/"
parameters = { "path.id" = { dictionary = "sends", probability = 0.7 } }
"#;

/// What the links of a mail lead to, each with the name of what stands behind it.
const LINKS: [(&str, &str); 6] =
    [("c", "token"), ("u", "token"), ("k", "token"), ("p", "token"), ("v", "token"), ("o", "pixel")];

/// Providers that are known here: whoever calls in their name must prove it.
const PROVIDERS: &str = r#"
[feedback]
ses_topics = ["arn:aws:sns:eu-west-1:111111111111:mail"]
sendgrid_public_key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
postmark_basic_auth = "user:password"
mailgun_signing_key = "key"
"#;

/// A campaign that asks for consent.
const CONFIRM: [(&str, &str); 2] = [
    ("confirm/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
    (
        "confirm/any/ask.mjml",
        "+++\nsubject = \"Please confirm\"\n+++\n<mj-section><mj-column><mj-text>{{ data.confirm_url or '' }} \
         <a href=\"https://shop.test/new\">See what is new</a> <a href=\"{{ links.preferences }}\">Preferences</a> \
         <a href=\"{{ links.view }}\">View</a></mj-text></mj-column></mj-section>",
    ),
];

async fn posts(server: &Server, key: &str, path: &str, body: &Value) -> Value {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}{path}", server.url)).bearer_auth(key).json(body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {answer:?}");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Two people and a mail to one of them, whose links are put into [`CONFIG`].
async fn config(program: &Program, server: &Server, key: &str) -> String {
    for name in ["ana", "bo"] {
        let traits =
            json!({"email": format!("{name}@example.test"), "firstName": name, "consent": "granted"});
        posts(server, key, "/v1/identify", &json!({"userId": name, "traits": traits})).await;
    }
    let ask = json!({"profile": "ana", "source": "form", "wording": "yes", "double_opt_in": "confirm"});
    let send = posts(server, key, "/v1/consents", &ask).await["send"].as_str().unwrap().to_owned();
    program.says(&["work", "--until-idle", "--into", "mails"]).await;
    let file = std::fs::read_dir(program.folder.path().join("mails")).unwrap().next().unwrap().unwrap();
    let mail = std::fs::read(file.path()).unwrap();
    let html = MessageParser::new().parse(&mail).unwrap().body_html(0).unwrap().into_owned();
    LINKS.iter().fold(CONFIG.replace("SEND", &send), |config, (kind, parameter)| {
        let (_, rest) = html.split_once(&format!("{PUBLIC}/{kind}/")).unwrap_or_else(|| panic!("{html}"));
        let is_token = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        let token = rest.split(|c| !is_token(c)).next().unwrap();
        format!(
            "{config}\n[dictionaries.{kind}]\nvalues = [\"{token}\"]\n\n[[operations]]\n\
             include-path = \"/{kind}/{{{parameter}}}\"\n\
             parameters = {{ \"path.{parameter}\" = {{ dictionary = \"{kind}\", probability = 0.7 }} }}\n"
        )
    })
}

#[tokio::test]
async fn the_service_does_what_its_description_says_whatever_it_is_asked() {
    let Some(python) = judge::python_with("schemathesis") else { return };
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join(&python).with_file_name("schemathesis");
    let program = Program::new(PROVIDERS);
    for (path, text) in CONFIRM {
        let path = program.folder.path().join("templates").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let server = program.serves(&[]).await;
    let scopes = bespoke::http::Scope::ALL.map(bespoke::http::Scope::as_str).join(",");
    let key = program.says(&["keys", "create", "schemathesis", "--scope", &scopes]).await;
    let config = config(&program, &server, key.trim()).await;
    std::fs::write(program.folder.path().join("schemathesis.toml"), config).unwrap();
    let description = format!("{}/openapi.json", server.url);
    let authorization = format!("Authorization: Bearer {}", key.trim());
    let mut arguments = vec!["run", &description, "-H", &authorization, "--generation-database", "none"];
    arguments.extend(["--checks", "all", "--seed", "1", "--max-examples", "20", "--no-color"]);
    let said = judge::run(tool.to_str().unwrap(), program.folder.path().to_str().unwrap(), &arguments).await;
    eprintln!("{}", said.split("SUMMARY").last().unwrap_or_default());
}
