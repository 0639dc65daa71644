//! Identifiers of what is made: UUID-derived UIDs (PS3.5 annex B.2) that follow from what they are of, so that an
//! instance that is sent twice has one result and not two.

use sha2::{Digest, Sha256};

/// The UID that these words have: `2.25.` and the whole number of a UUID of version 8 (RFC 9562) over their
/// SHA-256.
pub fn derived(words: &[&str]) -> String {
    let mut sha256 = Sha256::new();
    for word in words {
        sha256.update((word.len() as u64).to_be_bytes());
        sha256.update(word);
    }
    let digest: [u8; 32] = sha256.finalize().into();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(uuid))
}

/// Whether text is a UID: at most 64 digits and dots, no component empty (PS3.5 section 9). Leading zeros, which some
/// writers make, are let pass.
pub fn is_uid(text: &str) -> bool {
    let sound = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (1..=64).contains(&text.len()) && text.split('.').all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_have_the_same_uid_and_others_another() {
        let uid = derived(&["1.2.3", "pneumonia", "1"]);
        assert_eq!(uid, derived(&["1.2.3", "pneumonia", "1"]));
        assert_ne!(uid, derived(&["1.2.3", "pneumonia1", ""]));
        assert!(is_uid(&uid) && uid.starts_with("2.25."), "{uid}");
        let number: u128 = uid[5..].parse().unwrap();
        assert_eq!((number >> 76) & 0xf, 8);
        assert_eq!((number >> 62) & 0b11, 0b10);
    }

    #[test]
    fn what_is_no_uid_is_none() {
        for bad in ["", ".", "1..2", "1.2.", "Jane", "1.2 ", &"1".repeat(65)] {
            assert!(!is_uid(bad), "{bad}");
        }
        assert!(is_uid("1.2.840.10008.1.2") && is_uid("1.02"));
    }
}
