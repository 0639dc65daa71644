//! W3C Trace Context: the trace a request belongs to, in and out.
//!
//! A caller that traces sends `traceparent`; the logs of this request then carry its trace id, so
//! that one search finds both sides. Without one a trace begins here. The answer's `traceparent`
//! names the trace and the span that this server's work is.

use std::fmt;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use rand::RngExt;

use crate::api::AppState;
use crate::telemetry::spans::Spans;

/// The header, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// The place of a request in its trace, in the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace: u128,
    /// This server's span; never zero.
    pub span: u64,
    /// The caller's span; none where the trace begins here.
    pub parent: Option<u64>,
    /// Bit 0 says that the trace is recorded: by the caller, or from here on.
    flags: u8,
}

impl TraceContext {
    /// A span within the trace that `header` names, or of a trace that begins here and is recorded
    /// with the probability `ratio`.
    fn new(header: Option<&HeaderValue>, ratio: f64) -> TraceContext {
        let mut random = rand::rng();
        let span = random.random_range(1..=u64::MAX);
        match header.and_then(|value| parse(value.to_str().ok()?)) {
            Some((trace, parent, flags)) => TraceContext { trace, span, parent: Some(parent), flags },
            None => TraceContext {
                trace: random.random_range(1..=u128::MAX),
                span,
                parent: None,
                flags: u8::from(random.random_bool(ratio)),
            },
        }
    }

    /// Whether the trace is recorded.
    pub fn is_recorded(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// The trace, the span and the flags of a `traceparent`. Versions to come may append to what version 00
/// has; 255 is forbidden, and so are capital letters and zeros for an id.
fn parse(text: &str) -> Option<(u128, u64, u8)> {
    let hexadecimal = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.splitn(5, '-');
    let mut next = |length: usize| parts.next().filter(|part| part.len() == length && hexadecimal(part));
    let version = u8::from_str_radix(next(2)?, 16).ok()?;
    let trace = u128::from_str_radix(next(32)?, 16).ok()?;
    let parent = u64::from_str_radix(next(16)?, 16).ok()?;
    let flags = u8::from_str_radix(next(2)?, 16).ok()?;
    let sound = version != 0xff && (version > 0 || text.len() == 55) && trace != 0 && parent != 0;
    // Only the flag that version 00 knows is passed on.
    sound.then_some((trace, parent, flags & 1))
}

/// Gives the request its place in a trace, and says it in the answer.
pub async fn layer<F: Future<Output = Response>>(
    state: &AppState,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let ratio = state.spans.as_ref().map_or(0.0, Spans::ratio);
    let context = TraceContext::new(request.headers().get(HEADER), ratio);
    request.extensions_mut().insert(context);
    let mut response = next(request).await;
    if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_parent_is_followed_and_any_other_begins_a_trace() {
        let (trace, parent, flags) =
            parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!((format!("{trace:032x}").as_str(), flags), ("4bf92f3577b34da6a3ce929d0e0e4736", 1));
        assert_eq!(format!("{parent:016x}"), "00f067aa0ba902b7");
        assert!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-will-be").is_some());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
            for ratio in [0.0, 1.0] {
                let begun = TraceContext::new(HeaderValue::from_str(bad).ok().as_ref(), ratio);
                assert!(parse(&begun.to_string()).is_some());
                assert_eq!((begun.parent, begun.is_recorded()), (None, ratio == 1.0));
            }
        }
    }
}
