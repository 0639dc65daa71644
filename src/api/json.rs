//! JSON bodies, read strictly.
//!
//! Parsers of JSON are lenient where it harms: of two members of one name most keep the last, and
//! serde fills an object from an array by the order of its members. A client that sends such a body
//! means something else than would be stored, and an allergy gets lost. So both are refused.
//!
//! A large body takes its time, and some times its size in memory: it is read on a thread for such
//! work, and only so many at a time.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use memchr::memchr2;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_path_to_error::Segment;
use tokio::sync::Semaphore;

use super::Problem;
use super::error::FieldError;
use super::strict::Strict;

/// Objects and arrays within each other that are looked into; the parser refuses more.
const DEPTH: usize = 128;

/// Bytes of a body that are read at once where it came in.
const SMALL: usize = 32 << 10;

/// Large bodies that are read at a time.
static LARGE: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// Reads a body by `read`, on a thread of its own where it is large.
///
/// # Errors
/// As `read`.
pub async fn off_thread<T: Send + 'static>(
    bytes: bytes::Bytes,
    read: impl FnOnce(&[u8]) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if bytes.len() <= SMALL {
        return read(&bytes);
    }
    let permit = LARGE.acquire().await.map_err(|_| Problem::internal())?;
    let read = move || {
        let value = read(&bytes);
        drop(permit);
        value
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| Problem::internal())?
}

/// A list of at most `MOST` elements, and of a longer one the first one beyond: who asked for no more
/// than that refuses it, and the rest takes no memory.
///
/// # Errors
/// It is no list.
pub fn at_most<'de, D: Deserializer<'de>, T: DeserializeOwned, const MOST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct AtMost<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: DeserializeOwned, const MOST: usize> Visitor<'de> for AtMost<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let mut read = Vec::new();
            while let Some(element) = elements.next_element()? {
                read.push(element);
                if read.len() > MOST {
                    while elements.next_element::<IgnoredAny>()?.is_some() {}
                    break;
                }
            }
            Ok(read)
        }
    }

    deserializer.deserialize_seq(AtMost::<T, MOST>(PhantomData))
}

/// Reads JSON.
///
/// # Errors
/// 400 for what is not JSON or has a member twice, 422 that points to the place for JSON of another
/// shape.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let text = sound_text(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(Strict(&mut deserializer)).map_err(|error| {
        let inner = error.inner();
        match inner.classify() {
            // A member may have been refused before the text broke off: then it is no JSON at all.
            Category::Data if is_json(text) => {
                let detail = plain(&inner.to_string());
                let errors = vec![FieldError { pointer: pointer(error.path()), detail }];
                Problem {
                    errors,
                    ..Problem::unprocessable("the body does not have the shape that is asked for")
                }
            }
            Category::Data => Problem::bad_request("the body is not JSON: it breaks off or is malformed"),
            _ => Problem::bad_request(format!("the body is not JSON: {inner}")),
        }
    })?;
    deserializer.end().map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?;
    Ok(value)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The text of a body in which no object has a member twice.
///
/// # Errors
/// 400 for what is not UTF-8 or has a member twice. Whether it is JSON is the parser's to say.
pub fn sound_text(bytes: &[u8]) -> Result<&str, Problem> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(Problem::bad_request("the body is not UTF-8"));
    };
    if let Some(pointer) = repeated_member(text) {
        return Err(Problem::bad_member(&pointer, "an object has this member twice; send it once"));
    }
    Ok(text)
}

/// An object or an array that has begun and not ended.
enum Level<'a> {
    Object { seen: HashSet<Cow<'a, str>>, member: Option<Cow<'a, str>> },
    Array { index: usize },
}

/// The JSON pointer of the first member that an object has twice. In what is not JSON none is found:
/// that is the parser's to say.
fn repeated_member(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut levels: Vec<Level> = Vec::new();
    // Whether the next string is the name of a member.
    let mut at_name = false;
    let mut at = 0;
    while let Some(step) = bytes.get(at..)?.iter().position(|byte| b"\"{}[],".contains(byte)) {
        at += step;
        match bytes[at] {
            b'"' => {
                let end = end_of_string(bytes, at + 1)?;
                if let (true, Some(Level::Object { seen, member })) = (at_name, levels.last_mut()) {
                    let name = name(text.get(at..=end)?)?;
                    if !seen.insert(name.clone()) {
                        *member = Some(name);
                        return Some(levels.iter().map(step_of).collect());
                    }
                    *member = Some(name);
                    at_name = false;
                }
                at = end;
            }
            b'{' => {
                levels.push(Level::Object { seen: HashSet::new(), member: None });
                at_name = true;
            }
            b'[' => {
                levels.push(Level::Array { index: 0 });
                at_name = false;
            }
            b',' => match levels.last_mut()? {
                Level::Object { .. } => at_name = true,
                Level::Array { index } => *index += 1,
            },
            _ => {
                levels.pop()?;
                at_name = false;
            }
        }
        if levels.len() > DEPTH {
            return None;
        }
        at += 1;
    }
    None
}

/// Where the string ends whose content begins at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// A member's name as it reads, from its text between quotes.
fn name(quoted: &str) -> Option<Cow<'_, str>> {
    match quoted.contains('\\') {
        true => serde_json::from_str::<String>(quoted).ok().map(Cow::Owned),
        false => quoted.get(1..quoted.len() - 1).map(Cow::Borrowed),
    }
}

fn step_of(level: &Level) -> String {
    match level {
        Level::Object { member, .. } => format!("/{}", escaped(member.as_deref().unwrap_or_default())),
        Level::Array { index } => format!("/{index}"),
    }
}

/// The JSON pointer (RFC 6901) of a path.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escaped(key)),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}

pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Serde's message without its "at line 1 column 2", in the words of JSON, and with no more of a
/// value than says what kind it was: the value may be a note.
fn plain(message: &str) -> String {
    let text = message.split(" at line ").next().unwrap_or(message);
    let wrong = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        return format!("must be {}, and is {}", in_words(expected), found_in_words(found, expected));
    }
    match text.split_once("unknown variant ").and_then(|(_, rest)| rest.rsplit_once(", expected ")) {
        Some((_, expected)) => format!("must be {}", expected.replace('`', "\"")),
        None => text.to_string(),
    }
}

/// What stands there: of a number where one is asked for, that it is another than that.
fn found_in_words<'a>(found: &'a str, expected: &str) -> &'a str {
    match in_words(found) {
        "a number" if in_words(expected).contains("number") => "a number that does not fit",
        words => words,
    }
}

/// What serde calls a kind of value, as people who write JSON do.
fn in_words(kind: &str) -> &str {
    let word = kind.strip_prefix("a ").filter(|kind| ["sequence", "map"].contains(kind)).unwrap_or(kind);
    match word.split([' ', '`', '"']).next().unwrap_or(kind) {
        "sequence" => "an array",
        "map" => "an object",
        "string" => "a string",
        "boolean" => "true or false",
        "null" | "unit" => "null",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "i32" | "i64" => "a whole number",
        "u32" | "u64" | "usize" => "a whole number from 0 upwards",
        "f32" | "f64" | "integer" | "floating" => "a number",
        _ => kind,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Row {
        #[allow(dead_code)]
        age: u8,
    }

    #[test]
    fn the_place_is_a_pointer_and_the_value_is_not_repeated() {
        let problem = parse::<Vec<Row>>(br#"[{"age": 3}, {"age": "a secret"}]"#).unwrap_err();
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem.errors[0].pointer, "/1/age");
        assert_eq!(problem.errors[0].detail, "must be a whole number from 0 to 255, and is a string");
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        for bad in
            [&b"["[..], b"[] []", b"\xff", b"", b"\"", b"\"\\", b"}", b",", "[".repeat(100_000).as_bytes()]
        {
            assert_eq!(parse::<Value>(bad).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Green,
        Blue,
    }

    #[test]
    fn a_value_that_is_no_word_of_an_enum_has_its_place_and_kind() {
        for (value, found) in
            [("null", "null"), ("5", "a number"), ("[]", "an array"), ("true", "true or false")]
        {
            let text = format!(r#"[{{"a": "red"}}, {{"a": {value}}}]"#);
            let problem =
                parse::<Vec<std::collections::HashMap<String, Colour>>>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY, "{value}");
            assert_eq!(problem.errors[0].pointer, "/1/a", "{value}");
            assert_eq!(
                problem.errors[0].detail,
                format!("must be \"red\", \"green\" or \"blue\", and is {found}")
            );
        }
        let problem = parse::<Colour>(b"{}").unwrap_err();
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:?}");
        assert!(parse::<Colour>(br#""pink""#).unwrap_err().errors[0].detail.starts_with("must be one of"));
        assert_eq!(parse::<Colour>(br#""gr\u0065en""#), Ok(Colour::Green));
        assert_eq!(parse::<Option<Colour>>(b"null"), Ok(None));
        let detail = |text: &str| parse::<Vec<u8>>(text.as_bytes()).unwrap_err().errors[0].detail.clone();
        assert_eq!(detail("null"), "must be an array, and is null");
        assert_eq!(
            detail("[1, 300]"),
            "must be a whole number from 0 to 255, and is a number that does not fit"
        );
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_nothing() {
        assert_eq!(parse::<Vec<u16>>(b"[1970.0, 1e2, 7]").unwrap(), [1970, 100, 7]);
        assert_eq!(parse::<Option<i64>>(b"-3.0").unwrap(), Some(-3));
        for bad in ["[1970.5]", "[-1.0]", "[70000.0]", "[1e300]", "[null]", "[\"1\"]"] {
            let problem = parse::<Vec<u16>>(bad.as_bytes()).unwrap_err();
            assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
            assert!(problem.errors[0].detail.starts_with("must be a whole number"), "{bad}: {problem:?}");
        }
    }

    #[test]
    fn what_breaks_off_after_an_unknown_member_is_no_json() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Closed {}
        assert_eq!(parse::<Closed>(br#"{"a":"#).unwrap_err().status, StatusCode::BAD_REQUEST);
        assert_eq!(parse::<Closed>(br#"{"a": 1}"#).unwrap_err().status, StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn an_array_is_no_object() {
        for (text, pointer) in [("[[3]]", "/0"), ("[[]]", "/0"), (r#"[{"age": 3}, [4]]"#, "/1")] {
            let problem = parse::<Vec<Row>>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
            assert_eq!(problem.errors[0].pointer, pointer, "{text}");
            assert_eq!(problem.errors[0].detail, "must be an object, and is an array", "{text}");
        }
        let problem = parse::<Row>(b"7").unwrap_err();
        assert!(problem.errors[0].detail.starts_with("must be an object"), "{problem:?}");
    }

    #[test]
    fn a_member_that_comes_twice_is_named_wherever_it_is() {
        for (text, pointer) in [
            (r#"{"a": 1, "a": 1}"#, "/a"),
            (r#"{"a": {"b": [0, {"c": 1, "d": 2, "c": 3}]}}"#, "/a/b/1/c"),
            (r#"[{}, {"x/y": "a", "x\/y": "b"}]"#, "/1/x~1y"),
            (r#"{"\u0061": 1, "b": "\"a\":", "a": 2}"#, "/a"),
            (r#"{"": [], "": []}"#, "/"),
        ] {
            let problem = parse::<Value>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{text}");
            assert_eq!(problem.errors[0].pointer, pointer, "{text}");
        }
    }

    #[test]
    fn the_same_name_in_two_objects_is_no_repetition() {
        for text in [
            r#"{"a": {"a": {"a": 1}}, "b": {"a": 2}}"#,
            r#"[{"a": 1}, {"a": 1}]"#,
            r#"{"a": "a", "b": "a", "c": ["a", "a"]}"#,
            r#"{"a\\": 1, "a": "\\\"", "b": "}{\"a\":"}"#,
        ] {
            assert_eq!(
                parse::<Value>(text.as_bytes()).unwrap(),
                serde_json::from_str::<Value>(text).unwrap()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn sound_json_is_read_as_ever(words in proptest::collection::vec("\\PC{0,6}", 0..8)) {
            let object: serde_json::Map<String, Value> =
                words.iter().map(|word| (word.clone(), serde_json::json!([word, {"a": word}]))).collect();
            let value = Value::Object(object);
            proptest::prop_assert_eq!(parse::<Value>(value.to_string().as_bytes()), Ok(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:\\\\a1 é]{0,40}") {
            let _ = parse::<Value>(text.as_bytes());
        }
    }
}
