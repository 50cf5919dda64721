//! How the API refuses: a status code, and JSON that says why.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use registry_api::ErrorKind;
use serde::Serialize;

/// A request that is not answered as asked.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: Body { error: error.into(), mistakes: Vec::new() } }
    }

    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    pub(super) fn with_mistakes(mut self, mistakes: &[String]) -> Self {
        self.body.mistakes = mistakes.to_vec();
        self
    }
}

impl From<registry_api::Error> for Refusal {
    fn from(error: registry_api::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
            ErrorKind::LimitExceeded => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
