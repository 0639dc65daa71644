//! Sending a result by STOW-RS (PS3.18 section 10.5), to an archive that speaks HTTP.

use http::{Request, StatusCode, header};

use serde_json::Value;

use super::send::{SendError, passes};
use crate::outbound::Http;
use crate::store::dicom::DicomResult;

/// Most bytes of an answer.
const MOST: usize = 1 << 20;

/// What stands between the parts of a body. It must not occur in them (RFC 2046, section 5.1.1), and they hold names
/// that others wrote: so nobody can know it beforehand.
pub fn boundary() -> String {
    format!("medserve-{}", hex::encode(rand::random::<[u8; 16]>()))
}

/// Sends one result to the service at `address`.
///
/// # Errors
/// It cannot be reached, or does not take it.
pub async fn store(http: &Http, address: &str, result: &DicomResult) -> Result<(), SendError> {
    let boundary = boundary();
    let body = [
        format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes(),
        &result.file,
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    let request = Request::post(format!("{address}/studies/{}", result.study))
        .header(
            header::CONTENT_TYPE,
            format!("multipart/related; type=\"application/dicom\"; boundary={boundary}"),
        )
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::ACCEPT, "application/dicom+json")
        .body(body.into())
        .map_err(|error| SendError::Unreached(error.to_string()))?;
    let answer = http.send(request, MOST).await.map_err(|error| SendError::Unreached(error.to_string()))?;
    outcome(answer.status(), answer.body())
}

/// What the answer says of the one instance. Archives answer 200 and 202 with a failure in the body as well.
fn outcome(status: StatusCode, body: &[u8]) -> Result<(), SendError> {
    let failed = failure(body);
    let words = match failed {
        Some(Some(reason)) => format!("the peer answered {}, failure reason {reason:04X}", status.as_u16()),
        Some(None) => format!("the peer answered {} and did not store it", status.as_u16()),
        None => format!("the peer answered {}", status.as_u16()),
    };
    match status {
        StatusCode::OK | StatusCode::ACCEPTED if failed.is_none() => Ok(()),
        _ if failed.flatten().is_some_and(passes) => Err(SendError::Unreached(words)),
        // Of the peer's own state, or of what stands before it: a token that ran out, a path that is not there yet.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Err(SendError::Unreached(words)),
        _ if status.is_server_error() => Err(SendError::Unreached(words)),
        _ => Err(SendError::Refused(words)),
    }
}

/// Whether the body names an instance that was not stored (Failed SOP Sequence or Other Failures Sequence), and its Failure
/// Reason where that is there.
fn failure(body: &[u8]) -> Option<Option<u16>> {
    const SEQUENCES: [&str; 2] = ["00081198", "0008119A"];
    const REASON: &str = "00081197";
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        let set = json.get(0).unwrap_or(&json);
        let item = SEQUENCES.iter().find_map(|tag| set.get(tag)?.get("Value")?.get(0))?;
        let reason = item.get(REASON).and_then(|reason| reason.get("Value")?.get(0)?.as_u64());
        return Some(reason.and_then(|reason| u16::try_from(reason).ok()));
    }
    let xml = String::from_utf8_lossy(body);
    let at = SEQUENCES.iter().find_map(|tag| xml.find(&format!("\"{tag}\"")))?;
    let item = xml[at..].split_once("<Item").map(|(_, item)| item)?;
    let reason = item.split_once(REASON).and_then(|(_, rest)| {
        let value = rest.split_once("<Value")?.1.split_once('>')?.1;
        value.split('<').next()?.trim().parse().ok()
    });
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str =
        r#"{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [REASON]}}]}}"#;
    const XML: &str = r#"<DicomAttribute tag="00081198" vr="SQ"><Item number="1"><DicomAttribute tag="00081197" vr="US"><Value number="1">REASON</Value></DicomAttribute></Item></DicomAttribute>"#;
    const STORED: &str =
        r#"{"00081190": {"vr": "UR"}, "00081198": {"vr": "SQ"}, "00081199": {"vr": "SQ", "Value": [{}]}}"#;

    /// Sent, refused, or to be tried again.
    fn said(status: u16, body: &str) -> &'static str {
        match outcome(StatusCode::from_u16(status).unwrap(), body.as_bytes()) {
            Ok(()) => "sent",
            Err(SendError::Refused(_)) => "refused",
            Err(SendError::Unreached(_)) => "again",
        }
    }

    #[test]
    fn an_instance_that_failed_is_not_sent_whatever_the_status() {
        for status in [200, 202] {
            assert_eq!([said(status, ""), said(status, STORED)], ["sent", "sent"]);
        }
        for status in [200, 202, 409] {
            for body in [JSON, XML] {
                assert_eq!(said(status, &body.replace("REASON", "49152")), "refused", "{status} {body}");
                assert_eq!(said(status, &body.replace("REASON", "42752")), "again", "{status} {body}");
            }
        }
        assert_eq!(said(200, &format!("[{}]", JSON.replace("[REASON]", "[]"))), "refused");
    }

    #[test]
    fn what_is_about_the_peer_is_tried_again_and_what_is_about_the_instance_refused() {
        for status in [401, 403, 404, 408, 429, 500, 503] {
            assert_eq!(said(status, ""), "again", "{status}");
        }
        for status in [400, 409, 413, 415] {
            assert_eq!(said(status, ""), "refused", "{status}");
        }
    }
}
