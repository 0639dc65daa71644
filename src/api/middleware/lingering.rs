//! A refusal is worth nothing if the client never reads it.
//!
//! Many clients write their whole request before they read. Where the answer comes earlier (too
//! large a body, a path that does not exist) and the server just closed, such a client would see
//! a broken pipe in place of the problem document. So what is left of an unread body is read and
//! thrown away for a while (nginx calls it a lingering close), beside the answer and bounded in
//! bytes and in time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Most bytes thrown away.
const BYTES: usize = 64 << 20;

/// Longest time spent on it.
const TIME: Duration = Duration::from_secs(5);

/// Gives the request a body that is read to its end even where the handler leaves it.
pub async fn layer<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    // Who waits for "100 Continue" sends nothing before it: reading on would only invite it.
    let invited = !request.headers().contains_key(header::EXPECT);
    next(request.map(|body| Body::new(Lingering { body, begun: invited }))).await
}

struct Lingering {
    body: Body,
    /// Whether the client is sending.
    begun: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.begun && !self.body.is_end_stream() {
            tokio::spawn(tokio::time::timeout(TIME, throw_away(std::mem::take(&mut self.body))));
        }
    }
}

async fn throw_away(body: Body) {
    let mut left = BYTES;
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
