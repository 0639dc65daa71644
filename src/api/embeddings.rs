//! `POST /v1/embeddings`: vectors of texts, in the shape of OpenAI's API, so that its clients work unchanged.

use std::fmt;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::Answered;
use super::classify::{find_model, timed};
use super::error::FieldError;
use super::extract::{Body, Parameters};
use super::identity::Caller;
use super::{AppState, Deadline, Problem};
use crate::inference::EmbedError;
use crate::inference::registry::Served;
use model::manifest::Task;
use text::vectors::to_unit;

/// Most texts of one request.
const MAX_INPUTS: usize = 10_000;
/// Most bytes of one text.
const MAX_BYTES: usize = 1 << 20;

/// Parameters of a request for vectors: none.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EmbeddingsParameters {}

/// Texts to make vectors of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsRequest {
    /// Name of the model; may be left out where only one fits.
    #[schema(example = "medical-vectors")]
    pub model: Option<String>,
    /// A text, or an array of 1 to 10,000 texts. Arrays of token numbers are refused: they are another tokenizer's.
    #[schema(value_type = EmbeddingsInput)]
    pub input: Input,
    /// "float" (the default) for arrays of numbers; "base64" for 32-bit floating-point numbers, lowest byte first.
    #[schema(value_type = Option<EncodingFormat>)]
    pub encoding_format: Option<String>,
    /// Fewer values than the model gives: the first ones, brought to length 1 again.
    #[schema(minimum = 1)]
    pub dimensions: Option<usize>,
    /// Read by nobody and kept nowhere; clients of OpenAI's may send it.
    pub user: Option<String>,
}

/// What `input` may be.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingsInput {
    /// One text.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// How vectors are written.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// Arrays of numbers.
    Float,
    /// The bytes of 32-bit floating-point numbers, lowest first, in base64.
    Base64,
}

/// The member `input` as it came: read by hand, so that what is wrong can be said at its place and no more
/// of a long array is kept than is accepted.
#[derive(Debug, PartialEq)]
pub enum Input {
    /// One text.
    One(String),
    /// Texts, with what each element that is none is instead.
    Several(Vec<Result<String, &'static str>>),
    /// Something else, in words.
    Other(&'static str),
}

/// An element of an array, or the whole.
struct Element(Result<String, &'static str>);

macro_rules! no_texts {
    ($($method:ident($type:ty) $words:literal),* $(,)?) => {$(
        fn $method<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Self::Value::other($words))
        }
    )*};
}

trait Other {
    fn other(words: &'static str) -> Self;
}

impl Other for Element {
    fn other(words: &'static str) -> Element {
        Element(Err(words))
    }
}

impl Other for Input {
    fn other(words: &'static str) -> Input {
        Input::Other(words)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a string")
    }

    no_texts! { visit_bool(bool) "true or false", visit_u64(u64) "a number", visit_i64(i64) "a number", visit_f64(f64) "a number" }

    fn visit_unit<E>(self) -> Result<Element, E> {
        Ok(Element::other("null"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Element, E> {
        Ok(Element(Ok(text.to_string())))
    }

    fn visit_string<E>(self, text: String) -> Result<Element, E> {
        Ok(Element(Ok(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Element, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Element::other("an array"))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Element, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Element::other("an object"))
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Element, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a string or an array of strings")
    }

    no_texts! { visit_bool(bool) "true or false", visit_u64(u64) "a number", visit_i64(i64) "a number", visit_f64(f64) "a number" }

    fn visit_unit<E>(self) -> Result<Input, E> {
        Ok(Input::other("null"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Input, E> {
        Ok(Input::One(text.to_string()))
    }

    fn visit_string<E>(self, text: String) -> Result<Input, E> {
        Ok(Input::One(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Input, A::Error> {
        let mut read = Vec::new();
        while let Some(Element(element)) = elements.next_element()? {
            read.push(element);
            if read.len() > MAX_INPUTS {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(Input::Several(read))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Input, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Input::other("an object"))
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Input, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

/// A vector as it is written.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// Numbers.
    Numbers(Vec<f32>),
    /// Bytes in base64.
    Base64(String),
}

/// The vector of one text.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingEntry {
    /// Always "embedding".
    #[schema(example = "embedding")]
    pub object: &'static str,
    /// Place of its text in the request, from 0.
    #[schema(example = 0)]
    pub index: usize,
    /// Of length 1; all zeros where there is nothing in the text that the model reads.
    pub embedding: Vector,
}

/// What was read.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingsUsage {
    /// Words or tokens of all texts.
    #[schema(example = 5)]
    pub prompt_tokens: usize,
    /// The same.
    #[schema(example = 5)]
    pub total_tokens: usize,
}

/// The vectors of the texts of a request, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmbeddingsAnswer {
    /// Always "list".
    #[schema(example = "list")]
    pub object: &'static str,
    /// One entry a text.
    pub data: Vec<EmbeddingEntry>,
    /// The model that answered.
    #[schema(example = "medical-vectors")]
    pub model: String,
    /// Its version; vectors of another one cannot be compared with these.
    #[schema(example = "1")]
    pub version: String,
    /// What was read.
    pub usage: EmbeddingsUsage,
}

/// Vectors of one text, or several
///
/// Texts that mean the like have vectors whose product is high. In the shape of OpenAI's API, so that its clients
/// work unchanged. A request is answered whole or refused whole.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    operation_id = "create_embeddings",
    tag = "embeddings",
    params(EmbeddingsParameters),
    request_body(
        content = EmbeddingsRequest,
        example = json!({"model": "medical-vectors", "input": ["chest pain since this morning", "cardiac arrest"]}),
    ),
    responses(
        (status = 200, body = EmbeddingsAnswer),
        (status = 404, description = "No such model; the names that exist"),
    )
)]
pub async fn create(
    State(state): State<AppState>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(caller): Extension<Caller>,
    Parameters(EmbeddingsParameters {}): Parameters<EmbeddingsParameters>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Response, Problem> {
    let registry = state.registry()?;
    let embeds = |served: &Served| match served {
        Served::Embed(service) => Some(service.clone()),
        _ => None,
    };
    let refuse = |detail| Problem::bad_member("/model", detail);
    let service =
        find_model(&registry, &caller, request.model.as_deref(), Task::TextEmbedding, embeds, refuse)?;
    let format = format(request.encoding_format.as_deref())?;
    let dimensions = dimensions(request.dimensions, service.dimensions())?;
    let texts = texts(request.input)?;
    let count = texts.len();
    let (embedded, timing) = service.embed(texts, deadline).await?;
    let write = |(index, vector): (usize, Vec<f32>)| EmbeddingEntry {
        object: "embedding",
        index,
        embedding: written(vector, dimensions, format),
    };
    let data = embedded.vectors.into_iter().enumerate().map(write).collect();
    let usage = EmbeddingsUsage { prompt_tokens: embedded.tokens, total_tokens: embedded.tokens };
    let (model, version) = (embedded.model, embedded.version);
    let said = format!("{count} vectors of {dimensions} values");
    let answered = Answered::labels(&model, &version, std::iter::once(Some(said)));
    let answer = EmbeddingsAnswer { object: "list", data, model, version, usage };
    Ok((Extension(answered), timed(&timing)?, Json(answer)).into_response())
}

/// The first values of a vector, at length 1, as they are sent.
fn written(mut vector: Vec<f32>, dimensions: usize, format: EncodingFormat) -> Vector {
    if dimensions < vector.len() {
        vector.truncate(dimensions);
        to_unit(&mut vector);
    }
    match format {
        EncodingFormat::Float => Vector::Numbers(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
    }
}

fn format(asked: Option<&str>) -> Result<EncodingFormat, Problem> {
    match asked {
        None | Some("float") => Ok(EncodingFormat::Float),
        Some("base64") => Ok(EncodingFormat::Base64),
        Some(_) => Err(Problem::bad_member("/encoding_format", "must be \"float\" or \"base64\"")),
    }
}

fn dimensions(asked: Option<usize>, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(most),
        Some(asked) if (1..=most).contains(&asked) => Ok(asked),
        Some(_) => Err(Problem::bad_member("/dimensions", format!("must be from 1 to {most}"))),
    }
}

/// The texts of a request, each checked.
fn texts(input: Input) -> Result<Vec<String>, Problem> {
    let accepted = "a string or an array of 1 to 10,000 strings is accepted";
    let refuse = |pointer: String, detail: String| {
        let errors = vec![FieldError { pointer, detail: detail.clone() }];
        Err(Problem { errors, ..Problem::unprocessable(detail) })
    };
    let elements = match input {
        Input::One(text) => {
            return match wrong(&text) {
                None => Ok(vec![text]),
                Some(detail) => refuse("/input".to_string(), detail),
            };
        }
        Input::Other(words) => return refuse("/input".to_string(), format!("it is {words}; {accepted}")),
        Input::Several(elements) => elements,
    };
    let count = elements.len();
    if !(1..=MAX_INPUTS).contains(&count) {
        let sent = if count == 0 { "no text was sent" } else { "more than 10,000 texts were sent" };
        return refuse("/input".to_string(), format!("{sent}; {accepted}"));
    }
    let mut texts = Vec::with_capacity(count);
    let mut errors = Vec::new();
    for (index, element) in elements.into_iter().enumerate() {
        let wrong = match element {
            Ok(text) => {
                let wrong = wrong(&text);
                texts.push(text);
                wrong
            }
            Err(words @ ("a number" | "an array")) => Some(format!(
                "it is {words}, where a text is asked for; token numbers are another tokenizer's and are not accepted"
            )),
            Err(words) => Some(format!("it is {words}, where a text is asked for")),
        };
        errors.extend(wrong.map(|detail| FieldError { pointer: format!("/input/{index}"), detail }));
    }
    match errors.is_empty() {
        true => Ok(texts),
        false => {
            let detail = "not every element of \"input\" is a text to make a vector of; none was made";
            Err(Problem { errors, ..Problem::unprocessable(detail) })
        }
    }
}

/// What is wrong with a text, if anything.
fn wrong(text: &str) -> Option<String> {
    match text.len() {
        _ if text.trim().is_empty() => Some("the text is empty".to_string()),
        length if length > MAX_BYTES => {
            Some(format!("the text has {length} bytes; at most {MAX_BYTES} are accepted"))
        }
        _ => None,
    }
}

impl From<EmbedError> for Problem {
    fn from(error: EmbedError) -> Problem {
        match error {
            EmbedError::NoModel | EmbedError::NoSuchModel { .. } => Problem::not_found(error.to_string()),
            EmbedError::Tokenizer { .. } => Problem::unprocessable(error.to_string()),
            EmbedError::Ask(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: serde_json::Value) -> Result<Vec<String>, Vec<String>> {
        let input: Input = serde_json::from_value(value).unwrap();
        texts(input).map_err(|problem| problem.errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn one_text_or_many_are_read_and_everything_else_is_named_by_its_place() {
        assert_eq!(read(json!("pain")).unwrap(), ["pain"]);
        assert_eq!(read(json!(["a", "b"])).unwrap(), ["a", "b"]);
        for bad in [json!(7), json!(null), json!({"a": 1}), json!(true), json!(" "), json!([])] {
            assert_eq!(read(bad).unwrap_err(), ["/input"]);
        }
        let mixed = json!(["a", 7, [1, 2], "", {"x": []}, null]);
        assert_eq!(read(mixed).unwrap_err(), ["/input/1", "/input/2", "/input/3", "/input/4", "/input/5"]);
        assert_eq!(read(json!(vec!["a"; MAX_INPUTS])).unwrap().len(), MAX_INPUTS);
        assert_eq!(read(json!(vec!["a"; MAX_INPUTS + 7])).unwrap_err(), ["/input"]);
        assert_eq!(read(json!("a".repeat(MAX_BYTES + 1))).unwrap_err(), ["/input"]);
    }

    #[test]
    fn fewer_dimensions_are_the_first_ones_at_length_1() {
        let Vector::Numbers(values) = written(vec![0.6, 0.0, 0.8], 2, EncodingFormat::Float) else {
            panic!("no numbers")
        };
        assert_eq!(values, [1.0, 0.0]);
        let Vector::Base64(text) = written(vec![1.0, -2.0], 2, EncodingFormat::Base64) else {
            panic!("no base64")
        };
        assert_eq!(STANDARD.decode(text).unwrap(), [0, 0, 128, 63, 0, 0, 0, 192]);
    }
}
