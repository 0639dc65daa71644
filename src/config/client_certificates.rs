//! Client certificates: by which roots they are checked, and the written form of whose they are.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::identity::{Models, Scope, Stamp, entries, is_name_of_caller, scopes};

/// Which client certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRoots {
    /// PEM file of the certificates that they must lead to.
    pub file: PathBuf,
    /// Whether a connection without one is refused.
    pub required: bool,
}

/// Somebody who comes with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateCaller {
    /// Who, for the audit.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Which models it may ask.
    pub models: Models,
    /// A name in its certificate: `dns:NAME`, `uri:URI`, `cn:NAME` or `sha256:DIGEST`.
    pub certificate: String,
}

impl FromStr for CertificateCaller {
    type Err = &'static str;

    /// Reads `NAME:SCOPE+SCOPE:KIND:VALUE`.
    fn from_str(text: &str) -> Result<CertificateCaller, &'static str> {
        let mut parts = text.trim().splitn(4, ':');
        let (Some(name), Some(allowed), Some(kind), Some(value)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("must be NAME:SCOPES:KIND:VALUE");
        };
        if !is_name_of_caller(name) {
            return Err("needs a name of at most 100 bytes, without signs that are not seen");
        }
        let (scopes, models) = scopes(allowed)?;
        let value = match kind {
            "dns" => value.to_ascii_lowercase(),
            "sha256" => value.replace(':', "").to_ascii_lowercase(),
            "uri" | "cn" => value.to_string(),
            _ => return Err("has a kind of name that is not dns, uri, cn or sha256"),
        };
        // Somebody may have meant a comment, which would make it another name.
        let commented = match kind {
            "cn" => value.contains(" # "),
            "uri" => value.contains(char::is_whitespace),
            _ => value.contains('#') || value.contains(char::is_whitespace),
        };
        if commented {
            return Err(
                "has a name of the certificate that cannot be; a comment stands on a line of its own",
            );
        }
        let digest = |text: &str| hex::decode(text).is_ok_and(|bytes| bytes.len() == 32);
        if value.is_empty() || (kind == "sha256" && !digest(&value)) {
            return Err("needs a name of the certificate behind its kind, of sha256 64 hexadecimal digits");
        }
        Ok(CertificateCaller {
            name: name.to_string(),
            scopes,
            models,
            certificate: format!("{kind}:{value}"),
        })
    }
}

/// A file of those who come with certificates, one entry a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its entries when it was read.
    pub callers: Vec<CertificateCaller>,
    /// As it was then.
    pub stamp: Option<Stamp>,
}

impl CertificateFile {
    /// Reads the file: its entries, and what is wrong with other lines.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<(CertificateFile, Vec<String>), String> {
        let stamp = Stamp::of(path);
        let mut callers: Vec<CertificateCaller> = Vec::new();
        let problems = entries(path, |line| {
            let caller: CertificateCaller = line.parse()?;
            if callers.iter().any(|other| other.certificate == caller.certificate) {
                return Err("repeats a certificate");
            }
            callers.push(caller);
            Ok(())
        })?;
        Ok((CertificateFile { path: path.to_path_buf(), callers, stamp }, problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_what_and_by_which_name() {
        let caller: CertificateCaller =
            "ward 7:classify+model=triage:dns:Ward-7.Example.org".parse().unwrap();
        assert_eq!((caller.name.as_str(), caller.certificate.as_str()), ("ward 7", "dns:ward-7.example.org"));
        assert!(caller.models.include("triage") && !caller.models.include("pneumonia"));
        let caller: CertificateCaller = "pacs:write:uri:urn:oid:1.2.3".parse().unwrap();
        assert_eq!(caller.certificate, "uri:urn:oid:1.2.3");
        for whole in ["cn:Cath lab #2", "uri:https://pod.example.org/card#me"] {
            let caller: CertificateCaller = format!("lab:write:{whole}").parse().unwrap();
            assert_eq!(caller.certificate, whole);
        }
        let printed = format!("a:write:sha256:{}", ["AB"; 32].join(":"));
        assert_eq!(
            printed.parse::<CertificateCaller>().unwrap().certificate,
            format!("sha256:{}", "ab".repeat(32))
        );
        for bad in [
            "",
            "a:write:dns:",
            "a:everything:cn:b",
            ":write:cn:b",
            "a:write:ip:b",
            "a:write:sha256:ab",
            "a:write:b",
            "a:write:dns:b.example.org # a",
            "a:write:dns:b.example.org#a",
            "a:write:uri:urn:oid:1.2.3 # a",
            "a:write:cn:The chief  # and no other",
            "a\u{202e}b:write:cn:b",
        ] {
            assert!(bad.parse::<CertificateCaller>().is_err(), "{bad}");
        }
    }
}
