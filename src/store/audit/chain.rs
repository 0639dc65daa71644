//! The chain over the audit's rows, and the key that signs its end and makes pseudonyms.
//!
//! The chain of a row is `SHA-256(chain of the row before, a line feed, the row's JSON)` in hexadecimal
//! digits, of the first row with an empty chain before. Anybody can compute it. Its end and its beginning
//! (the last row that was dropped when its time had passed) are signed (Ed25519): who changes, adds or
//! takes away a row must sign anew, and has not the key. Who has the database alone cannot; so the key
//! belongs into a file (`--audit-key-file`). Without one a key is made and kept in the database, which
//! shows mishaps and not intent.

use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::{AuditRow, Traces};
use crate::store::StoreError;

/// Longest identifier that is kept as it is, in bytes.
const LONGEST_ID: usize = 512;

/// How a row names the people concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By a keyed pseudonym.
    Pseudonym,
    /// By the identifier.
    Id,
}

/// The end of the chain, and its beginning, signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// Number of the last row.
    pub number: i64,
    /// Its chain.
    pub chain: String,
    /// Number of the last row that was dropped, or of the last before the chain began.
    pub dropped: i64,
    /// Its chain.
    pub dropped_chain: String,
    /// The signature over the four; empty before the first row.
    pub signature: String,
}

impl Head {
    fn text(&self) -> String {
        let Head { number, chain, dropped, dropped_chain, .. } = self;
        format!("medserve audit\n{number}\n{chain}\n{dropped}\n{dropped_chain}")
    }

    /// The same, signed.
    #[must_use]
    pub fn signed(mut self, key: &AuditKey) -> Head {
        self.signature = key.sign(&self.text());
        self
    }

    /// Whether it says that nothing was ever chained.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty() && self.dropped_chain.is_empty() && self.number == self.dropped
    }

    /// Whether nothing is chained yet, or the key has signed it.
    pub fn is_signed_by(&self, key: &AuditKey) -> bool {
        (self.signature.is_empty() && self.is_empty())
            || is_signed(&key.public(), &self.text(), &self.signature)
    }

    /// As [`Head::check`], of one that this key has not signed and that says that nothing is chained: a server
    /// signs it at its first start, so it is that of a new database or of an audit that was emptied.
    ///
    /// # Errors
    /// What speaks against a new database, and what to do about it.
    pub fn check_new(&self, traces: &Traces) -> Result<(), StoreError> {
        match traces.against(self) {
            None => Ok(()),
            Some(trace) => Err(StoreError::Setup(format!(
                "the audit says that it was never written, but {trace}: it was emptied from outside; `medserve \
                 audit verify` says more, and `medserve audit sign` accepts it as it is"
            ))),
        }
    }

    /// As [`Head::is_signed_by`], for a store that would go on from it: going on from what somebody else
    /// has changed would sign the change.
    ///
    /// # Errors
    /// What to do about it.
    pub fn check(&self, key: &AuditKey) -> Result<(), StoreError> {
        match self.is_signed_by(key) {
            true => Ok(()),
            false => Err(StoreError::Setup(
                "the end of the audit's chain is not signed by this server's key: it was changed from \
                 outside, or --audit-key-file is another; `medserve audit verify` says more, and `medserve \
                 audit sign` accepts it as it is"
                    .into(),
            )),
        }
    }
}

/// The key of the audit.
#[derive(Clone)]
pub struct AuditKey {
    seed: [u8; 32],
    people: hmac::Key,
    naming: Naming,
}

impl AuditKey {
    /// From its secret, 256 random bits.
    pub fn new(seed: [u8; 32], naming: Naming) -> AuditKey {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &seed);
        let people = hmac::sign(&root, b"people");
        AuditKey { seed, people: hmac::Key::new(hmac::HMAC_SHA256, people.as_ref()), naming }
    }

    /// What rows have for a person of this identifier.
    pub fn person(&self, id: &str) -> String {
        match self.naming {
            Naming::Pseudonym => hex::encode(&hmac::sign(&self.people, id.as_bytes()).as_ref()[..16]),
            Naming::Id if id.len() <= LONGEST_ID && !id.chars().any(char::is_control) => id.to_string(),
            Naming::Id => format!("sha256:{}", hex::encode(Sha256::digest(id))),
        }
    }

    /// The public half, in hexadecimal digits, by which signatures are checked.
    pub fn public(&self) -> String {
        self.pair().map_or_else(String::new, |pair| hex::encode(pair.public_key()))
    }

    /// A signature in hexadecimal digits.
    pub fn sign(&self, text: &str) -> String {
        self.pair().map_or_else(String::new, |pair| hex::encode(pair.sign(text.as_bytes())))
    }

    /// Every seed of 32 bytes makes a pair.
    fn pair(&self) -> Option<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(&self.seed).ok()
    }
}

/// Whether the owner of this public key has signed the text.
pub fn is_signed(public: &str, text: &str, signature: &str) -> bool {
    let (Ok(public), Ok(signature)) = (hex::decode(public), hex::decode(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, public).verify(text.as_bytes(), &signature).is_ok()
}

/// The row as the chain has it.
///
/// # Errors
/// None that can happen: a row is plain data.
pub fn canonical(row: &AuditRow) -> Result<String, StoreError> {
    serde_json::to_string(row).map_err(|error| StoreError::Internal(error.into()))
}

/// The chain of a row, of the chain before it and its [`canonical`] text.
pub fn link(before: &str, canonical: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(before);
    digest.update("\n");
    digest.update(canonical);
    hex::encode(digest.finalize())
}

/// Begins the digest over a whole request: `METHOD target`, a line feed, and then the body is added.
/// The target is path and query as they were sent.
pub fn request_digest(method: &str, target: &str) -> Sha256 {
    let mut digest = Sha256::new();
    digest.update(method);
    digest.update(" ");
    digest.update(target);
    digest.update("\n");
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_one_persons_under_one_key() {
        let (one, other) =
            (AuditKey::new([1; 32], Naming::Pseudonym), AuditKey::new([2; 32], Naming::Pseudonym));
        assert_eq!(one.person("u1"), one.person("u1"));
        assert_ne!(one.person("u1"), one.person("u2"));
        assert_ne!(one.person("u1"), other.person("u1"));
        let plain = AuditKey::new([1; 32], Naming::Id);
        assert_eq!(plain.person("u1"), "u1");
        assert!(plain.person("u\0").starts_with("sha256:") && plain.person(&"u".repeat(9999)).len() < 80);
    }

    #[test]
    fn whoever_has_not_the_key_cannot_move_the_end() {
        let key = AuditKey::new([1; 32], Naming::Pseudonym);
        let fresh = Head::default();
        assert!(fresh.is_signed_by(&key));
        let head = Head { number: 3, chain: "ab".into(), ..Head::default() }.signed(&key);
        assert!(head.is_signed_by(&key));
        assert!(!head.is_signed_by(&AuditKey::new([2; 32], Naming::Pseudonym)));
        assert!(!Head { number: 2, ..head.clone() }.is_signed_by(&key));
        assert!(!Head { signature: String::new(), ..head }.is_signed_by(&key));
    }
}
