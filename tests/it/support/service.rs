//! The HTTP service of a [`TestApp`] on a port of its own, and a client that keeps what it was answered.

use bespoke::http::Listening;
use bespoke::http::Scope;
use bespoke::http::Service;
use bespoke::http::key;
use reqwest::Client;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::redirect;
use serde_json::Value;
use tokio::sync::oneshot;

use super::TestApp;

/// A running service. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    /// `http://127.0.0.1:port`
    pub(crate) url: String,
    /// A key of every scope.
    pub(crate) key: String,
    client: Client,
    _stop: oneshot::Sender<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl TestApp {
    /// Starts the service on a free port, with a key of every scope.
    pub(crate) async fn serves(&self) -> Serving {
        let mut config = self.config.clone();
        "127.0.0.1:0".clone_into(&mut config.http.listen);
        let store = self.database.store.clone();
        let engine = bespoke::worker::assemble::engine(&config, &store).await.unwrap();
        let key = self.key_for(&Scope::ALL).await;
        let service = Service::new(store, engine, self.clock.clone());
        let listening = Listening::new(service).await.unwrap();
        let url = format!("http://{}", listening.address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(listening.serve(async {
            let _ = stopped.await;
        }));
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Serving { url, key, client, _stop: stop }
    }

    /// A new key of these scopes.
    pub(crate) async fn key_for(&self, scopes: &[Scope]) -> String {
        let (text, row) = key::make("test", scopes, key::random(), self.now());
        self.database.store.add_api_key(&row).await.unwrap();
        text
    }
}

impl Serving {
    /// A request without a key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// `GET` with the key of every scope.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path).bearer_auth(&self.key)).await
    }

    /// `POST` of JSON with the key of every scope.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).bearer_auth(&self.key).json(body)).await
    }
}

/// Sends it and reads the answer.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    Answer { status, headers, text: response.text().await.unwrap() }
}
