//! Bounces and complaints: raw mails from a mail host, calls of providers. 200 comes after the commit, so whoever
//! gets another answer tries again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::FromRequest as _;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::bounce;
use crate::bounce::Returned;
use crate::feedback::Judge;
use crate::feedback::Writing;
use crate::feedback::providers::CallError;
use crate::feedback::providers::mailgun;
use crate::feedback::providers::postmark;
use crate::feedback::providers::sendgrid;
use crate::feedback::providers::ses;
use crate::feedback::providers::ses::SnsCall;
use crate::http::auth::MayGiveFeedback;
use crate::http::body::RawBody;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::service::Service;
use crate::outward::Outward;
use crate::outward::Reach;

/// Bytes of a mail, or of a call that includes one, after decompression: a bounce may return the mail that it is about.
const MAIL_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Bytes of other calls, which prove themselves only once they are read: Amazon sends 256 KB at most, `SendGrid` 768.
const CALL_BYTES_MAX: usize = 1024 * 1024;
/// Certificates that are remembered at once, at most; Amazon uses one at a time.
const CERTIFICATES_MAX: usize = 16;

/// Certificates of Amazon that were fetched, by their address: what is there does not change.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    known: Mutex<HashMap<Url, Bytes>>,
    /// Made once, since that reads the system's own certificates.
    outward: OnceLock<Outward>,
}

/// What became of the reports of one mail or call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Received {
    /// Empty where nothing was reported.
    reports: Vec<ReceivedReport>,
}

/// One report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceivedReport {
    /// `hard_bounce`, `soft_bounce`, `policy`, `delayed`, `complaint`, `unsubscribe`, `auto_reply` …
    kind: &'static str,
    /// `applied`, `known` (before), `noted` (nothing follows), `aside`, `unproven`.
    verdict: &'static str,
    /// The send that it proves to be about.
    #[schema(required = false)]
    send: Option<String>,
}

/// All of these endpoints, with a limit of their own.
pub(super) fn endpoints() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(bounces))
        .routes(routes!(postmark_record))
        .layer(DefaultBodyLimit::max(MAIL_BYTES_MAX))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(ses_notification))
                .routes(routes!(sendgrid_events))
                .routes(routes!(mailgun_event))
                .layer(DefaultBodyLimit::max(CALL_BYTES_MAX)),
        )
}

/// Takes one mail that came back: RFC 3464, RFC 5965, or what hosts wrote before. Pipe a mailbox into it.
#[utoipa::path(
    post,
    path = "/v1/bounces",
    tag = "feedback",
    request_body(content = String, content_type = "text/plain", description = "The mail as it came, RFC 5322; any content type is taken"),
    security(("basic" = []), ("bearer" = [])),
    responses(
        (status = 200, body = Received),
        Refused,
    )
)]
pub(super) async fn bounces(
    _: MayGiveFeedback,
    State(service): State<Service>,
    RawBody(body): RawBody,
) -> Result<axum::Json<Received>, Problem> {
    if body.is_empty() {
        return Err(Problem::bad_request("the body is empty; send the mail that came back"));
    }
    let returned = bounce::read(&body);
    receive(&service, &[returned], "mail").await
}

/// One handler per provider; all answer alike. `$admit` looks at the configuration and the headers, so that strangers
/// cannot make us read much; then `$read` believes the body, or does not.
macro_rules! provider {
    ($name:ident, $path:literal, $doc:literal, $admit:ident, $read:ident $($await:tt)?) => {
        #[doc = $doc]
        #[utoipa::path(
                            post,
                            path = $path,
                            tag = "feedback",
                            request_body(content = String, content_type = "application/json"),
                            security(()),
                            responses(
                                (status = 200, body = Received),
                                (status = 404, description = "This provider is not configured", body = Problem, content_type = "application/problem+json"),
                                (status = 502, description = "The provider's own host does not answer", body = Problem, content_type = "application/problem+json"),
                                Refused,
                            )
                        )]
        pub(super) async fn $name(
            State(service): State<Service>,
            headers: HeaderMap,
            request: Request,
        ) -> Result<axum::Json<Received>, Problem> {
            $admit(&service, &headers)?;
            let RawBody(body) = RawBody::from_request(request, &service).await?;
            let (returned, source) = $read(&service, &headers, &body)$(.$await)??;
            receive(&service, &returned, source).await
        }
    };
}

provider!(
    ses_notification,
    "/v1/webhooks/ses",
    "Amazon SES through SNS; subscriptions are confirmed.",
    admit_ses,
    read_ses await
);
provider!(
    sendgrid_events,
    "/v1/webhooks/sendgrid",
    "SendGrid's signed event webhook.",
    admit_sendgrid,
    read_sendgrid
);
provider!(
    postmark_record,
    "/v1/webhooks/postmark",
    "Postmark's bounce, spam complaint and subscription change webhooks, with Basic auth in their address.",
    admit_postmark,
    read_postmark
);
provider!(mailgun_event, "/v1/webhooks/mailgun", "Mailgun's webhooks.", admit_mailgun, read_mailgun);

/// What a call says, and by which name it is kept.
type Calls = Result<(Vec<Returned>, &'static str), Problem>;

fn sendgrid_key(service: &Service) -> Result<String, Problem> {
    let key = service.engine().config.feedback.sendgrid_public_key.clone();
    key.ok_or_else(|| not_configured("sendgrid_public_key"))
}

fn admit_sendgrid(service: &Service, headers: &HeaderMap) -> Result<(), Problem> {
    sendgrid_key(service)?;
    Ok(sendgrid::check_time(text(headers, sendgrid::TIMESTAMP_HEADER), service.now())?)
}

fn read_sendgrid(service: &Service, headers: &HeaderMap, body: &[u8]) -> Calls {
    let [signature, timestamp] =
        [sendgrid::SIGNATURE_HEADER, sendgrid::TIMESTAMP_HEADER].map(|name| text(headers, name));
    Ok((sendgrid::read(body, signature, timestamp, &sendgrid_key(service)?)?, "sendgrid"))
}

fn admit_postmark(service: &Service, headers: &HeaderMap) -> Result<(), Problem> {
    let engine = service.engine();
    let secret = engine.config.feedback.postmark_basic_auth.as_ref();
    let secret = secret.ok_or_else(|| not_configured("postmark_basic_auth"))?;
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    Ok(postmark::verify(authorization, secret.expose_secret())?)
}

fn read_postmark(_: &Service, _: &HeaderMap, body: &[u8]) -> Calls {
    Ok((postmark::read(body)?, "postmark"))
}

fn admit_mailgun(service: &Service, _: &HeaderMap) -> Result<(), Problem> {
    let key = &service.engine().config.feedback.mailgun_signing_key;
    key.as_ref().map(|_| ()).ok_or_else(|| not_configured("mailgun_signing_key"))
}

fn read_mailgun(service: &Service, _: &HeaderMap, body: &[u8]) -> Calls {
    let engine = service.engine();
    let key = engine.config.feedback.mailgun_signing_key.as_ref();
    let key = key.ok_or_else(|| not_configured("mailgun_signing_key"))?;
    Ok((mailgun::read(body, key.expose_secret(), service.now())?, "mailgun"))
}

fn admit_ses(service: &Service, headers: &HeaderMap) -> Result<(), Problem> {
    let engine = service.engine();
    let topics = &engine.config.feedback.ses_topics;
    if topics.is_empty() {
        return Err(not_configured("ses_topics"));
    }
    match headers.get(ses::TOPIC_HEADER) {
        // A proxy may have taken it away; the body says it too.
        None => Ok(()),
        Some(topic) if topics.iter().any(|known| known.as_bytes() == topic.as_bytes()) => Ok(()),
        Some(_) => Err(ses::not_ours().into()),
    }
}

async fn read_ses(service: &Service, _: &HeaderMap, body: &[u8]) -> Calls {
    let engine = service.engine();
    let webhooks = &engine.config.webhooks;
    let reach = if webhooks.allow_private { Reach::Anywhere } else { Reach::Public };
    let call = SnsCall::read(body, &engine.config.feedback.ses_topics)?;
    let certificate_url = call.certificate_url(reach)?;
    let outward = || Outward::new(reach, Duration::from_secs(webhooks.timeout_seconds));
    let outward = service.certificates().outward.get_or_init(outward);
    let certificate = service.certificates().of(&certificate_url, outward).await?;
    call.verify(&certificate, service.now())?;
    if let Some(url) = call.confirmation_url(reach)? {
        fetch(outward, &url).await?;
        tracing::info!("a subscription of Amazon SNS was confirmed");
    }
    let returned = if call.r#type == "Notification" { vec![call.returned()?] } else { Vec::new() };
    Ok((returned, "ses"))
}

impl Certificates {
    async fn of(&self, url: &Url, outward: &Outward) -> Result<Bytes, Problem> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned();
        if let Some(certificate) = known {
            return Ok(certificate);
        }
        let certificate = fetch(outward, url).await?;
        let mut certificates = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if certificates.len() >= CERTIFICATES_MAX {
            certificates.clear();
        }
        certificates.insert(url.clone(), certificate.clone());
        Ok(certificate)
    }
}

/// A document of Amazon's. When it cannot be had, SNS calls again later.
async fn fetch(outward: &Outward, url: &Url) -> Result<Bytes, Problem> {
    let away = |why: String| {
        tracing::warn!(host = url.host_str(), why, "Amazon SNS cannot be asked");
        Problem::new(StatusCode::BAD_GATEWAY, "Amazon SNS cannot be asked; try again")
    };
    let answer = outward.get(url).await.map_err(|error| away(error.to_string()))?;
    if answer.status == 200 { Ok(answer.body) } else { Err(away(format!("it answered {}", answer.status))) }
}

async fn receive(
    service: &Service,
    returned: &[Returned],
    source: &str,
) -> Result<axum::Json<Received>, Problem> {
    let engine = service.engine();
    let judge = Judge::new(&engine.config, Arc::clone(engine.sender.links.keyring()));
    let judged = judge.receive(service.store(), returned, source, Writing::Record, service.now()).await?;
    let reports = judged.into_iter().map(|(claim, verdict)| ReceivedReport {
        kind: claim.report.kind.as_str(),
        verdict: verdict.as_str(),
        send: claim.send.map(|(send, _)| send.to_string()),
    });
    Ok(axum::Json(Received { reports: reports.collect() }))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn not_configured(key: &str) -> Problem {
    Problem::not_found(format!("feedback.{key} is not configured, so no call can be believed"))
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unproven(why) => Self::new(StatusCode::FORBIDDEN, why),
            CallError::Unreadable(why) => Self::unprocessable(format!("the call cannot be read: {why}")),
        }
    }
}
