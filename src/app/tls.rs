//! TLS by rustls, where a certificate is given. Its files are read again when they change, so that a
//! certificate is renewed without a new start; files that do not fit change nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::config::{ClientRoots, Stamp, TlsFiles};

/// The certificate in use, shared.
#[derive(Clone)]
pub struct Certificates(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    acceptor: ArcSwap<ServerConfig>,
    read: Mutex<Vec<Option<Stamp>>>,
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

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    let roots = files.clients.as_ref().map(|clients| &clients.file);
    [&files.certificate, &files.key].into_iter().chain(roots).map(|file| Stamp::of(file)).collect()
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
    let clients = files.clients.as_ref().map(verifier).transpose()?;
    let asks = clients.is_some();
    let clients = clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(|error| named(&files.key, &error))?;
    if asks {
        // A session that is taken up again shows no certificate: it may have expired meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What checks the certificates of clients.
///
/// # Errors
/// The file of their roots cannot be read, or holds none.
fn verifier(clients: &ClientRoots) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let name = clients.file.display();
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(&clients.file).map_err(|error| format!("{name}: {error}"))?;
    for root in found {
        let root = root.map_err(|error| format!("{name}: {error}"))?;
        roots.add(root).map_err(|error| format!("{name}: {error}"))?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
    verifier.build().map_err(|error| format!("{name}: {error}"))
}
