//! Who is calling by a client certificate: what a certificate that was checked in the handshake calls
//! its owner, and the file that says who that is here and what it may do.
//!
//! The names are looked up at every request, so that what is taken out of the file ends at once, on
//! connections that are open too. A file that cannot be read lets nobody in.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::config::{CertificateCaller, CertificateFile, Stamp};

/// The names in the certificate of a connection, as the file of callers writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented(Arc<[String]>);

impl Presented {
    /// The names in a certificate whose signature was checked: its digest, the DNS names and URIs of its
    /// subjectAltName, and the common name of its subject, where it has one.
    pub fn new(certificate: &CertificateDer<'_>) -> Presented {
        let mut names = vec![format!("sha256:{}", hex::encode(Sha256::digest(certificate)))];
        if let Ok(read) = EndEntityCert::try_from(certificate) {
            names.extend(read.valid_dns_names().map(|name| format!("dns:{}", name.to_ascii_lowercase())));
            names.extend(read.valid_uri_names().map(|uri| format!("uri:{uri}")));
            names.extend(common_name(read.subject()).map(|name| format!("cn:{name}")));
        }
        Presented(names.into())
    }
}

/// One element of DER: its tag, its content, and what follows it. Lengths of up to 65,535 bytes are read,
/// more than any name has.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match (first, rest) {
        (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
        (0x82, [high, low, rest @ ..]) => ((usize::from(*high) << 8) | usize::from(*low), rest),
        (short @ 0..=0x7f, rest) => (usize::from(short), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The common name (2.5.4.3) of a subject: none where there are several, as they could be taken for each
/// other.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = Vec::new();
    let mut sets = subject;
    while let Some((_, mut attributes, rest)) = element(sets) {
        sets = rest;
        while let Some((_, attribute, rest)) = element(attributes) {
            attributes = rest;
            let (_, kind, value) = element(attribute)?;
            let (_, text, _) = element(value)?;
            if kind == [0x55, 0x04, 0x03] {
                found.push(std::str::from_utf8(text).ok()?.to_string());
            }
        }
    }
    match found.as_slice() {
        [only] if !only.is_empty() => found.pop(),
        _ => None,
    }
}

/// The callers that come with certificates.
pub struct Certificates {
    file: CertificateFile,
    read: Mutex<Option<Stamp>>,
    callers: ArcSwap<Vec<CertificateCaller>>,
}

impl Certificates {
    /// Those of this file.
    pub fn new(file: &CertificateFile) -> Certificates {
        let callers = ArcSwap::from_pointee(file.callers.clone());
        Certificates { file: file.clone(), read: Mutex::new(file.stamp), callers }
    }

    /// Reads the file again if it has changed.
    pub fn reload(&self) {
        let now = Stamp::of(&self.file.path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_some() && now == *read {
            return;
        }
        let callers = match CertificateFile::read(&self.file.path) {
            Ok((found, problems)) => {
                for problem in &problems {
                    tracing::error!(
                        problem,
                        "the file of certificates' callers is not in order: what is wrong in it lets nobody in"
                    );
                }
                if problems.is_empty() {
                    tracing::info!(
                        callers = found.callers.len(),
                        "the file of certificates' callers was read again"
                    );
                }
                *read = now;
                found.callers
            }
            Err(error) => {
                // Once, and again when it is there.
                if read.is_some() {
                    tracing::error!(
                        error,
                        "the file of certificates' callers cannot be read: none is let in"
                    );
                }
                *read = None;
                Vec::new()
            }
        };
        self.callers.store(callers.into());
    }

    /// Whose certificate it is: of several the first of the file.
    pub fn caller(&self, presented: &Presented) -> Option<CertificateCaller> {
        let callers = self.callers.load();
        callers.iter().find(|caller| presented.0.contains(&caller.certificate)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute of a subject in DER.
    fn attribute(kind: u8, text: &str) -> Vec<u8> {
        let value = [&[0x06, 3, 0x55, 0x04, kind, 0x0c, text.len() as u8], text.as_bytes()].concat();
        [&[0x31, value.len() as u8 + 2, 0x30, value.len() as u8], value.as_slice()].concat()
    }

    #[test]
    fn the_common_name_is_read_where_it_is_one() {
        let (country, name) = (attribute(6, "NL"), attribute(3, "Cath lab é"));
        assert_eq!(common_name(&[country.clone(), name.clone()].concat()).as_deref(), Some("Cath lab é"));
        assert_eq!(common_name(&country), None);
        assert_eq!(common_name(&[name.clone(), attribute(3, "Another")].concat()), None);
        // Cut anywhere it is none, and never a panic.
        for end in 0..name.len() {
            assert_eq!(common_name(&name[..end]), None, "{end}");
        }
        assert_eq!(element(&[0x30, 0x84, 1, 1, 1, 1, 0]), None);
        assert_eq!(element(&[0x30, 0x81, 1, 7, 9]), Some((0x30, &[7][..], &[9][..])));
    }

    #[test]
    fn a_certificate_is_known_by_each_of_its_names() {
        let mut wanted = rcgen::CertificateParams::new(vec!["Ward-7.example.org".to_string()]).unwrap();
        let uri = "spiffe://example.org/ward-7".try_into().unwrap();
        wanted.subject_alt_names.push(rcgen::SanType::URI(uri));
        wanted.distinguished_name = rcgen::DistinguishedName::new();
        wanted.distinguished_name.push(rcgen::DnType::CommonName, "Ward 7");
        let made = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let Presented(names) = Presented::new(made.der());
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(made.der())));
        assert_eq!(
            *names,
            [digest.as_str(), "dns:ward-7.example.org", "uri:spiffe://example.org/ward-7", "cn:Ward 7"]
        );
    }
}
