//! Entity tags and the requests that depend on them (RFC 9110, sections 8.8.3 and 13).
//!
//! A tag is a digest of the representation, so it changes whenever that does and needs no column of
//! its own. Who changes a record sends the tag of what was read in `If-Match`; where somebody else
//! was faster, nothing is written, and no allergy that they added is lost.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Problem;

/// A resource as it is sent, and its tag.
pub struct Representation {
    body: Vec<u8>,
    tag: String,
}

impl Representation {
    /// The JSON of a resource.
    ///
    /// # Errors
    /// 500 where it cannot be written.
    pub fn new(resource: &impl Serialize) -> Result<Representation, Problem> {
        let body = serde_json::to_vec(resource).map_err(|_| Problem::internal())?;
        let tag = hex::encode(&Sha256::digest(&body)[..16]);
        Ok(Representation { body, tag })
    }

    /// The answer to a read: 304 where the client has it already.
    pub fn answer(self, conditions: &Conditions) -> Response {
        let tag = [(header::ETAG, format!("\"{}\"", self.tag))];
        if conditions.hold(&self.tag) {
            return (StatusCode::NOT_MODIFIED, tag).into_response();
        }
        (tag, [(header::CONTENT_TYPE, "application/json")], self.body).into_response()
    }
}

/// `If-Match` and `If-None-Match` of a request.
#[derive(Debug, Default)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

impl Conditions {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Whether the client has this state already.
    pub fn hold(&self, tag: &str) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| tags.hold(tag))
    }

    /// Whether a write may go ahead over what is there now, if anything is.
    pub fn allow(&self, current: Option<&impl Serialize>) -> bool {
        let Ok(current) = current.map(Representation::new).transpose() else { return false };
        let tag = current.as_ref().map(|current| current.tag.as_str());
        let held = |tags: &Tags| tag.is_some_and(|tag| tags.hold(tag));
        self.if_match.as_ref().is_none_or(held) && !self.if_none_match.as_ref().is_some_and(held)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Conditions {
            // A weak tag never matches here: it may stand for something else in its details.
            if_match: Tags::read(&parts.headers, header::IF_MATCH, false)?,
            if_none_match: Tags::read(&parts.headers, header::IF_NONE_MATCH, true)?,
        })
    }
}

/// The tags of one header.
#[derive(Debug, PartialEq)]
enum Tags {
    /// `*`: anything that is there.
    Any,
    /// One of these.
    Of(Vec<String>),
}

impl Tags {
    fn hold(&self, tag: &str) -> bool {
        match self {
            Tags::Any => true,
            Tags::Of(tags) => tags.iter().any(|other| other == tag),
        }
    }

    fn read(headers: &HeaderMap, name: HeaderName, weak: bool) -> Result<Option<Tags>, Problem> {
        let mut tags = Vec::new();
        let mut present = false;
        for value in headers.get_all(&name) {
            present = true;
            let text = value.to_str().unwrap_or_default().trim();
            if text == "*" {
                return Ok(Some(Tags::Any));
            }
            for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                let (strong, quoted) = tag.strip_prefix("W/").map_or((true, tag), |quoted| (false, quoted));
                let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                let inner = inner.ok_or_else(|| {
                    let detail =
                        format!("the header {name} must be * or tags between quotes, as an ETag has them");
                    Problem::bad_request(detail)
                })?;
                if strong || weak {
                    tags.push(inner.to_string());
                }
            }
        }
        Ok(present.then_some(Tags::Of(tags)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str, weak: bool) -> Result<Option<Tags>, Problem> {
        let headers = HeaderMap::from_iter([(header::IF_MATCH, value.parse().unwrap())]);
        Tags::read(&headers, header::IF_MATCH, weak)
    }

    #[test]
    fn tags_are_read_as_rfc_9110_writes_them() {
        let of = |tags: &[&str]| Tags::Of(tags.iter().map(ToString::to_string).collect());
        assert_eq!(read("*", false).unwrap(), Some(Tags::Any));
        assert_eq!(read("\"a\", \"b\"", false).unwrap(), Some(of(&["a", "b"])));
        assert_eq!(read("W/\"a\", \"b\"", false).unwrap(), Some(of(&["b"])));
        assert_eq!(read("W/\"a\"", true).unwrap(), Some(of(&["a"])));
        assert_eq!(Tags::read(&HeaderMap::new(), header::IF_MATCH, false).unwrap(), None);
        for bad in ["a", "\"a", "W/a", "\"a\", b"] {
            assert_eq!(read(bad, false).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }
}
