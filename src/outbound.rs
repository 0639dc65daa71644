//! Connections that the server opens by itself, to the hospital's own programs: an archive, a record system, a collector.
//!
//! Who is spoken with is configured and nobody else is: a redirect is an answer like any other and is not followed. With
//! TLS a peer is believed if the certificates of a file vouch for it; a closed network has its own, and the world's are of
//! no use to it.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Who vouches for a peer that is spoken with over TLS.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// What is wrong with the file, which is named.
    pub fn read(file: &Path) -> Result<Trust, String> {
        let named = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| named(&error))? {
            let certificate = certificate.map_err(|error| named(&error))?;
            roots.add(certificate).map_err(|error| named(&error))?;
        }
        match roots.is_empty() {
            true => Err(named(&"there is no certificate in it")),
            false => trusting(roots).map(Trust),
        }
    }

    /// As a client's configuration.
    pub fn config(&self) -> ClientConfig {
        (*self.0).clone()
    }
}

fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection, whatever is below it.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// Connects to `HOST:PORT`, over TLS where somebody vouches for the peer.
///
/// # Errors
/// It cannot be reached, or is not who it should be.
pub async fn connect(address: &str, trust: Option<&Trust>) -> io::Result<Box<dyn Duplex>> {
    let stream = TcpStream::connect(address).await?;
    let _ = stream.set_nodelay(true);
    let Some(Trust(config)) = trust else { return Ok(Box::new(stream)) };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?))
}

/// Why there is no answer over HTTP.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The peer cannot be reached, is not who it should be, or broke off.
    #[error("{0}")]
    Unreached(String),
    /// The answer is longer than is read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// A client of HTTP/1.1. It follows no redirect.
#[derive(Debug, Clone)]
pub struct Http(Client<HttpsConnector<HttpConnector>, Once>);

impl Http {
    /// With nobody to vouch no https address is answered.
    ///
    /// # Errors
    /// TLS is not available.
    pub fn new(trust: Option<&Trust>) -> Result<Http, String> {
        let config = match trust {
            Some(trust) => trust.config(),
            None => (*trusting(RootCertStore::empty())?).clone(),
        };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Http(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends a request and reads the answer, of at most so many bytes.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&self, request: Request<Bytes>, most: usize) -> Result<Response<Bytes>, HttpError> {
        let unreached = |error: &dyn Error| HttpError::Unreached(causes(error));
        let answer = self.0.request(request.map(|bytes| Once(Some(bytes)))).await;
        let (head, mut body) = answer.map_err(|error| unreached(&error))?.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            if let Ok(data) = frame.map_err(|error| unreached(&error))?.into_data() {
                if bytes.len() + data.len() > most {
                    return Err(HttpError::TooLong(most));
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Response::from_parts(head, bytes.freeze()))
    }
}

/// An error with what is behind it: the first says "client error" and no more.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A body of one piece.
#[derive(Debug)]
pub struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
