//! Where the audit is sent as syslog messages.

use std::path::PathBuf;

use http::Uri;

use super::TlsFiles;
use super::given::Reader;
use super::setting::called;
use super::settings::{AUDIT_SYSLOG, AUDIT_SYSLOG_CA};

/// A syslog receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogTarget {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The certificates that it is trusted by, in PEM; without it TLS is not spoken.
    pub ca: Option<PathBuf>,
    /// The certificate and key to show it.
    pub own: Option<TlsFiles>,
}

impl SyslogTarget {
    /// What the settings say.
    pub(super) fn read(reader: &mut Reader, own: Option<&TlsFiles>) -> Option<SyslogTarget> {
        let (address, ca) = (reader.given(&AUDIT_SYSLOG), reader.given(&AUDIT_SYSLOG_CA));
        let [address_name, ca_name] = [AUDIT_SYSLOG.name, AUDIT_SYSLOG_CA.name].map(called);
        let Some(address) = address else {
            if ca.is_some() {
                reader.note(format!("{ca_name} is for a receiver with tls: {address_name}"));
            }
            return None;
        };
        let Some((scheme, host, port)) = parts(&address) else {
            reader.note(format!("{address_name} is \"{address}\"; it must be {}", AUDIT_SYSLOG.accepts.0));
            return None;
        };
        match (scheme.as_str(), ca) {
            ("tcp", None) => Some(SyslogTarget { host, port, ca: None, own: None }),
            ("tls", Some(ca)) => Some(SyslogTarget { host, port, ca: Some(ca.into()), own: own.cloned() }),
            ("tls", None) => {
                reader.note(format!(
                    "{address_name} with tls needs {ca_name}, the certificates that it is trusted by"
                ));
                None
            }
            _ => {
                reader.note(format!("{ca_name} is for a receiver with tls: {address_name}"));
                None
            }
        }
    }
}

/// Scheme, host and port of an address that has these and nothing else.
fn parts(address: &str) -> Option<(String, String, u16)> {
    let uri: Uri = address.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| ["tcp", "tls"].contains(scheme))?;
    let authority = uri.authority()?.as_str();
    let bare = !authority.contains('@') && ["", "/"].contains(&uri.path()) && uri.query().is_none();
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().filter(|port| *port > 0)?;
    (bare && !host.is_empty()).then(|| (scheme.to_string(), host.to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port() {
        let of = |scheme: &str, host: &str, port| Some((scheme.to_string(), host.to_string(), port));
        assert_eq!(parts("tcp://127.0.0.1:601"), of("tcp", "127.0.0.1", 601));
        assert_eq!(parts("tls://[::1]:6514"), of("tls", "::1", 6514));
        for bad in
            ["", "udp://a:1", "tcp://a", "tcp://a:0", "tcp://u@a:1", "tcp://a:1/b", "tls://a:1?b", "a:1"]
        {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
