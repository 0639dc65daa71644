//! What every answer tells a browser: to keep no copy, to take it for nothing else than it says it is,
//! to show it in no frame, and to load nothing from elsewhere.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

/// What a page may do: load its own parts. Its styles and small pictures may be written in it.
const PAGE: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
     object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What anything else may do, were it ever taken for a page.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

/// Adds them, as far as the answer does not say otherwise.
pub fn add(response: &mut Response, encrypted: bool) {
    let headers = response.headers_mut();
    let is_page =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if is_page { PAGE } else { NO_PAGE };
    or_insert(headers, header::CONTENT_SECURITY_POLICY, policy);
    or_insert(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    or_insert(headers, header::X_FRAME_OPTIONS, "DENY");
    or_insert(headers, header::REFERRER_POLICY, "no-referrer");
    or_insert(headers, header::CACHE_CONTROL, "no-store");
    if encrypted {
        or_insert(headers, header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

fn or_insert(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
