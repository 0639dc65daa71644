//! Mutual TLS, black box: who comes with a client certificate, and who does not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use crate::support::{Server, api_key, shipped_models, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

type Authority = CertifiedIssuer<'static, KeyPair>;
type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn issuer() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for this DNS name or URI and common name.
fn certificate(issuer: &Authority, name: &str, common_name: &str) -> Shown {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![match name.contains(':') {
        true => SanType::URI(name.try_into().unwrap()),
        false => SanType::DnsName(name.try_into().unwrap()),
    }];
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    let issuer: &rcgen::Issuer<'static, KeyPair> = issuer;
    let made = params.signed_by(&key, issuer).unwrap();
    (vec![made.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// A server's certificate, and what a client believes.
struct Site {
    folder: tempfile::TempDir,
    roots: RootCertStore,
    clients: Authority,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let clients = issuer();
        for (name, text) in [
            ("certificate.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
            ("roots.pem", clients.pem()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Site { folder, roots, clients }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_string()
    }

    fn server(&self, more: &[&str]) -> Server {
        let files = ["certificate.pem", "key.pem", "roots.pem"].map(|name| self.file(name));
        let arguments = [
            &["--tls-certificate", &files[0], "--tls-key", &files[1], "--tls-client-roots", &files[2]],
            more,
        ];
        Server::start(&shipped_models(), &arguments.concat())
    }

    /// The status and text of an answer; an error where there is none.
    fn ask(&self, server: &Server, shown: Option<&Shown>, request: &str) -> Result<(u16, String), String> {
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let config = match shown {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(server.url.trim_start_matches("https://")).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
        let text = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\n{}connection: close\r\n\r\n",
            headers.replace('\n', "\r\n")
        );
        stream.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.map(|status| (status, answer)).ok_or_else(|| format!("{read:?}"))
    }
}

/// Writes the file whole, as somebody does who replaces it.
fn write(file: &str, text: &str) {
    let new = format!("{file}.new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, Path::new(file)).unwrap();
}

#[tokio::test]
async fn a_certificate_says_who_calls_and_what_it_may() {
    let site = Site::new();
    let callers = site.file("callers");
    write(
        &callers,
        "# wards\nward 7:classify+model=triage:dns:ward-7.example.org\n  # the chief, and no other\nchief:admin:cn:The chief\n\
         lab #2:classify:cn:Cath lab #2\npod:classify:uri:https://pod.example.org/card#me\n",
    );
    let key = api_key("one", "write", "key-one");
    let server = site.server(&["--tls-client-callers", &callers, "--api-keys", &key]);
    let ward = certificate(&site.clients, "Ward-7.example.org", "a ward");
    let chief = certificate(&site.clients, "chief.example.org", "The chief");
    let second = certificate(&site.clients, "lab-2.example.org", "Cath lab #2");
    let pod = certificate(&site.clients, "https://pod.example.org/card#me", "a pod");
    let nobody = certificate(&site.clients, "elsewhere.example.org", "somebody");
    let status = |shown: Option<&Shown>, request: &str| site.ask(&server, shown, request).unwrap().0;

    assert_eq!(status(Some(&ward), "GET /v1/models"), 200);
    assert_eq!(status(Some(&ward), "GET /v1/audit"), 403);
    let (refused, said) =
        site.ask(&server, Some(&ward), "POST /v2/models/pneumonia/infer\ncontent-length: 0\n").unwrap();
    assert!(refused == 403 && said.contains("may ask: triage"), "{said}");
    assert_eq!(status(Some(&nobody), "GET /v1/models"), 401);
    // A name is whole, with the number sign in it, and what it begins with is another's.
    assert_eq!((status(Some(&second), "GET /v1/models"), status(Some(&pod), "GET /v1/models")), (200, 200));
    for (dns, common_name) in
        [("lab.example.org", "Cath lab"), ("https://pod.example.org/card", "another pod")]
    {
        let other = certificate(&site.clients, dns, common_name);
        assert_eq!(status(Some(&other), "GET /v1/models"), 401, "{dns}");
    }
    assert_eq!(status(None, "GET /v1/models"), 401);
    assert_eq!(status(None, "GET /health/live"), 200);
    // Who sends a key is its owner, and with a wrong one nobody.
    assert_eq!(status(Some(&chief), "GET /v1/audit\nauthorization: Bearer key-one\n"), 403);
    assert_eq!(status(Some(&chief), "GET /v1/audit\nauthorization: Bearer key-two\n"), 401);
    // A browser sends the certificate by itself, whoever made the page.
    assert_eq!(status(Some(&chief), "GET /v1/audit\norigin: https://evil.example\n"), 403);
    assert_eq!(status(Some(&chief), "GET /v1/audit\nsec-fetch-site: cross-site\n"), 403);
    assert_eq!(status(Some(&chief), "GET /v1/audit\norigin: https://localhost\n"), 200);
    let text = "PUT /v1/users/u1\ncontent-type: text/plain\ncontent-length: 0\n";
    assert_eq!(status(Some(&chief), text), 415);
    // A certificate that leads to another root is none.
    let strange = certificate(&issuer(), "ward-7.example.org", "The chief");
    assert!(site.ask(&server, Some(&strange), "GET /v1/models").is_err());

    until("the rows", async || {
        let (_, said) = site.ask(&server, Some(&chief), "GET /v1/audit").unwrap();
        (said.contains("\"cert:ward 7\"") && said.contains("\"cert:chief\"")).then_some(())
    })
    .await;
    write(&callers, "ward 7:classify:sha256:00\n");
    until("the end of the ward's rights", async || {
        (status(Some(&ward), "GET /v1/models") == 401).then_some(())
    })
    .await;
    write(&callers, "ward 8:classify:dns:ward-7.example.org\n");
    until("new rights", async || (status(Some(&ward), "GET /v1/models") == 200).then_some(())).await;
    std::fs::remove_file(&callers).unwrap();
    until("nobody's rights", async || (status(Some(&ward), "GET /v1/models") == 401).then_some(())).await;
}

#[tokio::test]
async fn where_a_certificate_is_required_there_is_no_word_without_one() {
    let site = Site::new();
    let server = site.server(&["--tls-client-required"]);
    let own = certificate(&site.clients, "ward-7.example.org", "a ward");
    assert_eq!(site.ask(&server, Some(&own), "GET /health/live").unwrap().0, 200);
    assert!(site.ask(&server, None, "GET /health/live").is_err());
    // Other roots from now on.
    let next = issuer();
    write(&site.file("roots.pem"), &next.pem());
    let new = certificate(&next, "ward-7.example.org", "a ward");
    until("the new root", async || site.ask(&server, Some(&new), "GET /health/live").ok()).await;
    assert!(site.ask(&server, Some(&own), "GET /health/live").is_err());
}

#[test]
fn settings_that_need_each_other_are_asked_for_at_start() {
    let site = Site::new();
    let files = ["certificate.pem", "key.pem", "roots.pem"].map(|name| site.file(name));
    let callers = site.file("callers");
    write(&callers, "ward 7:classify:dns\n");
    let nobody = site.file("nobody");
    write(&nobody, "# none as yet\n");
    for (arguments, word) in [
        (vec!["--tls-client-callers", &nobody], "it has no entry"),
        (vec!["--tls-client-roots", &files[2]], "--tls-certificate"),
        (vec!["--tls-client-required"], "--tls-client-roots"),
        (vec!["--tls-client-callers", &callers], "--tls-client-roots"),
        (
            vec!["--tls-certificate", &files[0], "--tls-key", &files[1], "--tls-client-roots", &files[1]],
            "--tls-client-roots",
        ),
        (
            vec![
                "--tls-certificate",
                &files[0],
                "--tls-key",
                &files[1],
                "--tls-client-roots",
                &files[2],
                "--tls-client-callers",
                &callers,
            ],
            "line 1",
        ),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_medserve"))
            .arg("serve")
            .args(["--listen", "127.0.0.1:0"])
            .args(&arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(word), "{arguments:?}: {said}");
    }
}
