//! One batch over one connection, and whether it arrived.
//!
//! Syslog has no word of receipt, and what was written to a socket may still lie in a buffer when the
//! receiver ends. So a batch has a connection of its own: after its last byte our side is closed, and the
//! receiver, which reads to the end and then closes its own, says by that that it has read everything.
//! A receiver that goes away before resets the connection; then the batch counts as not sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::SyslogTarget;

/// Time after the receiver's end in which the news that it had gone before may still come.
const NEWS: Duration = Duration::from_millis(250);
/// Most bytes that a receiver may send, which none has a reason to.
const MOST: u64 = 64 << 10;

/// Sends the frames; returns when the receiver has read them.
///
/// # Errors
/// It has not, as far as is known.
pub async fn send(target: &SyslogTarget, frames: &[u8]) -> io::Result<()> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    let Some(tls) = target.ca.is_some().then(|| client(target)).transpose()? else {
        let mut stream = stream;
        exchange(&mut stream, frames).await?;
        return settled(&stream).await;
    };
    let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(tls).connect(name, stream).await?;
    exchange(&mut stream, frames).await?;
    settled(stream.get_ref().0).await
}

/// Writes everything, closes this side and reads to the end of the other.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, frames: &[u8]) -> io::Result<()> {
    stream.write_all(frames).await?;
    stream.shutdown().await?;
    let mut said = Vec::new();
    match stream.take(MOST).read_to_end(&mut said).await {
        Ok(read) if read as u64 == MOST => Err(io::Error::other("the receiver talks back")),
        // A receiver of TLS that closes without a farewell has read everything all the same.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(()),
    }
}

/// That the receiver's end was not that of somebody who had gone before.
async fn settled(stream: &TcpStream) -> io::Result<()> {
    tokio::time::sleep(NEWS).await;
    stream.take_error()?.map_or(Ok(()), Err)
}

/// TLS to the receiver, with this server's certificate where it has one, as ATNA asks of nodes. The files
/// are read for every connection, so that new ones need no new start.
fn client(target: &SyslogTarget) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &target.ca {
        for root in CertificateDer::pem_file_iter(file).map_err(io::Error::other)? {
            roots.add(root.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let config = match &target.own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&own.certificate)
                .and_then(|certificates| certificates.collect());
            let key = PrivateKeyDer::from_pem_file(&own.key).map_err(io::Error::other)?;
            let chain = chain.map_err(io::Error::other)?;
            builder.with_client_auth_cert(chain, key).map_err(io::Error::other)?
        }
    };
    Ok(Arc::new(config))
}
