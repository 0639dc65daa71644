//! The header `Host`, which HTTP/1.1 wants once in every request (RFC 9112, section 3.2): a request
//! that has none, or two, may be taken for one to another server by whatever stands before this one.

use axum::extract::Request;
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};

use crate::api::Problem;

/// Answers 400 to a request of HTTP/1.1 that does not say once which host it is for.
pub async fn layer<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() == Version::HTTP_11 && hosts != 1 {
        let detail = format!("the request has {hosts} headers \"host\"; HTTP/1.1 wants one");
        return Problem::bad_request(detail).into_response();
    }
    next(request).await
}
