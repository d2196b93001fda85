//! The configuration as it is written: the types that it is read into, whose comments and defaults are the
//! reference. Unknown keys are refused.
//!
//! `landfall schema`, docs/configuration.md and the chart's schema are made of them. A default that is not
//! one value is the last sentence of a comment, and begins with `Default:`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::evidence::{CertificateName, ClientId, Ways};
use super::values::{Files, Length, Size};
use crate::secret::Secret;

pub mod parse;

/// The configuration of a gateway, and of the parse role beside it. Everything has a default; unknown keys are
/// refused.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Configuration {
    /// Who accepted a message: 1 to 64 of A-Z a-z 0-9 . _ -. Default: the host name.
    #[schemars(length(min = 1, max = 64), pattern(r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"))]
    pub gateway_id: Option<String>,
    /// Where devices connect.
    #[schemars(length(min = 1), extend("default" = [{ "name": "plain", "bind": "127.0.0.1:1883" }]))]
    pub listeners: Option<Vec<Listener>>,
    /// What knows whether clients are who they say, for the ways that listeners name.
    pub authentication: Option<Authentication>,
    /// Which client ids an identity may have, where a listener does not say it itself. Default: equals.
    pub client_id: Option<ClientId>,
    /// Who may publish and subscribe to what. As soon as it is written, or access_file is, nobody may do
    /// what nothing here allows; a deny is stronger than an allow, wherever it stands. At most 1000. Default:
    /// clients of an anonymous listener may do everything.
    #[schemars(length(max = 1000))]
    pub access: Option<Vec<AccessRule>>,
    /// Rules in a file, which stands beside access: what either allows is allowed, what either denies is
    /// not.
    pub access_file: Option<AccessFile>,
    /// A line of JSON for each client that connects, is refused, wants what it may not, or is ended, and for
    /// each reload. Default: to stdout where there is access or access_file, else off.
    pub audit: Option<Audit>,
    /// Health, metrics, status, and what operators do, over HTTP.
    pub admin: Option<Admin>,
    /// How the gateway ends at SIGTERM.
    pub drain: Option<Drain>,
    /// The Kafka that messages land in.
    pub kafka: Option<Kafka>,
    /// Where payloads go that are too large for their lane. Default: none, and then the lane's
    /// inline_size is the largest message.
    pub object_store: Option<ObjectStore>,
    /// What the gateway may use, and what a connection may.
    pub limits: Option<Limits>,
    /// Topic filters with captures, which say who sent a message; the first that matches counts. At most
    /// 1000.
    #[schemars(
        length(max = 1000),
        extend("default" = [{ "filter": "devices/{device_type}/{device_id}/{stream}/#" }])
    )]
    pub routes: Option<Vec<Route>>,
    /// What becomes of messages that no route matches: they go by the rules too, or are refused as dead
    /// letters.
    #[schemars(extend("enum" = ["fast", "refuse", null], "default" = "fast"))]
    pub unrouted: Option<String>,
    /// Which lane a message takes; the first that holds counts, and what none holds for goes to fast. At
    /// most 1000. Default: last topic level alarm to priority; larger than slow_over_size, or older than
    /// slow_after, to slow.
    #[schemars(length(max = 1000))]
    pub rules: Option<Vec<Rule>>,
    /// Settings of the built-in lanes priority, fast, slow and dead-letter; another name of
    /// a-z 0-9 - adds a lane. At most 28 in all.
    pub lanes: Option<BTreeMap<String, Option<Lane>>>,
    /// For the default rules only: larger payloads go to the slow lane.
    #[schemars(extend("default" = "256KiB"))]
    pub slow_over_size: Option<Size>,
    /// For the default rules only: older messages go to the slow lane.
    #[schemars(extend("default" = "1h"))]
    pub slow_after: Option<Length>,
    /// What is known of devices beforehand.
    pub attributes: Option<Attributes>,
    /// How raw messages become events: what `landfall parse` does. `landfall run` does not look into it.
    pub parse: Option<parse::Parse>,
}

/// A port for devices.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// For logs, metrics and the chart's ports: 1 to 64 of A-Z a-z 0-9 . _ -, each used once.
    #[schemars(length(min = 1, max = 64), pattern(r"^[A-Za-z0-9._-]+$"))]
    pub name: String,
    /// IP:PORT; `[::]` takes IPv4 too. Or unix:/PATH, a socket file to which the gateway's user and group
    /// may connect, and others only if they may write to it; one that is left behind is replaced.
    #[schemars(pattern(r"^(unix:/.+|.+:[0-9]+)$"))]
    pub bind: String,
    /// Says that anyone who reaches it may publish. Needed beyond loopback where nothing is asked for in
    /// authenticate.
    #[serde(default)]
    pub anonymous: bool,
    /// What a client of MQTT 5 gets for a publish that access does not allow: the code 0x87 in its PUBACK
    /// or PUBREC, or the end of its connection. One of MQTT 3 has no such code, and its connection ends.
    #[schemars(extend("enum" = ["answer", "close", null], "default" = "answer"))]
    pub on_denied: Option<String>,
    /// How clients prove who they are: the first of these ways whose evidence is there decides, and its
    /// failure is final. The evidence of certificate is the one that tls has verified, of which
    /// authentication.certificate says the name. A user name alone is no evidence; a password in the form of a
    /// token is a token.
    #[schemars(length(min = 1))]
    pub authenticate: Option<Vec<Ways>>,
    /// Which client ids an identity may have here. Default: that of the section client_id.
    pub client_id: Option<ClientId>,
    /// Speaks TLS, 1.2 or 1.3, and nothing else. Default: none, and then everything is readable on its
    /// way.
    pub tls: Option<Tls>,
    /// MQTT comes over WebSocket here, and not otherwise; `{}` takes every default. Sub-protocols are mqtt,
    /// mqttv3.1.1 and mqttv3.1, or none. X-Forwarded-For is not read.
    pub websocket: Option<WebSocket>,
    /// A load balancer in front says with the PROXY protocol, version 1 or 2, who connects.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What this listener may have of what the gateway may.
    pub limits: Option<ListenerLimits>,
}

/// TLS of a listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificates of the gateway: each client gets one that it can check, one with a key on a curve
    /// before one of RSA, and one for the name that it asks for (SNI) before others.
    #[schemars(length(min = 1))]
    pub certificates: Vec<CertificateFiles>,
    /// A file in PEM with the authorities that may vouch for clients: CAs, not clients' own certificates.
    pub client_ca: Option<String>,
    /// Whether a client has to show a certificate: required; optional, where one is checked if it is shown;
    /// none. Default: required with client_ca, none without. A client's connection ends with its certificate,
    /// and with the first of those above it.
    #[schemars(extend("enum" = ["required", "optional", "none", null]))]
    pub client_certificate: Option<String>,
    /// A file with lists of revoked certificates (CRL), in PEM or DER, or several files. Who is on one does
    /// not come in; one that should have been replaced still counts, with a warning.
    pub crl: Option<Files>,
    /// Whether each authority of a chain needs a list, or only the one that issued a client's own
    /// certificate.
    #[schemars(extend("enum" = ["chain", "leaf", null], "default" = "chain"))]
    pub crl_check: Option<String>,
    /// The oldest version that is spoken.
    #[schemars(extend("enum" = ["1.2", "1.3", null], "default" = "1.2"))]
    pub min_version: Option<String>,
    /// Clients get a ticket, with which they come back without a signature: at half of a handshake's cost over
    /// TLS 1.2, at nine tenths over 1.3, where keys are exchanged all the same; with an RSA certificate it saves
    /// more. Whoever shows a certificate has it checked anew then, revocation included.
    #[serde(default = "yes")]
    pub resumption: bool,
    /// Most bytes in one record that is sent: what a client with small buffers has to hold at once.
    #[schemars(extend("default" = "4KiB"))]
    pub record_size: Option<Size>,
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// A file in PEM: the certificate, and behind it those between it and its authority.
    pub certificate: String,
    /// A file in PEM with its private key (PKCS #8, PKCS #1 or SEC 1), not encrypted.
    pub key: String,
}

fn yes() -> bool {
    true
}

/// MQTT over WebSocket.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocket {
    /// The only path that there is, such as /mqtt. Default: any.
    #[schemars(pattern(r"^/"))]
    pub path: Option<String>,
    /// Origins of web pages that may connect, such as https://console.example.com. Who says no origin is
    /// no web page, and may. Default: all of them; where clients are asked for a certificate it has to be
    /// written, as browsers show their user's for any page.
    pub origins: Vec<String>,
    /// After this long without a byte in one of the directions a ping is sent, 1s to 1h: proxies in between
    /// cut what is silent. One that is not answered ends nothing.
    #[schemars(extend("default" = "30s"))]
    pub ping: Option<Length>,
}

/// The PROXY protocol.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyProtocol {
    /// Networks of the load balancers, such as 10.0.0.0/8. Who comes from there has to send a header, and a
    /// header of anybody else is refused. At a unix socket everybody has to, and no network is written.
    pub trusted: Vec<String>,
    /// The common name of a client's certificate, as a header of version 2 tells it, is as good as the
    /// certificate, if the load balancer says that it verified it (HAProxy: send-proxy-v2-ssl-cn). Who it is, is
    /// said by `cn` in authentication.certificate.identity.
    #[serde(default)]
    pub common_names: bool,
}

/// What a listener may have of what the gateway may.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerLimits {
    /// Its open connections. Default: limits.connections.
    #[schemars(range(min = 1))]
    pub connections: Option<u32>,
}

/// What somebody may do, or may not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// Whom it is for: all that is written has to be so. Default: everybody.
    #[serde(default)]
    pub who: Who,
    /// What it allows: publish (and leave a will), subscribe. Either this or deny is written.
    #[serde(default)]
    #[schemars(inner(pattern("^(publish|subscribe)$")))]
    pub allow: Vec<String>,
    /// What it denies.
    #[serde(default)]
    #[schemars(inner(pattern("^(publish|subscribe)$")))]
    pub deny: Vec<String>,
    /// A topic filter, in which {identity}, {client_id}, {username} and the attributes that were proved, such
    /// as {group}, stand for a level. What is empty or has one of / + # in it stands for none.
    pub topic: String,
}

/// Whom a rule is for. Names and attributes count when they were proved; a client id is what a client says.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Who {
    /// The identity.
    pub identity: Option<String>,
    /// The user name; by a way in that knows none, the identity.
    pub username: Option<String>,
    /// The client id.
    pub client_id: Option<String>,
    /// The group, an attribute like others.
    pub group: Option<String>,
    /// These attributes have these values.
    pub attributes: BTreeMap<String, String>,
    /// The listener, by its name.
    pub listener: Option<String>,
}

/// Rules in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessFile {
    /// mosquitto's acl_file, as it is. A user name that was proved, or else the identity, is what `user` and
    /// %u mean. Stricter than mosquitto: a subscription is refused that could bring what may not be read.
    pub mosquitto: String,
}

/// What knows whether clients are who they say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Authentication {
    /// Tokens (JWT) in the place of a password.
    pub token: Option<Token>,
    /// A file of names and hashes of passwords.
    pub password: Option<Password>,
    /// A service over HTTP, in place of password.
    pub http: Option<Http>,
    /// As whom clients' certificates enter, on listeners whose authenticate names certificate.
    pub certificate: Option<CertificateNames>,
}

/// Tokens (JWT) in the place of a password. Their end (exp) is the end of the connection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The key set (JWKS) with the public keys that sign tokens: a file, or a URL that is asked at start,
    /// every 5 minutes, and for an unknown key at most every 30 s. At most 100 keys and 1MiB.
    pub jwks: String,
    /// Who has to have issued a token (iss).
    pub issuer: String,
    /// For whom a token has to be (aud).
    pub audience: String,
    /// What may have signed it: ES256, ES384, EdDSA, RS256, RS384, RS512, PS256, PS384 or PS512. Never a
    /// shared secret (HS256) and never none.
    #[serde(default)]
    #[schemars(extend("default" = ["ES256", "RS256"]))]
    pub algorithms: Option<Vec<String>>,
    /// The claim that is the identity.
    #[serde(default)]
    #[schemars(extend("default" = "sub"))]
    pub identity: Option<String>,
    /// Attributes, such as group or device_type, and the claims that say them. A device cannot claim them
    /// otherwise, even where its token says nothing of them.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Asks an http:// URL beyond this machine: whoever is on the way there can let anybody in.
    #[serde(default)]
    pub allow_http: bool,
}

/// A service over HTTP that knows who may come in, in the format of EMQX 5.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// It gets a POST with JSON of clientid, username, password, peerhost and cert_common_name (of the
    /// certificate that tls has verified, where one was shown), and answers
    /// 200 with { "result": "allow" | "deny" | "ignore", client_attrs, expire_at }, a bare 2xx, 401 or 403.
    #[schemars(pattern("^https?://"))]
    pub url: String,
    /// How long it may take, at most 8s. Then the client is refused.
    #[schemars(extend("default" = "2s"))]
    pub timeout: Option<Length>,
    /// How long an `allow` is remembered; 0: not at all. At most 1h and 100000 answers.
    #[schemars(extend("default" = "60s"))]
    pub cache: Option<Length>,
    /// Asks an http:// URL beyond this machine: whoever is on the way there sees all passwords.
    #[serde(default)]
    pub allow_http: bool,
}

/// As whom certificates enter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateNames {
    /// Which name of a certificate is the identity; the first that fits counts, and whose certificate has none
    /// that fits is refused. What these names could say of attributes, a device cannot claim otherwise, even
    /// where its certificate says nothing of them.
    #[schemars(length(min = 1, max = 16), extend("default" = ["cn"]))]
    pub identity: Option<Vec<CertificateName>>,
    /// A file of lines `SHA256 IDENTITY`: the certificate with this fingerprint enters as that, and no chain,
    /// version, time or extension of it is asked. For self-signed certificates and those of version 1.
    pub pinned: Option<String>,
}

/// A file of names and hashes of passwords.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// Lines NAME:HASH, as `landfall password NAME` makes them; mosquitto's password file is one too. At
    /// most 100000 names and 16MiB.
    pub file: String,
}

/// Where the audit log goes: one of both is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// An output of the process, or off. The ordinary log goes to stderr.
    #[schemars(extend("enum" = ["stdout", "stderr", "off", null]))]
    pub to: Option<String>,
    /// A file that lines are added to. When it is renamed or removed, as for a rotation, it is opened anew
    /// within a second.
    pub file: Option<String>,
}

/// Health, metrics, status, and what operators do, over HTTP.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// IP:PORT.
    #[schemars(pattern(r"^.+:[0-9]+$"), extend("default" = "127.0.0.1:8080"))]
    pub bind: Option<String>,
    /// A port of its own for signs of life, so that the other need not be reached by who asks for them.
    pub probes: Option<Probes>,
    /// How callers show who they are. Without it nobody is told of a client, and nobody can end one.
    pub authenticate: Option<AdminAuthenticate>,
    /// Serves admin.bind with TLS. The port of the probes stays without.
    pub tls: Option<AdminTls>,
}

/// TLS of the admin port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTls {
    /// Certificates of the gateway for it.
    #[schemars(length(min = 1))]
    pub certificates: Vec<CertificateFiles>,
    /// A file in PEM with the authorities that may vouch for callers. Let it be another than devices have: who
    /// is let in is said by admin.authenticate.certificates.
    pub client_ca: Option<String>,
    /// A file with lists of revoked certificates (CRL), in PEM or DER, or several files.
    pub crl: Option<Files>,
    /// Whether each authority of a chain needs a list, or only the one that issued a caller's own certificate.
    #[schemars(extend("enum" = ["chain", "leaf", null], "default" = "chain"))]
    pub crl_check: Option<String>,
    /// The oldest version that is spoken.
    #[schemars(extend("enum" = ["1.2", "1.3", null], "default" = "1.2"))]
    pub min_version: Option<String>,
}

/// A port for /livez and /readyz.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// IP:PORT.
    #[schemars(pattern(r"^.+:[0-9]+$"))]
    pub bind: String,
    /// /metrics is there too, for whoever reaches it.
    #[serde(default)]
    pub metrics: bool,
}

/// How callers of the admin port show who they are. Then all pages ask for it but /livez and /readyz.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminAuthenticate {
    /// Tokens by name: what is shown as Authorization: Bearer TOKEN. Each is kept elsewhere, has 16 to 4096
    /// bytes of A-Z a-z 0-9 - . _ ~ + / =, and is read anew when its file changes. At most 100.
    pub tokens: BTreeMap<String, Secret>,
    /// Common names of certificates that an authority of admin.tls.client_ca vouches for. At most 100.
    pub certificates: Vec<String>,
}

/// How the gateway ends at SIGTERM.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// How long connections are still accepted and served after readiness went off.
    #[schemars(extend("default" = "5s"))]
    pub pause: Option<Length>,
    /// How long what is in flight may take after that; above 0.
    #[schemars(extend("default" = "25s"))]
    pub deadline: Option<Length>,
    /// Publishes the wills of connections that the drain ends.
    pub wills: bool,
}

/// The Kafka that messages land in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// HOST:PORT,HOST:PORT.
    #[schemars(length(min = 1), extend("default" = "localhost:9092"))]
    pub bootstrap_servers: Option<String>,
    /// Creates missing lane topics at start, with the cluster's defaults.
    pub create_topics: bool,
    /// Properties of all lanes' clients, by librdkafka's own names. What promises rest on is refused, such
    /// as acks.
    pub properties: BTreeMap<String, Secret>,
}

/// Where payloads go that are too large for their lane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectStore {
    /// s3://BUCKET/PREFIX, gs://, az:// or file:///path.
    #[schemars(pattern(r"^(s3|gs|az|file)://"))]
    pub url: String,
    /// Options of the store, by object_store's own names; unknown ones are refused. Credentials may also
    /// come from the environment, as AWS_…, GOOGLE_… and AZURE_….
    #[serde(default)]
    pub options: BTreeMap<String, Secret>,
}

/// What the gateway may use, and what a connection may.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes that the process may take, divided at start. Default: the container's limit, or 1GiB.
    pub memory: Option<Size>,
    /// Open connections. Default: the smallest of 100000, the hard descriptor limit less what Kafka, the
    /// object store, the admin port and the process need, and what half of the memory allows.
    #[schemars(range(min = 1))]
    pub connections: Option<u32>,
    /// The largest packet, all of it, 1KiB to 256MiB.
    #[schemars(extend("default" = "64MiB"))]
    pub message_size: Option<Size>,
    /// Messages of a connection that may be in flight, that is not acknowledged.
    #[schemars(range(min = 1, max = 65535), extend("default" = 100))]
    pub window_messages: Option<u16>,
    /// Bytes of a connection that may be in flight, at least 1KiB.
    #[schemars(extend("default" = "4MiB"))]
    pub window_size: Option<Size>,
    /// Threads that serve sockets. Default: half of the cores.
    #[schemars(range(min = 1, max = 256))]
    pub workers: Option<usize>,
}

/// Which topics belong to which devices.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A topic filter whose levels may be {names}.
    pub filter: String,
    /// Attributes of these devices, where nothing stronger says them.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Payloads are of this type and bring their own metadata; what does not decode is a dead letter.
    #[schemars(extend("enum" = ["landfall.v1.DeviceEnvelope", null]))]
    pub payload: Option<String>,
}

/// All of what is in `when` has to hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the message has to be.
    pub when: When,
    /// The lane that it takes.
    pub lane: String,
}

/// What a message has to be for a rule to hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The MQTT topic matches this filter.
    pub topic: Option<String>,
    /// These attributes have these values.
    pub attributes: BTreeMap<String, String>,
    /// The firmware is in the range, such as ">=1.2, <2".
    pub firmware: Option<String>,
    /// PUBLISH or CONNECT has this user property with this value.
    pub property: BTreeMap<String, String>,
    /// The payload has more bytes.
    pub larger_than: Option<Size>,
    /// Received time minus event time is more.
    pub older_than: Option<Length>,
}

/// The settings of one lane.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lane {
    /// The Kafka topic, or a template of it such as cameras.{group}. Default: landfall.NAME.
    pub topic: Option<String>,
    /// Everything that the template may become; needed with one.
    pub topics: Vec<String>,
    /// The partition key: device_id, received_ms, event_ms, device_id+bucket or a template.
    #[schemars(extend("default" = "device_id"))]
    pub key: Option<String>,
    /// The span of a bucket, for device_id+bucket only; needed there.
    pub bucket: Option<Length>,
    /// When a message is acknowledged.
    #[schemars(extend("enum" = ["kafka", null], "default" = "kafka"))]
    pub ack: Option<String>,
    /// The largest payload in a record, 1KiB to limits.message_size.
    #[schemars(extend("default" = "512KiB"))]
    pub inline_size: Option<Size>,
    /// What a record is.
    #[schemars(extend("enum" = ["envelope", null], "default" = "envelope"))]
    pub format: Option<String>,
    /// How long messages are gathered before Kafka gets them, at most 100ms. Default: 2ms, in priority
    /// 0ms.
    pub gather: Option<Length>,
    /// Properties of this lane's client, over those of kafka.
    pub properties: BTreeMap<String, Secret>,
    /// The share of memory for inline messages, at least inline_size. Default: its part of limits.memory.
    pub memory: Option<Size>,
    /// The share of memory for parts of large messages, at least 5MiB. Default: its part of
    /// limits.memory.
    pub large_memory: Option<Size>,
}

/// What is known of devices beforehand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// A YAML file of DEVICE_ID: { group: north }, at most 1000000 devices.
    pub from_file: String,
}
