//! Signatures on model packages: `manifest.sig` holds an Ed25519 signature over the bytes of
//! `manifest.json`, as `medserve models sign` and `openssl pkeyutl -sign -rawin` write it.
//!
//! The manifest names the digests of the weights and of every other file that an answer depends on, so
//! one signature over it covers them. A digest alone shows damage; a signature also shows who made the
//! package, to whoever keeps the private key off the machine that serves.

use std::path::Path;

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use crate::config::ModelKey;
use model::package::{MANIFEST, READ, read};
use model::{Manifest, Package, PackageError};

/// The file of a package that holds its signature.
pub const SIGNATURE: &str = "manifest.sig";

/// Refuses a package whose manifest none of the keys has signed, or which has a file that an answer
/// depends on and that the manifest, and so the signature, says nothing of.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn check(
    folder: &Path,
    manifest: &[u8],
    described: &Manifest,
    keys: &[ModelKey],
) -> Result<(), PackageError> {
    let file = folder.join(SIGNATURE);
    if !file.exists() {
        return Err(PackageError::new(&file, "the package is not signed, and --model-keys asks for that"));
    }
    let signature = read(&file)?;
    let by = |key: &ModelKey| UnparsedPublicKey::new(&ED25519, key).verify(manifest, &signature).is_ok();
    if !keys.iter().any(by) {
        let reason = format!("it is no signature over {MANIFEST} by a key of --model-keys");
        return Err(PackageError::new(&file, reason));
    }
    for name in READ {
        if !described.files.contains_key(name) && folder.join(name).exists() {
            let reason = format!("{MANIFEST} has no digest of it, so the signature does not cover it");
            return Err(PackageError::new(folder.join(name), reason));
        }
    }
    Ok(())
}

/// Signs a package that is whole.
///
/// # Errors
/// What is wrong with the package; a file that cannot be written.
pub fn sign(folder: &Path, pair: &Ed25519KeyPair) -> Result<(), PackageError> {
    let mut signature = Vec::new();
    Package::read_accepted(folder, |manifest, _| {
        signature = pair.sign(manifest).as_ref().to_vec();
        Ok(())
    })?;
    let file = folder.join(SIGNATURE);
    std::fs::write(&file, signature).map_err(|error| PackageError::new(&file, error))
}
