//! `bespoke serve`: one server for everything that talks to bespoke over HTTP.
//!
//! An endpoint is one handler in one file, and one line in [`router`]: the line puts it on the router and into the
//! description alike. Whatever goes wrong is answered with a [`Problem`] (RFC 9457); what is answered
//! with 200 or 202 has been committed.

use auth::Schemes;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::middleware;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub mod auth;
pub mod body;
mod bounces;
mod client;
mod consent;
mod decide;
mod docs;
mod drain;
mod exact;
mod intake;
pub mod key;
mod mailed;
mod measure;
mod operation;
mod pace;
mod page;
mod people;
mod preferences;
mod problem;
mod render;
mod segment;
mod send;
mod sends;
mod server;
mod service;
mod suppressions;
mod track;
mod unsubscribe;
mod view;
mod whom;
mod words;

pub use key::Scope;
pub use measure::MetricsPage;
pub use problem::Problem;
pub use server::Listening;
pub use service::Service;

/// What the description says beside the endpoints.
#[derive(OpenApi)]
#[openapi(
    info(title = "bespoke", description = "One-to-one email, from a customer's history to their inbox"),
    modifiers(&Schemes)
)]
struct Description;

/// Pages hold no scripts, fetch nothing, stand in no frame, and send forms only to where they came from.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// A header that every answer has, unless its handler said otherwise.
fn fixed_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Every endpoint, a line each, with the description of all of them.
fn endpoints() -> OpenApiRouter<Service> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(operation::healthz))
        .routes(routes!(operation::readyz))
        .routes(routes!(segment::identify))
        .routes(routes!(segment::track))
        .routes(routes!(segment::page))
        .routes(routes!(segment::screen))
        .routes(routes!(segment::group))
        .routes(routes!(segment::alias))
        .routes(routes!(segment::batch))
        .merge(limited(OpenApiRouter::new().routes(routes!(send::send)), send::SEND_BYTES_MAX))
        .routes(routes!(sends::life))
        .routes(routes!(sends::cancel))
        .merge(bounces::endpoints())
        .routes(routes!(people::export, people::erase))
        .routes(routes!(suppressions::suppressions))
        .routes(routes!(suppressions::suppress))
        .routes(routes!(suppressions::lift))
        .routes(routes!(track::click))
        .routes(routes!(track::open))
        .routes(routes!(unsubscribe::ask, unsubscribe::unsubscribe))
        .routes(routes!(preferences::show_preferences, preferences::change))
        .routes(routes!(view::view))
        .routes(routes!(consent::consents))
        .routes(routes!(consent::ask, consent::confirm))
        .routes(routes!(measure::metrics))
        .routes(routes!(render::render))
        .routes(routes!(decide::decide))
}

/// Endpoints whose bodies may have another size than the configured one.
fn limited(router: OpenApiRouter<Service>, body_bytes_max: usize) -> OpenApiRouter<Service> {
    router.layer(DefaultBodyLimit::max(body_bytes_max))
}

/// The whole service, ready to be listened with.
pub fn router(service: Service) -> Router {
    let (router, description) = endpoints().split_for_parts();
    let body_bytes_max = service.engine().config.http.body_bytes_max;
    router
        .merge(operation::description(&description))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        // The limit counts what comes out of the decompression, not what goes in.
        .layer(RequestDecompressionLayer::new())
        .layer(middleware::from_fn_with_state(service.clone(), server::deadline))
        .layer(middleware::from_fn_with_state(service.clone(), measure::count))
        .layer(middleware::from_fn(drain::drain))
        .layer(fixed_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed_header(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed_header(header::CONTENT_SECURITY_POLICY, POLICY))
        .with_state(service)
}
