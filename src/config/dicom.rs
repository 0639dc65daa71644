//! The settings of DICOM: who is spoken with on its network, which models answer, and for how long results are kept.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::given::Reader;
use super::setting::{Accepts, called};
use super::settings;

/// DICOM's part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomConfig {
    /// Address of the DICOM network.
    pub listen: Option<SocketAddr>,
    /// Our application entity title.
    pub ae_title: String,
    /// The titles that may call; any where there are none.
    pub callers: Vec<String>,
    /// Whether the network speaks TLS.
    pub tls: bool,
    /// Where results are sent.
    pub peer: Option<Peer>,
    /// The certificates that it is trusted by, over TLS.
    pub peer_ca: Option<PathBuf>,
    /// The models that answer; those whose manifest names the modality where there are none.
    pub models: Vec<String>,
    /// Whether a structured report is made.
    pub report: bool,
    /// Whether a picture with the evidence is made.
    pub capture: bool,
    /// Most associations at a time.
    pub associations: usize,
    /// Most images that wait.
    pub queue: u32,
    /// Time for which results and failures are kept.
    pub keep: Duration,
}

/// Where results are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// An application entity, by C-STORE.
    Entity {
        /// Its title.
        title: String,
        /// Host and port.
        address: String,
    },
    /// The address of a DICOMweb service, by STOW-RS: `/studies` is under it.
    Web(String),
}

impl DicomConfig {
    /// Reads them; `others` says whether addresses that others can reach are fine without a list of callers.
    pub(super) fn read(reader: &mut Reader, anonymous: bool, has_tls: bool) -> DicomConfig {
        let listen = reader.given(&settings::DICOM_LISTEN);
        let callers = reader.list(&settings::DICOM_CALLERS);
        for caller in callers.iter().filter(|caller| AeTitle.parse(caller).is_none()) {
            reader.note(format!(
                "{} has \"{caller}\", which is not {}",
                called(settings::DICOM_CALLERS.name),
                AeTitle.accepted()
            ));
        }
        if listen.is_some_and(|address: SocketAddr| !address.ip().is_loopback())
            && callers.is_empty()
            && !anonymous
        {
            reader.note(format!(
                "{} is an address that others can reach, and any application entity could send images: name those \
                 that may in {}, or say {}",
                called(settings::DICOM_LISTEN.name),
                called(settings::DICOM_CALLERS.name),
                called(settings::ALLOW_ANONYMOUS.name),
            ));
        }
        let tls = reader.value(&settings::DICOM_TLS);
        if tls && !has_tls {
            reader.note(format!(
                "{} needs a certificate: give {} and {}",
                called(settings::DICOM_TLS.name),
                called(settings::TLS_CERTIFICATE.name),
                called(settings::TLS_KEY.name)
            ));
        }
        let results = reader.value(&settings::DICOM_RESULTS);
        let makes = |kind: &str| results.iter().any(|own| own == kind);
        let known = |kind: &String| kind == "sr" || kind == "sc";
        if results.is_empty() || !results.iter().all(known) {
            reader.note(format!("{} must name sr, sc or both", called(settings::DICOM_RESULTS.name)));
        }
        let (peer, peer_ca) = peer(reader);
        DicomConfig {
            listen,
            ae_title: reader.value(&settings::DICOM_AE_TITLE),
            callers,
            tls,
            peer,
            peer_ca,
            models: reader.list(&settings::DICOM_MODELS),
            report: makes("sr"),
            capture: makes("sc"),
            associations: reader.value(&settings::DICOM_ASSOCIATIONS) as usize,
            queue: reader.value(&settings::DICOM_QUEUE) as u32,
            keep: Duration::from_secs(86_400 * reader.value(&settings::DICOM_KEEP_DAYS)),
        }
    }
}

/// Where results are sent, and the certificates that vouch for it, where they go over TLS.
fn peer(reader: &mut Reader) -> (Option<Peer>, Option<PathBuf>) {
    let (peer, ca) = (reader.given(&settings::DICOM_PEER), reader.given(&settings::DICOM_PEER_CA));
    let [peer_name, ca_name] = [settings::DICOM_PEER.name, settings::DICOM_PEER_CA.name].map(called);
    match (&peer, &ca) {
        (Some(Peer::Web(address)), None) if address.starts_with("https://") => {
            reader.note(format!(
                "{peer_name} with https needs {ca_name}, the certificates that it is trusted by"
            ));
        }
        (Some(Peer::Web(address)), Some(_)) if address.starts_with("http://") => {
            reader.note(format!("{ca_name} is for TLS, and {peer_name} begins with http://"));
        }
        (None, Some(_)) => reader.note(format!("{ca_name} is for {peer_name}, which is not given")),
        _ => {}
    }
    (peer, ca.map(PathBuf::from))
}

/// An application entity title.
pub struct AeTitle;

impl Accepts for AeTitle {
    type Value = String;

    fn accepted(&self) -> String {
        "an application entity title: 1 to 16 letters, digits and signs, no backslash".to_string()
    }

    fn parse(&self, text: &str) -> Option<String> {
        let title = text.trim();
        let sound = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'\\';
        ((1..=16).contains(&title.len()) && title.bytes().all(sound)).then(|| title.to_string())
    }
}

/// Where results are sent.
pub struct PeerAddress;

impl Accepts for PeerAddress {
    type Value = Peer;

    fn accepted(&self) -> String {
        "TITLE@HOST:PORT, or an address such as http://pacs.example.org/dicom-web".to_string()
    }

    fn parse(&self, text: &str) -> Option<Peer> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let uri: http::Uri = text.parse().ok()?;
            let sound = uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none();
            return sound.then(|| Peer::Web(text.trim_end_matches('/').to_string()));
        }
        let (title, address) = text.rsplit_once('@')?;
        let (host, port) = address.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let title = AeTitle.parse(title)?;
        (!host.is_empty() && port > 0).then(|| Peer::Entity { title, address: address.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_entities_or_services() {
        let entity = Peer::Entity { title: "PACS 1".into(), address: "10.0.0.7:104".into() };
        assert_eq!(PeerAddress.parse("PACS 1@10.0.0.7:104"), Some(entity));
        let web = Peer::Web("https://pacs.example.org/dicom-web".into());
        assert_eq!(PeerAddress.parse("https://pacs.example.org/dicom-web/"), Some(web));
        for bad in
            ["", "PACS", "PACS@host", "PACS@host:0", "@host:104", "http://", "A_TITLE_THAT_IS_LONG@h:1"]
        {
            assert_eq!(PeerAddress.parse(bad), None, "{bad}");
        }
    }
}
