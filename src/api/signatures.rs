//! Checks the signatures of tokens with `ring`, which is in the program for TLS anyway.
//!
//! `jsonwebtoken` brings two sets of cryptography: one of C code that needs CMake, and one whose RSA has a
//! known timing weakness (RUSTSEC-2023-0071). A server only ever checks signatures, and `ring` does that for
//! every algorithm; it refuses RSA keys of fewer than 2048 bits.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use ring::{hmac, signature as ring_signature};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        let (algorithm, key) = (*algorithm, key.clone());
        match key.family() == algorithm.family() {
            true => Ok(Box::new(Signature { algorithm, key })),
            false => Err(ErrorKind::InvalidKeyFormat.into()),
        }
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` check signatures with what stands here; more calls than one change nothing.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

/// What checks one signature.
struct Signature {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Signature {
    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let wrong = |_| Error::from(ErrorKind::InvalidSignature);
        let secret = || self.key.try_get_as_bytes();
        let shared = |algorithm| {
            let key = hmac::Key::new(algorithm, secret()?);
            hmac::verify(&key, message, signature).map_err(wrong)
        };
        let curve = |algorithm: &'static dyn ring_signature::VerificationAlgorithm| {
            UnparsedPublicKey::new(algorithm, secret()?).verify(message, signature).map_err(wrong)
        };
        let rsa = |algorithm: &'static ring_signature::RsaParameters| match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(algorithm, message, signature).map_err(wrong)
            }
            DecodingKeyKind::SecretOrDer(_) => Err(ErrorKind::InvalidKeyFormat.into()),
        };
        match self.algorithm {
            Algorithm::HS256 => shared(hmac::HMAC_SHA256),
            Algorithm::HS384 => shared(hmac::HMAC_SHA384),
            Algorithm::HS512 => shared(hmac::HMAC_SHA512),
            Algorithm::ES256 => curve(&ring_signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => curve(&ring_signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => curve(&ring_signature::ED25519),
            Algorithm::RS256 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA512),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }
}

impl Verifier<Vec<u8>> for Signature {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.check(message, signature).map_err(signature::Error::from_source)
    }
}

impl JwtVerifier for Signature {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Validation, decode};
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    /// Made by `tests/golden/tokens.py`.
    #[derive(Deserialize)]
    struct Case {
        algorithm: Algorithm,
        key: Jwk,
        token: String,
    }

    #[test]
    fn what_pyjwt_signs_is_believed_and_nothing_changed_in_it() {
        install();
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/golden/tokens.json")).unwrap();
        assert_eq!(cases.len(), 12);
        for Case { algorithm, key, token } in &cases {
            let believed = |token: &str, key: &Jwk| {
                let key = DecodingKey::from_jwk(key).unwrap();
                decode::<Value>(token, &key, &Validation::new(*algorithm)).is_ok()
            };
            assert!(believed(token, key), "{algorithm:?}");
            for at in [token.find('.').unwrap() + 10, token.rfind('.').unwrap() + 10] {
                let mut changed = token.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                assert!(!believed(&String::from_utf8(changed).unwrap(), key), "{algorithm:?}, {at}");
            }
            for other in cases.iter().filter(|other| other.token != *token) {
                if other.key.algorithm != key.algorithm {
                    assert!(
                        !believed(token, &other.key),
                        "{algorithm:?} with the key of {:?}",
                        other.algorithm
                    );
                }
            }
        }
    }
}
