//! Bodies that are read with a limit and answered with a problem when they cannot be.

use axum::body::Bytes;
use axum::extract::FromRequest;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;

use crate::http::problem::Problem;

/// Fields of an object that could not be read of which one is looked for as the fault, at most.
const FIELDS_TRIED_MAX: usize = 16;

/// A JSON body of a known shape. Any `Content-Type` is taken: clients in the field send none, or a wrong one.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await?;
        read_json(&bytes).map(Self)
    }
}

/// The bytes of a body, as they came out of the decompression.
#[derive(Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

/// Reads JSON, or says in which field, line and column it went wrong.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            let field = faulty_field::<T>(bytes).map(|field| format!("{field}: ")).unwrap_or_default();
            Problem::unprocessable(format!("{field}{error}"))
        }
        _ => Problem::bad_request(format!("the body is not JSON: {error}")),
    })
}

/// The field without which the object would be read, or of which it would then say that it is missing.
fn faulty_field<T: DeserializeOwned>(bytes: &[u8]) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let is_at_fault = |name: &&String| {
        let mut others = fields.clone();
        others.remove(*name);
        match T::deserialize(Value::Object(others)) {
            Ok(_) => true,
            Err(error) => error.to_string() == format!("missing field `{name}`"),
        }
    };
    fields.keys().take(FIELDS_TRIED_MAX).find(is_at_fault).cloned()
}

/// A part of the path, as text. Axum's own answer to one that is not UTF-8 is no problem document.
#[derive(Debug)]
pub struct PathText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|rejection| Problem::not_found(rejection.body_text()))
    }
}

/// The query, as a known shape.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| {
            Problem::unprocessable(format!("the query cannot be read: {}", rejection.body_text()))
        })
    }
}
