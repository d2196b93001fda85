//! What `landfall parse status | retry | skip` say of a running role, and do to it: the way of who operates it, when
//! a partition stops.

use std::process::Output;

use serde_json::{Value, json};
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Version};
use tests::parse_role::{self, PRESS, PRESS_TOPIC, ParseRole};
use tests::pki::{Authority, Files, Leaf};
use tests::tools::Folder;
use tests::wait::{START, until};
use tests::{ports, wait};

/// What a call said and its code.
#[derive(Debug)]
struct Said {
    out: String,
    err: String,
    code: i32,
}

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("only text is printed");
    let code = output.status.code().expect("it ends by itself");
    Said { out: text(output.stdout), err: text(output.stderr), code }
}

#[track_caller]
fn fails(role: &ParseRole, arguments: &[&str], code: i32, words: &str) {
    let said = said(role.says(arguments));
    assert_eq!((said.code, &*said.out), (code, ""), "{arguments:?}: {said:?}");
    assert!(said.err.contains(words), "{arguments:?}: {words:?} is not in {}", said.err);
    assert!(!said.err.contains(parse_role::TOKEN), "{}", said.err);
}

/// Publishes three messages of one press, the second of which no parser can read.
fn three_strokes(gateway: &Gateway) {
    let mut device = Client::connect(gateway.mqtt(), Version::V5, "press-1");
    for (packet_id, force) in [(1, "7"), (2, "\"hard\""), (3, "9")] {
        let payload = format!("{{\"force\": {force}}}");
        device.publish_acknowledged(PRESS_TOPIC, packet_id, payload.as_bytes());
    }
}

/// The partition of the lane, when it has come to that state.
#[track_caller]
fn until_it_is(role: &ParseRole, arguments: &[&str], state: &str) -> Value {
    until(&format!("a partition is {state}"), START, || {
        let said = said(role.says(&[&["status", "--format", "json"], arguments].concat()));
        let pools: Value = serde_json::from_str(&said.out).ok()?;
        let pool = pools.as_array()?.iter().find(|pool| pool["pool"] == PRESS)?.clone();
        pool["partitions"].as_array()?.iter().find(|one| one["state"] == state).cloned()
    })
}

#[test]
fn an_operator_sees_what_stands_and_decides_it() {
    let kafka = Kafka::shared();
    let gateway = parse_role::with_press(kafka, GatewayConfig::new(kafka)).start_ready();
    let certificates = Folder::new("certificates");
    let authority = Authority::new("operators");
    let server = authority.issue(&Leaf::server()).write(&certificates, "server");
    let ca = authority.write(&certificates, "ca");
    let [ops, guest] = ["fleet-ops", "guest"]
        .map(|name| authority.issue(&Leaf::client(name)).write(&certificates, name));
    let tls = json!({
        "certificates": [{ "certificate": server.certificate(), "key": server.key() }],
        "client_ca": ca,
    });
    // By a process of its own, as a Deployment has it.
    let admin = json!({ "tls": tls, "authenticate": { "certificates": ["fleet-ops"] } });
    let mut role = ParseRole::start(&gateway, &admin, &["--pool", PRESS]);
    role.until_ready();
    let role = role;
    three_strokes(&gateway);
    let config = role.config().to_str().expect("paths of tests are UTF-8");
    let own = ["--config", config];
    // Kafka says a moment later where the topic ends.
    let stopped = until("what is behind it is counted", START, || {
        let stopped = until_it_is(&role, &own, "stopped");
        (stopped["lag"] == 2).then_some(stopped)
    });
    let (topic, offset) = (gateway.topic(PRESS), 1);
    assert_eq!(
        (&stopped["topic"], &stopped["offset"]),
        (&json!(topic), &json!(offset)),
        "{stopped}"
    );
    assert_eq!(stopped["committed"], 1, "{stopped}");
    assert!(stopped["lag_seconds"].as_f64().is_some_and(|age| age > 0.0), "{stopped}");
    let at = format!("{topic}/0/{offset}");
    let shown = said(role.says(&["status", "--config", config]));
    assert_eq!((shown.code, &*shown.err), (0, ""), "{shown:?}");
    for line in [
        format!("pool press, group {}, to be parsed within 1s", gateway.topic(PRESS)),
        format!("{topic}/0 is stopped until somebody decides"),
        format!("    landfall parse retry --at {at} --config {config}"),
        format!("    landfall parse skip --at {at} --config {config}"),
    ] {
        assert!(shown.out.lines().any(|one| one == line), "{line:?} is not in\n{}", shown.out);
    }
    assert!(
        shown.out.contains("  type_mismatch (field force) in record 0 at byte 10: "),
        "{}",
        shown.out
    );
    assert!(!shown.out.contains("pool fast"), "it is not of this process: {}", shown.out);
    let command = format!("landfall parse retry|skip --at {at}");
    assert!(role.log().contains(&command), "{}", role.log());

    // From elsewhere, by a token or by a certificate.
    let url = format!("https://localhost:{}", role.admin().port());
    let ca = ca.to_str().expect("paths of tests are UTF-8");
    let token = role.token_file();
    let token = token.to_str().expect("paths of tests are UTF-8");
    let by_token = ["--admin", &url, "--ca", ca, "--token-file", token];
    until_it_is(&role, &by_token, "stopped");
    let status = [&["status"], &by_token[..4]].concat();
    fails(&role, &status, 1, "show a token of admin.authenticate.tokens");
    fails(&role, &["status", "--admin", &url, "--token-file", token], 1, "is not reached");
    let shown_by = |files: &Files| {
        let own = ["--certificate", files.certificate(), "--key", files.key()].map(str::to_owned);
        by_token[..4].iter().map(|&argument| argument.to_owned()).chain(own).collect::<Vec<_>>()
    };
    let by_certificate = shown_by(&ops);
    let by_certificate: Vec<&str> = by_certificate.iter().map(String::as_str).collect();
    until_it_is(&role, &by_certificate, "stopped");
    let by_guest = shown_by(&guest);
    let by_guest = ["status"].into_iter().chain(by_guest.iter().map(String::as_str));
    let foreign = "is not among admin.authenticate.certificates";
    fails(&role, &by_guest.collect::<Vec<_>>(), 1, foreign);
    // Whoever listens there with another certificate gets no token.
    let other = ParseRole::start(&gateway, &json!({}), &["--pool", "metadata"]);
    let stranger = authority.issue(&Leaf::server()).write(&certificates, "stranger");
    let text = std::fs::read_to_string(config).expect("it was written");
    let text = text.replace(server.certificate(), stranger.certificate());
    let text = text.replace(server.key(), stranger.key());
    let wrong = role.folder().join("stranger.yaml");
    std::fs::write(&wrong, text).expect("the test's folder can be written");
    let wrong = wrong.to_str().expect("paths of tests are UTF-8");
    fails(&role, &["status", "--config", wrong], 1, "invalid peer certificate");

    // What cannot be decided, and why.
    let beside = format!("{topic}/0/2");
    let elsewhere = format!("{topic}/7/1");
    let neither = "neither held nor stopped";
    fails(&role, &["skip", "--at", &beside, "--config", config], 1, "that partition stands at 1");
    fails(
        &role,
        &["retry", "--at", &elsewhere, "--config", config],
        1,
        "does not have that partition",
    );
    fails(
        &role,
        &["retry", "--at", &topic, "--config", config],
        64,
        "write TOPIC/PARTITION/OFFSET",
    );
    fails(&role, &["retry", "--at", &at], 64, "--config");
    let nothing = format!("http://{}", ports::local(ports::free()));
    fails(&role, &["status", "--admin", &nothing], 1, "is that the admin port of a parse role");
    fails(&role, &["status", "--admin", "localhost:8080"], 64, "write http://HOST:PORT");
    let gateways = format!("http://{}", gateway.admin());
    fails(&role, &["status", "--admin", &gateways], 1, "is no admin port of a parse role");
    let short = role.folder().join("wrong");
    std::fs::write(&short, "another-token-that-is-long-enough").expect("it can be written");
    let short = short.to_str().expect("paths of tests are UTF-8");
    let with_wrong = ["status", "--config", config, "--token-file", short];
    fails(&role, &with_wrong, 1, "this is no token of admin.authenticate.tokens");
    let lacking = role.folder().join("nothing.yaml");
    let lacking = lacking.to_str().expect("paths of tests are UTF-8");
    fails(&role, &["status", "--config", lacking], 64, "cannot be read");
    drop(other);

    // Its parser is what it was, and so it fails again; skipped, what is behind it comes.
    fails(
        &role,
        &["retry", "--at", &at, "--config", config],
        1,
        "stands at 1 still: type_mismatch",
    );
    assert_eq!(kafka.read_all(&gateway.topic("canonical.press")).len(), 1);
    let skipped = said(role.says(&[&["skip", "--at", &at], &by_token[..]].concat()));
    let expected = format!("{at} is left to the quarantine, and {topic}/0 goes on\n");
    assert_eq!((skipped.code, &*skipped.out), (0, &*expected), "{skipped:?}");
    let events = kafka.wait_for(&gateway.topic("canonical.press"), 2, wait::SOON);
    let last: Value = serde_json::from_slice(&events[1].value).expect("it is JSON");
    assert_eq!(last["fields"]["force"], 9, "{last}");
    let kept = kafka.wait_for(&gateway.topic("quarantine"), 1, wait::SOON);
    assert_eq!(kept[0].header("landfall-reason"), Some(&b"operator"[..]));
    until_it_is(&role, &own, "running");
    fails(&role, &["skip", "--at", &at, "--config", config], 1, neither);
}
