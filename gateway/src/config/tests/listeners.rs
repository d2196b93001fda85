//! What a listener may ask of who comes, and what its connections cost.

use super::*;
use crate::config::memory::default_connections;
use crate::net::websocket::WEBSOCKET_COST;
use crate::net::{self, Bind};

#[test]
fn a_listener_says_what_it_asks_of_who_comes() {
    let settings = load_text(
        "listeners:
  - { name: plain, bind: '127.0.0.1:1883', limits: { connections: 7 } }
  - name: web
    bind: '127.0.0.1:8083'
    websocket: { path: /mqtt, origins: ['https://console.example.com'], ping: 20s }
  - { name: all, bind: '[::1]:8084', websocket: {} }
  - { name: balanced, bind: '127.0.0.1:1884', proxy_protocol: { trusted: [10.0.0.0/8, '::1'] } }
  - { name: local, bind: 'unix:/run/landfall/mqtt.sock', proxy_protocol: {} }",
    );
    let settings = settings.expect("it is valid");
    let [plain, web, all, balanced, local] = &settings.listeners[..] else { panic!("five") };
    assert_eq!((plain.connections, &plain.websocket, &plain.proxy), (Some(7), &None, &None));
    let web = web.websocket.as_ref().expect("it is written");
    assert_eq!(web.terms.path.as_deref(), Some("/mqtt"));
    assert_eq!(web.ping, Duration::from_secs(20));
    let all = all.websocket.as_ref().expect("it is written");
    assert_eq!((all.ping, &all.terms), (Duration::from_secs(30), &Default::default()));
    assert_eq!(balanced.proxy.as_ref().map(|proxy| proxy.trusted.len()), Some(2));
    assert_eq!(local.bind, Bind::Unix("/run/landfall/mqtt.sock".into()));
    assert_eq!(local.bind.to_string(), "unix:/run/landfall/mqtt.sock");
}

#[test]
fn what_a_listener_cannot_ask_is_told_at_its_place() {
    let one = "name: a, bind: '127.0.0.1:1883'";
    for (listener, place, part) in [
        ("name: 'a b', bind: '127.0.0.1:1883'", "name", "label of metrics"),
        ("name: '', bind: '127.0.0.1:1883'", "name", "label of metrics"),
        ("name: a, bind: 'unix:mqtt.sock'", "bind", "absolute path"),
        (&format!("name: a, bind: 'unix:/{}'", "a".repeat(107)), "bind", "absolute path"),
        (&format!("{one}, websocket: {{ path: mqtt }}"), "websocket.path", "/mqtt"),
        (&format!("{one}, websocket: {{ path: '/a?b' }}"), "websocket.path", "/mqtt"),
        (&format!("{one}, websocket: {{ ping: 0s }}"), "websocket.ping", "1s to 1h"),
        (&format!("{one}, websocket: {{ ping: 2h }}"), "websocket.ping", "1s to 1h"),
        (&format!("{one}, websocket: {{ deflate: true }}"), "websocket.deflate", "deflate"),
        (
            &format!("{one}, websocket: {{ origins: ['https://a.example', '*'] }}"),
            "websocket.origins[1]",
            "SCHEME://HOST",
        ),
        (
            &format!("{one}, websocket: {{ origins: ['https://a.example/'] }}"),
            "websocket.origins[0]",
            "nothing behind it",
        ),
        (&format!("{one}, proxy_protocol: {{}}"), "proxy_protocol.trusted", "names nobody"),
        (
            &format!("{one}, proxy_protocol: {{ trusted: [10.0.0.1/8] }}"),
            "proxy_protocol.trusted[0]",
            "first address",
        ),
        (
            &format!("{one}, proxy_protocol: {{ trusted: [balancer] }}"),
            "proxy_protocol.trusted[0]",
            "10.0.0.0/8",
        ),
        (
            "name: a, bind: 'unix:/run/a.sock', proxy_protocol: { trusted: [10.0.0.0/8] }",
            "proxy_protocol.trusted",
            "no",
        ),
        (&format!("{one}, limits: {{ connections: 0 }}"), "limits.connections", "at least 1"),
        (
            &format!("{one}, limits: {{ connections_per_address: 5 }}"),
            "limits.connections_per_address",
            "not available yet",
        ),
        (
            &format!("{one}, limits: {{ connects_per_second: 5 }}"),
            "limits.connects_per_second",
            "not available yet",
        ),
    ] {
        let found = faults(&format!("listeners: [{{ {listener} }}]"));
        assert_eq!(found.len(), 1, "{listener}: {found:?}");
        assert_eq!(found[0].place, format!("listeners[0].{place}"), "{listener}");
        assert!(found[0].text.contains(part), "{listener}: {}", found[0].text);
    }
    let twice = "listeners: [{ name: a, bind: 'unix:/a' }, { name: b, bind: 'unix:/a' }]";
    assert_eq!(faults(twice)[0].place, "listeners[1].bind");
    let quotas = faults("quotas: [{ per: device, messages: 50/s }]");
    assert_eq!((quotas.len(), &*quotas[0].place), (1, "quotas"), "{quotas:?}");
}

#[test]
fn connections_are_priced_by_what_they_come_over() {
    let connections = |listeners: &str| {
        let text =
            format!("limits: {{ memory: 1GiB, connections: 1000 }}\nlisteners: [{listeners}]");
        // On a machine that has its files.
        parse(&text, [], Secrets::Assumed).expect("it is valid").memory.connections
    };
    let plain = "{ name: a, bind: '127.0.0.1:1883' }";
    let web = "{ name: b, bind: '127.0.0.1:8083', websocket: {}, limits: { connections: 100 } }";
    let extra = WEBSOCKET_COST;
    assert_eq!(connections(plain), 1000 * CONNECTION_COST);
    assert_eq!(connections(&format!("{plain}, {web}")), 1000 * CONNECTION_COST + 100 * extra);
    let all = web.replace("limits: { connections: 100 }", "");
    assert_eq!(connections(&all), 1000 * (CONNECTION_COST + extra));
    let tls = |record_kib: u64| {
        let files = "certificates: [{ certificate: /nowhere/tls.crt, key: /nowhere/tls.key }]";
        connections(&format!(
            "{{ name: c, bind: '127.0.0.1:8883', tls: {{ {files}, record_size: {record_kib}KiB }} }}"
        ))
    };
    assert!(tls(4) > 1000 * (CONNECTION_COST + net::tls::HELD_MAX_BYTES as u64));
    assert_eq!(tls(16) - tls(4), 1000 * 12 * 1024, "a record that is not sent");
}

/// TLS, passwords and a store at the default memory are a configuration: what looks at passwords is taken from
/// connections, not from messages.
#[test]
fn what_looks_at_evidence_comes_out_of_the_connections_half() {
    let evidence = 48 << 20;
    let connections = |evidence| default_connections(1 << 30, evidence, u64::MAX, &[]);
    assert_eq!(u64::from(connections(0) - connections(evidence)), evidence / CONNECTION_COST);
    let messages =
        |evidence| MemoryPlan::new(1 << 30, connections(evidence), &[], evidence).messages;
    assert_eq!(messages(evidence), messages(0));
}

/// A browser shows its user's certificate for any page that connects.
#[test]
fn who_asks_web_pages_for_certificates_says_which_pages() {
    let told = |websocket: &str, tls: &str| {
        let files = "certificates: [{ certificate: a, key: b }]";
        let faults = faults(&format!(
            "listeners: [{{ name: web, bind: '127.0.0.1:1883', websocket: {websocket}, tls: {{ {files}, {tls} }} }}]"
        ));
        let mut origins = faults.iter().filter(|fault| fault.place.ends_with("websocket.origins"));
        origins.next().is_some_and(|fault| fault.text.contains("https://none.invalid"))
    };
    assert!(told("{}", "client_ca: c") && told("{}", "client_ca: c, client_certificate: optional"));
    assert!(!told("{ origins: ['https://console.example.com'] }", "client_ca: c"));
    assert!(!told("{}", "min_version: '1.2'"), "nobody is asked for a certificate");
}

#[test]
fn who_is_called_the_same_by_others_is_told() {
    let listener = |name: &str, port: u16, ca: &str, ways: &str| {
        let tls = format!(
            "certificates: [{{ certificate: /nowhere/a, key: /nowhere/b }}], client_ca: /nowhere/{ca}, client_certificate: optional"
        );
        format!(
            "  - {{ name: {name}, bind: '127.0.0.1:{port}', tls: {{ {tls} }}, authenticate: {ways} }}\n"
        )
    };
    let hint = |one: &str, other: &str, rule: &str| {
        let file = "authentication: { password: { file: /nowhere/passwords } }";
        let text = format!("listeners:\n{one}{other}{file}\naccess:\n  - {rule}\n");
        let text = text + "  - { who: { listener: a }, allow: [subscribe], topic: '#' }\n";
        let text = text + "  - { who: { listener: b }, allow: [subscribe], topic: '#' }\n";
        let hints = parse(&text, [], Secrets::Assumed).expect("it is good").hints;
        hints.into_iter().find(|hint| hint.contains("m-1"))
    };
    let (both, own) = ("[certificate, password]", "{ allow: [publish], topic: 'd/{identity}/#' }");
    let certificates = listener("a", 1, "one", both);
    let passwords = listener("b", 2, "one", "[password]");
    let others = listener("b", 2, "two", both);
    let hinted =
        hint(&certificates, &passwords, own).expect("an operator may take one for another");
    assert!(hinted.starts_with("access[0] is") && hinted.contains("at b password"), "{hinted}");
    let hinted = hint(&certificates, &others, own).expect("either authority may");
    assert!(hinted.contains("certificate of /nowhere/two"), "{hinted}");
    let named = "{ who: { identity: m-2 }, allow: [publish], topic: 'd/#' }";
    assert!(hint(&certificates, &others, named).is_some());
    assert_eq!(hint(&certificates, &listener("b", 2, "one", both), own), None, "they are the same");
    for rule in [
        "{ who: { listener: a }, allow: [publish], topic: 'd/{identity}/#' }",
        "{ allow: [publish], topic: 'd/#' }",
        "{ deny: [publish], topic: 'd/{identity}/#' }",
    ] {
        assert_eq!(hint(&certificates, &others, rule), None, "{rule}");
    }
}
