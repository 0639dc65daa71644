//! The settings of HL7 version 2: who may send messages.

use std::net::{IpAddr, SocketAddr};

use super::given::Reader;
use super::setting::called;
use super::settings;

/// HL7's part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hl7Config {
    /// Address where messages are taken.
    pub listen: Option<SocketAddr>,
    /// The addresses that may send; any where there are none.
    pub senders: Vec<IpAddr>,
}

impl Hl7Config {
    /// Reads them.
    pub(super) fn read(reader: &mut Reader, anonymous: bool) -> Hl7Config {
        let listen = reader.given(&settings::HL7_LISTEN);
        let named = reader.given(&settings::HL7_SENDERS).unwrap_or_default();
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
        Hl7Config { listen, senders }
    }
}
