//! The keys of those who sign model packages: Ed25519, in PEM as `openssl genpkey -algorithm ed25519`
//! and `openssl pkey -pubout` write them (RFC 8410).

use std::path::Path;

use ring::signature::Ed25519KeyPair;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// The public key of somebody who signs packages.
pub type ModelKey = [u8; 32];

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo.
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Reads a file of one public key or several.
///
/// # Errors
/// It cannot be read, holds none, or one of another kind.
pub fn read_model_keys(file: &Path) -> Result<Vec<ModelKey>, String> {
    let name = file.display();
    let found: Result<Vec<_>, _> =
        SubjectPublicKeyInfoDer::pem_file_iter(file).and_then(|found| found.collect());
    let found = found.map_err(|error| format!("{name}: {error}"))?;
    if found.is_empty() {
        return Err(format!("{name}: there is no public key in it"));
    }
    let key = |der: SubjectPublicKeyInfoDer<'_>| {
        let key = der.strip_prefix(&ED25519_PREFIX[..]).and_then(|key| key.try_into().ok());
        key.ok_or_else(|| format!("{name}: a key in it is none of Ed25519"))
    };
    found.into_iter().map(key).collect()
}

/// Reads the private key that signs. What is wrong with it is said without any of it.
///
/// # Errors
/// It cannot be read, or is of another kind.
pub fn read_signing_key(file: &Path) -> Result<Ed25519KeyPair, String> {
    let name = file.display();
    let der = PrivatePkcs8KeyDer::from_pem_file(file).map_err(|error| format!("{name}: {error}"))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|_| format!("{name}: it is no private key of Ed25519"))
}
