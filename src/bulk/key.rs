//! The private key by which this server shows who it is (SMART App Launch 2.2, asymmetric client authentication): a JWK
//! of a file, and the assertion that it signs.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{self, KeyPairComponents, PublicKeyComponents};
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA384};
use serde::Deserialize;
use serde_json::json;

/// How long an assertion is good for, in seconds; SMART allows five minutes.
const LIFE: u64 = 240;

/// A key with its id.
pub struct ClientKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Es384(Box<EcdsaKeyPair>),
    Rs384(Box<rsa::KeyPair>),
}

/// A private JWK (RFC 7517), as far as it is read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    crv: Option<String>,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    d: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    p: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    dp: String,
    #[serde(default)]
    dq: String,
    #[serde(default)]
    qi: String,
}

impl ClientKey {
    /// Reads a file. Nothing of it is repeated.
    ///
    /// # Errors
    /// It cannot be read, or is no key of one of the two kinds that SMART asks for.
    pub fn read(file: &Path) -> Result<ClientKey, String> {
        let named = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
        let jwk: Jwk = serde_json::from_str(&text).map_err(|_| {
            named(&"it holds no JWK: an object with kty, kid and the members of a private key")
        })?;
        ClientKey::of(&jwk).map_err(|what| named(&what))
    }

    fn of(jwk: &Jwk) -> Result<ClientKey, &'static str> {
        let id = jwk.kid.clone().ok_or("the key has no kid, by which the authorization server finds it")?;
        let unsound = "the members of the key are not those of a private key, or do not fit together";
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| unsound);
        let pair = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-384")) => {
                let public = [&[4][..], &bytes(&jwk.x)?, &bytes(&jwk.y)?].concat();
                let (kind, random) = (&ECDSA_P384_SHA384_FIXED_SIGNING, SystemRandom::new());
                EcdsaKeyPair::from_private_key_and_public_key(kind, &bytes(&jwk.d)?, &public, &random)
                    .map(|pair| Pair::Es384(Box::new(pair)))
                    .map_err(|_| unsound)?
            }
            ("RSA", _) => {
                let components = KeyPairComponents {
                    public_key: PublicKeyComponents { n: bytes(&jwk.n)?, e: bytes(&jwk.e)? },
                    d: bytes(&jwk.d)?,
                    p: bytes(&jwk.p)?,
                    q: bytes(&jwk.q)?,
                    dP: bytes(&jwk.dp)?,
                    dQ: bytes(&jwk.dq)?,
                    qInv: bytes(&jwk.qi)?,
                };
                let pair = rsa::KeyPair::from_components(&components).map_err(|_| unsound)?;
                Pair::Rs384(Box::new(pair))
            }
            _ => {
                return Err(
                    "the key is of another kind; accepted are EC with the curve P-384 (ES384) and RSA (RS384)",
                );
            }
        };
        Ok(ClientKey { id, pair })
    }

    /// The assertion of `client` for `audience` at `now`, in seconds since 1970; `name` tells it from all others.
    ///
    /// # Errors
    /// There was no randomness.
    pub fn assertion(&self, client: &str, audience: &str, now: u64, name: &str) -> Result<String, String> {
        let algorithm = match self.pair {
            Pair::Es384(_) => "ES384",
            Pair::Rs384(_) => "RS384",
        };
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"alg": algorithm, "kid": self.id, "typ": "JWT"}));
        let claims = part(json!({"iss": client, "sub": client, "aud": audience, "jti": name,
            "iat": now, "exp": now + LIFE}));
        let signed = format!("{head}.{claims}");
        let failed = |_| "the assertion could not be signed".to_string();
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es384(pair) => pair.sign(&random, signed.as_bytes()).map_err(failed)?.as_ref().to_vec(),
            Pair::Rs384(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA384, &random, signed.as_bytes(), &mut signature).map_err(failed)?;
                signature
            }
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
