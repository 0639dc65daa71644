//! What an entry of a Bundle asks for (Bundle.entry.request), and how many entries a Bundle may have.
//!
//! An id stands twice, in the request's address and in the resource: R4 (http.html#update) wants them to be the same, as
//! otherwise nobody can say which person is meant. A conditional create (`ifNoneExist`) names a resource by an identifier,
//! so that an interface that sends a message again makes no second person.

use std::fmt;
use std::marker::PhantomData;

use recommend::Millis;
use recommend::clock::parse_time;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::bundle::{Entry, FhirError, Method, has_come};
use super::references::local;

/// Bundle.entry.request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    method: Option<String>,
    url: Option<String>,
    if_none_exist: Option<String>,
    if_match: Option<IgnoredAny>,
    if_none_match: Option<IgnoredAny>,
}

/// When Bundle.entry.response says that it was done.
pub(super) fn last_modified(answer: &str) -> Option<Millis> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answered {
        last_modified: String,
    }
    let answered: Answered = serde_json::from_str(answer).ok()?;
    parse_time(answered.last_modified.trim()).filter(|time| has_come(*time))
}

impl Asked {
    pub(super) fn method(&self) -> Method {
        match self.method.as_deref() {
            Some("POST") => Method::Post,
            Some("PUT") => Method::Put,
            _ => Method::Other,
        }
    }

    /// The resource that was deleted: `AllergyIntolerance/7`.
    pub(super) fn deleted(&self) -> Option<String> {
        let url = self.url.as_deref().filter(|_| self.method.as_deref() == Some("DELETE"))?;
        Some(local(url).to_owned())
    }

    /// Puts into an entry what is asked for; the entry is refused where it is something else than its resource.
    pub(super) fn ask(self, index: usize, entry: &mut Entry) {
        let method = self.method();
        entry.method = Some(method);
        if entry.resource.is_err() || method == Method::Other {
            return;
        }
        let path = || entry.kind.clone();
        let wrong = |code, detail: &str| Some(FhirError::at(index, path(), code, detail));
        let url = self.url.as_deref().unwrap_or_default();
        let (of, query) = url.split_once('?').unwrap_or((url, ""));
        let mut parts = of.trim_matches('/').rsplit('/');
        let (last, before) = (parts.next().unwrap_or_default(), parts.next());
        let refused = match (method, before) {
            _ if of.is_empty() && query.is_empty() => None,
            (Method::Put, Some(kind)) if query.is_empty() => match entry.id.as_deref() {
                _ if kind != entry.kind => {
                    wrong("value", "the request's url is of another type than the resource")
                }
                Some(id) if id != last => {
                    wrong("value", "the request's url has another id than the resource")
                }
                Some(_) => None,
                None => {
                    entry.id = Some(last.to_owned());
                    None
                }
            },
            _ if last != entry.kind => {
                wrong("value", "the request's url is of another type than the resource")
            }
            (Method::Put, _) if query.is_empty() => None,
            (Method::Put, _) => {
                wrong("not-supported", "a conditional update is not read; give the resource its id")
            }
            _ => None,
        };
        // Resources have no versions here. What is made conditional on one must not be done without it.
        let refused = match (self.if_match, self.if_none_match) {
            (None, None) => refused,
            _ => refused.or_else(|| {
                wrong(
                    "not-supported",
                    "no versions are kept of resources: ifMatch and ifNoneMatch cannot be honoured",
                )
            }),
        };
        let refused = match (refused, self.if_none_exist.as_deref()) {
            (None, Some(search)) => {
                entry.if_none = identifier(search);
                match entry.if_none {
                    Some(_) => None,
                    None => wrong(
                        "not-supported",
                        "of ifNoneExist a search by one identifier is read: identifier=system|value",
                    ),
                }
            }
            (refused, _) => refused,
        };
        if let Some(error) = refused {
            entry.resource = Err(error);
        }
    }
}

/// The identifier of a search by nothing else.
fn identifier(search: &str) -> Option<String> {
    let search = search.split_once('?').map_or(search, |(_, query)| query);
    one_identifier(search.strip_prefix("identifier=")?)
}

/// The one identifier that a search asks for: with its system, without which it may be anybody's.
pub(super) fn one_identifier(asked: &str) -> Option<String> {
    let asked = decoded(asked);
    let (system, value) = asked.split_once('|').map(|(system, value)| (system.trim(), value.trim()))?;
    // With commas it is a search for any of several.
    let one = !asked.contains(['&', ',']) && !system.is_empty() && !value.is_empty();
    one.then(|| format!("{system}|{value}"))
}

/// A part of an address without percent-encoding; as it is where it is not sound.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// A list that ends with an error as soon as it is too long, before it takes memory.
pub(super) fn few_entries<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T, const MOST: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() == MOST {
                    return Err(A::Error::invalid_length(entries.len(), &self));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_seq(Few::<T, MOST>(PhantomData))
}

/// Whether a list was too long.
pub(super) fn too_many(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with("invalid length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_out_of_a_search() {
        for (search, value) in [
            ("identifier=urn:mrn|7", Some("urn:mrn|7")),
            ("Patient?identifier=urn%3Amrn%7C7", Some("urn:mrn|7")),
            ("identifier=a|7&birthdate=1950", None),
            ("identifier=a|7,a|8", None),
            ("identifier=7", None),
            ("identifier=|7", None),
            ("identifier=a|", None),
            ("identifier=|", None),
            ("name=Doe", None),
        ] {
            assert_eq!(identifier(search).as_deref(), value, "{search}");
        }
        assert_eq!(decoded("50%25%zz%4"), "50%%zz%4");
        assert_eq!(decoded("%ff"), "%ff", "no UTF-8");
    }
}
