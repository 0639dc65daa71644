//! Who is calling: a key or a token in `authorization: Bearer ...`, or a client certificate; and what it may do.
//!
//! There is one way in. Where no identity is configured, everyone is `anonymous` and may do
//! everything but what is for administrators; a demonstration adds a key of its own for these. Whether one
//! is configured is settled at the start: a file of keys that goes away later lets nobody in, and never
//! everybody.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, StatusCode, header};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Problem;
use super::certificates::{Certificates, Presented};
use super::extract::cut;
use super::tokens::Tokens;
use crate::config::{ApiKey, Config, KeyFile, Models, Scope, Stamp};
use recommend::clock::now;

/// What everyone may do where nobody is known.
const ANONYMOUS: [Scope; 3] = [Scope::Classify, Scope::Recommend, Scope::Write];

/// How often an address may fail to be let in before it is told so alone: a minute's worth at once, and
/// one a second.
pub fn failures() -> DefaultKeyedRateLimiter<String> {
    RateLimiter::keyed(Quota::per_second(NonZeroU32::MIN).allow_burst(NonZeroU32::MIN.saturating_add(59)))
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// "key:" with the name of the key, "token:" with the subject of the token, "cert:" with the name of the
    /// certificate's owner, "anonymous" or "unknown".
    pub name: String,
    /// The address that it calls from, or that of a proxy between.
    pub address: Option<IpAddr>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whose data it is about; empty for the default tenant.
    pub tenant: String,
    /// Which models it may ask.
    pub models: Models,
    /// The paths that its token is for, each with all below it; empty for all.
    pub only: Vec<String>,
    /// By what it is told from others where their requests are counted.
    pub counted_as: String,
}

impl Caller {
    /// Somebody at this address who is not let in.
    pub fn unknown(address: Option<IpAddr>) -> Caller {
        Caller {
            name: "unknown".to_string(),
            address,
            scopes: Vec::new(),
            tenant: String::new(),
            models: Models::default(),
            only: Vec::new(),
            counted_as: String::new(),
        }
    }

    /// Whether it may do what takes one of these. Administrators may do everything.
    pub fn may(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| *scope == Scope::Admin || scopes.contains(scope))
    }

    /// Whether what it shows is for what it asks: a token names its audience.
    pub fn is_for(&self, path: &str) -> bool {
        let below = |own: &String| {
            path.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.only.is_empty() || self.only.iter().any(below)
    }

    /// That it may ask this model.
    ///
    /// # Errors
    /// 403 with those that it may ask. Whether there is such a model is not said.
    pub fn check_model(&self, model: &str) -> Result<(), Problem> {
        match self.models.include(model) {
            true => Ok(()),
            false => Err(self.forbidden(&format!("the model \"{}\"", cut(model)))),
        }
    }

    /// 403 to who may not ask what it asks.
    pub fn forbidden(&self, what: &str) -> Problem {
        metrics::counter!("medserve_rejected_total", "reason" => "forbidden").increment(1);
        let named = self.models.named().unwrap_or_default().join(", ");
        let detail = format!("this key or token may not ask {what}; of the models it may ask: {named}");
        Problem::new(StatusCode::FORBIDDEN, detail)
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
    fixed: Vec<ApiKey>,
    file: Option<KeyFile>,
    read: Mutex<Option<Stamp>>,
    keys: ArcSwap<Vec<ApiKey>>,
    tokens: Option<Tokens>,
    /// Every tenant, the default one's empty name among them.
    tenants: Vec<String>,
    certificates: Option<Certificates>,
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
        let file = config.api_keys_file.clone();
        let mut keys = config.api_keys.clone();
        keys.extend(file.iter().flat_map(|file| file.keys.iter().cloned()));
        Ok(Identity {
            fixed: config.api_keys.clone(),
            read: Mutex::new(file.as_ref().and_then(|file| file.stamp)),
            file,
            keys: ArcSwap::from_pointee(keys),
            tokens,
            tenants: config.tenants.all().map(str::to_string).collect(),
            certificates: config.certificates.as_ref().map(Certificates::new),
            demo: None,
        })
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
        !self.fixed.is_empty() || self.file.is_some() || self.tokens.is_some() || self.certificates.is_some()
    }

    /// Reads anew what has changed on disk.
    pub fn reload(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.reload();
        }
        if let Some(certificates) = &self.certificates {
            certificates.reload();
        }
        let Some(file) = &self.file else { return };
        let now = Stamp::of(&file.path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_some() && now == *read {
            return;
        }
        let mut keys = self.fixed.clone();
        match KeyFile::read(&file.path) {
            Ok((found, problems)) => {
                for problem in &problems {
                    tracing::error!(
                        problem,
                        "the file of keys is not in order: what is wrong in it lets nobody in"
                    );
                }
                for key in found.keys.iter().filter(|key| !self.tenants.contains(&key.tenant)) {
                    tracing::error!(key = key.name, "a key of a tenant that is not configured opens nothing");
                }
                let known = found.keys.len();
                keys.extend(found.keys);
                if problems.is_empty() {
                    tracing::info!(keys = known, "the file of keys was read again");
                }
                *read = now;
            }
            Err(error) => {
                // Once, and again when it is there.
                if read.is_some() {
                    tracing::error!(error, "the file of keys cannot be read: none of its keys is let in");
                }
                *read = None;
            }
        }
        self.keys.store(keys.into());
    }

    /// Who sends these headers from this address, over a connection with this certificate. Who sends a
    /// key or a token is who that says, and not who the certificate says.
    ///
    /// # Errors
    /// Nobody who is known.
    pub fn caller(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        presented: Option<&Presented>,
    ) -> Result<Caller, Unknown> {
        if let (Some(known), Some(presented)) = (&self.certificates, presented)
            && !headers.contains_key(header::AUTHORIZATION)
            && let Some(caller) = known.caller(presented)
        {
            let name = format!("cert:{}", caller.name);
            let (scopes, models) = (caller.scopes, caller.models);
            // Certificates are known to the default tenant alone.
            let tenant = String::new();
            let only = Vec::new();
            return Ok(Caller { counted_as: name.clone(), name, address, scopes, tenant, models, only });
        }
        let anonymous = self.demo.is_none() || !headers.contains_key(header::AUTHORIZATION);
        if !self.is_configured() && anonymous {
            let counted_as = address.map_or_else(String::new, |address| address.to_string());
            let (name, tenant) = ("anonymous".to_string(), String::new());
            let (scopes, models) = (ANONYMOUS.to_vec(), Models::default());
            let only = Vec::new();
            return Ok(Caller { name, address, scopes, tenant, models, only, counted_as });
        }
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or(Unknown::Missing)?;
        // Whatever stands before this server may have looked at the other one.
        if values.next().is_some() {
            return Err(Unknown::Refused);
        }
        let text = value.to_str().map_err(|_| Unknown::Refused)?;
        let (scheme, credential) = text.split_once(' ').ok_or(Unknown::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unknown::Missing);
        }
        let credential = credential.trim();
        let (name, scopes, tenant, models, only) = match self.key(credential) {
            Some(key) => (format!("key:{}", key.name), key.scopes, key.tenant, key.models, Vec::new()),
            None => {
                let bearer = self.tokens.as_ref().and_then(|tokens| tokens.check(credential));
                let bearer = bearer.ok_or(Unknown::Refused)?;
                let name = format!("token:{}", bearer.subject);
                (name, bearer.scopes, bearer.tenant, bearer.models, bearer.only)
            }
        };
        if !self.tenants.contains(&tenant) {
            return Err(Unknown::Refused);
        }
        // The same subject may be known to two tenants' issuers.
        let counted_as = if tenant.is_empty() { name.clone() } else { format!("{name}@{tenant}") };
        Ok(Caller { name, address, scopes, tenant, models, only, counted_as })
    }

    /// The key with this digest. Every one is compared, each in constant time, so
    /// that the time taken says nothing of how close a guess was.
    fn key(&self, credential: &str) -> Option<ApiKey> {
        let digest: [u8; 32] = Sha256::digest(credential).into();
        let keys = self.keys.load();
        let mut found = None;
        for key in keys.iter().chain(&self.demo) {
            if bool::from(key.sha256.ct_eq(&digest)) {
                found = Some(key);
            }
        }
        found.filter(|key| key.expires.is_none_or(|end| now() < end)).cloned()
    }
}
