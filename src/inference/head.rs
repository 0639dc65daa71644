//! Reading what the head of a file says of it. That takes microseconds, but for a file made up of
//! millions of elements: such a one is not read where it would keep other requests waiting.

use bytes::Bytes;

/// Bytes of a file whose head is read at once.
const SMALL: usize = 1 << 20;

/// What `read` makes of the file; nothing where it panicked.
pub async fn read<T: Send + 'static>(
    file: &Bytes,
    read: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Option<T> {
    if file.len() <= SMALL {
        return Some(read(file));
    }
    let file = file.clone();
    tokio::task::spawn_blocking(move || read(&file)).await.ok()
}
