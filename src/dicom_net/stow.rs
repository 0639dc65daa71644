//! Sending a result by STOW-RS (PS3.18 section 10.5), to an archive that speaks HTTP.

use http::{Request, StatusCode, header};

use super::send::SendError;
use crate::outbound::Http;
use crate::store::dicom::DicomResult;

/// What stands between the parts of our bodies; no UID and no pixel data of ours has it.
const BOUNDARY: &str = "medserve-0c6b2d5e9f";
/// Most bytes of an answer, whose text is not looked at.
const MOST: usize = 1 << 20;

/// Sends one result to the service at `address`.
///
/// # Errors
/// It cannot be reached, or does not take it.
pub async fn store(http: &Http, address: &str, result: &DicomResult) -> Result<(), SendError> {
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
        .body(body.into())
        .map_err(|error| SendError::Unreached(error.to_string()))?;
    let answer = http.send(request, MOST).await.map_err(|error| SendError::Unreached(error.to_string()))?;
    let status = answer.status();
    match status {
        // 202 is a warning; of one instance that was not taken the answer is 409.
        StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(SendError::Unreached(format!("the peer answered {}", status.as_u16())))
        }
        _ => Err(SendError::Refused(format!("the peer answered {}", status.as_u16()))),
    }
}
