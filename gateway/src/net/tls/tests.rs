//! Handshakes over loopback, while what they rest on changes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList,
    CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::revocation::{IssuerName, List, Lists, ONE_NAME_MAX, issuer_key};
use super::*;
use super::{CertificateFiles, CertificateSettings, ClientSettings, TlsVersion};
use crate::connection::Close;
use crate::edge::tests::edge;
use crate::net::ListenerSettings;
use crate::net::transport::tests::pair;
use crate::net::{Entrance, Peer, Transport};
use crate::patience::Patience;

/// A folder with an authority and what it signed.
pub(crate) struct World {
    folder: PathBuf,
    root: CertifiedIssuer<'static, KeyPair>,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn root(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key can be made");
    CertifiedIssuer::self_signed(params, key).expect("it can be signed")
}

/// What this authority took back.
fn list(
    authority: &CertifiedIssuer<'static, KeyPair>,
    serials: &[u64],
) -> CertificateRevocationList {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(4000, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).expect("it can be signed")
}

impl World {
    pub(crate) fn new() -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("landfall-tls-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let world = World { folder, root: root("root") };
        world.write("ca.crt", &world.root.pem());
        world.serve("server", 1);
        world.revoke(&[]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder can be written");
    }

    /// Writes NAME.crt and NAME.key.
    pub(crate) fn issue(&self, name: &str, serial: u64, client: bool) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        let usage = match client {
            true => ExtendedKeyUsagePurpose::ClientAuth,
            false => ExtendedKeyUsagePurpose::ServerAuth,
        };
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.root).expect("it can be signed");
        self.write(&format!("{name}.crt"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn serve(&self, name: &str, serial: u64) {
        self.issue(name, serial, false);
    }

    pub(crate) fn revoke(&self, serials: &[u64]) {
        let list = list(&self.root, serials);
        self.write("crl.pem", &list.pem().expect("it can be written"));
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            place: "listeners[0].tls".to_owned(),
            certificates: vec![CertificateFiles {
                certificate: self.path("server.crt"),
                key: self.path("server.key"),
            }],
            clients: Some(ClientSettings {
                required: true,
                authorities: Some(self.path("ca.crt")),
                lists: vec![self.path("crl.pem")],
                whole_chain: true,
                names: CertificateSettings::default(),
            }),
            min_version: TlsVersion::V12,
            resumption: true,
            record_size: 1024,
            below_websocket: false,
        }
    }

    pub(crate) fn entrance(&self) -> Arc<Entrance> {
        let bind: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let mut settings = ListenerSettings::new("tls", bind);
        settings.tls = Some(self.settings());
        let authentication = crate::identity::Authentication::none();
        Arc::new(Entrance::new(&settings, &authentication, None).expect("the files are good"))
    }

    /// A client that shows this certificate, and comes back with the tickets that it got.
    pub(crate) fn client(
        &self,
        name: &str,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("it is an authority");
        let certificate = CertificateDer::from_pem_file(self.path(&format!("{name}.crt")));
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key")));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("it knows the version")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.expect("PEM")], key.expect("PEM"));
        Arc::new(config.expect("they belong together"))
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands, and says a word each way; the client's stream if that was possible.
pub(crate) async fn meet(
    entrance: &Arc<Entrance>,
    client: &Arc<ClientConfig>,
) -> Result<(Transport, Arc<Certificate>, Stream), (Close, String)> {
    let edge = edge();
    let (transport, socket) = pair().await;
    let address = socket.local_addr().expect("it is connected");
    let peer = Peer::new(Arc::clone(entrance), Some(address));
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::clone(client), name).expect("it is complete");
    let mut stream = StreamOwned::new(connection, socket);
    let talking = thread::spawn(move || {
        let said = stream.write_all(b"hello").and_then(|()| stream.flush());
        let heard = said.and_then(|()| stream.read_exact(&mut [0; 5]));
        heard.map(|()| stream).map_err(|error| error.to_string())
    });
    let mut patience = Patience::new(Duration::from_secs(30));
    let tls = entrance.tls.as_ref().expect("it has TLS");
    let silence = entrance.silent.begin(std::time::Instant::now());
    let accepted = accept(tls, &edge, transport, &peer, silence, &mut patience).await;
    let greeted = match accepted {
        Ok((mut transport, certificate)) => {
            let mut word = [0; 16];
            let read = transport.read_within(&mut word, &mut patience).await;
            assert!(matches!(read, Ok(Some(5))), "{read:?}");
            let written = transport.write_within(b"hello", &mut patience).await;
            assert!(matches!(written, Ok(true)), "{written:?}");
            Ok((transport, certificate.expect("it is required")))
        }
        Err(close) => Err(close),
    };
    let heard = tokio::task::spawn_blocking(|| talking.join().expect("no panic")).await;
    match (greeted, heard.expect("no panic")) {
        (Ok((transport, certificate)), Ok(stream)) => Ok((transport, certificate, stream)),
        (Err(close), heard) => Err((close, heard.err().unwrap_or_default())),
        (Ok(_), Err(error)) => panic!("the client did not hear it: {error}"),
    }
}

fn kind(stream: &Stream) -> rustls::HandshakeKind {
    stream.conn.handshake_kind().expect("the handshake is over")
}

#[tokio::test]
async fn who_resumes_a_session_is_asked_anew() {
    let world = World::new();
    world.issue("meter-1", 7, true);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        world.revoke(&[]);
        let entrance = world.entrance();
        let tls = entrance.tls.as_ref().expect("it has TLS");
        let client = world.client("meter-1", version);
        let (_, _, first) = meet(&entrance, &client).await.expect("it is good");
        assert_eq!(kind(&first), rustls::HandshakeKind::Full);
        // Also after the gateway's own certificate was replaced.
        world.serve("server", 2);
        tls.reload().expect("the files are good");
        let (transport, certificate, again) = meet(&entrance, &client).await.expect("it is good");
        assert_eq!(kind(&again), rustls::HandshakeKind::Resumed);
        assert_eq!(certificate.identity(), Some("meter-1"));
        assert_eq!(tls.ask_again(&certificate), Some(certificate.ends_at_ms));

        world.revoke(&[7]);
        tls.reload().expect("the files are good");
        assert_eq!(tls.ask_again(&certificate), None);
        let chain = transport.client_chain();
        assert_eq!(tls.verify_again(&certificate, chain), Err(ClientFault::Revoked));
        let (close, heard) = meet(&entrance, &client).await.err().expect("it is revoked");
        assert_eq!(close, Close::Tls(HandshakeFault::Client(ClientFault::Revoked)));
        assert!(heard.contains("CertificateRevoked"), "{heard}");
    }
}

#[tokio::test]
async fn an_authority_that_is_taken_out_vouches_for_nobody_any_more() {
    let world = World::new();
    world.issue("meter-1", 7, true);
    let entrance = world.entrance();
    let tls = entrance.tls.as_ref().expect("it has TLS");
    let client = world.client("meter-1", &rustls::version::TLS13);
    let (transport, certificate, _) = meet(&entrance, &client).await.expect("it is good");
    // A list without its authority is a hint, and no fault.
    world.write("ca.crt", &root("another").pem());
    tls.reload().expect("the files are good");
    assert_eq!(tls.ask_again(&certificate), None);
    let asked = tls.verify_again(&certificate, transport.client_chain());
    assert_eq!(asked, Err(ClientFault::UnknownAuthority));
    let (close, heard) = meet(&entrance, &client).await.err().expect("nobody vouches");
    assert_eq!(close, Close::Tls(HandshakeFault::Client(ClientFault::UnknownAuthority)));
    assert!(heard.contains("UnknownCA"), "{heard}");
    // The same authority with a new certificate of its own is the same.
    world.write("ca.crt", &format!("{}{}", root("another").pem(), world.root.pem()));
    tls.reload().expect("the files are good");
    assert_eq!(tls.ask_again(&certificate), Some(certificate.ends_at_ms));
}

#[tokio::test]
async fn a_bad_file_leaves_everything_as_it_was() {
    let world = World::new();
    world.issue("meter-1", 7, true);
    let entrance = world.entrance();
    let tls = entrance.tls.as_ref().expect("it has TLS");
    let client = world.client("meter-1", &rustls::version::TLS13);
    let forged = World::new();
    forged.revoke(&[]);
    let list = std::fs::read_to_string(forged.path("crl.pem")).expect("it was written");
    for (file, text, expected) in [
        ("server.key", "nothing", "no private key"),
        ("crl.pem", list.as_str(), "not signed by"),
        ("ca.crt", "", "no certificate in PEM"),
    ] {
        let good = std::fs::read_to_string(world.path(file)).expect("it was written");
        world.write(file, text);
        let faults = tls.reload().expect_err("it is bad");
        assert!(faults.to_string().contains(expected), "{faults}");
        world.write(file, &good);
        meet(&entrance, &client).await.expect("it is good");
    }
    assert_eq!(Path::new(&tls.files()[0]), world.path("server.crt"));
}

/// What a client sends may be cut anywhere, and what is sent to it has records that it can hold.
#[tokio::test]
async fn records_are_cut_by_both_as_they_like_and_nothing_is_kept_between() {
    let world = World::new();
    world.issue("meter-1", 7, true);
    let entrance = world.entrance();
    let client = world.client("meter-1", &rustls::version::TLS13);
    let (mut transport, _, mut stream) = meet(&entrance, &client).await.expect("it is good");
    let payload: Vec<u8> = (0..40_000_u32).map(|number| number as u8).collect();
    let expected = payload.clone();
    let sending = thread::spawn(move || {
        let mut sealed = Vec::new();
        stream.conn.writer().write_all(&payload).expect("there is room for it");
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut sealed).expect("it takes bytes");
        }
        for byte in sealed.chunks(1) {
            stream.sock.write_all(byte).expect("it is connected");
        }
        let mut answer = vec![0; payload.len()];
        let mut longest = 0;
        let mut filled = 0;
        while filled < answer.len() {
            // One record at a time, by its header.
            let mut record = vec![0; 5];
            stream.sock.read_exact(&mut record).expect("a record comes");
            let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + length, 0);
            stream.sock.read_exact(&mut record[5..]).expect("it is whole");
            longest = longest.max(length);
            stream.conn.read_tls(&mut record.as_slice()).expect("there is room for it");
            stream.conn.process_new_packets().expect("it is good");
            while let Ok(count @ 1..) = stream.conn.reader().read(&mut answer[filled..]) {
                filled += count;
            }
        }
        (answer, longest)
    });
    let mut patience = Patience::new(Duration::from_secs(60));
    let mut received = Vec::new();
    // Less than a record at a time.
    let mut buffer = [0; 777];
    while received.len() < expected.len() {
        let count = transport.read_within(&mut buffer, &mut patience).await;
        let count = count.expect("it is connected").expect("it comes in time");
        assert_ne!(count, 0, "the client is there");
        received.extend_from_slice(&buffer[..count]);
    }
    assert!(received == expected, "what was sent is what came");
    let Transport::Tls(held) = &transport else { panic!("it is TLS") };
    assert_eq!(held.held_bytes(), 0);
    let written = transport.write_within(&expected, &mut patience).await;
    assert!(matches!(written, Ok(true)), "{written:?}");
    let Transport::Tls(held) = &transport else { panic!("it is TLS") };
    assert_eq!(held.held_bytes(), 0);
    let ended = tokio::task::spawn_blocking(|| sending.join().expect("no panic")).await;
    let (answer, longest) = ended.expect("no panic");
    assert!(answer == expected, "what was written is what came");
    // The record's own bytes beside those in it: a type and a tag.
    assert!((1024..=1024 + 17).contains(&longest), "{longest}");
}

/// A renewed certificate of an authority has its name and its key: whichever stands last ends nobody.
#[tokio::test]
async fn an_authority_lasts_as_long_as_its_newest_certificate() {
    let world = World::new();
    world.issue("meter-1", 7, true);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // In time when it is read, and over a while later.
    let soon = SystemTime::now() + Duration::from_secs(60);
    let since = soon.duration_since(std::time::UNIX_EPOCH).expect("it is later");
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs());
    let old = params.self_signed(world.root.key()).expect("it can be signed").pem();
    let client = world.client("meter-1", &rustls::version::TLS13);
    for bundle in [format!("{old}{}", world.root.pem()), format!("{}{old}", world.root.pem())] {
        world.write("ca.crt", &bundle);
        let entrance = world.entrance();
        let (_, certificate, _) = meet(&entrance, &client).await.expect("it is good");
        let ends_s = certificate.ends_at_ms.expect("it ends") / 1000;
        assert!(ends_s > since.as_secs() as i64 + 60, "{ends_s}");
        // Who came in before it was renewed stays longer, too.
        world.write("ca.crt", &old);
        let before = world.entrance();
        let (_, certificate, _) = meet(&before, &client).await.expect("it is good");
        assert_eq!(certificate.ends_at_ms, Some(since.as_secs() as i64 * 1000));
        world.write("ca.crt", &bundle);
        let tls = before.tls.as_ref().expect("it has TLS");
        tls.reload().expect("the files are good");
        assert_eq!(tls.ask_again(&certificate), Some(Some(ends_s * 1000)));
    }
}

/// Whether a certificate with this serial number is good, of an authority with this name.
fn ask(
    lists: &Lists,
    name: &IssuerName,
    authority: &CertifiedIssuer<'static, KeyPair>,
    serial: u8,
) -> Result<(), ClientFault> {
    let key = SubjectPublicKeyInfoDer::from(authority.key().subject_public_key_info());
    let asked = lists.ask(name, &key, &[serial], false);
    assert_eq!(lists.ask_known(name, &issuer_key(&key), &[serial], false), asked);
    asked
}

fn lists(ders: impl IntoIterator<Item = CertificateRevocationList>) -> (Lists, IssuerName) {
    let parsed = ders.into_iter().map(|list| List::parse(list.der()).expect("it is a list"));
    let parsed: Vec<List> = parsed.collect();
    let algorithms =
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let name = parsed[0].issuer;
    (Lists::new(parsed, true, algorithms.all), name)
}

#[test]
fn a_list_is_of_one_key_and_two_authorities_may_have_one_name() {
    let [one, other] = [root("fleet"), root("fleet")];
    let (of_one, name) = lists([list(&one, &[7])]);
    for _ in 0..2 {
        assert_eq!(ask(&of_one, &name, &one, 7), Err(ClientFault::Revoked));
        assert_eq!(ask(&of_one, &name, &one, 8), Ok(()));
        let known = ask(&of_one, &name, &other, 8);
        assert_eq!(known, Err(ClientFault::RevocationUnknown), "it says nothing of the other's");
    }
    let (of_both, name) = lists([list(&one, &[7]), list(&other, &[8])]);
    let said = |authority, serial| ask(&of_both, &name, authority, serial);
    assert_eq!((said(&one, 7), said(&one, 8)), (Err(ClientFault::Revoked), Ok(())));
    assert_eq!((said(&other, 7), said(&other, 8)), (Ok(()), Err(ClientFault::Revoked)));
}

#[test]
fn a_list_is_tried_with_as_many_keys_as_one_name_may_have() {
    let authorities: Vec<_> = (0..=ONE_NAME_MAX).map(|_| root("fleet")).collect();
    let (of_last, name) = lists([list(&authorities[ONE_NAME_MAX - 1], &[7])]);
    for authority in &authorities[..ONE_NAME_MAX - 1] {
        let unknown = ask(&of_last, &name, authority, 7);
        assert_eq!(unknown, Err(ClientFault::RevocationUnknown));
    }
    assert_eq!(ask(&of_last, &name, &authorities[ONE_NAME_MAX - 1], 7), Err(ClientFault::Revoked));
    let (of_one_more, name) = lists([list(&authorities[ONE_NAME_MAX], &[7])]);
    let asked = authorities.iter().map(|authority| ask(&of_one_more, &name, authority, 7));
    assert!(asked.into_iter().all(|asked| asked == Err(ClientFault::RevocationUnknown)));
}
