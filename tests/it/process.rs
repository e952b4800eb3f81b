//! The service as a process: killed between accepting and answering, and watched for what it writes to its log.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use bespoke::store::SendFilter;
use bespoke::store::Store;
use reqwest::Client;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::app::CONFIG;
use crate::support::app::SHOP;

/// Kills of the short test; `tests/run --faults` makes it two hundred.
const KILLS: usize = 6;
/// Kills of the long one.
const KILLS_LONG: usize = 200;

/// A running `bespoke serve`, and where it answers.
struct Serving {
    child: Child,
    address: String,
    log: std::thread::JoinHandle<String>,
}

impl Serving {
    /// Starts it, and returns once it listens. Its log is read to its end.
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bespoke"))
            .current_dir(folder)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said}")).unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split(',').next().unwrap().to_owned();
            }
        };
        let log = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        Self { child, address, log }
    }

    /// Ends it where it stands.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and gives all that it said.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        self.log.join().unwrap()
    }

    async fn ask(&self, method: Method, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client.request(method, format!("http://{}{path}", self.address)).bearer_auth(key);
        let response = request.json(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }
}

/// The smallest shop in a folder, with a campaign that is asked for, and this configuration behind its own.
fn shop(folder: &Path, config: &str) {
    let code = [
        ("code/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
        (
            "code/any/code.mjml",
            "+++\nsubject = \"Your code\"\n+++\n<mj-section><mj-column><mj-text>{{ profile.first_name or '' }} {{ data.code or '' }}</mj-text></mj-column></mj-section>",
        ),
    ];
    for (path, text) in SHOP.iter().chain(&code) {
        let path = folder.join("templates").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::fs::write(folder.join("bespoke.toml"), config).unwrap();
}

fn key(folder: &Path) -> String {
    let scopes = "ingest,send,decide,feedback,privacy,metrics";
    let output = Command::new(env!("CARGO_BIN_EXE_bespoke"))
        .current_dir(folder)
        .args(["keys", "create", "test", "--scope", scopes])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A whole request as bytes, so that the connection can be left without an answer.
fn raw(address: &str, key: &str, name: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/send HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: {name}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

async fn kills(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path(), CONFIG);
    let key = key(folder.path());
    let mut answered = Vec::new();
    for round in 0..count {
        let body =
            json!({"campaign": "code", "address": format!("a{round}@example.test"), "data": {"code": round}});
        let name = format!("request-{round}");
        let first = Serving::start(folder.path(), &[]);
        let stream = raw(&first.address, &key, &name, &body);
        // From at once to some milliseconds later: before the commit, at it, and after it.
        let wait = Duration::from_micros(1 + 700 * (round as u64 % 40));
        stream.set_read_timeout(Some(wait)).unwrap();
        let _ = BufReader::new(&stream).fill_buf();
        first.kill();

        let second = Serving::start(folder.path(), &[]);
        let client = Client::builder().no_proxy().build().unwrap();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let again = client.post(format!("http://{}/v1/send", second.address)).bearer_auth(&key);
            let again = again.header("Idempotency-Key", &name).body(body.to_string()).send().await.unwrap();
            assert_eq!(again.status(), 202);
            ids.push(serde_json::from_str::<Value>(&again.text().await.unwrap()).unwrap());
        }
        assert_eq!(ids[0], ids[1]);
        let event = json!({"userId": "u1", "event": "Product Viewed", "messageId": name});
        assert_eq!(second.ask(Method::POST, "/v1/track", &key, &event).await.0, 200);
        answered.push(ids[0]["id"].as_str().unwrap().to_owned());
        second.kill();
    }
    let store =
        Store::open(&format!("sqlite://{}", folder.path().join("bespoke.db").display())).await.unwrap();
    let mut sends: Vec<String> = store
        .sends(&SendFilter::default(), None, count + 1)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.send.id.to_string())
        .collect();
    sends.sort();
    answered.sort();
    assert_eq!(sends, answered, "one send a request, and every one that was answered");
    assert_eq!(store.count_events().await.unwrap(), count as u64, "every event that was answered");
    store.close().await;
}

#[tokio::test]
async fn a_service_killed_between_accepting_and_answering_sends_once_for_a_client_that_asks_again() {
    kills(if std::env::var_os("BESPOKE_TEST_FAULTS").is_some() { KILLS_LONG } else { KILLS }).await;
}

/// Secrets and people that go through everything, and must never be seen in a log.
const NAME: &str = "quetzalcanary";
const PASSWORD: &str = "pangolincanary";
const SECRET: &str = "a secret with a narwhalcanary, of thirty-two bytes";
const CODE: &str = "axolotlcanary";

#[tokio::test]
async fn no_log_holds_a_name_an_address_a_key_or_a_password_however_much_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let relay = format!(
        "[[relay]]\nurl = \"smtp://shop:{PASSWORD}@127.0.0.1:{port}\"\n[log]\nlevel = \"trace\"\nformat = \"json\"\n"
    );
    let config = CONFIG.replace("a secret of at least thirty-two bytes", SECRET) + &relay;
    shop(folder.path(), &config);
    let key = key(folder.path());
    let serving = Serving::start(folder.path(), &["--work"]);
    let address = format!("{NAME}@example.test");
    let ask = async |path: &str, body: Value| serving.ask(Method::POST, path, &key, &body).await;
    let traits = json!({"email": address, "firstName": NAME, "consent": "granted"});
    assert_eq!(ask("/v1/identify", json!({"userId": "u1", "traits": traits})).await.0, 200);
    let event =
        json!({"userId": "u1", "event": "Product Viewed", "messageId": "m", "properties": {"note": NAME}});
    assert_eq!(ask("/v1/track", event).await.0, 200);
    let (status, answer) =
        ask("/v1/send", json!({"campaign": "code", "profile": "u1", "data": {"code": CODE}})).await;
    assert_eq!(status, 202);
    // No relay answers: the worker tries, and says so.
    let life = format!("/v1/sends/{}", answer["id"].as_str().unwrap());
    let mut reason = Value::Null;
    for _ in 0..20_000 {
        reason = serving.ask(Method::GET, &life, &key, &Value::Null).await.1["reason"].clone();
        if !reason.is_null() {
            break;
        }
    }
    assert_ne!(reason, Value::Null, "the worker has tried");
    assert_eq!(ask("/v1/send", json!({"campaign": "code", "address": format!("{NAME} x@y")})).await.0, 422);
    assert_eq!(ask("/v1/send", json!({"campaign": "nothing", "address": address})).await.0, 404);
    let bounce = format!("To: {address}\r\nSubject: failure\r\n\r\n550 5.1.1 <{address}> is unknown\r\n");
    ask("/v1/bounces", json!(bounce)).await;
    assert_eq!(serving.ask(Method::POST, "/v1/send", &format!("{key}x"), &json!({})).await.0, 401);
    assert_eq!(serving.ask(Method::GET, &format!("/v1/profiles/{NAME}"), &key, &Value::Null).await.0, 404);
    assert_eq!(serving.ask(Method::GET, "/v1/profiles/u1", &key, &Value::Null).await.0, 200);
    let client = Client::builder().no_proxy().build().unwrap();
    let metrics = client.get(format!("http://{}/metrics", serving.address)).bearer_auth(&key);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bespoke_relay_breaker") && metrics.contains("bespoke_http_requests_total"));
    assert_eq!(serving.ask(Method::DELETE, "/v1/profiles/u1", &key, &Value::Null).await.0, 200);
    let log = serving.stop();
    assert!(log.lines().filter(|line| line.starts_with('{')).count() > 3, "there is a log: {log}");
    for (what, text) in [("the log", &log), ("metrics", &metrics)] {
        for canary in [NAME, PASSWORD, "narwhalcanary", CODE, key.as_str()] {
            let line = text.lines().find(|line| line.contains(canary));
            assert_eq!(line, None, "{what} holds {canary}");
        }
    }
}
