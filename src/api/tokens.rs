//! Bearer tokens (JWT, RFC 7519) against the keys of a JWKS file.
//!
//! A token is believed if a key of the file signed it, its issuer and audience are those
//! configured and it is within its time. Which algorithm may be used the key decides and never
//! the token alone: a public key is no shared secret, whatever a header says.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use clinical::cds::services::Service;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::signatures;
use crate::config::{Scope, TokenSource};

/// Longest subject, in bytes: it goes into every audit row.
const LONGEST_SUBJECT: usize = 200;

/// What checks tokens.
pub struct Tokens {
    file: PathBuf,
    issuer: String,
    audience: String,
    keys: ArcSwap<Vec<Key>>,
    read: Mutex<Option<SystemTime>>,
}

struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// What a token says of its bearer.
#[derive(Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Who: `sub`.
    pub subject: String,
    /// What it may do, of the scopes known here.
    pub scopes: Vec<Scope>,
}

#[derive(Deserialize)]
struct Claims {
    /// A client of CDS Hooks has none: there the issuer is the client.
    sub: Option<String>,
    iss: String,
    /// A client of CDS Hooks names each of its tokens.
    jti: Option<String>,
    /// RFC 8693: words between spaces.
    #[serde(default)]
    scope: String,
    /// The same in the way of some issuers: a list.
    #[serde(default)]
    scp: Vec<String>,
}

impl Tokens {
    /// Reads the keys.
    ///
    /// # Errors
    /// A file that cannot be read or has no key that could check a token.
    pub fn new(source: &TokenSource) -> Result<Tokens, String> {
        signatures::install();
        let modified = modified(&source.keys);
        let keys = read(&source.keys)?;
        Ok(Tokens {
            file: source.keys.clone(),
            issuer: source.issuer.clone(),
            audience: source.audience.clone(),
            keys: ArcSwap::from_pointee(keys),
            read: Mutex::new(modified),
        })
    }

    /// Reads the keys again if the file has changed. One that cannot be read changes nothing.
    pub fn reload(&self) {
        let now = modified(&self.file);
        let mut read_at = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *read_at {
            return;
        }
        *read_at = now;
        match read(&self.file) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the keys of tokens were read again");
                self.keys.store(keys.into());
            }
            Err(error) => tracing::warn!(error, "the keys of tokens stay as they were"),
        }
    }

    /// For whom a token may be: this server, or one of its services of CDS Hooks by its address.
    fn audiences(&self) -> Vec<String> {
        let base = format!("{}/cds-services", self.audience.trim_end_matches('/'));
        let services = Service::ALL.map(|service| format!("{base}/{}", service.id()));
        let feedback = services.clone().map(|service| format!("{service}/feedback"));
        [self.audience.clone(), base].into_iter().chain(services).chain(feedback).collect()
    }

    /// The bearer of a token, or nothing where it is not to be believed.
    pub fn check(&self, token: &str) -> Option<Bearer> {
        let header = decode_header(token).ok()?;
        let keys = self.keys.load();
        let fits = |key: &&Key| {
            let named = header.kid.is_none() || key.id == header.kid;
            named && key.key.family() == header.alg.family() && key.algorithm.is_none_or(|a| a == header.alg)
        };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.audiences());
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims = keys
            .iter()
            .filter(fits)
            .find_map(|key| decode::<Claims>(token, &key.key, &validation).ok())?
            .claims;
        let sound = |name: &String| {
            (1..=LONGEST_SUBJECT).contains(&name.len()) && !name.chars().any(char::is_control)
        };
        let Some(subject) = claims.sub else {
            // The token of a record system: it may call the services, and nothing else.
            let named = claims.jti.is_some_and(|id| !id.is_empty()) && sound(&claims.iss);
            return named.then(|| Bearer { subject: claims.iss, scopes: vec![Scope::Cds] });
        };
        if !sound(&subject) {
            return None;
        }
        let named = claims.scope.split(' ').chain(claims.scp.iter().map(String::as_str));
        Some(Bearer { scopes: named.filter_map(|name| name.parse().ok()).collect(), subject })
    }
}

fn modified(file: &PathBuf) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

fn read(file: &PathBuf) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let name = file.display();
    let text = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    // The values of a file of keys are not repeated: it may hold secrets.
    let set: Set =
        serde_json::from_slice(&text).map_err(|_| format!("{name} is not a JWKS: {{\"keys\": [...]}}"))?;
    let keys: Vec<Key> = set.keys.into_iter().filter_map(usable).collect();
    match keys.is_empty() {
        true => Err(format!("{name} has no key that can check a signature")),
        false => Ok(keys),
    }
}

/// A key that checks signatures; others (for encryption, of unknown kinds) are left out.
fn usable(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match jwk.common.key_algorithm {
        Some(algorithm) => Some(Algorithm::try_from(algorithm).ok()?),
        None => None,
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    // RFC 7518: a shared secret is at least as long as its digest.
    if key.family() == AlgorithmFamily::Hmac && key.try_get_as_bytes().ok()?.len() < 32 {
        return None;
    }
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    /// Writes a file with one shared secret, last changed at this second.
    fn write(file: &Path, secret: &[u8; 32], second: u64) {
        let jwk = json!({"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(secret)});
        std::fs::write(file, json!({"keys": [jwk]}).to_string()).unwrap();
        let written = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        written.set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    }

    fn token(secret: &[u8; 32]) -> String {
        let exp = jsonwebtoken::get_current_timestamp() + 600;
        let claims =
            json!({"sub": "dr-lee", "iss": "i", "aud": "a", "exp": exp, "scope": "classify openid admin"});
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "HS256"})), part(claims));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    #[test]
    fn keys_that_are_replaced_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        write(&file, &[1; 32], 1);
        let source = TokenSource { keys: file.clone(), issuer: "i".into(), audience: "a".into() };
        let tokens = Tokens::new(&source).unwrap();
        let bearer = tokens.check(&token(&[1; 32])).unwrap();
        assert_eq!((bearer.subject.as_str(), bearer.scopes), ("dr-lee", vec![Scope::Classify, Scope::Admin]));

        write(&file, &[2; 32], 2);
        tokens.reload();
        assert!(tokens.check(&token(&[1; 32])).is_none());
        assert!(tokens.check(&token(&[2; 32])).is_some());

        std::fs::write(&file, "{").unwrap();
        tokens.reload();
        assert!(tokens.check(&token(&[2; 32])).is_some(), "a broken file changes nothing");
    }
}
