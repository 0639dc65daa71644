//! The connections that are open, and which of them to close.
//!
//! A connection costs a descriptor and a buffer whether or not anything is asked on it, so one that only
//! is there must not be able to keep another out: where all places are taken, the newcomer gets that of
//! a connection on which nothing is asked, of the address that has most of them. And what no library
//! bounds is bounded here, twice a second: a first request that never comes, a head that comes byte by
//! byte, an idle HTTP/2 connection that answers pings for ever, an answer that nobody reads.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Time between two looks at all connections.
pub const LOOK: Duration = Duration::from_millis(250);

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most at a time.
    pub connections: usize,
    /// Most at a time of one address.
    pub per_address: usize,
    /// Time within which the next request must have begun.
    pub idle: Duration,
    /// Time within which the first request must have begun, and a head be complete.
    pub head: Duration,
    /// Time within which the client must read some of its answer.
    pub response: Duration,
}

/// All that are open.
pub struct Connections {
    bounds: Bounds,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Arc<Connection>>,
    by_address: HashMap<IpAddr, usize>,
}

/// One of them.
pub struct Connection {
    address: IpAddr,
    since: Instant,
    is_http2: AtomicBool,
    /// Requests that came.
    requests: AtomicUsize,
    /// Requests that are worked on.
    working: AtomicUsize,
    /// Answers that are not sent to their end.
    answering: AtomicUsize,
    /// When the last request ended, a head began, an answer moved on, and writing came to a halt: in
    /// milliseconds after `since`, 0 for not at all.
    idle_from: AtomicU64,
    head_from: AtomicU64,
    answer_from: AtomicU64,
    halted_from: AtomicU64,
    /// Bytes written since the halt.
    halted_bytes: AtomicUsize,
    /// Tells its task to drop it.
    pub end: Notify,
}

/// Bytes after which writing has come to a halt no more.
const MOVES: usize = 16 << 10;

impl Connections {
    /// None yet.
    pub fn new(bounds: Bounds) -> Arc<Connections> {
        Arc::new(Connections { bounds, open: Mutex::default() })
    }

    /// Takes one in, if need be in the place of one on which nothing is asked. Nothing where there is
    /// no such one.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.lock();
        if open.by_address.get(&address).is_some_and(|count| *count >= self.bounds.per_address) {
            open.evict(Some(address))?;
        } else if open.all.len() >= self.bounds.connections {
            open.evict(None)?;
        }
        let connection = Arc::new(Connection {
            address,
            since: Instant::now(),
            is_http2: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            idle_from: AtomicU64::new(0),
            head_from: AtomicU64::new(0),
            answer_from: AtomicU64::new(0),
            halted_from: AtomicU64::new(0),
            halted_bytes: AtomicUsize::new(0),
            end: Notify::new(),
        });
        open.next += 1;
        let id = open.next;
        open.all.insert(id, connection.clone());
        *open.by_address.entry(address).or_default() += 1;
        Some(Place { connections: self.clone(), id, connection })
    }

    /// Ends those that break a bound.
    pub fn look(&self) {
        let mut open = self.lock();
        let over: Vec<(u64, &'static str)> =
            open.all.iter().filter_map(|(id, one)| Some((*id, one.breaks(&self.bounds)?))).collect();
        for (id, reason) in over {
            open.end(id, reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Ends one on which nothing is asked: of the address that has most, one that never asked before one
    /// that did, the one that is idle longest.
    fn evict(&mut self, address: Option<IpAddr>) -> Option<()> {
        let idle =
            self.all.iter().filter(|(_, one)| one.is_idle() && address.is_none_or(|a| a == one.address));
        let rank = |one: &Connection| {
            let asked = one.requests.load(Ordering::Relaxed) > 0;
            (self.by_address.get(&one.address).copied(), !asked, one.idle_for())
        };
        let (id, _) = idle.max_by_key(|(_, one)| rank(one))?;
        let id = *id;
        self.end(id, "evicted");
        Some(())
    }

    fn end(&mut self, id: u64, reason: &'static str) {
        if let Some(one) = self.forget(id) {
            metrics::counter!("medserve_connections_cut_total", "reason" => reason).increment(1);
            one.end.notify_one();
        }
    }

    fn forget(&mut self, id: u64) -> Option<Arc<Connection>> {
        let one = self.all.remove(&id)?;
        if let Some(count) = self.by_address.get_mut(&one.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&one.address);
            }
        }
        Some(one)
    }
}

/// A connection's place among the others, until it is dropped.
pub struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// The connection.
    pub connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().forget(self.id);
    }
}

impl Connection {
    /// It speaks HTTP/2, where bytes come that belong to no request.
    pub fn speaks_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    /// A request came whose head is complete.
    pub fn begin(self: &Arc<Self>) -> Working {
        self.head_from.store(0, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    /// Milliseconds since it was opened, never 0.
    fn now(&self) -> u64 {
        self.since.elapsed().as_millis().max(1) as u64
    }

    fn is_idle(&self) -> bool {
        self.working.load(Ordering::Relaxed) == 0 && self.answering.load(Ordering::Relaxed) == 0
    }

    fn idle_for(&self) -> u64 {
        self.now() - self.idle_from.load(Ordering::Relaxed).min(self.now())
    }

    /// The bound that it breaks.
    fn breaks(&self, bounds: &Bounds) -> Option<&'static str> {
        let now = self.now();
        let longer = |from: &AtomicU64, most: Duration| {
            let from = from.load(Ordering::Relaxed);
            from != 0 && now.saturating_sub(from) > most.as_millis() as u64
        };
        if longer(&self.halted_from, bounds.response) {
            return Some("unread");
        }
        if self.answering.load(Ordering::Relaxed) > 0 && longer(&self.answer_from, bounds.response) {
            return Some("unread");
        }
        if !self.is_idle() {
            return None;
        }
        if self.requests.load(Ordering::Relaxed) == 0 {
            let most = bounds.head.min(bounds.idle);
            return (self.since.elapsed() > most).then_some("no_request");
        }
        if !self.is_http2.load(Ordering::Relaxed) && longer(&self.head_from, bounds.head) {
            return Some("slow_head");
        }
        longer(&self.idle_from, bounds.idle).then_some("idle")
    }

    fn read(&self) {
        if self.is_idle() && self.head_from.load(Ordering::Relaxed) == 0 {
            self.head_from.store(self.now(), Ordering::Relaxed);
        }
    }

    fn halted(&self) {
        if self.halted_from.load(Ordering::Relaxed) == 0 {
            self.halted_bytes.store(0, Ordering::Relaxed);
            self.halted_from.store(self.now(), Ordering::Relaxed);
        }
    }

    fn wrote(&self, bytes: usize) {
        if self.halted_from.load(Ordering::Relaxed) != 0
            && self.halted_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= MOVES
        {
            self.halted_from.store(0, Ordering::Relaxed);
        }
    }

    fn flushed(&self) {
        self.halted_from.store(0, Ordering::Relaxed);
    }
}

/// A request that is worked on.
pub struct Working(Arc<Connection>);

impl Working {
    /// Its answer, whose sending is watched.
    pub fn answer(&self, body: Body) -> Answer {
        self.0.answer_from.store(self.0.now(), Ordering::Relaxed);
        self.0.answering.fetch_add(1, Ordering::Relaxed);
        Answer { body, connection: self.0.clone() }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.idle_from.store(self.0.now(), Ordering::Relaxed);
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer on its way.
pub struct Answer {
    body: Body,
    connection: Arc<Connection>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.connection.answer_from.store(self.connection.now(), Ordering::Relaxed);
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.idle_from.store(self.connection.now(), Ordering::Relaxed);
        self.connection.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose reading and writing is noted.
pub struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
}

impl<S> Watched<S> {
    /// The stream of this connection.
    pub fn new(stream: S, connection: Arc<Connection>) -> Watched<S> {
        Watched { stream, connection }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.connection.read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn note(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &wrote {
            Poll::Pending => self.connection.halted(),
            Poll::Ready(Ok(bytes)) => self.connection.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        wrote
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        match &flushed {
            Poll::Pending => self.connection.halted(),
            Poll::Ready(_) => self.connection.flushed(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(context);
        if done.is_pending() {
            self.connection.halted();
        }
        done
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(wrote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn connections(connections: usize, per_address: usize) -> Arc<Connections> {
        let second = Duration::from_secs(1);
        Connections::new(Bounds { connections, per_address, idle: second, head: second, response: second })
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// Whether it was told to end.
    async fn is_ended(place: &Place) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.connection.end.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_who_asks_nothing() {
        let all = connections(3, 3);
        let crowd: Vec<Place> = (0..2).map(|_| all.admit(address(1)).unwrap()).collect();
        let other = all.admit(address(2)).unwrap();
        let newcomer = all.admit(address(3)).unwrap();
        assert!(is_ended(&crowd[0]).await ^ is_ended(&crowd[1]).await, "one of the address that has most");
        assert!(!is_ended(&other).await && !is_ended(&newcomer).await);
    }

    #[tokio::test]
    async fn who_is_answered_keeps_its_place() {
        let all = connections(2, 2);
        let places: Vec<Place> = (1..=2).map(|n| all.admit(address(n)).unwrap()).collect();
        let working: Vec<Working> = places.iter().map(|place| place.connection.begin()).collect();
        assert!(all.admit(address(3)).is_none());
        let answer = working[0].answer(Body::empty());
        drop(working);
        assert!(all.admit(address(3)).is_some(), "the second asks nothing any more");
        drop((answer, places));
        assert!(all.lock().by_address.is_empty());
    }

    #[test]
    fn an_address_has_so_many_and_no_more() {
        let all = connections(10, 1);
        let first = all.admit(address(1)).unwrap();
        let working = first.connection.begin();
        assert!(all.admit(address(1)).is_none() && all.admit(address(2)).is_some());
        drop(working);
        assert!(all.admit(address(1)).is_some());
    }
}
