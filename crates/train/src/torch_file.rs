//! Tensors of PyTorch's own files (`.pth`, `.pt`), of both kinds that there are, without running anything in them.
//!
//! Since version 1.6 a file is a zip archive with a pickle and one entry for each storage. Before, it was five pickles in
//! a row, the fourth of them the tensors, and the storages behind them.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};

use super::pickle::{self, Storage, TensorView, Value};

/// The tensors of a file by name, as numbers of 32 bits. What lies beside them is left out.
///
/// # Errors
/// What the pickle calls, by name; a file that is cut off; numbers of an unknown kind.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    match bytes.starts_with(b"PK\x03\x04") {
        true => archive(bytes),
        false => pickles(bytes),
    }
}

fn archive(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).context("no zip archive")?;
    let mut names = archive.file_names().filter_map(Result::ok).map(|name| name.into_owned());
    let pickle = names.find(|name| name.ends_with("/data.pkl"));
    drop(names);
    let pickle = pickle.context("no data.pkl in the archive")?;
    let folder = pickle.trim_end_matches("data.pkl").to_string();
    // An entry is no larger than the file: PyTorch does not compress.
    let most = bytes.len() as u64;
    let mut entry = |name: &str| -> Result<Vec<u8>> {
        let entry = archive.by_name(name).with_context(|| format!("no {name} in the archive"))?;
        ensure!(entry.size() <= most, "{name} claims to be larger than the file");
        let mut content = Vec::new();
        entry.take(most).read_to_end(&mut content)?;
        Ok(content)
    };
    let (value, _) = pickle::read(&entry(&pickle)?)?;
    let mut storages = BTreeMap::new();
    let views = views(&value)?;
    for (_, view) in &views {
        let TensorView { storage, .. } = &**view;
        if !storages.contains_key(&storage.key) {
            let content = entry(&format!("{folder}data/{}", storage.key))?;
            storages.insert(storage.key.clone(), numbers(storage, &content)?);
        }
    }
    tensors(&views, &storages)
}

fn pickles(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let mut at = 0;
    let mut next = || -> Result<Value> {
        let (value, used) = pickle::read(&bytes[at..])?;
        at += used;
        Ok(value)
    };
    // A magic number, the version, the sizes of types, the tensors, and the names of the storages in their order.
    for _ in 0..3 {
        next().context("no file of PyTorch")?;
    }
    let (value, keys) = (next()?, next()?);
    let Value::Sequence(keys) = keys else { bail!("the storages have no order") };
    let views = views(&value)?;
    let wanted: BTreeMap<&str, &Storage> =
        views.iter().map(|(_, view)| (view.storage.key.as_str(), &view.storage)).collect();
    let mut storages = BTreeMap::new();
    for key in keys.iter() {
        let key = key.text().context("a storage has no name")?;
        let Some(storage) = wanted.get(key) else { bail!("no tensor has the storage {key}") };
        let head: [u8; 8] = bytes.get(at..at + 8).context("the file ends before its storages")?.try_into()?;
        let count = usize::try_from(i64::from_le_bytes(head))?;
        ensure!(count == storage.count, "storage {key} has {count} numbers and not {}", storage.count);
        let length = count.checked_mul(width(storage)?).context("a storage too large")?;
        let end = (at + 8).checked_add(length).context("a storage too large")?;
        let content = bytes.get(at + 8..end).context("the file ends in the middle of a storage")?;
        storages.insert(key.to_string(), numbers(storage, content)?);
        at = end;
    }
    tensors(&views, &storages)
}

/// The views of a dictionary, or of that under `state_dict` or `model`.
fn views(value: &Value) -> Result<Vec<(String, Rc<TensorView>)>> {
    let Value::Dictionary(items) = value else { bail!("the file holds no dictionary of tensors") };
    let inner = items.iter().find(|(key, value)| {
        matches!(key.text(), Some("state_dict" | "model")) && matches!(value, Value::Dictionary(_))
    });
    if let Some((_, inner)) = inner {
        return views(inner);
    }
    let view = |(key, value): &(Value, Value)| match (key.text(), value) {
        (Some(name), Value::Tensor(view)) => {
            // As a network trained on several machines names its own.
            let name = name.strip_prefix("module.").unwrap_or(name);
            Some((name.to_string(), view.clone()))
        }
        _ => None,
    };
    Ok(items.iter().filter_map(view).collect())
}

fn tensors(
    views: &[(String, Rc<TensorView>)],
    storages: &BTreeMap<String, Vec<f32>>,
) -> Result<BTreeMap<String, Tensor>> {
    let read = |(name, view): &(String, Rc<TensorView>)| {
        let numbers = storages.get(&view.storage.key).context("a storage is missing")?;
        Ok((name.clone(), tensor(view, numbers).with_context(|| name.clone())?))
    };
    views.iter().map(read).collect()
}

/// A view as a tensor of its own.
fn tensor(view: &TensorView, numbers: &[f32]) -> Result<Tensor> {
    let TensorView { offset, shape, strides, .. } = view;
    ensure!(shape.len() == strides.len(), "as many strides as dimensions");
    let count =
        shape.iter().try_fold(1usize, |all, side| all.checked_mul(*side)).context("too large a tensor")?;
    ensure!(count <= numbers.len(), "a tensor of {count} numbers over a storage of {}", numbers.len());
    let mut values = Vec::with_capacity(count);
    for place in 0..count {
        let (mut rest, mut at) = (place, *offset);
        for (side, stride) in shape.iter().zip(strides).rev() {
            at = (rest % side)
                .checked_mul(*stride)
                .and_then(|step| at.checked_add(step))
                .context("a stride too far")?;
            rest /= side;
        }
        values.push(*numbers.get(at).context("a tensor reaches beyond its storage")?);
    }
    Ok(Tensor::from_vec(values, shape.clone(), &Device::Cpu)?)
}

/// Bytes of a number.
fn width(storage: &Storage) -> Result<usize> {
    match storage.kind.as_str() {
        "FloatStorage" => Ok(4),
        "DoubleStorage" | "LongStorage" => Ok(8),
        "HalfStorage" | "BFloat16Storage" => Ok(2),
        "ByteStorage" | "BoolStorage" => Ok(1),
        other => bail!("numbers of a {other} are not read"),
    }
}

fn numbers(storage: &Storage, bytes: &[u8]) -> Result<Vec<f32>> {
    let width = width(storage)?;
    ensure!(bytes.len() / width >= storage.count, "a storage of {} numbers is cut off", storage.count);
    let bits = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    let number = |bytes: &[u8]| match storage.kind.as_str() {
        "FloatStorage" => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        "HalfStorage" => half(bits(bytes)),
        "BFloat16Storage" => f32::from_bits(u32::from(bits(bytes)) << 16),
        "ByteStorage" | "BoolStorage" => f32::from(bytes[0]),
        kind => {
            let mut all = [0; 8];
            all.copy_from_slice(bytes);
            if kind == "LongStorage" {
                i64::from_le_bytes(all) as f32
            } else {
                f64::from_le_bytes(all) as f32
            }
        }
    };
    Ok(bytes.chunks_exact(width).take(storage.count).map(number).collect())
}

/// A number of 16 bits by IEEE 754.
fn half(bits: u16) -> f32 {
    let (sign, power, rest) = (bits >> 15, i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match power {
        0 => rest * 2f32.powi(-24),
        31 => {
            if rest == 0.0 {
                f32::INFINITY
            } else {
                f32::NAN
            }
        }
        power => (1.0 + rest / 1024.0) * 2f32.powi(power - 15),
    };
    if sign == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read() {
        for (bits, want) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8), (0, 0.0)]
        {
            assert_eq!(half(bits), want);
        }
        assert!(half(0x7e00).is_nan() && half(0x7c00).is_infinite());
    }

    /// A file as PyTorch wrote them before 1.6: w of 2 x 2, a transposed view of a storage of five numbers.
    fn legacy() -> Vec<u8> {
        let mut file = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.".to_vec();
        file.extend(b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x08\x00\x00\x00module.wq\x02");
        file.extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05");
        file.extend(b"X\x01\x00\x00\x007q\x06X\x03\x00\x00\x00cpuq\x07K\x05Ntq\x08QK\x01K\x02K\x02\x86q\x09K\x01K\x02\x86q\x0a\x89");
        file.extend(b"h\x00)Rq\x0btq\x0cRq\x0ds.");
        file.extend(b"\x80\x02]q\x00X\x01\x00\x00\x007q\x01a.");
        file.extend(5i64.to_le_bytes());
        for number in [9f32, 1.0, 2.0, 3.0, 4.0] {
            file.extend(number.to_le_bytes());
        }
        file
    }

    #[test]
    fn an_old_file_is_read_and_a_torn_one_refused() {
        let file = legacy();
        let tensors = read(&file).unwrap();
        assert_eq!(tensors["w"].to_vec2::<f32>().unwrap(), [[1.0, 3.0], [2.0, 4.0]]);
        for end in 0..file.len() {
            assert!(read(&file[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_new_file_is_read() {
        use std::io::Write;
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let mut pickle =
            b"\x80\x02}q\x00X\x01\x00\x00\x00bq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02(".to_vec();
        pickle.extend(b"(X\x07\x00\x00\x00storageq\x03ctorch\nHalfStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x02tq\x07Q");
        pickle.extend(b"K\x00K\x02\x85q\x08K\x01\x85q\x09\x89N)tq\x0aRq\x0bs.");
        for (name, content) in [("x/data.pkl", &pickle[..]), ("x/data/0", &[0x00, 0x3c, 0x00, 0xc0])] {
            archive.start_file(name, options).unwrap();
            archive.write_all(content).unwrap();
        }
        let file = archive.finish().unwrap().into_inner();
        assert_eq!(read(&file).unwrap()["b"].to_vec1::<f32>().unwrap(), [1.0, -2.0]);
    }
}
