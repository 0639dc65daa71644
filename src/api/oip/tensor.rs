//! Reading a tensor's elements, from JSON or from the binary part of a body.
//!
//! Claims come first and cost nothing: a shape is held against the model's declaration and the
//! batch against its bound before a single element is read, so that no product of claimed sides
//! is ever formed and nothing is allocated for elements that did not arrive. Elements are read
//! straight into their own type; a JSON document tree of a large tensor would take some ten
//! times its size.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::spec::{Datatype, TensorSpec};
use crate::api::Problem;

/// Largest batch.
pub const MAX_BATCH: usize = 256;

/// The elements of a tensor, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// BYTES.
    Bytes(Vec<Bytes>),
    /// UINT8.
    Uint8(Vec<u8>),
    /// FP32.
    Fp32(Vec<f32>),
    /// FP64; what is null in JSON is a NaN.
    Fp64(Vec<f64>),
}

/// The batch of a claimed shape. A trailing 1 behind the batch of a tensor without further
/// dimensions is ignored: many clients always send two.
///
/// # Errors
/// 400 for a shape that is not the declared one, or a batch out of bounds.
pub fn batch(spec: &TensorSpec, shape: &[u64]) -> Result<usize, Problem> {
    let inner = &spec.shape[1..];
    let fits = |shape: &[u64]| {
        shape.len() == inner.len() && shape.iter().zip(inner).all(|(a, b)| i64::try_from(*a) == Ok(*b))
    };
    let fitting = shape.split_first().filter(|(_, rest)| fits(rest) || (inner.is_empty() && *rest == [1]));
    let Some((first, _)) = fitting else {
        let detail = format!("the shape {shape:?} does not fit {:?}, where -1 is the batch", spec.shape);
        return Err(refuse(spec, detail));
    };
    match usize::try_from(*first) {
        Ok(batch) if (1..=MAX_BATCH).contains(&batch) => Ok(batch),
        _ => Err(refuse(spec, format!("a batch of {first} was sent; 1 to {MAX_BATCH} are accepted"))),
    }
}

/// The elements of `batch` inputs in JSON: nested or flat.
///
/// # Errors
/// 400 for elements of another type, or more or fewer than the shape says.
pub fn from_json(spec: &TensorSpec, batch: usize, json: &RawValue) -> Result<Data, Problem> {
    let count = batch * spec.elements();
    match spec.datatype {
        Datatype::Bytes => elements::<String>(spec, json, count)
            .map(|strings| Data::Bytes(strings.into_iter().map(Bytes::from).collect())),
        Datatype::Uint8 => elements(spec, json, count).map(Data::Uint8),
        Datatype::Fp32 => elements(spec, json, count).map(Data::Fp32),
        Datatype::Fp64 => elements::<Option<f64>>(spec, json, count)
            .map(|values| Data::Fp64(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())),
        Datatype::Bool => Err(refuse(spec, "no input is BOOL")),
    }
}

/// The elements of `batch` inputs in binary: little-endian, without gaps; a string is preceded by
/// its length in four bytes.
///
/// # Errors
/// 400 for another number of bytes than the shape says.
pub fn from_binary(spec: &TensorSpec, batch: usize, bytes: Bytes) -> Result<Data, Problem> {
    let count = batch * spec.elements();
    let sized = |size: usize| match bytes.len() == count * size {
        true => Ok(()),
        false => Err(refuse(
            spec,
            format!(
                "{} bytes of data for {count} elements of {}: {} are expected",
                bytes.len(),
                spec.datatype.as_str(),
                count * size
            ),
        )),
    };
    match spec.datatype {
        Datatype::Bytes => strings(spec, count, bytes).map(Data::Bytes),
        Datatype::Uint8 => sized(1).map(|()| Data::Uint8(bytes.to_vec())),
        Datatype::Fp32 => sized(4)
            .map(|()| Data::Fp32(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())),
        Datatype::Fp64 => sized(8)
            .map(|()| Data::Fp64(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect())),
        Datatype::Bool => Err(refuse(spec, "no input is BOOL")),
    }
}

fn strings(spec: &TensorSpec, count: usize, mut bytes: Bytes) -> Result<Vec<Bytes>, Problem> {
    let mut strings = Vec::with_capacity(count);
    while bytes.has_remaining() && strings.len() < count {
        let length = bytes.try_get_u32_le().ok().map(|length| length as usize);
        match length.filter(|length| *length <= bytes.len()) {
            Some(length) => strings.push(bytes.split_to(length)),
            None => {
                let detail = format!("the data ends within element {}", strings.len());
                return Err(refuse(spec, detail));
            }
        }
    }
    match strings.len() == count && bytes.is_empty() {
        true => Ok(strings),
        false => {
            let detail =
                format!("the data does not hold {count} elements, each behind its length in four bytes");
            Err(refuse(spec, detail))
        }
    }
}

/// The elements of a BYTES tensor that JSON cannot hold as they are, out of their base64.
///
/// # Errors
/// 400 for what is no base64.
pub fn from_base64(spec: &TensorSpec, data: Data) -> Result<Data, Problem> {
    let Data::Bytes(texts) = data else { return Ok(data) };
    let decode = |(at, text): (usize, &Bytes)| match STANDARD.decode(text) {
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(_) => {
            Err(refuse(spec, format!("element {at} is not base64, which is how JSON carries an image")))
        }
    };
    texts.iter().enumerate().map(decode).collect::<Result<_, _>>().map(Data::Bytes)
}

/// 400 about one input.
pub fn refuse(spec: &TensorSpec, detail: impl fmt::Display) -> Problem {
    Problem::bad_request(format!("the input \"{}\": {detail}", spec.name))
}

/// Something JSON can hold one of.
trait Element: Sized {
    const EXPECTED: &'static str;

    fn number(value: f64) -> Option<Self>;

    fn string(_: &str) -> Option<Self> {
        None
    }

    fn null() -> Option<Self> {
        None
    }
}

impl Element for u8 {
    const EXPECTED: &'static str = "a whole number from 0 to 255";

    fn number(value: f64) -> Option<u8> {
        ((0.0..=255.0).contains(&value) && value.fract() == 0.0).then_some(value as u8)
    }
}

impl Element for f32 {
    const EXPECTED: &'static str = "a number";

    fn number(value: f64) -> Option<f32> {
        Some(value as f32)
    }
}

impl Element for Option<f64> {
    const EXPECTED: &'static str = "a number, or null where it is missing";

    fn number(value: f64) -> Option<Option<f64>> {
        Some(Some(value))
    }

    fn null() -> Option<Option<f64>> {
        Some(None)
    }
}

impl Element for String {
    const EXPECTED: &'static str = "a string";

    fn number(_: f64) -> Option<String> {
        None
    }

    fn string(value: &str) -> Option<String> {
        Some(value.to_string())
    }
}

fn elements<T: Element>(spec: &TensorSpec, json: &RawValue, count: usize) -> Result<Vec<T>, Problem> {
    let mut found = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    Flatten { found: &mut found, most: count }.deserialize(&mut deserializer).map_err(|error| {
        // Of serde's message only what was expected: the value itself may be a note.
        match error.is_data() {
            true if found.len() >= count => refuse(spec, format!("more than {count} elements")),
            true => refuse(spec, format!("element {} is not {}", found.len(), T::EXPECTED)),
            false => refuse(spec, "the data are nested too deeply"),
        }
    })?;
    match found.len() == count {
        true => Ok(found),
        false => Err(refuse(spec, format!("{} elements where the shape says {count}", found.len()))),
    }
}

/// Collects the leaves of nested arrays, at most `most` of them.
struct Flatten<'a, T> {
    found: &'a mut Vec<T>,
    most: usize,
}

impl<T> Flatten<'_, T> {
    fn push<E: Error>(self, element: Option<T>) -> Result<(), E> {
        match element.filter(|_| self.found.len() < self.most) {
            Some(element) => {
                self.found.push(element);
                Ok(())
            }
            None => Err(E::custom("an element that does not fit")),
        }
    }
}

impl<'de, T: Element> DeserializeSeed<'de> for Flatten<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Flatten<'_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(Flatten { found: &mut *self.found, most: self.most })?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let element = T::number(value);
        self.push(element)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let element = T::string(value);
        self.push(element)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let element = T::null();
        self.push(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(datatype: Datatype, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: "x".to_string(), datatype, shape: shape.to_vec() }
    }

    fn json(spec: &TensorSpec, batch: usize, text: &str) -> Result<Data, String> {
        let raw = RawValue::from_string(text.to_string()).unwrap();
        from_json(spec, batch, &raw).map_err(|problem| problem.detail)
    }

    #[test]
    fn nested_and_flat_json_are_one() {
        let spec = spec(Datatype::Fp32, &[-1, 2, 2]);
        let expected = Data::Fp32(vec![1.0, 2.0, 3.0, 4.5]);
        assert_eq!(json(&spec, 1, "[1, 2, 3, 4.5]").unwrap(), expected);
        assert_eq!(json(&spec, 1, "[[[1, 2], [3, 4.5]]]").unwrap(), expected);
    }

    #[test]
    fn elements_that_do_not_fit_are_named_by_place_and_never_repeated() {
        let pixels = spec(Datatype::Uint8, &[-1, 2]);
        for (text, words) in [
            ("[1]", "1 elements where the shape says 2"),
            ("[1, 2, 3]", "more than 2"),
            ("[1, 256]", "element 1 is not a whole number from 0 to 255"),
            ("[1, -1]", "element 1"),
            ("[1.5, 1]", "element 0"),
            ("[\"secret\", 1]", "element 0"),
            ("[null, 1]", "element 0"),
            ("{\"a\": 1}", "element 0"),
            (&format!("{}{}", "[".repeat(500), "]".repeat(500)), "nested too deeply"),
        ] {
            let detail = json(&pixels, 1, text).unwrap_err();
            assert!(detail.contains(words) && !detail.contains("secret"), "{text}: {detail}");
        }
    }

    #[test]
    fn binary_strings_must_end_where_the_data_end() {
        let notes = spec(Datatype::Bytes, &[-1]);
        let read = |bytes: &[u8], batch| from_binary(&notes, batch, Bytes::copy_from_slice(bytes));
        let two = [&[2, 0, 0, 0][..], b"ab", &[0, 0, 0, 0]].concat();
        assert_eq!(read(&two, 2).unwrap(), Data::Bytes(vec!["ab".into(), Bytes::new()]));
        assert!(read(&two, 1).is_err() && read(&two, 3).is_err());
        for cut in 1..two.len() {
            assert!(read(&two[..cut], 2).is_err(), "{cut}");
        }
        assert!(read(&[255, 255, 255, 255, 0], 1).unwrap_err().detail.contains("ends within element 0"));
    }

    #[test]
    fn a_claimed_shape_is_held_against_the_declared_one() {
        let spec = spec(Datatype::Fp32, &[-1, 3, 4]);
        assert_eq!(batch(&spec, &[2, 3, 4]).unwrap(), 2);
        for shape in [
            &[][..],
            &[0, 3, 4],
            &[257, 3, 4],
            &[u64::MAX, 3, 4],
            &[1, 3],
            &[1, 4, 3],
            &[1, u64::MAX, u64::MAX],
            &[1, 3, 4, 1],
        ] {
            assert!(batch(&spec, shape).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn a_trailing_one_is_no_dimension() {
        let spec = spec(Datatype::Bytes, &[-1]);
        assert_eq!(batch(&spec, &[3]).unwrap(), 3);
        assert_eq!(batch(&spec, &[3, 1]).unwrap(), 3);
        assert!(batch(&spec, &[3, 2]).is_err());
    }
}
