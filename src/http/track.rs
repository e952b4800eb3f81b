//! `/c/…` and `/o/…`: links and pixels of mails. Where a link leads stands inside its signature, and nowhere else.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use url::Url;

use crate::http::Service;
use crate::http::body::PathText;
use crate::http::client;
use crate::http::mailed::nothing_here;
use crate::http::mailed::private;
use crate::http::mailed::sorry;
use crate::http::mailed::try_again;
use crate::http::page::escape;
use crate::http::problem::NoPage;
use crate::http::problem::Problem;
use crate::http::words::Accepted;
use crate::http::words::Words;
use crate::send::SendId;
use crate::store::NewHit;
use crate::token::Purpose;
use crate::tracking::HitKind;

/// One transparent pixel.
const PIXEL: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
                       \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Leads to where a link of a mail goes, and counts the click
#[utoipa::path(
    get,
    path = "/c/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which mail, which link, and where it leads")),
    security(()),
    responses(
        (status = 302, description = "Leads to the target that was signed"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer; the page leads on", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(super) async fn click(
    State(service): State<Service>,
    Extension(peer): Extension<SocketAddr>,
    PathText(token): PathText,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let engine = service.engine();
    let words = || service.words(None, &Accepted::of(&headers));
    let Some(click) = engine.sender.links.click_of(&token) else { return nothing_here(&words()) };
    let Some(target) = web_address(&click.target) else { return nothing_here(&words()) };
    let kind = if click.link.is_some() { HitKind::Click } else { HitKind::Trap };
    let hit = hit(&service, kind, click.send, click.link, &method, &headers, peer);
    match service.store().record_hit(&hit).await {
        Ok(_) => private((StatusCode::FOUND, [(header::LOCATION, target)]).into_response()),
        Err(error) => lead_on(&words(), Problem::from(error), &target),
    }
}

/// Answers with one transparent pixel, and counts the opening
#[utoipa::path(
    get,
    path = "/o/{pixel}",
    tag = "mail",
    params(("pixel" = String, Path, description = "A signed token and `.gif`")),
    security(()),
    responses(
        (status = 200, description = "The pixel", body = Vec<u8>, content_type = "image/gif"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(super) async fn open(
    State(service): State<Service>,
    Extension(peer): Extension<SocketAddr>,
    PathText(pixel): PathText,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let token = pixel.strip_suffix(".gif").unwrap_or_default();
    let Some(send) = service.engine().sender.links.send_of(Purpose::Open, token) else {
        return nothing_here(&service.words(None, &Accepted::of(&headers)));
    };
    let hit = hit(&service, HitKind::Open, send, None, &method, &headers, peer);
    match service.store().record_hit(&hit).await {
        Ok(_) => private(([(header::CONTENT_TYPE, "image/gif")], PIXEL).into_response()),
        Err(error) => try_again(&service.words(None, &Accepted::of(&headers)), Problem::from(error)),
    }
}

fn hit(
    service: &Service,
    kind: HitKind,
    send: SendId,
    link: Option<u32>,
    method: &Method,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> NewHit {
    NewHit {
        id: format!("hit/{}", uuid::Uuid::now_v7().simple()),
        send,
        kind,
        link,
        at: service.now(),
        method: method.as_str().to_owned(),
        agent: client::agent_of(headers),
        prefetch: client::prefetch_of(headers),
        network: client::network_of(service, headers, peer),
    }
}

/// An address as a `Location`: http or https, with a host and nobody's name before it.
fn web_address(target: &str) -> Option<HeaderValue> {
    if target.chars().any(char::is_control) {
        return None;
    }
    let url = Url::parse(target).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_plain = url.username().is_empty() && url.password().is_none();
    HeaderValue::from_str(url.as_str()).ok().filter(|_| is_web && is_plain)
}

/// Programs are told to come again; a person is taken to where they wanted to go all the same.
fn lead_on(words: &Words, problem: Problem, target: &HeaderValue) -> Response {
    let target = escape(target.to_str().unwrap_or_default());
    let body = format!(
        "<meta http-equiv=\"refresh\" content=\"0;url={target}\"><p><a href=\"{target}\">{}</a></p>",
        words.html(&words.lead_on_link, &[])
    );
    sorry(words, problem, &body)
}

#[cfg(test)]
mod tests {
    use super::web_address;

    #[test]
    fn only_whole_web_addresses_are_led_to() {
        for (target, expected) in [
            ("https://shop.test/new?a=b#c", Some("https://shop.test/new?a=b#c")),
            ("http://shop.test", Some("http://shop.test/")),
            ("https://shop.test/ü", Some("https://shop.test/%C3%BC")),
            ("https://bücher.test/", Some("https://xn--bcher-kva.test/")),
            ("https://shop.test@evil.test/", None),
            ("https://a:b@evil.test/", None),
            ("//evil.test", None),
            ("\\\\evil.test", None),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("https://", None),
            ("https://shop.test/\r\nSet-Cookie: a=b", None),
            ("", None),
        ] {
            let found = web_address(target).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(found.as_deref(), expected, "{target:?}");
        }
    }
}
