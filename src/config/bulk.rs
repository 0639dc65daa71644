//! The settings of pulling records: which FHIR server is asked for an export, as whom, and how often.

use std::path::PathBuf;
use std::time::Duration;

use clinical::fhir::capability;

use super::given::Reader;
use super::setting::{Accepts, called};
use super::settings;

/// Where records are pulled from, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkConfig {
    /// The base of the FHIR server.
    pub server: String,
    /// Where tokens come from.
    pub token_url: String,
    /// As whom this server is known there.
    pub client_id: String,
    /// The file of the private key, as a JWK.
    pub key: PathBuf,
    /// The certificates that both are trusted by, over TLS.
    pub ca: Option<PathBuf>,
    /// What is exported: a path below the base.
    pub export: String,
    /// The types of resources that are asked for.
    pub types: Vec<String>,
    /// The scopes that are asked for, with blanks between them.
    pub scope: String,
    /// Time between two exports.
    pub every: Duration,
}

impl BulkConfig {
    /// Reads them: all of those that go together, or none.
    pub(super) fn read(reader: &mut Reader) -> Option<BulkConfig> {
        let server = reader.given(&settings::BULK_SERVER);
        let token_url = reader.given(&settings::BULK_TOKEN_URL);
        let client_id = reader.given(&settings::BULK_CLIENT_ID);
        let key = reader.given(&settings::BULK_KEY);
        let ca: Option<PathBuf> = reader.given(&settings::BULK_CA).map(PathBuf::from);
        let export = reader.value(&settings::BULK_EXPORT);
        let types = reader.given(&settings::BULK_TYPES);
        let scope = reader.value(&settings::BULK_SCOPE);
        let every = Duration::from_secs(60 * reader.value(&settings::BULK_MINUTES));
        let (server, token_url, client_id, key) = match (server, token_url, client_id, key) {
            (Some(server), Some(token_url), Some(client_id), Some(key)) => {
                (server, token_url, client_id, key)
            }
            (None, None, None, None) => return None,
            _ => {
                let all = [
                    settings::BULK_SERVER.name,
                    settings::BULK_TOKEN_URL.name,
                    settings::BULK_CLIENT_ID.name,
                    settings::BULK_KEY.name,
                ];
                reader.note(format!("{} go together: give all of them or none", all.map(called).join(", ")));
                return None;
            }
        };
        let private = [&server, &token_url].iter().any(|url| url.starts_with("https://"));
        if private && ca.is_none() {
            reader.note(format!(
                "an https address needs {}, the certificates that the server is trusted by",
                called(settings::BULK_CA.name)
            ));
        }
        let known: Vec<String> = capability::READ.iter().map(|(kind, _)| (*kind).to_string()).collect();
        let types = types.unwrap_or_else(|| known.clone());
        if let Some(other) = types.iter().find(|kind| !known.contains(kind)) {
            reader.note(format!(
                "{} has \"{other}\"; the types that are read are {}",
                called(settings::BULK_TYPES.name),
                known.join(", ")
            ));
        }
        Some(BulkConfig { server, token_url, client_id, key: key.into(), ca, export, types, scope, every })
    }
}

/// An https address; http is for this machine alone, since tokens and records go over it.
pub struct PrivateUrl;

impl Accepts for PrivateUrl {
    type Value = String;

    fn accepted(&self) -> String {
        "an https address without user, query and fragment, or an http address of this machine".to_string()
    }

    fn parse(&self, text: &str) -> Option<String> {
        let uri: http::Uri = text.parse().ok()?;
        let host = uri.host().filter(|host| !host.is_empty())?;
        let here = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let scheme = uri.scheme_str()?;
        let plain = uri.query().is_none() && !text.contains(['@', '#']);
        ((scheme == "https" || (scheme == "http" && here)) && plain)
            .then(|| text.trim_end_matches('/').to_string())
    }
}

/// What is exported.
pub struct ExportPath;

impl Accepts for ExportPath {
    type Value = String;

    fn accepted(&self) -> String {
        "$export, Patient/$export or Group/ID/$export".to_string()
    }

    fn parse(&self, text: &str) -> Option<String> {
        let sound = |id: &str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        };
        let group = |text: &str| {
            text.strip_prefix("Group/").and_then(|rest| rest.strip_suffix("/$export")).is_some_and(sound)
        };
        (matches!(text, "$export" | "Patient/$export") || group(text)).then(|| text.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_records_go_over_tls_or_stay_on_this_machine() {
        let of = |text| PrivateUrl.parse(text);
        assert_eq!(of("https://ehr.example.org/fhir/").as_deref(), Some("https://ehr.example.org/fhir"));
        assert!(of("http://127.0.0.1:8080/fhir").is_some() && of("http://[::1]:8080").is_some());
        for bad in
            ["http://ehr.example.org/fhir", "https://a:b@ehr", "https://ehr/?x=1", "ftp://ehr", "ehr", ""]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_export_is_of_everybody_of_all_patients_or_of_a_group() {
        for good in ["$export", "Patient/$export", "Group/ward-7/$export"] {
            assert!(ExportPath.parse(good).is_some(), "{good}");
        }
        for bad in ["", "Patient", "Group//$export", "Group/a/b/$export", "../$export", "Group/a?b/$export"] {
            assert!(ExportPath.parse(bad).is_none(), "{bad}");
        }
    }
}
