//! TLS of the admin port: operators by certificate, beside tokens or without any, asked by `curl`.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::exposition::Metrics;
use tests::gateway::{Gateway, GatewayConfig};
use tests::http;
use tests::pki::{Authority, Files, Leaf, Use};
use tests::ports;
use tests::tools::Folder;
use tests::wait::{SOON, until_true};

const TOKEN: &str = "operator-0123456789abcdef";

/// The certificates of one gateway and of its operators.
struct Operators {
    folder: Folder,
    root: Authority,
    ca: Authority,
    config: GatewayConfig,
}

impl Operators {
    /// Anna may ask, by her certificate.
    fn new() -> Operators {
        let folder = Folder::new("admin-tls");
        let (root, ca) = (Authority::new("root"), Authority::new("operators"));
        root.write(&folder, "root");
        let own = root.issue(&Leaf::server()).write(&folder, "own");
        let tls = json!({
            "certificates": [{ "certificate": own.certificate(), "key": own.key() }],
            "client_ca": ca.write(&folder, "operators"),
        });
        // Without a Kafka, because nothing here needs one.
        let config = GatewayConfig::without_topics(&ports::local(ports::free()).to_string())
            .set("admin.tls", tls)
            .set("admin.authenticate.certificates", json!(["anna"]));
        Operators { folder, root, ca, config }
    }

    fn start(&self) -> Gateway {
        let gateway = self.config.clone().launch();
        until_true("the admin port answers", SOON, || self.ask(&gateway, "/livez", &[]).0 == 200);
        gateway
    }

    /// What `curl` gets: the code, 0 where there is no answer, and the page or what went wrong.
    fn ask(&self, gateway: &Gateway, path: &str, arguments: &[&str]) -> (u16, String) {
        let url = format!("https://localhost:{}{path}", gateway.admin().port());
        let resolve = format!("localhost:{}:127.0.0.1", gateway.admin().port());
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--resolve", &resolve, "--cacert"])
            .arg(self.folder.join("root.crt"))
            .args(["-w", "\n%{http_code}"])
            .args(arguments)
            .arg(url)
            .output()
            .expect("curl is there");
        let page = String::from_utf8(output.stdout).expect("it prints text");
        let (page, code) = page.rsplit_once('\n').expect("the code is the last line");
        let errors = String::from_utf8_lossy(&output.stderr);
        (code.parse().expect("a number"), format!("{page}{errors}"))
    }

    fn with(&self, gateway: &Gateway, path: &str, files: &Files) -> (u16, String) {
        self.ask(gateway, path, &["--cert", files.certificate(), "--key", files.key()])
    }

    fn issue(&self, leaf: &Leaf, name: &str) -> Files {
        self.ca.issue(leaf).write(&self.folder, name)
    }

    fn denied(&self, gateway: &Gateway, anna: &Files, reason: &str) -> f64 {
        let page = self.with(gateway, "/metrics", anna).1;
        Metrics::parse(&page).sum("landfall_admin_denied_total", &[("reason", reason)])
    }
}

#[test]
fn an_operator_is_who_has_a_certificate_that_is_named() {
    let operators = Operators::new();
    let gateway = operators.start();
    let anna = operators.issue(&Leaf::client("anna"), "anna");
    let bert = operators.issue(&Leaf::client("bert"), "bert");
    for path in ["/api/v1/clients", "/api/v1/status", "/metrics"] {
        assert_eq!(operators.with(&gateway, path, &anna).0, 200, "{path}");
        let (code, page) = operators.with(&gateway, path, &bert);
        assert!(code == 403 && page.contains("admin.authenticate.certificates"), "{path}: {page}");
        assert_eq!(operators.ask(&gateway, path, &[]).0, 401, "{path}");
        let bearer = format!("Authorization: Bearer {TOKEN}");
        assert_eq!(operators.ask(&gateway, path, &["-H", &bearer]).0, 401, "there is no token");
    }
    assert_eq!(operators.ask(&gateway, "/livez", &[]).0, 200, "signs of life are for everybody");
    let (code, page) = operators.ask(&gateway, "/api/v1/reload", &["-X", "POST"]);
    assert_eq!(code, 401, "{page}");
    let reload = ["-X", "POST", "--cert", anna.certificate(), "--key", anna.key()];
    assert_eq!(operators.ask(&gateway, "/api/v1/reload", &reload).0, 200);
    assert_eq!(operators.denied(&gateway, &anna, "foreign_certificate"), 3.0);

    let other = Authority::new("other");
    for (leaf, why) in [
        (other.issue(&Leaf::client("anna")), "of another authority"),
        (operators.ca.issue(&Leaf::client("anna").expired()), "expired"),
        (operators.ca.issue(&Leaf::client("anna").usage(Use::Server)), "of a server"),
        (Leaf::client("anna").self_signed(), "of its own"),
    ] {
        let files = leaf.write(&operators.folder, "refused");
        let (code, page) = operators.with(&gateway, "/api/v1/clients", &files);
        assert_eq!(code, 0, "{why}: {page}");
    }
    let old = operators.ask(&gateway, "/livez", &["--tls-max", "1.1"]);
    assert_eq!(old.0, 0, "{old:?}");
    let plain = http::get(gateway.admin(), "/livez");
    assert!(plain.is_err(), "it is answered without TLS: {plain:?}");
    let log = gateway.log();
    assert!(log.contains("a TLS handshake failed on the admin port"), "{log}");
}

#[test]
fn tokens_and_certificates_open_it_side_by_side_and_both_are_read_anew() {
    let operators = Operators::new();
    let token = operators.folder.join("token");
    std::fs::write(&token, TOKEN).expect("the test's folder can be written");
    let list = operators.folder.join("operators.crl");
    let write_list = |list: &Path, text: String| {
        // In one step, as whoever replaces such a file does.
        let new = list.with_extension("new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, list)).expect("written");
    };
    write_list(&list, operators.ca.revoke(&[]));
    let config = operators.config.clone();
    let config = config
        .set("admin.authenticate.tokens", json!({ "grafana": { "from_file": token } }))
        .set("admin.tls.crl", list.to_str().expect("UTF-8"));
    let operators = Operators { config, ..operators };
    let gateway = operators.start();
    let issued = operators.ca.issue(&Leaf::client("anna"));
    let anna = issued.write(&operators.folder, "anna");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(operators.ask(&gateway, "/metrics", &["-H", &bearer]).0, 200);
    assert_eq!(operators.with(&gateway, "/metrics", &anna).0, 200);
    let page = operators.ask(&gateway, "/metrics", &["-H", &bearer]).1;
    let ends = Metrics::parse(&page)
        .sum("landfall_tls_certificate_ends_timestamp_seconds", &[("listener", "admin")]);
    assert!(ends > 0.0, "whoever watches certificates sees this one: {page}");

    write_list(&list, operators.ca.revoke(&[&issued]));
    until_true("who was revoked is not let in", SOON, || {
        operators.with(&gateway, "/metrics", &anna).0 == 0
    });
    assert_eq!(operators.ask(&gateway, "/metrics", &["-H", &bearer]).0, 200);
    let renewed = operators.root.issue(&Leaf::server().only_dns(&["elsewhere.example"]));
    renewed.write(&operators.folder, "own");
    until_true("the new certificate is shown", SOON, || {
        operators.ask(&gateway, "/livez", &[]).1.contains("elsewhere.example")
            || operators.ask(&gateway, "/livez", &[]).0 == 0
    });
}

#[test]
fn what_opens_it_to_nobody_is_a_fault() {
    let operators = Operators::new();
    let refused = |key: &str, value: Value, expected: &[&str]| {
        let (code, said) = operators.config.clone().set(key, value).start_and_end();
        assert_eq!(code, Some(64), "{said}");
        for text in expected {
            assert!(said.contains(text), "{text} is missing in {said}");
        }
    };
    refused(
        "admin.authenticate.certificates",
        json!([]),
        &["admin.authenticate: is empty", "admin.tls.client_ca: lets nobody in by itself"],
    );
    refused(
        "admin.tls.client_ca",
        Value::Null,
        &["admin.authenticate.certificates: needs admin.tls.client_ca"],
    );
    let own = operators.folder.join("own.key");
    refused(
        "admin.tls.certificates",
        json!([{ "certificate": "/nowhere/own.crt", "key": own }]),
        &["admin.tls.certificates[0].certificate: /nowhere/own.crt"],
    );
    refused(
        "listeners",
        json!([{ "name": "admin", "bind": "127.0.0.1:0" }]),
        &["admin.tls: a listener has the name admin too"],
    );
}
