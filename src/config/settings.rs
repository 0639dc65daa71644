//! The settings: each said once, in the order in which operators read of them.
//!
//! To add one: its value here and in its group, a member of [`Config`](super::Config), and a line in
//! `Config::read`. `medserve settings` prints the table for docs/operations.md.

use super::bulk::{ExportPath, PrivateUrl};
use super::cds::Weight;
use super::dicom::{AeTitle, PeerAddress};
use super::hl7::{CharsetName, HostPort, ReceiverName};
use super::setting::{
    Address, Default, Described, Hidden, List, Millis, Number, OneOf, Setting, Share, Switch, Text,
};
use super::{AuditMode, Naming, RecommenderEngine, ServingPrecision};

/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;

/// Every setting by groups with their titles.
pub static GROUPS: [(&str, &[&dyn Described]); 10] = [
    (
        "",
        &[
            &CONFIG,
            &LISTEN,
            &HEALTH_LISTEN,
            &DATABASE_URL,
            &DATABASE_URL_FILE,
            &DATABASE_CONNECTIONS,
            &DEMO,
            &MODELS_DIR,
            &MODEL_KEYS,
            &PRECISION,
            &RECOMMENDER,
            &REFRESH_MS,
        ],
    ),
    (
        "access",
        &[
            &API_KEYS,
            &API_KEYS_FILE,
            &JWT_KEYS,
            &JWT_ISSUER,
            &JWT_AUDIENCE,
            &JWT_MAX_LIFE_S,
            &TENANTS,
            &JWT_TENANT_CLAIM,
            &TENANT_RECOMMENDERS,
            &NETWORK_TENANT,
            &ALLOW_ANONYMOUS,
            &TLS_CERTIFICATE,
            &TLS_KEY,
            &TLS_CLIENT_ROOTS,
            &TLS_CLIENT_REQUIRED,
            &TLS_CLIENT_CALLERS,
            &CORS_ORIGINS,
        ],
    ),
    (
        "how much",
        &[
            &MAX_CONNECTIONS,
            &MAX_CONNECTIONS_PER_ADDRESS,
            &MAX_IN_FLIGHT,
            &QUEUE,
            &ENGINES,
            &MAX_BATCH,
            &MAX_BODY_BYTES,
            &MAX_PIXELS,
            &DECODE_MEMORY,
            &RATE_LIMIT,
        ],
    ),
    (
        "how long",
        &[
            &REQUEST_TIMEOUT_MS,
            &MAX_REQUEST_TIMEOUT_MS,
            &BODY_TIMEOUT_MS,
            &HEAD_TIMEOUT_MS,
            &RESPONSE_TIMEOUT_MS,
            &IDLE_TIMEOUT_MS,
            &SHUTDOWN_TIMEOUT_MS,
        ],
    ),
    ("audit", &[&AUDIT, &AUDIT_DAYS, &AUDIT_PEOPLE, &AUDIT_KEY_FILE, &AUDIT_SYSLOG, &AUDIT_SYSLOG_CA]),
    (
        "DICOM",
        &[
            &DICOM_LISTEN,
            &DICOM_AE_TITLE,
            &DICOM_CALLERS,
            &DICOM_TLS,
            &DICOM_PEER,
            &DICOM_PEER_CA,
            &DICOM_MODELS,
            &DICOM_RESULTS,
            &DICOM_ASSOCIATIONS,
            &DICOM_QUEUE,
            &DICOM_KEEP_DAYS,
        ],
    ),
    ("CDS Hooks", &[&CDS_ACCEPTED_WEIGHT, &CDS_OVERRIDDEN_WEIGHT]),
    ("HL7", &[&HL7_LISTEN, &HL7_SENDERS, &HL7_CHARSET, &HL7_PEER, &HL7_RECEIVER, &HL7_PEER_CA]),
    (
        "records that are pulled",
        &[
            &BULK_SERVER,
            &BULK_TOKEN_URL,
            &BULK_CLIENT_ID,
            &BULK_KEY,
            &BULK_CA,
            &BULK_EXPORT,
            &BULK_TYPES,
            &BULK_SCOPE,
            &BULK_MINUTES,
        ],
    ),
    ("traces", &[&OTLP_ENDPOINT, &OTLP_CA, &TRACE_RATIO]),
];

/// Every setting.
pub fn all() -> impl Iterator<Item = &'static dyn Described> {
    GROUPS.iter().flat_map(|(_, settings)| settings.iter().copied())
}

pub static CONFIG: Setting<Text> = Setting {
    name: "config",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "TOML file with any of these settings",
};

pub static LISTEN: Setting<Address> = Setting {
    name: "listen",
    value: "ADDRESS:PORT",
    default: Default::Is("127.0.0.1:8080"),
    accepts: Address,
    help: "Address to listen on; port 0 takes a free one",
};

pub static HEALTH_LISTEN: Setting<Address> = Setting {
    name: "health-listen",
    value: "ADDRESS:PORT",
    default: Default::None,
    accepts: Address,
    help: "Address of a second listener for `/health` and `/metrics` alone, without TLS, which answers however many connections the first one has",
};

/// The database where none is named, of the other commands too.
pub const DEFAULT_DATABASE: &str = "sqlite://medserve.db";
/// The one with `demo`.
pub const DEMO_DATABASE: &str = "sqlite://medserve-demo.db";

pub static DATABASE_URL: Setting<Hidden<Text>> = Setting {
    name: "database-url",
    value: "URL",
    default: Default::Depends("`sqlite://medserve.db`; with `demo` `sqlite://medserve-demo.db`"),
    accepts: Hidden(Text("an address of the form postgres://user:password@host/name or sqlite://file.db")),
    help: "Database: `postgres://user:password@host/name`, or `sqlite://file.db`, which is created",
};

pub static DATABASE_URL_FILE: Setting<Text> = Setting {
    name: "database-url-file",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "File that holds the address of the database, in place of `database-url`",
};

pub static DATABASE_CONNECTIONS: Setting<Number> = Setting {
    name: "database-connections",
    value: "N",
    default: Default::Is("10"),
    accepts: Number(1..=1000),
    help: "Connections to the database, of each tenant",
};

pub static DEMO: Setting<Switch> = Setting {
    name: "demo",
    value: "BOOL",
    default: Default::Is("false"),
    accepts: Switch,
    help: "Fill an empty database with an invented region, to try things out",
};

pub static MODELS_DIR: Setting<Text> = Setting {
    name: "models-dir",
    value: "DIR",
    default: Default::Is("models"),
    accepts: Text("a folder"),
    help: "Folder of the model packages",
};

pub static MODEL_KEYS: Setting<Text> = Setting {
    name: "model-keys",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of public keys (Ed25519); with it a package that none of them has signed is refused",
};

pub static PRECISION: Setting<OneOf<ServingPrecision>> = Setting {
    name: "precision",
    value: "PRECISION",
    default: Default::Is("auto"),
    accepts: OneOf(&[
        ("auto", ServingPrecision::Auto),
        ("f32", ServingPrecision::F32),
        ("bf16", ServingPrecision::Bf16),
        ("int8", ServingPrecision::Int8),
    ]),
    help: "What classifiers of images and encoders of texts are computed in: `f32`; `bf16` or `int8` where the package allows it; or `auto`, the fastest of those that the package allows and the processor has instructions for",
};

pub static RECOMMENDER: Setting<OneOf<RecommenderEngine>> = Setting {
    name: "recommender",
    value: "ENGINE",
    default: Default::Is("memory"),
    accepts: OneOf(&[("memory", RecommenderEngine::Memory), ("database", RecommenderEngine::Database)]),
    help: "Where neighbors are computed: `memory`, or `database` (in SQL, Postgres only)",
};

pub static REFRESH_MS: Setting<Millis> = Setting {
    name: "refresh-ms",
    value: "MS",
    default: Default::Is("500"),
    accepts: Millis(1..=1000),
    help: "Time between two checks for what other replicas wrote",
};

pub static API_KEYS: Setting<Hidden<List>> = Setting {
    name: "api-keys",
    value: "KEYS",
    default: Default::None,
    accepts: Hidden(List("entries NAME:SCOPE+SCOPE:SHA256 with commas between them")),
    help: "Keys that are accepted, as `NAME:SCOPE+SCOPE:SHA256` with commas between them, each with `:DATE` behind it if that day is its last, and `@TENANT` behind the scopes if it is a tenant's; `medserve key` makes one. The scopes are classify, recommend, write and admin; with `model=NAME` among them it asks that model alone",
};

pub static API_KEYS_FILE: Setting<Text> = Setting {
    name: "api-keys-file",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "File of further keys, one entry a line, read again within seconds after it changed",
};

pub static JWT_KEYS: Setting<Text> = Setting {
    name: "jwt-keys",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "JWKS file of the keys that sign the bearer tokens (JWT) that are accepted",
};

pub static JWT_ISSUER: Setting<Text> = Setting {
    name: "jwt-issuer",
    value: "ISSUER",
    default: Default::None,
    accepts: Text("text"),
    help: "Who issues those tokens: their `iss`",
};

pub static JWT_AUDIENCE: Setting<Text> = Setting {
    name: "jwt-audience",
    value: "AUDIENCE",
    default: Default::None,
    accepts: Text("text"),
    help: "For whom those tokens are: their `aud`",
};

pub static JWT_MAX_LIFE_S: Setting<Number> = Setting {
    name: "jwt-max-life-s",
    value: "SECONDS",
    default: Default::Is("86400"),
    accepts: Number(60..=31_622_400),
    help: "Longest time for which a token may still be good; one that is good for longer is refused",
};

pub static TENANTS: Setting<List> = Setting {
    name: "tenants",
    value: "NAMES",
    default: Default::None,
    accepts: List("names with commas between them"),
    help: "Tenants beside the default one, each with people, items, cases and an audit of its own; `SCOPES@NAME` in a key's entry is for one of them",
};

pub static JWT_TENANT_CLAIM: Setting<Text> = Setting {
    name: "jwt-tenant-claim",
    value: "CLAIM",
    default: Default::Is("tenant"),
    accepts: Text("the name of a claim"),
    help: "Claim of a token that names its tenant, where there are `tenants`; a token without it is of the default tenant",
};

pub static TENANT_RECOMMENDERS: Setting<List> = Setting {
    name: "tenant-recommenders",
    value: "ENTRIES",
    default: Default::None,
    accepts: List("entries TENANT=MODEL with commas between them"),
    help: "Learned recommenders of the tenants, as `TENANT=MODEL` with commas between them; those that are not named are of the default tenant",
};

pub static NETWORK_TENANT: Setting<Text> = Setting {
    name: "network-tenant",
    value: "NAME",
    default: Default::Depends("the default tenant"),
    accepts: Text("one of the tenants"),
    help: "Tenant that the networks of DICOM and HL7 belong to",
};

pub static ALLOW_ANONYMOUS: Setting<Switch> = Setting {
    name: "allow-anonymous",
    value: "BOOL",
    default: Default::Is("false"),
    accepts: Switch,
    help: "Allow requests without key or token, even on an address that others can reach",
};

pub static TLS_CERTIFICATE: Setting<Text> = Setting {
    name: "tls-certificate",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificate and those that lead to its root; with it the server speaks TLS, HTTP/1.1 and HTTP/2",
};

pub static TLS_KEY: Setting<Text> = Setting {
    name: "tls-key",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificate's private key",
};

pub static TLS_CLIENT_ROOTS: Setting<Text> = Setting {
    name: "tls-client-roots",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificates that client certificates must lead to; with it clients are asked for one",
};

pub static TLS_CLIENT_REQUIRED: Setting<Switch> = Setting {
    name: "tls-client-required",
    value: "BOOL",
    default: Default::Is("false"),
    accepts: Switch,
    help: "Refuse connections without such a certificate, those of the DICOM network too",
};

pub static TLS_CLIENT_CALLERS: Setting<Text> = Setting {
    name: "tls-client-callers",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "File of callers that are known by their certificate, one entry `NAME:SCOPE+SCOPE:KIND:VALUE` a line (`dns:`, `uri:`, `cn:` or `sha256:` and the value), read again within seconds after it changed",
};

pub static CORS_ORIGINS: Setting<List> = Setting {
    name: "cors-origins",
    value: "ORIGINS",
    default: Default::None,
    accepts: List("origins such as https://ward.example.org with commas between them"),
    help: "Origins of web pages that may read answers",
};

pub static MAX_CONNECTIONS: Setting<Number> = Setting {
    name: "max-connections",
    value: "N",
    default: Default::Is("900"),
    accepts: Number(1..=1 << 20),
    help: "Most connections open at once; a further one takes the place of one on which nothing is asked, or is closed immediately. Keep it below the limit of open files",
};

pub static MAX_CONNECTIONS_PER_ADDRESS: Setting<Number> = Setting {
    name: "max-connections-per-address",
    value: "N",
    default: Default::Depends("as many as `max-connections`"),
    accepts: Number(1..=1 << 20),
    help: "Most connections of one address, such as that of a proxy",
};

/// Where nothing is said. As many are let in only while they are done in good time.
pub const IN_FLIGHT: u64 = 128;

pub static MAX_IN_FLIGHT: Setting<Number> = Setting {
    name: "max-in-flight",
    value: "N",
    default: Default::Depends("128 for each engine"),
    accepts: Number(1..=1 << 20),
    help: "Most requests worked on at once, of each of three classes: by models, by the recommender, by the database; further ones are answered 429. Of the first fewer are admitted while answers take long",
};

pub static QUEUE: Setting<Number> = Setting {
    name: "queue",
    value: "N",
    default: Default::Is("1024"),
    accepts: Number(1..=1 << 20),
    help: "Inputs that may wait for each model; no request may bring more",
};

pub static ENGINES: Setting<Number> = Setting {
    name: "engines",
    value: "N",
    default: Default::Depends("one for each core"),
    accepts: Number(1..=1024),
    help: "Threads that own a copy of each model",
};

pub static MAX_BATCH: Setting<Number> = Setting {
    name: "max-batch",
    value: "N",
    default: Default::Is("32"),
    accepts: Number(1..=4096),
    help: "Most inputs that an engine takes at once",
};

pub static MAX_BODY_BYTES: Setting<Number> = Setting {
    name: "max-body-bytes",
    value: "BYTES",
    default: Default::Is("67108864"),
    accepts: Number(1..=4 << 30),
    help: "Largest request body; a route of JSON takes less, and all bodies that arrive together hold 16 times as much at most",
};

pub static MAX_PIXELS: Setting<Number> = Setting {
    name: "max-pixels",
    value: "PIXELS",
    default: Default::Is("67108864"),
    accepts: Number(1..=1 << 30),
    help: "Largest image, width times height, checked before decoding",
};

pub static DECODE_MEMORY: Setting<Number> = Setting {
    name: "decode-memory",
    value: "BYTES",
    default: Default::Is("805306368"),
    accepts: Number(1 << 20..=1 << 40),
    help: "Memory of all images that are decoded at once; others wait, and one that needs more alone is refused",
};

pub static RATE_LIMIT: Setting<Number> = Setting {
    name: "rate-limit",
    value: "N",
    default: Default::None,
    accepts: Number(1..=u32::MAX as u64),
    help: "Requests a second of one caller, in bursts of as many",
};

pub static REQUEST_TIMEOUT_MS: Setting<Millis> = Setting {
    name: "request-timeout-ms",
    value: "MS",
    default: Default::Is("30000"),
    accepts: Millis(1..=HOUR),
    help: "From a request's first byte to its answer, where the request does not say",
};

pub static MAX_REQUEST_TIMEOUT_MS: Setting<Millis> = Setting {
    name: "max-request-timeout-ms",
    value: "MS",
    default: Default::Is("120000"),
    accepts: Millis(1..=HOUR),
    help: "Most that a request may ask for with `x-request-timeout`",
};

pub static BODY_TIMEOUT_MS: Setting<Millis> = Setting {
    name: "body-timeout-ms",
    value: "MS",
    default: Default::Is("20000"),
    accepts: Millis(1..=HOUR),
    help: "For a body to arrive",
};

pub static HEAD_TIMEOUT_MS: Setting<Millis> = Setting {
    name: "head-timeout-ms",
    value: "MS",
    default: Default::Is("15000"),
    accepts: Millis(1..=HOUR),
    help: "For the first request of a connection to begin, and for a request's head to arrive once it has begun",
};

pub static RESPONSE_TIMEOUT_MS: Setting<Millis> = Setting {
    name: "response-timeout-ms",
    value: "MS",
    default: Default::Is("30000"),
    accepts: Millis(1..=HOUR),
    help: "For a client that does not read its answer; then its connection is closed",
};

pub static IDLE_TIMEOUT_MS: Setting<Millis> = Setting {
    name: "idle-timeout-ms",
    value: "MS",
    default: Default::Is("75000"),
    accepts: Millis(1..=HOUR),
    help: "For a connection's next request to begin",
};

pub static SHUTDOWN_TIMEOUT_MS: Setting<Millis> = Setting {
    name: "shutdown-timeout-ms",
    value: "MS",
    default: Default::Is("10000"),
    accepts: Millis(1..=HOUR),
    help: "For requests in flight, and their spans, to finish at shutdown",
};

pub static AUDIT: Setting<OneOf<AuditMode>> = Setting {
    name: "audit",
    value: "WHAT",
    default: Default::Is("continue"),
    accepts: OneOf(&[("fail", AuditMode::Fail), ("continue", AuditMode::Continue)]),
    help: "What happens to an answer whose audit row cannot be written: `fail` or `continue`",
};

pub static AUDIT_DAYS: Setting<Number> = Setting {
    name: "audit-days",
    value: "DAYS",
    default: Default::Is("2192"),
    accepts: Number(1..=36_525),
    help: "Days of running for which audit rows are kept",
};

pub static AUDIT_PEOPLE: Setting<OneOf<Naming>> = Setting {
    name: "audit-people",
    value: "HOW",
    default: Default::Is("pseudonym"),
    accepts: OneOf(&[("pseudonym", Naming::Pseudonym), ("id", Naming::Id)]),
    help: "How the audit names the people concerned: by a keyed `pseudonym`, or by their `id`",
};

pub static AUDIT_KEY_FILE: Setting<Text> = Setting {
    name: "audit-key-file",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "File of the audit's secret, 64 hexadecimal digits, as `medserve audit key` prints one; without it the database keeps one of its own",
};

pub static AUDIT_SYSLOG: Setting<Text> = Setting {
    name: "audit-syslog",
    value: "ADDRESS",
    default: Default::None,
    accepts: Text("an address such as tcp://audit.example.org:601 or tls://audit.example.org:6514"),
    help: "Syslog receiver that audit rows are sent to, as DICOM audit messages (ATNA); what it has not read is sent again",
};

pub static AUDIT_SYSLOG_CA: Setting<Text> = Setting {
    name: "audit-syslog-ca",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificates that a receiver at a tls address is trusted by; it is shown the certificate of `tls-certificate`, where there is one",
};

pub static OTLP_ENDPOINT: Setting<Hidden<Text>> = Setting {
    name: "otlp-endpoint",
    value: "URL",
    default: Default::None,
    accepts: Hidden(Text("an address such as http://127.0.0.1:4318, without user and query")),
    help: "OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; without it no span leaves the server",
};

pub static OTLP_CA: Setting<Text> = Setting {
    name: "otlp-ca",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificates that a collector at an https address is trusted by",
};

pub static TRACE_RATIO: Setting<Share> = Setting {
    name: "trace-ratio",
    value: "RATIO",
    default: Default::Is("1"),
    accepts: Share,
    help: "Share of the traces started here that is exported; callers decide for theirs",
};

pub static DICOM_LISTEN: Setting<Address> = Setting {
    name: "dicom-listen",
    value: "ADDRESS:PORT",
    default: Default::None,
    accepts: Address,
    help: "Address of the DICOM network, where images come by C-STORE; 11112 is a usual port, port 0 takes a free one",
};

pub static DICOM_AE_TITLE: Setting<AeTitle> = Setting {
    name: "dicom-ae-title",
    value: "TITLE",
    default: Default::Is("MEDSERVE"),
    accepts: AeTitle,
    help: "Application entity title of this server; who calls another one is refused",
};

pub static DICOM_CALLERS: Setting<List> = Setting {
    name: "dicom-callers",
    value: "TITLES",
    default: Default::None,
    accepts: List("application entity titles with commas between them"),
    help: "Application entity titles that may call; without it any may, which only a loopback address allows",
};

pub static DICOM_TLS: Setting<Switch> = Setting {
    name: "dicom-tls",
    value: "BOOL",
    default: Default::Is("false"),
    accepts: Switch,
    help: "Speak TLS on the DICOM network, with the certificate of `tls-certificate`",
};

pub static DICOM_PEER: Setting<PeerAddress> = Setting {
    name: "dicom-peer",
    value: "PEER",
    default: Default::None,
    accepts: PeerAddress,
    help: "Where results are sent: `TITLE@HOST:PORT` by C-STORE, or the address of a DICOMweb service by STOW-RS; without it they wait to be fetched",
};

pub static DICOM_PEER_CA: Setting<Text> = Setting {
    name: "dicom-peer-ca",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificates that the peer is trusted by; with it C-STORE goes over TLS, and an https address needs it",
};

pub static DICOM_MODELS: Setting<List> = Setting {
    name: "dicom-models",
    value: "NAMES",
    default: Default::Depends("every model whose manifest names the image's modality"),
    accepts: List("names of models with commas between them"),
    help: "Models that answer DICOM images, as far as they read the image's modality and body part",
};

pub static DICOM_RESULTS: Setting<List> = Setting {
    name: "dicom-results",
    value: "KINDS",
    default: Default::Is("sr,sc"),
    accepts: List("sr, sc or both with a comma between them"),
    help: "What is made of an image: `sr`, a structured report, and `sc`, a picture with the evidence drawn over it",
};

pub static DICOM_ASSOCIATIONS: Setting<Number> = Setting {
    name: "dicom-associations",
    value: "N",
    default: Default::Is("32"),
    accepts: Number(1..=10_000),
    help: "Most associations open at once; a further one is refused",
};

pub static DICOM_QUEUE: Setting<Number> = Setting {
    name: "dicom-queue",
    value: "N",
    default: Default::Is("1000"),
    accepts: Number(1..=1_000_000),
    help: "Most images that wait in the database for their answer; a further one is refused as out of resources",
};

pub static DICOM_KEEP_DAYS: Setting<Number> = Setting {
    name: "dicom-keep-days",
    value: "DAYS",
    default: Default::Is("30"),
    accepts: Number(1..=3650),
    help: "Days for which results, and the reasons of images without one, are kept",
};

pub static CDS_ACCEPTED_WEIGHT: Setting<Weight> = Setting {
    name: "cds-accepted-weight",
    value: "WEIGHT",
    default: Default::None,
    accepts: Weight,
    help: "Weight of the interaction `accepted` that a suggestion becomes when feedback says that it was taken; without it that goes to the audit alone",
};

pub static CDS_OVERRIDDEN_WEIGHT: Setting<Weight> = Setting {
    name: "cds-overridden-weight",
    value: "WEIGHT",
    default: Default::None,
    accepts: Weight,
    help: "Weight of the interaction `overridden` with the drug that was ordered in spite of a card; without it that goes to the audit alone",
};

pub static HL7_LISTEN: Setting<Address> = Setting {
    name: "hl7-listen",
    value: "ADDRESS:PORT",
    default: Default::None,
    accepts: Address,
    help: "Address where HL7 version 2 messages of admission (ADT) come over MLLP; 2575 is a usual port, port 0 takes a free one",
};

pub static HL7_SENDERS: Setting<List> = Setting {
    name: "hl7-senders",
    value: "ADDRESSES",
    default: Default::None,
    accepts: List("addresses such as 10.0.0.7 with commas between them"),
    help: "Addresses that may send those messages; without it any may, which only a loopback address allows",
};

pub static HL7_CHARSET: Setting<CharsetName> = Setting {
    name: "hl7-charset",
    value: "NAME",
    default: Default::Is("UTF-8"),
    accepts: CharsetName,
    help: "Character set of messages that name none (MSH-18)",
};

pub static HL7_PEER: Setting<HostPort> = Setting {
    name: "hl7-peer",
    value: "HOST:PORT",
    default: Default::None,
    accepts: HostPort,
    help: "Where results of DICOM images are sent as ORU^R01 over MLLP; without it none are",
};

pub static HL7_RECEIVER: Setting<ReceiverName> = Setting {
    name: "hl7-receiver",
    value: "NAME",
    default: Default::None,
    accepts: ReceiverName,
    help: "Receiving application, and facility, that those messages name (MSH-5, MSH-6)",
};

pub static HL7_PEER_CA: Setting<Text> = Setting {
    name: "hl7-peer-ca",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificates that `hl7-peer` is trusted by; with it MLLP goes over TLS",
};

pub static BULK_SERVER: Setting<PrivateUrl> = Setting {
    name: "bulk-server",
    value: "URL",
    default: Default::None,
    accepts: PrivateUrl,
    help: "Base of the FHIR server that is asked for an export (Bulk Data) on a schedule; without it none is",
};

pub static BULK_TOKEN_URL: Setting<PrivateUrl> = Setting {
    name: "bulk-token-url",
    value: "URL",
    default: Default::None,
    accepts: PrivateUrl,
    help: "Where its authorization server gives tokens",
};

pub static BULK_CLIENT_ID: Setting<Text> = Setting {
    name: "bulk-client-id",
    value: "ID",
    default: Default::None,
    accepts: Text("text"),
    help: "As which client this server is registered there",
};

pub static BULK_KEY: Setting<Text> = Setting {
    name: "bulk-key",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "File of the private key that it is known by there, as a JWK with a kid: EC of the curve P-384, or RSA",
};

pub static BULK_CA: Setting<Text> = Setting {
    name: "bulk-ca",
    value: "FILE",
    default: Default::None,
    accepts: Text("a file"),
    help: "PEM file of the certificates that both are trusted by; an https address needs it",
};

pub static BULK_EXPORT: Setting<ExportPath> = Setting {
    name: "bulk-export",
    value: "PATH",
    default: Default::Is("Patient/$export"),
    accepts: ExportPath,
    help: "What is exported: everything, what is of patients, or what is of a group",
};

pub static BULK_TYPES: Setting<List> = Setting {
    name: "bulk-types",
    value: "TYPES",
    default: Default::Depends("every type that is read"),
    accepts: List("types of resources with commas between them"),
    help: "Types of resources that are asked for",
};

pub static BULK_SCOPE: Setting<Text> = Setting {
    name: "bulk-scope",
    value: "SCOPES",
    default: Default::Is("system/*.rs"),
    accepts: Text("scopes with blanks between them"),
    help: "Scopes that are asked for; `system/*.read` for servers of SMART 1",
};

pub static BULK_MINUTES: Setting<Number> = Setting {
    name: "bulk-minutes",
    value: "MINUTES",
    default: Default::Is("1440"),
    accepts: Number(1..=525_600),
    help: "Minutes between two exports; the next one asks for what has changed since",
};
