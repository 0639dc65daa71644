//! Who is calling: a key or a token in `authorization: Bearer ...`, and what it may do.
//!
//! There is one way in. Where no identity is configured, everyone is `anonymous` and may do
//! everything but what is for administrators. A demonstration adds a key of its own for these.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::tokens::Tokens;
use crate::config::{ApiKey, Config, Scope};

/// What everyone may do where nobody is known.
const ANONYMOUS: [Scope; 3] = [Scope::Classify, Scope::Recommend, Scope::Write];

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key, the subject of the token, or "anonymous".
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// By what it is told from others where their requests are counted.
    pub counted_as: String,
}

impl Caller {
    /// Whether it may do what takes one of these. Administrators may do everything.
    pub fn may(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| *scope == Scope::Admin || scopes.contains(scope))
    }
}

/// Why nobody is known to be calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No credential was sent.
    #[error("send your key or token as \"authorization: Bearer ...\"")]
    Missing,
    /// It is no key of this server, and no token to be believed.
    #[error("this key or token is unknown or has expired")]
    Refused,
}

/// The keys and tokens that are let in.
pub struct Identity {
    keys: Vec<ApiKey>,
    tokens: Option<Tokens>,
    /// The key that a demonstration made for its console.
    demo: Option<ApiKey>,
}

impl Identity {
    /// What is configured.
    ///
    /// # Errors
    /// Keys of tokens that cannot be read.
    pub fn new(config: &Config) -> Result<Identity, String> {
        let tokens = config.tokens.as_ref().map(Tokens::new).transpose()?;
        Ok(Identity { keys: config.api_keys.clone(), tokens, demo: None })
    }

    /// Lets in a key beside those configured. Where none is, everyone without a key stays anonymous.
    pub fn admit(&mut self, key: ApiKey) {
        self.demo = Some(key);
    }

    /// Whether there is a key to have that was not configured.
    pub fn is_demo(&self) -> bool {
        self.demo.is_some()
    }

    /// Whether anybody at all can be known.
    pub fn is_configured(&self) -> bool {
        !self.keys.is_empty() || self.tokens.is_some()
    }

    /// Reads anew what has changed on disk.
    pub fn reload(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.reload();
        }
    }

    /// Who sends these headers from this address.
    ///
    /// # Errors
    /// Nobody who is known.
    pub fn caller(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Caller, Unknown> {
        let anonymous = self.demo.is_none() || !headers.contains_key(header::AUTHORIZATION);
        if !self.is_configured() && anonymous {
            let counted_as = address.map_or_else(String::new, |address| address.to_string());
            return Ok(Caller { name: "anonymous".to_string(), scopes: ANONYMOUS.to_vec(), counted_as });
        }
        let value = headers.get(header::AUTHORIZATION).ok_or(Unknown::Missing)?;
        let text = value.to_str().map_err(|_| Unknown::Refused)?;
        let (scheme, credential) = text.split_once(' ').ok_or(Unknown::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unknown::Missing);
        }
        let credential = credential.trim();
        if let Some(key) = self.key(credential) {
            let counted_as = format!("key {}", key.name);
            return Ok(Caller { name: key.name.clone(), scopes: key.scopes.clone(), counted_as });
        }
        let bearer =
            self.tokens.as_ref().and_then(|tokens| tokens.check(credential)).ok_or(Unknown::Refused)?;
        let counted_as = format!("token {}", bearer.subject);
        Ok(Caller { name: bearer.subject, scopes: bearer.scopes, counted_as })
    }

    /// The key with this digest. Every one is compared, each in constant time, so that the time
    /// taken says nothing of how close a guess was.
    fn key(&self, credential: &str) -> Option<&ApiKey> {
        let digest: [u8; 32] = Sha256::digest(credential).into();
        let mut found = None;
        for key in self.keys.iter().chain(&self.demo) {
            if bool::from(key.sha256.ct_eq(&digest)) {
                found = Some(key);
            }
        }
        found
    }
}
