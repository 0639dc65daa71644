//! Sending a result by STOW-RS (PS3.18 section 10.5), to an archive that speaks HTTP.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::send::SendError;
use crate::store::dicom::DicomResult;

/// What stands between the parts of our bodies; no UID and no pixel data of ours has it.
const BOUNDARY: &str = "medserve-0c6b2d5e9f";

/// Sends one result to the service at `address`.
///
/// # Errors
/// It cannot be reached, or does not take it.
pub async fn store(address: &str, result: &DicomResult) -> Result<(), SendError> {
    let body = [
        format!("--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes(),
        &result.file,
        format!("\r\n--{BOUNDARY}--\r\n").as_bytes(),
    ]
    .concat();
    let request = Request::post(format!("{address}/studies/{}", result.study))
        .header(
            header::CONTENT_TYPE,
            format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}"),
        )
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::ACCEPT, "application/dicom+json")
        .body(Once(Some(body.into())))
        .map_err(|error| SendError::Unreached(error.to_string()))?;
    let client: Client<_, Once> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.map_err(|error| SendError::Unreached(error.to_string()))?;
    let status = answer.status();
    match status {
        StatusCode::OK => Ok(()),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(SendError::Unreached(format!("the peer answered {}", status.as_u16())))
        }
        _ => Err(SendError::Refused(format!("the peer answered {}", status.as_u16()))),
    }
}

/// A body of one piece.
struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
