//! A small DICOM client and a small archive for the tests, written apart from the server's own code.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::support::tls::Certificate;

pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const ECHO: &str = "1.2.840.10008.1.1";

/// A message: its type and its body.
pub type Message = (u8, Vec<u8>);

pub fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0], &(body.len() as u16).to_be_bytes()[..], body].concat()
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0], &(body.len() as u32).to_be_bytes()[..], body].concat()
}

pub fn receive(stream: &mut impl Read) -> Option<Message> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize];
    stream.read_exact(&mut body).ok()?;
    Some((head[0], body))
}

/// A request for an association with these contexts: SOP class and transfer syntaxes, the ids 1, 3, 5, ...
pub fn request(called: &str, calling: &str, contexts: &[(&str, &[&str])]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(format!("{called:<16}{calling:<16}").into_bytes());
    body.extend([0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (number, (class, syntaxes)) in contexts.iter().enumerate() {
        let mut context = vec![2 * number as u8 + 1, 0, 0, 0];
        context.extend(item(0x30, class.as_bytes()));
        syntaxes.iter().for_each(|syntax| context.extend(item(0x40, syntax.as_bytes())));
        body.extend(item(0x20, &context));
    }
    body.extend(item(0x50, &item(0x51, &16_384u32.to_be_bytes())));
    message(1, &body)
}

fn element(number: u16, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    [&[0, 0][..], &number.to_le_bytes(), &(value.len() as u32).to_le_bytes(), &value].concat()
}

pub fn command(field: u16, class: &str, instance: &str, data: bool) -> Vec<u8> {
    let mut all = element(0x0002, class.as_bytes());
    all.extend(element(0x0100, &field.to_le_bytes()));
    all.extend(element(0x0110, &7u16.to_le_bytes()));
    all.extend(element(0x0800, &(if data { 1u16 } else { 0x0101 }).to_le_bytes()));
    if data {
        all.extend(element(0x1000, instance.as_bytes()));
    }
    [element(0, &(all.len() as u32).to_le_bytes()), all].concat()
}

pub fn part(context: u8, flags: u8, bytes: &[u8]) -> Vec<u8> {
    message(4, &[&(bytes.len() as u32 + 2).to_be_bytes()[..], &[context, flags], bytes].concat())
}

/// The value of an element of a command.
fn value(command: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let mut at = 0;
    while at + 8 <= command.len() {
        let number = u16::from_le_bytes([command[at + 2], command[at + 3]]);
        let length = u32::from_le_bytes(command[at + 4..at + 8].try_into().unwrap()) as usize;
        if number == wanted {
            return Some(command[at + 8..at + 8 + length].to_vec());
        }
        at += 8 + length;
    }
    None
}

/// A connection, with TLS or without.
pub trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// An association that is open.
pub struct Scu(Box<dyn Stream>);

impl Scu {
    pub fn connect(address: &str) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Opens one, or gives the answer that refuses it.
    pub fn open(
        address: &str,
        called: &str,
        calling: &str,
        contexts: &[(&str, &[&str])],
    ) -> Result<Scu, Message> {
        Scu::open_on(Box::new(Scu::connect(address)), called, calling, contexts)
    }

    /// Opens one over TLS, to whom the certificate vouches for.
    pub fn open_private(
        address: &str,
        certificate: &Certificate,
        (called, calling): (&str, &str),
        contexts: &[(&str, &[&str])],
    ) -> Result<Scu, Message> {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(certificate.client(), name).unwrap();
        let stream = StreamOwned::new(connection, Scu::connect(address));
        Scu::open_on(Box::new(stream), called, calling, contexts)
    }

    fn open_on(
        mut stream: Box<dyn Stream>,
        called: &str,
        calling: &str,
        contexts: &[(&str, &[&str])],
    ) -> Result<Scu, Message> {
        stream.write_all(&request(called, calling, contexts)).unwrap();
        match receive(&mut stream) {
            Some((2, _)) => Ok(Scu(stream)),
            Some(other) => Err(other),
            None => Err((0, Vec::new())),
        }
    }

    /// The status of a C-ECHO in context 1.
    pub fn echo(&mut self) -> u16 {
        self.0.write_all(&part(1, 3, &command(0x0030, ECHO, "", false))).unwrap();
        self.status().unwrap().0
    }

    /// The status and the comment of a C-STORE in context 1, in parts of this many bytes.
    pub fn store(&mut self, class: &str, instance: &str, data: &[u8], size: usize) -> (u16, String) {
        self.0.write_all(&part(1, 3, &command(0x0001, class, instance, true))).unwrap();
        let count = data.len().div_ceil(size);
        for (number, bytes) in data.chunks(size).enumerate() {
            self.0.write_all(&part(1, if number + 1 == count { 2 } else { 0 }, bytes)).unwrap();
        }
        self.status().unwrap()
    }

    fn status(&mut self) -> Option<(u16, String)> {
        let (kind, body) = receive(&mut self.0)?;
        assert_eq!(kind, 4, "{body:?}");
        let command = &body[6..];
        let status = value(command, 0x0900)?;
        let comment = value(command, 0x0902).unwrap_or_default();
        Some((u16::from_le_bytes([status[0], status[1]]), String::from_utf8(comment).unwrap()))
    }

    pub fn release(mut self) {
        self.0.write_all(&message(5, &[0; 4])).unwrap();
        assert_eq!(receive(&mut self.0).map(|(kind, _)| kind), Some(6));
    }
}

/// An instance: its identifier and its data set.
pub type Taken = (String, Vec<u8>);

/// An archive that takes everything: SOP Instance UIDs and data sets.
#[derive(Clone)]
pub struct Archive {
    pub address: String,
    pub taken: Arc<Mutex<Vec<Taken>>>,
    /// How many associations there were.
    pub associations: Arc<AtomicUsize>,
    /// Whether it answers by now.
    pub open: Arc<AtomicBool>,
}

impl Archive {
    pub fn start() -> Archive {
        Archive::start_with(None)
    }

    /// One that is silent until it is opened, and then notes what it is offered and refuses it.
    pub fn refusing() -> Archive {
        Archive::answering(None, 0xc000, false)
    }

    /// One that speaks TLS where there is a certificate.
    pub fn start_with(certificate: Option<&Certificate>) -> Archive {
        Archive::answering(certificate, 0, true)
    }

    fn answering(certificate: Option<&Certificate>, status: u16, is_open: bool) -> Archive {
        let tls = certificate.map(Certificate::server);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = taken.clone();
        let (associations, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(is_open)));
        let (counted, opened) = (associations.clone(), open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                while !opened.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let (kept, tls) = (kept.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => talk(stream, &kept, status),
                    Some(config) => {
                        talk(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &kept, status);
                    }
                });
            }
        });
        Archive { address, taken, associations, open }
    }
}

fn talk(mut stream: impl Read + Write, kept: &Mutex<Vec<(String, Vec<u8>)>>, status: u16) {
    let (mut instance, mut data) = (String::new(), Vec::new());
    while let Some((kind, body)) = receive(&mut stream) {
        match kind {
            1 => {
                // Each proposed context is accepted with its first transfer syntax.
                let (mut at, mut answer) = (68, body[..68].to_vec());
                answer.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
                while at < body.len() {
                    let length = usize::from(u16::from_be_bytes([body[at + 2], body[at + 3]]));
                    if body[at] == 0x20 {
                        let context =
                            [&[body[at + 4], 0, 0, 0][..], &item(0x40, EXPLICIT.as_bytes())].concat();
                        answer.extend(item(0x21, &context));
                    }
                    at += 4 + length;
                }
                answer.extend(item(0x50, &item(0x51, &4096u32.to_be_bytes())));
                stream.write_all(&message(2, &answer)).unwrap();
            }
            4 => {
                assert!(body.len() <= 4096, "no message is longer than was announced");
                let (flags, bytes) = (body[5], &body[6..]);
                if flags & 1 == 1 {
                    let uid = value(bytes, 0x1000).unwrap();
                    instance = String::from_utf8(uid).unwrap().trim_end_matches('\0').to_string();
                } else {
                    data.extend_from_slice(bytes);
                    if flags & 2 == 2 {
                        kept.lock().unwrap().push((instance.clone(), std::mem::take(&mut data)));
                        let mut all = element(0x0100, &0x8001u16.to_le_bytes());
                        all.extend(element(0x0120, &1u16.to_le_bytes()));
                        all.extend(element(0x0800, &0x0101u16.to_le_bytes()));
                        all.extend(element(0x0900, &status.to_le_bytes()));
                        let answer = [element(0, &(all.len() as u32).to_le_bytes()), all].concat();
                        stream.write_all(&part(body[4], 3, &answer)).unwrap();
                    }
                }
            }
            5 => {
                let _ = stream.write_all(&message(6, &[0; 4]));
                return;
            }
            _ => return,
        }
    }
}
