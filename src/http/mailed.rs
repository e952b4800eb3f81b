//! What all pages share to which links in mails lead: whose link it is, and what to say when it is nobody's.

use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Html;
use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::http::Service;
use crate::http::page::page;
use crate::http::problem::Problem;
use crate::http::words::Accepted;
use crate::http::words::Words;
use crate::profile::Profile;
use crate::send::SendId;
use crate::store::StoredSend;

/// A send, and the person to whom it went.
#[derive(Debug)]
pub(super) struct Mailed {
    /// The send.
    pub(super) send: StoredSend,
    /// The person.
    pub(super) profile: Profile,
}

impl Mailed {
    /// Reads a send and its person; `None` where one of them is gone.
    pub(super) async fn read(service: &Service, id: &SendId) -> Result<Option<Self>, Problem> {
        let Some(send) = service.store().send(id).await? else { return Ok(None) };
        let profile = service.store().profile(&send.send.profile).await?;
        Ok(profile.map(|profile| Self { send, profile }))
    }

    /// The words for whoever holds the mail's link.
    pub(super) fn words(&self, service: &Service, accepted: &Accepted) -> Words {
        service.words(self.profile.locale.as_deref(), accepted)
    }

    /// The key of the address that the mail went to.
    pub(super) fn recipient(&self) -> Option<String> {
        self.send.recipient.as_ref().map(|address| address.to_lowercase())
    }

    /// The address keys that the person's wish is about: where the mail went, and where the next would go.
    pub(super) fn addresses(&self) -> Vec<String> {
        let went = self.recipient();
        let own = self.profile.address.as_ref().map(crate::profile::EmailAddress::key);
        let mut addresses: Vec<String> = went.into_iter().chain(own).collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }
}

/// A page that nobody keeps a copy of.
pub(super) fn show(words: &Words, status: StatusCode, title: &str, body: &str) -> Response {
    private((status, Html(page(words.language(), title, body))).into_response())
}

/// 404, the same for every token that is not ours: nothing can be learnt from it.
pub(super) fn nothing_here(words: &Words) -> Response {
    let body = words.paragraph(&words.nothing) + &words.paragraph(&words.nothing_note);
    show(words, StatusCode::NOT_FOUND, &words.nothing_title, &body)
}

/// A problem as people can read it.
pub(super) fn sorry(words: &Words, problem: Problem, body: &str) -> Response {
    let problem = problem.into_response();
    let mut response = show(words, problem.status(), &words.fault_title, body);
    if let Some(retry) = problem.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, retry.clone());
    }
    response
}

/// The page for a fault of ours, when nothing was changed.
pub(super) fn try_again(words: &Words, problem: Problem) -> Response {
    sorry(words, problem, &words.paragraph(&words.fault))
}

/// Nobody keeps a copy, and nobody finds it by searching.
pub(super) fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));
    response
}
