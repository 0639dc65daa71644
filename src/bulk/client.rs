//! A client of FHIR Bulk Data Access (2.0) with SMART Backend Services: tokens, patience, and bounds.
//!
//! It speaks with two addresses, both configured: that of tokens and that of the FHIR server. Whatever the server names
//! (where to ask for the state, where the files lie) must have the server's own scheme, host and port, and a redirect is
//! not followed, so that no token and no record goes elsewhere.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::key::ClientKey;
use crate::config::BulkConfig;
use crate::outbound::Http;

/// Longest time for one answer.
const LIMIT: Duration = Duration::from_secs(300);
/// Most bytes of an answer that is no file.
const MOST: usize = 4 << 20;
/// A token is renewed so long before its end.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a token of which nothing is said is good for.
const LIFE: u64 = 300;
/// Pause where the server asks for one and does not say how long, and the longest that it can ask for.
const PAUSE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);
/// How often one request waits for the server.
const WAITS: usize = 20;

/// Why records were not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Somebody cannot be reached, or has a fault of its own.
    #[error("{0}")]
    Unreached(String),
    /// Somebody says no.
    #[error("{0}")]
    Refused(String),
    /// The answer leads to another address.
    #[error("{0}; only the configured server is asked")]
    Elsewhere(&'static str),
    /// An answer is not what it should be.
    #[error("{0}")]
    Unsound(String),
    /// The records cannot be taken in, or not now.
    #[error("{0}")]
    Store(String),
}

/// A token that was given.
struct Token {
    text: String,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
}

/// A FHIR server, as this program knows it.
pub struct Hospital {
    config: BulkConfig,
    key: ClientKey,
    http: Http,
    token: Option<Token>,
}

/// How long to wait for the server; called before each wait.
pub trait Patience {
    /// The wait begins.
    fn wait(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

impl Hospital {
    /// The server of this configuration, to which this key is known.
    pub fn new(config: BulkConfig, key: ClientKey, http: Http) -> Hospital {
        Hospital { config, key, http, token: None }
    }

    /// Its configuration.
    pub fn config(&self) -> &BulkConfig {
        &self.config
    }

    /// A token that is still good, or a new one.
    async fn token(&mut self) -> Result<String, PullError> {
        if let Some(token) = self.token.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.text.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let name = format!("{:032x}", rand::random::<u128>());
        let (client, address) = (&self.config.client_id, &self.config.token_url);
        let assertion = self.key.assertion(client, address, now, &name).map_err(PullError::Unreached)?;
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", self.config.scope.as_str()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.as_str()),
        ];
        let form = form.map(|(name, value)| format!("{name}={}", encoded(value))).join("&");
        let request = Request::post(address)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(form))
            .map_err(|error| PullError::Unsound(error.to_string()))?;
        let answer = self.exchange(request, MOST).await?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(PullError::Elsewhere("the authorization server redirects"));
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let words = format!("the authorization server answered {}", status.as_u16());
            return Err(PullError::Unreached(words));
        }
        if !status.is_success() {
            let said = serde_json::from_slice::<TokenRefusal>(answer.body()).ok().map(|said| said.error);
            let code = said.filter(|code| {
                code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            });
            let code = code.map(|code| format!(", {code}")).unwrap_or_default();
            let words =
                format!("the authorization server does not know this client ({}{code})", status.as_u16());
            return Err(PullError::Refused(words));
        }
        let given: TokenAnswer = json_of(&answer, "a token")?;
        if !given.token_type.eq_ignore_ascii_case("bearer") {
            return Err(PullError::Unsound("the authorization server gave no bearer token".to_string()));
        }
        let life = Duration::from_secs(given.expires_in.unwrap_or(LIFE).min(86_400));
        let until = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
        self.token = Some(Token { text: given.access_token.clone(), until });
        Ok(given.access_token)
    }

    async fn exchange(&self, request: Request<Bytes>, most: usize) -> Result<Response<Bytes>, PullError> {
        match timeout(LIMIT, self.http.send(request, most)).await {
            Ok(answer) => answer.map_err(|error| PullError::Unreached(error.to_string())),
            Err(_) => Err(PullError::Unreached("the server did not answer in time".to_string())),
        }
    }

    /// Asks the FHIR server: with a token, anew with a fresh one where that is refused, and again after a while where the
    /// server asks for patience.
    ///
    /// # Errors
    /// There is no answer, or one of somebody else.
    pub async fn ask(
        &mut self,
        (method, url): (&Method, &str),
        headers: &[(&'static str, &str)],
        most: usize,
        patience: &impl Patience,
    ) -> Result<Response<Bytes>, PullError> {
        if !self.is_own(url) {
            return Err(PullError::Elsewhere("the server names an address of another server"));
        }
        let mut renewed = false;
        for _ in 0..WAITS {
            let token = self.token().await?;
            let mut request = Request::builder()
                .method(method.clone())
                .uri(url)
                .header(header::AUTHORIZATION, format!("Bearer {token}"));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request =
                request.body(Bytes::new()).map_err(|error| PullError::Unsound(error.to_string()))?;
            let answer = self.exchange(request, most).await?;
            match answer.status() {
                StatusCode::UNAUTHORIZED if !renewed => {
                    renewed = true;
                    self.token = None;
                }
                StatusCode::UNAUTHORIZED => {
                    self.token = None;
                    let words = "the server refuses the token that its authorization server gave (401)";
                    return Err(PullError::Refused(words.to_string()));
                }
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    patience.wait(retry_after(answer.headers())).await;
                }
                status if status.is_redirection() => {
                    return Err(PullError::Elsewhere("the server redirects"));
                }
                _ => return Ok(answer),
            }
        }
        Err(PullError::Unreached("the server asked for patience again and again".to_string()))
    }

    /// Whether an address is of the configured server.
    fn is_own(&self, url: &str) -> bool {
        let origin = |text: &str| {
            let uri: Uri = text.parse().ok()?;
            let port = uri.port_u16().or(match uri.scheme_str()? {
                "https" => Some(443),
                "http" => Some(80),
                _ => None,
            });
            let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
            plain.then(|| (uri.scheme_str().map(str::to_string), uri.host().map(str::to_lowercase), port))
        };
        let own = origin(&self.config.server);
        own.is_some() && own == origin(url)
    }
}

/// The pause that a server asks for, in seconds; a date is not read.
pub fn retry_after(headers: &HeaderMap) -> Duration {
    let said = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    said.map_or(PAUSE, Duration::from_secs).clamp(Duration::from_secs(1), LONGEST)
}

/// As a form and a query have it.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The JSON of an answer, of which nothing is repeated.
pub fn json_of<T: DeserializeOwned>(answer: &Response<Bytes>, what: &str) -> Result<T, PullError> {
    serde_json::from_slice(answer.body())
        .map_err(|_| PullError::Unsound(format!("what the server answered is not {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_what_the_server_asks_for_within_reason() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static(text));
            retry_after(&headers).as_secs()
        };
        assert_eq!([of("7"), of("0"), of("999999"), of("soon")], [7, 1, 3600, 10]);
        assert_eq!(retry_after(&HeaderMap::new()), PAUSE);
        assert_eq!(encoded("system/*.rs a"), "system%2F%2A%2Ers%20a");
    }
}
