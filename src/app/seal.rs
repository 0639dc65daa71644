//! The seal of a back-up: a line behind the database in the same file, by which a restore knows that the file is as it was
//! written.
//!
//! SQLite reads as many pages as its header says and none of what follows, so a sealed back-up is still a database. The
//! line has the SHA-256 of all bytes before it: that shows a copy that broke off, a bad disk, an edit. Whoever changes the
//! file can write a new digest; so where the server has a secret of its own (`--audit-key-file`) the line carries a
//! signature too, which takes the secret.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::AuditKey;
use crate::store::audit::chain::is_signed;

/// What the line begins with.
const MARK: &[u8] = b"\nmedserve back-up ";
/// Longest line that is looked for, in bytes.
const LONGEST: u64 = 1024;

#[derive(Serialize, Deserialize)]
struct Seal {
    /// Bytes before the line.
    bytes: u64,
    /// SHA-256 over them.
    sha256: String,
    /// Ed25519 over [`Seal::text`]; none where the server had no secret of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl Seal {
    fn text(&self) -> String {
        format!("medserve back-up\n{}\n{}", self.bytes, self.sha256)
    }
}

/// Adds the seal to a file that has none, and has both on the disk.
///
/// # Errors
/// A file that cannot be read or written.
pub(super) fn close(file: &Path, key: Option<&AuditKey>) -> Result<()> {
    let mut opened = fs::OpenOptions::new().read(true).write(true).open(file)?;
    let mut digest = Sha256::new();
    let bytes = through(&mut opened, u64::MAX, |part| {
        digest.update(part);
        Ok(())
    })?;
    let mut seal = Seal { bytes, sha256: hex::encode(digest.finalize()), signature: None };
    seal.signature = key.map(|key| key.sign(&seal.text()));
    opened.write_all(MARK)?;
    opened.write_all(&serde_json::to_vec(&seal)?)?;
    opened.write_all(b"\n")?;
    opened.sync_all()?;
    Ok(())
}

/// Copies what was sealed into a new file that its owner alone may read, and says what is wrong with the seal: there is
/// none, or it does not fit the bytes before it, or is not signed by the key, if there is one.
///
/// # Errors
/// A file that cannot be read or written.
pub(super) fn open(file: &Path, into: &Path, key: Option<&AuditKey>) -> Result<Option<&'static str>> {
    let mut from = File::open(file)?;
    let found = find(&mut from)?;
    let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(into)?;
    from.rewind()?;
    let mut digest = Sha256::new();
    let end = found.as_ref().map_or(u64::MAX, |(at, _)| *at);
    let bytes = through(&mut from, end, |part| {
        digest.update(part);
        copy.write_all(part)
    })?;
    copy.sync_all()?;
    let Some((_, seal)) = found else {
        return Ok(Some("it has no seal at its end: it broke off, or is from a version without seals"));
    };
    if (seal.bytes, seal.sha256.as_str()) != (bytes, hex::encode(digest.finalize()).as_str()) {
        return Ok(Some("it is not as it was written: what it holds does not fit the digest of its seal"));
    }
    Ok(match (key, &seal.signature) {
        (None, _) => None,
        (Some(key), Some(signature)) if is_signed(&key.public(), &seal.text(), signature) => None,
        (Some(_), Some(_)) => Some("it is not signed by the secret of --audit-key-file, but by another"),
        (Some(_), None) => Some("it is not signed: it was made without --audit-key-file, or changed"),
    })
}

/// The seal at the end of a file, and where its line begins.
fn find(file: &mut File) -> Result<Option<(u64, Seal)>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LONGEST);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(LONGEST).read_to_end(&mut end)?;
    let Some(at) = end.windows(MARK.len()).rposition(|window| window == MARK) else { return Ok(None) };
    let seal = serde_json::from_slice(&end[at + MARK.len()..]).ok();
    Ok(seal.map(|seal| (from + at as u64, seal)))
}

/// Hands over the next bytes of a file in parts, at most `most`, and says how many there were.
fn through(
    file: &mut File,
    most: u64,
    mut part: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<u64> {
    let (mut buffer, mut left) = (vec![0; 1 << 20], most);
    while left > 0 {
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..room])?;
        if read == 0 {
            break;
        }
        part(&buffer[..read])?;
        left -= read as u64;
    }
    Ok(most - left)
}
