//! What keeps web pages of others away from the API: they can make a browser on this machine send requests here, and a
//! submitted workflow runs commands.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

/// Adds the guards. A server on loopback answers only to names of loopback: a page whose own name was pointed at
/// 127.0.0.1 is refused ("DNS rebinding").
pub(super) fn guarded(router: Router, address: SocketAddr) -> Router {
    if !address.ip().is_loopback() {
        return router;
    }
    router.layer(middleware::from_fn(|request: Request, next: Next| async move {
        if is_local(request.headers()) { next.run(request).await } else { misdirected() }
    }))
}

fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

fn misdirected() -> Response {
    (StatusCode::MISDIRECTED_REQUEST, "this server is for this machine: use http://127.0.0.1\n").into_response()
}

/// Whether a request that changes something says that it is meant: browsers do not let a foreign page send this type
/// without asking this server first.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/toml")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_names_of_this_machine_are_answered_on_loopback() {
        for good in ["127.0.0.1:8080", "localhost", "[::1]:8080"] {
            assert!(is_local(&with(header::HOST, good)), "{good}");
        }
        for bad in ["evil.example:8080", "127.0.0.1.evil.example", "[::2]:8080"] {
            assert!(!is_local(&with(header::HOST, bad)), "{bad}");
        }
    }

    #[test]
    fn a_change_names_its_type() {
        assert!(is_meant(&with(header::CONTENT_TYPE, "application/toml; charset=utf-8")));
        assert!(!is_meant(&with(header::CONTENT_TYPE, "text/plain")));
        assert!(!is_meant(&HeaderMap::new()));
    }
}
