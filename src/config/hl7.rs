//! The settings of HL7 version 2: who may send messages, and who gets results.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::given::Reader;
use clinical::hl7::{Charset, Receiver};

use super::setting::{Accepts, called};
use super::settings;

/// HL7's part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hl7Config {
    /// Address where messages are taken.
    pub listen: Option<SocketAddr>,
    /// The addresses that may send; any where there are none.
    pub senders: Vec<IpAddr>,
    /// The character set of messages that name none.
    pub charset: Charset,
    /// Where results are sent.
    pub peer: Option<Hl7Peer>,
}

/// Where results are sent as ORU^R01.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hl7Peer {
    /// Host and port.
    pub address: String,
    /// Who is named as the receiver.
    pub receiver: Receiver,
    /// The certificates that it is trusted by, over TLS; without them the connection is not encrypted.
    pub ca: Option<PathBuf>,
}

impl Hl7Config {
    /// Reads them.
    pub(super) fn read(reader: &mut Reader, anonymous: bool) -> Hl7Config {
        let listen = reader.given(&settings::HL7_LISTEN);
        let named = reader.list(&settings::HL7_SENDERS);
        let mut senders = Vec::new();
        for name in &named {
            match name.parse::<IpAddr>() {
                Ok(address) => senders.push(address.to_canonical()),
                Err(_) => reader.note(format!(
                    "{} has \"{name}\", which is no address such as 10.0.0.7",
                    called(settings::HL7_SENDERS.name)
                )),
            }
        }
        let others = listen.is_some_and(|address: SocketAddr| !address.ip().is_loopback());
        if others && named.is_empty() && !anonymous {
            reader.note(format!(
                "{} is an address that others can reach, and MLLP does not know who sends: name the addresses that may \
                 in {}, or say {}",
                called(settings::HL7_LISTEN.name),
                called(settings::HL7_SENDERS.name),
                called(settings::ALLOW_ANONYMOUS.name),
            ));
        }
        let charset = reader.value(&settings::HL7_CHARSET);
        Hl7Config { listen, senders, charset, peer: peer(reader) }
    }
}

fn peer(reader: &mut Reader) -> Option<Hl7Peer> {
    let address = reader.given(&settings::HL7_PEER);
    let receiver = reader.given(&settings::HL7_RECEIVER);
    let ca = reader.given(&settings::HL7_PEER_CA);
    if address.is_none() && (receiver.is_some() || ca.is_some()) {
        reader.note(format!(
            "{} and {} are for results, which go to {}",
            called(settings::HL7_RECEIVER.name),
            called(settings::HL7_PEER_CA.name),
            called(settings::HL7_PEER.name)
        ));
    }
    Some(Hl7Peer { address: address?, receiver: receiver.unwrap_or_default(), ca: ca.map(PathBuf::from) })
}

/// A host and a port.
pub struct HostPort;

impl Accepts for HostPort {
    type Value = String;

    fn accepted(&self) -> String {
        "HOST:PORT".to_string()
    }

    fn parse(&self, text: &str) -> Option<String> {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        (!host.is_empty() && port > 0).then(|| text.to_string())
    }
}

/// A character set of HL7.
pub struct CharsetName;

impl Accepts for CharsetName {
    type Value = Charset;

    fn accepted(&self) -> String {
        Charset::READ.to_string()
    }

    fn parse(&self, text: &str) -> Option<Charset> {
        Charset::of(text)
    }
}

/// Application and facility.
pub struct ReceiverName;

impl Accepts for ReceiverName {
    type Value = Receiver;

    fn accepted(&self) -> String {
        "APPLICATION or APPLICATION@FACILITY".to_string()
    }

    fn parse(&self, text: &str) -> Option<Receiver> {
        let (application, facility) = text.split_once('@').unwrap_or((text, ""));
        let sound = |name: &str| name.len() <= 180 && !name.chars().any(char::is_control);
        let receiver = Receiver { application: application.to_string(), facility: facility.to_string() };
        (!application.is_empty() && sound(application) && sound(facility)).then_some(receiver)
    }
}
