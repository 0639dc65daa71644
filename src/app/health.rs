//! The question whether a server is ready, for container health checks: an image without a shell
//! or a client has nothing else to ask with.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    StreamOwned,
};

/// Longest time to wait for anything.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks the server at `address` whether it is ready, over TLS where its certificate is given.
///
/// # Errors
/// No answer, or another than 200.
pub fn check(address: SocketAddr, certificate: Option<&Path>) -> Result<()> {
    let stream =
        TcpStream::connect_timeout(&address, LIMIT).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let answer = match certificate {
        None => ask(stream, address)?,
        Some(file) => {
            let expected = CertificateDer::from_pem_file(file).with_context(|| file.display().to_string())?;
            let provider = Arc::new(ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Exactly { expected, provider }))
                .with_no_client_auth();
            let connection = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))?;
            ask(StreamOwned::new(connection, stream), address)?
        }
    };
    ensure!(
        answer.split_whitespace().nth(1) == Some("200"),
        "not ready: {}",
        answer.lines().last().unwrap_or_default()
    );
    Ok(())
}

fn ask(mut stream: impl Read + Write, address: SocketAddr) -> Result<String> {
    write!(stream, "GET /health/ready HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    // A server that closes without a farewell has said everything.
    if let Err(error) = stream.take(64 << 10).read_to_end(&mut answer) {
        ensure!(error.kind() == std::io::ErrorKind::UnexpectedEof, error);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Believes one certificate, whatever its name: the check asks by address, on the same machine.
#[derive(Debug)]
struct Exactly {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.expected {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
