//! A network that can be cut, between a test and its database.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A wire that can be cut: forwards connections to the database while it is whole.
pub struct Wire {
    /// Where it is entered, on 127.0.0.1.
    pub port: u16,
    /// Whether anything goes through.
    pub whole: watch::Sender<bool>,
    /// Whether it is dead to those that are on it, for good, without a word to them. New ones pass.
    pub silent: watch::Sender<bool>,
}

impl Wire {
    /// To `database`, an address with its port.
    pub async fn to(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (whole, is_whole) = watch::channel(true);
        let (silent, is_silent) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (database, mut is_whole) = (database.clone(), is_whole.clone());
                let mut is_silent = is_silent.clone();
                is_silent.mark_unchanged();
                tokio::spawn(async move {
                    if !*is_whole.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(database).await.unwrap();
                    // In this order: once the wire is cut nothing more goes through.
                    let falls_silent = tokio::select! {
                        biased;
                        _ = is_whole.wait_for(|whole| !whole) => false,
                        _ = is_silent.changed() => true,
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => false,
                    };
                    if falls_silent {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { port, whole, silent }
    }
}
