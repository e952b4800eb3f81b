//! Who asks: a key, by `Authorization: Bearer KEY`, or as the user name of Basic auth, as Segment's clients send it.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::HttpAuthScheme;
use utoipa::openapi::security::HttpBuilder;
use utoipa::openapi::security::SecurityScheme;

use crate::http::key;
use crate::http::key::Scope;
use crate::http::problem::Problem;
use crate::http::service::Service;
use crate::store::Trust;

/// A request of somebody whose key has the scope numbered `SCOPE` (see the aliases); holds the key's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed<const SCOPE: usize>(pub String);

/// May say what people are and do.
pub type MayIngest = Allowed<{ Scope::Ingest as usize }>;
/// May ask for sends.
pub type MaySend = Allowed<{ Scope::Send as usize }>;
/// May ask for decisions and dry renders.
pub type MayDecide = Allowed<{ Scope::Decide as usize }>;
/// May report bounces and complaints.
pub type MayGiveFeedback = Allowed<{ Scope::Feedback as usize }>;
/// May see and erase what is held on people.
pub type MaySeePeople = Allowed<{ Scope::Privacy as usize }>;
/// May read metrics.
pub type MayReadMetrics = Allowed<{ Scope::Metrics as usize }>;

impl<const SCOPE: usize> FromRequestParts<Service> for Allowed<SCOPE> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(text) = header.and_then(credential) else {
            return Err(unauthorized(
                "no key was sent; send Authorization: Bearer KEY, or the key as Basic user",
            ));
        };
        service.key_allows(&text, Scope::ALL[SCOPE]).await.map(Self)
    }
}

/// The key inside an `Authorization` header.
fn credential(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
    Some(if user.is_empty() { password } else { user }.to_owned())
}

/// 401, with what to do.
pub(super) fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

impl Service {
    /// How far the word of this key goes, by its id: one that may also ask for sends is kept on a server.
    pub(super) async fn trust(&self, key: &str) -> Result<Trust, Problem> {
        let row = self.api_key(key).await?;
        let may_send = row.is_some_and(|row| key::has(&row, Scope::Send));
        Ok(if may_send { Trust::Full } else { Trust::Public })
    }

    /// The id of the key, where it is one of ours, not revoked, and has this scope.
    async fn key_allows(&self, text: &str, scope: Scope) -> Result<String, Problem> {
        let unknown = || unauthorized("the key is not known, or was revoked; bespoke keys create makes one");
        let id = key::id_of(text).ok_or_else(unknown)?;
        let row = self.api_key(id).await?.ok_or_else(unknown)?;
        if !key::fits(text, &row) {
            return Err(unknown());
        }
        if !key::has(&row, scope) {
            let detail = format!("the key {id} lacks the scope {:?}", scope.as_str());
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        self.pace().count(&row.id).map_err(|wait| {
            let detail = format!("the key {id} asks too often; see [http] requests_per_minute_per_key");
            Problem::too_many(detail).retry_after(wait)
        })?;
        Ok(row.id.clone())
    }
}

/// Adds the two ways of sending a key to the description.
#[derive(Debug)]
pub(super) struct Schemes;

impl Modify for Schemes {
    fn modify(&self, description: &mut OpenApi) {
        let components = description.components.get_or_insert_default();
        for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
            let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
            components.add_security_scheme(name, scheme);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::credential;

    #[test]
    fn a_key_comes_as_bearer_or_as_basic_user() {
        for (header, expected) in [
            ("Bearer bsp_a_b", Some("bsp_a_b")),
            ("bearer  x ", Some("x")),
            ("Basic a2V5Og==", Some("key")),
            ("Basic OmtleQ==", Some("key")),
            ("Basic %%%", None),
            ("Digest a", None),
            ("Bearer", None),
        ] {
            assert_eq!(credential(header).as_deref(), expected, "{header}");
        }
    }
}
