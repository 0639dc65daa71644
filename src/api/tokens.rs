//! Bearer tokens (JWT, RFC 7519) against the keys of a JWKS file.
//!
//! A token is believed if a key of the file signed it, its issuer and audience are those
//! configured, it is within its time, and that is not longer than is configured. What a header
//! calls critical is not understood here, so such a token is refused (RFC 7515, section 4.1.11). Which algorithm may be used the key decides and never
//! the token alone: a public key is no shared secret, whatever a header says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clinical::cds::services::Service;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header, get_current_timestamp,
};
use serde::Deserialize;

use super::signatures;
use crate::config::{Models, Scope, Stamp, TokenSource, allowed, is_unseen};

/// Longest subject, in bytes: it goes into every audit row.
const LONGEST_SUBJECT: usize = 200;

/// What checks tokens.
pub struct Tokens {
    file: PathBuf,
    issuer: String,
    audience: String,
    max_life: Duration,
    tenant_claim: Option<String>,
    keys: ArcSwap<Vec<Key>>,
    read: Mutex<Option<Stamp>>,
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
    /// Whose data it opens: what the configured claim says, empty where that is not there.
    pub tenant: String,
    /// Which models it may ask.
    pub models: Models,
    /// The paths that it is for, each with all below it, where it is for some services alone; empty for all.
    pub only: Vec<String>,
}

#[derive(Deserialize)]
struct Claims {
    /// RFC 7519: a number of seconds that may have a fraction.
    exp: f64,
    aud: Audience,
    /// A client of CDS Hooks has none: there the issuer is the client.
    sub: Option<String>,
    iss: String,
    /// A client of CDS Hooks names each of its tokens, and says when it made it.
    jti: Option<String>,
    iat: Option<f64>,
    /// RFC 8693: words between spaces.
    #[serde(default)]
    scope: Words,
    /// The same in the way of other issuers; one of the two is enough.
    #[serde(default)]
    scp: Words,
    /// All others.
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

/// For whom a token is: one, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn list(&self) -> &[String] {
        match self {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Several(several) => several,
        }
    }
}

/// Words in a list, or in one text with spaces between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Default for Words {
    fn default() -> Words {
        Words::List(Vec::new())
    }
}

impl Words {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let (text, list) = match self {
            Words::Text(text) => (text.as_str(), &[][..]),
            Words::List(list) => ("", list.as_slice()),
        };
        text.split(' ').chain(list.iter().map(String::as_str))
    }
}

impl Tokens {
    /// Reads the keys.
    ///
    /// # Errors
    /// A file that cannot be read or has no key that could check a token.
    pub fn new(source: &TokenSource) -> Result<Tokens, String> {
        signatures::install();
        let stamp = Stamp::of(&source.keys);
        let keys = read(&source.keys)?;
        if keys.is_empty() {
            return Err(format!("{} has no key that can check a signature", source.keys.display()));
        }
        Ok(Tokens {
            file: source.keys.clone(),
            issuer: source.issuer.clone(),
            audience: source.audience.clone(),
            max_life: source.max_life,
            tenant_claim: source.tenant_claim.clone(),
            keys: ArcSwap::from_pointee(keys),
            read: Mutex::new(stamp),
        })
    }

    /// Reads the keys again if the file has changed. While it cannot be read no token is believed: the
    /// key of one may have been taken back.
    pub fn reload(&self) {
        let now = Stamp::of(&self.file);
        let mut read_as = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_some() && now == *read_as {
            return;
        }
        match read(&self.file) {
            Ok(keys) => {
                match keys.is_empty() {
                    true => tracing::error!("the file of tokens' keys has none: no token is let in"),
                    false => tracing::info!(keys = keys.len(), "the keys of tokens were read again"),
                }
                self.keys.store(keys.into());
                *read_as = now;
            }
            Err(error) => {
                // Once, and again when it is there.
                if read_as.is_some() {
                    tracing::error!(error, "the keys of tokens cannot be read: no token is let in");
                }
                self.keys.store(Vec::new().into());
                *read_as = None;
            }
        }
    }

    /// For whom a token may be, with the path that it opens then: this server, of which all is open, or one of its
    /// services of CDS Hooks by its address.
    fn audiences(&self) -> Vec<(String, String)> {
        let services = Service::ALL.map(|service| format!("/cds-services/{}", service.id()));
        let feedback = services.clone().map(|service| format!("{service}/feedback"));
        let paths = ["/cds-services".to_string()].into_iter().chain(services).chain(feedback);
        let base = self.audience.trim_end_matches('/');
        let whole = (self.audience.clone(), String::new());
        [whole].into_iter().chain(paths.map(|path| (format!("{base}{path}"), path))).collect()
    }

    /// The bearer of a token, or nothing where it is not to be believed.
    pub fn check(&self, token: &str) -> Option<Bearer> {
        if has_critical(token) {
            return None;
        }
        let header = decode_header(token).ok()?;
        let keys = self.keys.load();
        let fits = |key: &&Key| {
            let named = header.kid.is_none() || key.id == header.kid;
            named && key.key.family() == header.alg.family() && key.algorithm.is_none_or(|a| a == header.alg)
        };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer]);
        let audiences = self.audiences();
        validation.set_audience(&audiences.iter().map(|(audience, _)| audience).collect::<Vec<_>>());
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims = keys
            .iter()
            .filter(fits)
            .find_map(|key| decode::<Claims>(token, &key.key, &validation).ok())?
            .claims;
        let latest = get_current_timestamp().saturating_add(self.max_life.as_secs() + validation.leeway);
        if claims.exp > latest as f64 {
            return None;
        }
        let sound =
            |name: &String| (1..=LONGEST_SUBJECT).contains(&name.len()) && !name.chars().any(is_unseen);
        // A claim that is there and says nothing must not open the default tenant.
        let tenant = match self.tenant_claim.as_ref().and_then(|claim| claims.others.get(claim)) {
            None => String::new(),
            Some(serde_json::Value::String(tenant)) if !tenant.is_empty() => tenant.clone(),
            Some(_) => return None,
        };
        let named = audiences.iter().filter(|(audience, _)| claims.aud.list().contains(audience));
        let only: Vec<String> = named.map(|(_, path)| path.clone()).collect();
        if only.is_empty() {
            return None;
        }
        // Who is this server is all of its services.
        let only = if only.iter().any(String::is_empty) { Vec::new() } else { only };
        let Some(subject) = claims.sub else {
            // The token of a record system: it may call the services, and nothing else.
            let named =
                claims.jti.is_some_and(|id| !id.is_empty()) && claims.iat.is_some() && sound(&claims.iss);
            let (scopes, models) = (vec![Scope::Cds], Models::default());
            return named.then_some(Bearer { subject: claims.iss, scopes, tenant, models, only });
        };
        if !sound(&subject) {
            return None;
        }
        let (scopes, models) = allowed(granted(&claims.scope, &claims.scp)?.iter());
        Some(Bearer { subject, scopes, tenant, models, only })
    }
}

/// The claim that names scopes. Where both do they must say the same: to believe one of two that differ, or both, would
/// grant what the other does not.
fn granted<'a>(scope: &'a Words, scp: &'a Words) -> Option<&'a Words> {
    let words = |of: &'a Words| of.iter().filter(|word| !word.is_empty()).collect::<BTreeSet<_>>();
    match (words(scope), words(scp)) {
        (_, other) if other.is_empty() => Some(scope),
        (one, _) if one.is_empty() => Some(scp),
        (one, other) => (one == other).then_some(scope),
    }
}

/// Whether the header has the member `crit`, or is none.
fn has_critical(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).ok();
    let header = header.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
    header.is_none_or(|header| header.get("crit").is_some())
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
    Ok(set.keys.into_iter().filter_map(usable).collect())
}

/// Bits of the smallest RSA key that is believed (NIST SP 800-131A).
const RSA_BITS: usize = 2048;

/// A key that checks signatures; others (for encryption, of unknown kinds, weak) are left out.
fn usable(value: serde_json::Value) -> Option<Key> {
    if let Some(modulus) = value.get("n") {
        let modulus = URL_SAFE_NO_PAD.decode(modulus.as_str()?).ok()?;
        let first = modulus.iter().position(|byte| *byte != 0)?;
        let bits = 8 * (modulus.len() - first) - modulus[first].leading_zeros() as usize;
        if bits < RSA_BITS {
            tracing::warn!(bits, "an RSA key of tokens is left out: {RSA_BITS} bits are the least");
            return None;
        }
    }
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
        signed(secret, json!({}), json!({}))
    }

    /// A token with these members of its header and its claims.
    fn signed(secret: &[u8; 32], header: serde_json::Value, more: serde_json::Value) -> String {
        let exp = get_current_timestamp() + 600;
        let mut claims =
            json!({"sub": "dr-lee", "iss": "i", "aud": "a", "exp": exp, "scope": "classify openid admin"});
        let mut header_ = json!({"alg": "HS256"});
        for (into, from) in [(&mut header_, header), (&mut claims, more)] {
            into.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        }
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header_), part(claims));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    #[test]
    fn keys_that_are_replaced_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        write(&file, &[1; 32], 1);
        let tokens = tokens(&file);
        let bearer = tokens.check(&token(&[1; 32])).unwrap();
        assert_eq!((bearer.subject.as_str(), bearer.scopes), ("dr-lee", vec![Scope::Classify, Scope::Admin]));

        write(&file, &[2; 32], 2);
        tokens.reload();
        assert!(tokens.check(&token(&[1; 32])).is_none());
        assert!(tokens.check(&token(&[2; 32])).is_some());

        for broken in ["{", "{\"keys\": []}"] {
            std::fs::write(&file, broken).unwrap();
            tokens.reload();
            assert!(tokens.check(&token(&[2; 32])).is_none(), "{broken}: a key may have been taken back");
            write(&file, &[2; 32], 3);
            tokens.reload();
            assert!(tokens.check(&token(&[2; 32])).is_some());
        }
        std::fs::remove_file(&file).unwrap();
        tokens.reload();
        assert!(tokens.check(&token(&[2; 32])).is_none(), "the file is gone");
    }

    fn tokens(file: &Path) -> Tokens {
        tokens_of(file, None)
    }

    fn tokens_of(file: &Path, tenant_claim: Option<String>) -> Tokens {
        let max_life = Duration::from_secs(3600);
        let (issuer, audience) = ("i".to_string(), "a".to_string());
        let keys = file.to_path_buf();
        Tokens::new(&TokenSource { keys, issuer, audience, max_life, tenant_claim }).unwrap()
    }

    #[test]
    fn a_claim_names_the_tenant_where_that_is_configured() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        write(&file, &[1; 32], 1);
        let of = |tokens: &Tokens, claims| {
            tokens.check(&signed(&[1; 32], json!({}), claims)).map(|bearer| bearer.tenant)
        };
        let north = || json!({"site": "north", "tenant": "other"});
        assert_eq!(of(&tokens(&file), north()).as_deref(), Some(""));
        let by_site = tokens_of(&file, Some("site".to_string()));
        assert_eq!(of(&by_site, north()).as_deref(), Some("north"));
        assert_eq!(of(&by_site, json!({})).as_deref(), Some(""));
        for odd in [json!(""), json!(null), json!(["north"]), json!(7)] {
            assert_eq!(of(&by_site, json!({"site": odd})), None);
        }
    }

    #[test]
    fn what_a_token_says_is_read_with_care() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        write(&file, &[1; 32], 1);
        let tokens = tokens(&file);
        let ask = |header, claims| tokens.check(&signed(&[1; 32], header, claims));
        let scopes = |claims| ask(json!({}), claims).unwrap().scopes;
        assert_eq!(scopes(json!({"scope": "", "scp": "openid write"})), [Scope::Write]);
        let both =
            |scope, scp| ask(json!({}), json!({"scope": scope, "scp": scp})).map(|bearer| bearer.scopes);
        let same = Some(vec![Scope::Write, Scope::Classify]);
        assert_eq!(both(json!("write  classify"), json!(["classify", "write"])), same);
        assert_eq!(both(json!("classify"), json!([])), Some(vec![Scope::Classify]));
        for (scope, scp) in
            [("classify", "write"), ("classify", "classify admin"), ("classify model=triage", "classify")]
        {
            assert_eq!(both(json!(scope), json!(scp)), None, "{scope} and {scp} differ");
        }
        let narrow = ask(json!({}), json!({"scope": "openid classify model=pneumonia"})).unwrap().models;
        assert!(narrow.include("pneumonia") && !narrow.include("triage"));
        assert!(!ask(json!({}), json!({"scope": "", "scp": ["model="]})).unwrap().models.include("triage"));
        for slip in ["Model=pneumonia", "model:pneumonia", "MODEL", "model-pneumonia"] {
            let models = ask(json!({}), json!({"scope": format!("classify {slip}")})).unwrap().models;
            assert!(!models.include("triage") && !models.include("pneumonia"), "{slip}");
        }
        assert!(ask(json!({}), json!({"scope": "classify modelling"})).unwrap().models.include("triage"));
        assert!(ask(json!({"crit": ["b64"], "b64": false}), json!({})).is_none());
        for unseen in ["a\nb", "a\u{202e}b", "a\u{200b}b", "a\u{feff}", "a\u{2028}b"] {
            assert!(ask(json!({}), json!({"sub": unseen})).is_none(), "{unseen:?} is shown as another name");
        }
        assert!(ask(json!({}), json!({"sub": "Zoë Łęcka 李"})).is_some());
        assert!(ask(json!({}), json!({"exp": get_current_timestamp() + 4000})).is_none(), "too long a life");
    }

    #[test]
    fn a_time_may_have_a_fraction() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        write(&file, &[1; 32], 1);
        let tokens = tokens(&file);
        let now = get_current_timestamp() as f64;
        let ask = |claims| tokens.check(&signed(&[1; 32], json!({}), claims)).is_some();
        assert!(ask(json!({"exp": now + 300.5, "nbf": now - 10.5, "iat": now - 10.25})));
        for wrong in [
            json!({"exp": now - 300.5}),
            json!({"exp": now + 4000.5}),
            json!({"nbf": now + 300.5}),
            json!({"exp": 1e300}),
            json!({"exp": -1.5}),
            json!({"exp": (now + 300.0).to_string()}),
        ] {
            assert!(!ask(wrong.clone()), "{wrong}");
        }
    }

    #[test]
    fn a_token_for_a_service_is_for_that_service() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        write(&file, &[1; 32], 1);
        let tokens = tokens(&file);
        let only = |aud| tokens.check(&signed(&[1; 32], json!({}), json!({"aud": aud}))).map(|one| one.only);
        let sign = "/cds-services/medserve-order-sign".to_string();
        assert_eq!(only(json!(format!("a{sign}"))), Some(vec![sign.clone()]));
        assert_eq!(only(json!(["else", format!("a{sign}")])), Some(vec![sign.clone()]));
        assert_eq!(only(json!([format!("a{sign}"), "a"])), Some(Vec::new()));
        assert_eq!(only(json!("else")), None);
    }

    #[test]
    fn a_weak_key_is_left_out() {
        let modulus = |bytes: usize| URL_SAFE_NO_PAD.encode([&[0][..], &vec![0xff; bytes]].concat());
        assert!(usable(json!({"kty": "RSA", "e": "AQAB", "n": modulus(128)})).is_none());
        assert!(usable(json!({"kty": "RSA", "e": "AQAB", "n": modulus(256)})).is_some());
    }
}
