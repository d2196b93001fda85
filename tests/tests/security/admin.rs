//! The admin port: signs of life for everybody, a port of their own for them, and everything that names a
//! device or changes something only for who shows a token.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::exposition::Metrics;
use tests::gateway::{Gateway, GatewayConfig};
use tests::http::{self, Answer};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, Publish, Version, Will};
use tests::ports;
use tests::tools::Folder;
use tests::wait::{SOON, until, until_true};

const TOKEN: &str = "operator-0123456789abcdef";
const OTHER_TOKEN: &str = "grafana-0123456789abcdef";
const NO_TOKEN: &str = "stranger-0123456789abcdef";

/// Without a Kafka, because nothing here needs one.
fn config() -> GatewayConfig {
    GatewayConfig::without_topics(&ports::local(ports::free()).to_string())
}

/// Two tokens, one in a file and one in the environment.
fn with_tokens(config: GatewayConfig, folder: &Folder) -> (GatewayConfig, PathBuf) {
    let file = folder.join("operator");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("the test's folder can be written");
    let path = file.to_str().expect("a folder of tests is UTF-8");
    let tokens = json!({ "ops": { "from_file": path }, "grafana": { "from_env": "GRAFANA" } });
    let config = config.environment("GRAFANA", OTHER_TOKEN);
    (config.set("admin.authenticate.tokens", tokens), file)
}

fn pages(gateway: &Gateway, path: &str) -> [(Answer, &'static str); 3] {
    [
        (gateway.page(path), "nothing"),
        (gateway.ask("GET", path, NO_TOKEN), "a wrong token"),
        (gateway.ask("GET", path, TOKEN), "the token"),
    ]
}

fn get(address: SocketAddr, path: &str) -> Answer {
    http::get(address, path).unwrap_or_else(|error| panic!("{path} does not answer: {error}"))
}

#[test]
fn without_authentication_no_device_is_named_and_none_ended_on_loopback_too() {
    let gateway = config().start();
    let _client = Client::connect(gateway.mqtt(), Version::V5, "meter-7");
    for (method, path) in [
        ("GET", "/api/v1/clients"),
        ("GET", "/api/v1/clients/meter-7"),
        ("DELETE", "/api/v1/clients/meter-7"),
    ] {
        for answer in [
            gateway.ask(method, path, TOKEN),
            http::request(method, gateway.admin(), path, &[]).expect("it answers"),
        ] {
            assert_eq!(answer.code, 403, "{method} {path}: {answer:?}");
            let error = &answer.json()["error"];
            assert!(error.as_str().is_some_and(|text| text.contains("admin.authenticate.tokens")));
        }
    }
    for path in ["/livez", "/api/v1/status", "/api/v1/ledger", "/metrics"] {
        let answer = gateway.page(path);
        assert_eq!(answer.code, 200, "{path}: {answer:?}");
        assert!(!answer.body.contains("meter-7"));
    }
    assert_eq!(gateway.status()["connections"], 1);
    let denied =
        gateway.metrics().sum("landfall_admin_denied_total", &[("reason", "not_configured")]);
    assert_eq!(denied, 6.0);
}

/// A web page whose name comes to lead to loopback (DNS rebinding) says that name.
#[test]
fn a_port_of_this_machine_is_not_asked_by_a_name_that_others_give() {
    let probes = ports::local(ports::free());
    let probes_at = json!({ "bind": probes.to_string(), "metrics": true });
    let folder = Folder::new("tokens");
    for (has_tokens, config) in [
        (false, config().set("admin.probes", probes_at.clone())),
        (true, with_tokens(config(), &folder).0.set("admin.probes", probes_at)),
    ] {
        let gateway = config.start();
        let ask = |address: SocketAddr, path: &str, host: &str, token: Option<&str>| {
            let bearer = format!("Bearer {}", token.unwrap_or_default());
            let headers = [("Host", host), ("Authorization", &bearer)];
            let headers = &headers[..1 + usize::from(token.is_some())];
            http::request("GET", address, path, headers).expect("it answers").code
        };
        let admin = gateway.admin();
        for (address, path) in [
            (admin, "/livez"),
            (admin, "/readyz"),
            (admin, "/"),
            (probes, "/livez"),
            (probes, "/metrics"),
            (admin, "/metrics"),
            (admin, "/api/v1/status"),
        ] {
            let asks_for_token = has_tokens && address == admin && !path.ends_with(['z', '/']);
            let expected = if asks_for_token { 401 } else { 421 };
            assert_eq!(ask(address, path, "evil.example:8080", None), expected, "{address}{path}");
            assert_ne!(ask(address, path, "localhost:8080", None), 421, "{address}{path}");
        }
        // By its token a proxy is known, whatever the name.
        if has_tokens {
            assert_eq!(ask(admin, "/metrics", "ops.example.com", Some(TOKEN)), 200);
        }
    }
}

#[test]
fn all_but_signs_of_life_is_behind_tokens() {
    let folder = Folder::new("tokens");
    let gateway = with_tokens(config(), &folder).0.start();
    for path in ["/metrics", "/api/v1/status", "/api/v1/ledger", "/api/v1/clients"] {
        for (answer, shown) in pages(&gateway, path) {
            let challenge = answer.headers.get("www-authenticate").map(String::as_str);
            let expected = match shown {
                "nothing" => (401, Some("Bearer realm=\"landfall\"")),
                "a wrong token" => {
                    (401, Some("Bearer realm=\"landfall\", error=\"invalid_token\""))
                }
                _ => (200, None),
            };
            assert_eq!((answer.code, challenge), expected, "{path} with {shown}: {answer:?}");
        }
        assert_eq!(gateway.ask("GET", path, OTHER_TOKEN).code, 200);
        // A link with a token in it would stand in the logs of whatever is in between.
        let in_link = gateway.page(&format!("{path}?access_token={TOKEN}"));
        assert_eq!(in_link.code, 401);
        let basic = [("authorization", "Basic b3BzOm9wcw==")];
        let basic = http::request("GET", gateway.admin(), path, &basic).expect("it answers");
        assert_eq!(basic.code, 401);
        assert_eq!(gateway.ask("POST", path, TOKEN).code, 405, "nothing changes by it");
    }
    assert_eq!(gateway.page("/livez").code, 200);
    assert_eq!(gateway.page("/readyz").code, 503, "there is no Kafka, and it says so to everybody");
    assert_eq!(gateway.page("/api/v1/nothing").code, 404);
    let denied = |reason: &str| {
        let metrics = Metrics::parse(&gateway.ask("GET", "/metrics", TOKEN).body);
        metrics.sum("landfall_admin_denied_total", &[("reason", reason)])
    };
    assert_eq!((denied("no_credentials"), denied("wrong_token")), (12.0, 4.0));
    let log = gateway.log();
    assert!(log.contains("a caller of the admin port was not let in"), "{log}");
    for secret in [TOKEN, OTHER_TOKEN, NO_TOKEN] {
        assert!(!log.contains(secret));
    }
}

#[test]
fn who_tries_tokens_waits_and_nobody_else_does() {
    let folder = Folder::new("tokens");
    let gateway = with_tokens(config(), &folder).0.start();
    let mut codes = Vec::new();
    until("tries are not looked at any more", SOON, || {
        let answer = gateway.ask("GET", "/api/v1/clients", NO_TOKEN);
        codes.push(answer.code);
        (answer.code == 429).then(|| assert_eq!(answer.headers["retry-after"], "1"))
    });
    assert!(codes.len() > 10, "it has its tries: {codes:?}");
    assert!(codes[..10].iter().all(|code| *code == 401), "{codes:?}");
    assert_eq!(gateway.page("/livez").code, 200, "who shows nothing tries nothing");
    assert_eq!(gateway.page("/metrics").code, 401);
    // Behind a proxy its neighbours have its address.
    assert_eq!(gateway.ask("GET", "/api/v1/clients", NO_TOKEN).code, 429);
    assert_eq!(gateway.ask("GET", "/metrics", TOKEN).code, 200);
    let metrics = Metrics::parse(&gateway.ask("GET", "/metrics", TOKEN).body);
    assert!(metrics.sum("landfall_admin_denied_total", &[("reason", "too_many_tries")]) >= 1.0);
}

#[test]
fn signs_of_life_have_a_port_of_their_own_and_nothing_else_is_there() {
    let folder = Folder::new("tokens");
    for with_metrics in [false, true] {
        let probes = ports::local(ports::free());
        let config = config()
            .set("admin.probes.bind", probes.to_string())
            .set("admin.probes.metrics", with_metrics);
        let gateway = with_tokens(config, &folder).0.start();
        assert_eq!((get(probes, "/livez").code, get(probes, "/readyz").code), (200, 503));
        let metrics = get(probes, "/metrics");
        assert_eq!(metrics.code, if with_metrics { 200 } else { 404 }, "{metrics:?}");
        let token = format!("Bearer {TOKEN}");
        for path in ["/api/v1/status", "/api/v1/clients", "/api/v1/clients/a"] {
            let headers = [("authorization", token.as_str())];
            let answer = http::request("GET", probes, path, &headers).expect("it answers");
            assert_eq!(answer.code, 404, "{path}");
        }
        assert_eq!(gateway.page("/livez").code, 200, "they are on the other port too");
    }
}

/// What `GET /api/v1/clients` tells.
fn list(gateway: &Gateway, query: &str) -> (Vec<String>, Value) {
    let answer = gateway.ask("GET", &format!("/api/v1/clients{query}"), TOKEN);
    assert_eq!(answer.code, 200, "{answer:?}");
    let page = answer.json();
    let clients = page["clients"].as_array().expect("a list").iter();
    (clients.map(|client| client["client_id"].as_str().expect("a text").to_owned()).collect(), page)
}

#[test]
fn clients_are_listed_page_by_page_and_one_by_its_id_whatever_is_in_it() {
    let folder = Folder::new("tokens");
    let gateway = with_tokens(config(), &folder).0.start();
    let odd = "ä/b c?d#%2F";
    let ids = ["meter-1", "meter-2", "meter-3", "other", odd];
    let mut clients: Vec<Client> =
        ids.iter().map(|id| Client::connect(gateway.mqtt(), Version::V5, id)).collect();
    // Who has its CONNACK is in the list a moment later.
    until_true("all are in the list", SOON, || list(&gateway, "").0.len() == ids.len());
    assert_eq!(list(&gateway, "").0, ids);
    let (first, page) = list(&gateway, "?limit=2");
    assert_eq!(
        (first, &page["after"], &page["connected"]),
        (ids[..2].iter().map(|id| (*id).to_owned()).collect(), &json!("meter-2"), &json!(5))
    );
    assert_eq!(list(&gateway, "?limit=2&after=meter-2").0, ["meter-3", "other"]);
    let (last, page) = list(&gateway, "?limit=2&after=other");
    assert_eq!((last, &page["after"]), (vec![odd.to_owned()], &Value::Null));
    assert_eq!(list(&gateway, "?prefix=meter-").0, ids[..3]);
    assert_eq!(list(&gateway, "?listener=plain").0.len(), 5);
    assert!(list(&gateway, "?listener=fleet").0.is_empty());
    for wrong in ["?limit=0", "?limit=1001", "?colour=red"] {
        let answer = gateway.ask("GET", &format!("/api/v1/clients{wrong}"), TOKEN);
        assert_eq!(answer.code, 400, "{wrong}: {answer:?}");
    }

    // Without a Kafka it stays open.
    clients[4].publish(&Publish::new("devices/meter/odd/power", b"1").qos1(1));
    clients[4].subscribe(2, "a/#", 0);
    clients[4].expect_packet();
    let path = "/api/v1/clients/%C3%A4%2Fb%20c%3Fd%23%252F";
    let one = until("what it sent is there", SOON, || {
        let one = gateway.ask("GET", path, TOKEN).json();
        (one["in_flight"] == 1).then_some(one)
    });
    assert_eq!(one["client_id"], odd);
    assert_eq!(one["subscriptions"], 1);
    assert_eq!(one["has_will"], false);
    assert_eq!((&one["listener"], &one["version"]), (&json!("plain"), &json!("5")));
    assert_eq!((&one["identity"], &one["keep_alive_seconds"]), (&Value::Null, &json!(60)));
    assert_eq!(one["way"], "anonymous");
    assert!(one["address"].as_str().is_some_and(|text| text.starts_with("127.0.0.1:")));
    assert!(one["connected_since"].as_str().is_some_and(|text| text.ends_with('Z')));
    assert_eq!(gateway.ask("GET", "/api/v1/clients/meter", TOKEN).code, 404);
    clients.remove(0).disconnect();
    until_true("who left is not listed", SOON, || list(&gateway, "").0.len() == 4);
}

#[test]
fn an_operator_ends_one_client_and_no_other() {
    let folder = Folder::new("tokens");
    let kafka = Kafka::shared();
    let mut gateway = with_tokens(GatewayConfig::new(kafka), &folder).0.start();
    gateway.until_ready();
    let mut connect = Connect::new(Version::V5, "ended");
    connect.will = Some(Will::new("devices/meter/ended/will", 1, b"gone"));
    let (mut ended, _) = Client::connect_with(gateway.mqtt(), &connect);
    let mut old = Client::connect(gateway.mqtt(), Version::V311, "old");
    let mut stays = Client::connect(gateway.mqtt(), Version::V5, "stays");
    assert_eq!(gateway.page("/api/v1/clients/ended").code, 401);
    for id in ["ended", "old"] {
        let path = format!("/api/v1/clients/{id}");
        assert_eq!(gateway.ask("DELETE", &path, NO_TOKEN).code, 401);
        assert_eq!(gateway.ask("DELETE", &path, TOKEN).code, 204);
        assert_eq!(gateway.ask("DELETE", &path, TOKEN).code, 404);
    }
    ended.expect_disconnect(0x98, SOON);
    old.expect_closed(SOON);
    stays.publish_acknowledged("devices/meter/stays/power", 1, b"1");
    until_true("the will is there", SOON, || {
        let records = kafka.read_all(&gateway.topic("fast"));
        records.iter().any(|record| record.payload() == b"gone")
    });
    let closed = Metrics::parse(&gateway.ask("GET", "/metrics", TOKEN).body);
    let closed =
        closed.sum("landfall_connections_closed_total", &[("reason", "ended_by_operator")]);
    assert_eq!(closed, 2.0);
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("ended a connection")).expect("it is said");
    assert!(line.contains("ended") && line.contains("ops"), "{line}");
    // Nothing keeps it from coming back.
    drop(Client::connect(gateway.mqtt(), Version::V5, "ended"));
    stays.expect_silence(Duration::from_millis(100));
}
