//! TLS by rustls, where a certificate is given. Its files are read again when they change, so that a
//! certificate is renewed without a new start; files that do not fit change nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Stamp, TlsFiles};

/// The certificate in use, shared.
#[derive(Clone)]
pub struct Certificates(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    acceptor: ArcSwap<ServerConfig>,
    read: Mutex<[Option<Stamp>; 2]>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// The file that cannot be read, or does not fit the other.
    pub fn new(files: &TlsFiles) -> Result<Certificates, String> {
        let read = Mutex::new(stamps(files));
        let acceptor = ArcSwap::new(acceptor(files)?);
        Ok(Certificates(Arc::new(Shared { files: files.clone(), acceptor, read })))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.acceptor.load_full())
    }

    /// Reads the files again where they have changed.
    pub fn reload(&self) {
        let Shared { files, acceptor: current, read } = &*self.0;
        let now = stamps(files);
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *read {
            return;
        }
        *read = now;
        match acceptor(files) {
            Ok(acceptor) => {
                tracing::info!("the certificate was read again");
                current.store(acceptor);
            }
            Err(error) => tracing::error!(error, "the certificate stays as it was"),
        }
    }
}

fn stamps(files: &TlsFiles) -> [Option<Stamp>; 2] {
    [Stamp::of(&files.certificate), Stamp::of(&files.key)]
}

/// What makes connections private, with the certificate and key of these files.
///
/// # Errors
/// The file that cannot be read, or does not fit the other.
fn acceptor(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let named = |file: &Path, what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(|certificates| certificates.collect());
    let chain = chain.map_err(|error| named(&files.certificate, &error))?;
    if chain.is_empty() {
        return Err(named(&files.certificate, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| named(&files.key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| named(&files.key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
