//! `/v/…`: the mail as a web page, from the decision that was saved, without anything that counts who looks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Html;
use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::decision::Choice;
use crate::http::Service;
use crate::http::body::PathText;
use crate::http::mailed::nothing_here;
use crate::http::mailed::private;
use crate::http::mailed::try_again;
use crate::http::problem::NoPage;
use crate::http::problem::Problem;
use crate::http::words::Accepted;
use crate::send::SendId;
use crate::token::Purpose;

/// Styles and pictures of a mail work; scripts, forms and frames do not, whatever somebody's name holds.
const MAIL_POLICY: &str = "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline' https:; \
                           font-src https: data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; \
                           sandbox allow-popups allow-popups-to-escape-sandbox";

/// Shows a mail as a web page
#[utoipa::path(
    get,
    path = "/v/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which mail")),
    security(()),
    responses(
        (status = 200, description = "The mail", body = String, content_type = "text/html"),
        (status = 404, description = "No token of ours, or the mail is gone", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(super) async fn view(
    State(service): State<Service>,
    accepted: Accepted,
    PathText(token): PathText,
) -> Response {
    let words = || service.words(None, &accepted);
    let Some(send) = service.engine().sender.links.send_of(Purpose::View, &token) else {
        return nothing_here(&words());
    };
    match mail(&service, &send).await {
        Ok(Some(html)) => {
            let mut response = private(Html(html).into_response());
            let policy = HeaderValue::from_static(MAIL_POLICY);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
        Ok(None) => nothing_here(&words()),
        Err(problem) => try_again(&words(), problem),
    }
}

async fn mail(service: &Service, send: &SendId) -> Result<Option<String>, Problem> {
    let (store, engine) = (service.store(), service.engine());
    let Some(decision) = store.decisions(std::slice::from_ref(send)).await?.remove(send) else {
        return Ok(None);
    };
    let Choice::Variant { template, .. } = &decision.choice else { return Ok(None) };
    let stored = if engine.knows_template(&decision) {
        None
    } else {
        let Some(body) = store.template(template).await? else { return Ok(None) };
        serde_json::from_str(&body).map(|template| Some(Arc::new(template))).unwrap_or_default()
    };
    match engine.render_page(&decision, stored) {
        Ok(html) => Ok(Some(html)),
        Err(error) => {
            tracing::warn!(%send, %error, "a mail cannot be shown as a page");
            Ok(None)
        }
    }
}
