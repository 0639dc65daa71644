//! Connections: accepted up to a number, cut where nothing comes, and finished before the end.
//!
//! This is a loop over hyper of our own because it holds what a server on a hospital's network
//! needs and the usual ones leave out together: bounds on connections ([`Connections`]), TLS, and an
//! end that waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::connections::{Bounds, Connection, Connections, LOOK, Watched};
use super::tls::Certificates;
use crate::api::certificates::Presented;

/// Longest time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Streams a client may have open on one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Most that is read from a connection at a time, in bytes; the longest head too. An idle connection
/// keeps its buffer, so that with many this is what they cost.
const BUFFER: usize = 64 << 10;

/// Serves until `stopped` says so, and then until the requests in flight are finished.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Certificates>,
    router: Router,
    bounds: Bounds,
    mut stopped: watch::Receiver<bool>,
) {
    // Without TLS only HTTP/1: telling the two apart by the first bytes would wait for them for ever.
    let mut http1 = Builder::new(TokioExecutor::new()).http1_only();
    http1.http1().timer(TokioTimer::new()).header_read_timeout(bounds.idle).max_buf_size(BUFFER);
    let mut http2 = Builder::new(TokioExecutor::new()).http2_only();
    http2.http2().timer(TokioTimer::new()).keep_alive_interval(bounds.idle).max_concurrent_streams(STREAMS);
    let open = Connections::new(bounds);
    let mut looks = tokio::time::interval(LOOK);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = looks.tick() => {
                open.look();
                continue;
            }
            // An error means that the sender is gone, which is an end as well.
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: some come free in a moment.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = open.admit(peer.ip().to_canonical()) else {
            metrics::counter!("medserve_rejected_total", "reason" => "connections").increment(1);
            continue;
        };
        let (http1, http2, tls) = (http1.clone(), http2.clone(), tls.as_ref().map(Certificates::acceptor));
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            // Answers are small and waited for: they must not wait for company.
            let _ = stream.set_nodelay(true);
            let connection = &place.connection;
            let talking = async {
                match tls {
                    None => {
                        talk(
                            &http1,
                            stream,
                            Remote { peer, presented: None },
                            router,
                            connection.clone(),
                            watcher,
                        )
                        .await
                    }
                    Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                            connection.speaks_http2();
                            let from = Remote { peer, presented: presented(&stream) };
                            talk(&http2, stream, from, router, connection.clone(), watcher).await;
                        }
                        Ok(Ok(stream)) => {
                            let from = Remote { peer, presented: presented(&stream) };
                            talk(&http1, stream, from, router, connection.clone(), watcher).await
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    },
                }
            };
            tokio::select! {
                () = talking => {}
                () = connection.end.notified() => {}
            }
        });
    }
    drop(listener);
    let finished = graceful.shutdown();
    tokio::pin!(finished);
    // Who reads no answer keeps nobody from ending.
    loop {
        tokio::select! {
            () = &mut finished => return,
            _ = looks.tick() => open.look(),
        }
    }
}

/// Who is at the other end of a connection.
struct Remote {
    peer: SocketAddr,
    /// The names in its certificate, where it has shown one.
    presented: Option<Presented>,
}

fn presented<S>(stream: &TlsStream<S>) -> Option<Presented> {
    stream.get_ref().1.peer_certificates()?.first().map(Presented::new)
}

async fn talk<S>(
    builder: &Builder<TokioExecutor>,
    stream: S,
    from: Remote,
    router: Router,
    connection: Arc<Connection>,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watched = TokioIo::new(Watched::new(stream, connection.clone()));
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let working = connection.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from.peer));
        if let Some(presented) = &from.presented {
            request.extensions_mut().insert(presented.clone());
        }
        let answered = router.clone().oneshot(request);
        async move { answered.await.map(|response| response.map(|body| working.answer(body))) }
    });
    let talk = builder.serve_connection(watched, service);
    // What ends a connection early (a client that went, a head that never came) is the client's.
    if let Err(error) = watcher.watch(talk.into_owned()).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
