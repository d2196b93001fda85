//! What a configuration may ask of clients' certificates, and what of it would be of no use.

use super::*;
use crate::net::ListenerSettings;

/// A listener with this of TLS and of everything else, on a machine that has its files.
fn listener(tls: &str, rest: &str) -> String {
    let certificates = "certificates: [{ certificate: /nowhere/tls.crt, key: /nowhere/tls.key }]";
    format!(
        "listeners: [{{ name: fleet, bind: '127.0.0.1:8883', tls: {{ {certificates}{tls} }}, {rest} }}]\n\
         access: [{{ allow: [publish], topic: '#' }}]\n"
    )
}

fn load(text: &str) -> Result<Settings, Faults> {
    parse(text, [], Secrets::Assumed)
}

const CA: &str = ", client_ca: /nowhere/ca.crt";
const OPTIONAL: &str = ", client_ca: /nowhere/ca.crt, client_certificate: optional";
const PINNED: &str = "authentication: { certificate: { pinned: /nowhere/pins } }";
const PASSWORD: &str = "authentication: { password: { file: /nowhere/passwords } }";

#[test]
fn a_certificate_is_a_way_in_alone_and_with_others() {
    let ways = |settings: &Settings| settings.listeners[0].demands.clone().expect("it asks").ways;
    let alone = load(&listener(CA, "authenticate: [certificate]")).expect("ten lines are enough");
    assert_eq!(ways(&alone), [[Way::Certificate]]);
    assert!(alone.hints.is_empty(), "{:?}", alone.hints);
    for asked in [
        "[certificate, password]",
        "[password, certificate]",
        "[{ all: [certificate, password] }, certificate, password]",
    ] {
        let text = listener(OPTIONAL, &format!("authenticate: {asked}")) + PASSWORD;
        let settings = load(&text).expect("it is good");
        assert!(ways(&settings).iter().flatten().any(|way| *way == Way::Certificate));
    }
    // Where everybody has shown one, what stands before it may ask for more.
    for asked in ["[password, certificate]", "[{ all: [certificate, password] }, certificate]"] {
        load(&(listener(CA, &format!("authenticate: {asked}")) + PASSWORD)).expect("it is good");
    }
    // A certificate is no password that a service would take.
    let http = "authentication: { http: { url: 'https://who.example/' } }";
    load(&(listener(OPTIONAL, "authenticate: [http, certificate]") + http)).expect("it is good");
    let required = ", client_certificate: required";
    load(&(listener(required, "authenticate: [certificate]") + PINNED)).expect("pins are enough");
}

#[test]
fn what_no_certificate_could_prove_is_told_at_its_place() {
    let first = "listeners[0].authenticate[0]";
    let second = "listeners[0].authenticate[1]";
    let certificate = "authenticate: [certificate]";
    let plain = "listeners: [{ name: fleet, bind: '127.0.0.1:8883', authenticate: [certificate] }]\n\
                 access: [{ allow: [publish], topic: '#' }]";
    let names = "authentication: { certificate: { identity: [san_dns] } }\n";
    let names_and = |more: &str| {
        format!("authentication: {{ certificate: {{ identity: [san_dns] }}, {more} }}\n")
    };
    let open = listener(CA, "").replace("127.0.0.1", "0.0.0.0");
    for (text, place, word) in [
        (plain.to_owned(), first, "client_ca: FILE"),
        (listener("", certificate), first, "client_ca: FILE"),
        (listener("", certificate) + PINNED, first, "client_certificate: required"),
        (listener(", client_certificate: none", certificate), first, "client_ca: FILE"),
        (
            listener("", "authenticate: [{ all: [certificate, password] }]") + PASSWORD,
            first,
            "show",
        ),
        (
            listener(CA, "authenticate: [certificate, password]") + PASSWORD,
            second,
            "client_certificate: optional",
        ),
        (
            listener(CA, "authenticate: [certificate, { all: [certificate, password] }]")
                + PASSWORD,
            second,
            "never asked for",
        ),
        (
            listener(CA, "authenticate: [{ all: [certificate, password] }, password]") + PASSWORD,
            second,
            "client_certificate: optional",
        ),
        (listener(OPTIONAL, "authenticate: [certificate, certificate]"), second, "never asked for"),
        (listener(OPTIONAL, "authenticate: [{ all: [certificate, certificate] }]"), first, "twice"),
        (
            listener(", client_certificate: required", certificate),
            "listeners[0].tls.client_certificate",
            "authentication.certificate.pinned",
        ),
        (open, "listeners[0].bind", "authenticate: [certificate]"),
        // Names of certificates by which nobody enters.
        (listener("", "") + names, "authentication.certificate", "no listener asks"),
        (listener(CA, "") + names, "authentication.certificate.identity", "[certificate]"),
        (
            listener(CA, "authenticate: [password]")
                + &names_and("password: { file: /nowhere/passwords }"),
            "authentication.certificate.identity",
            "[certificate]",
        ),
        (
            listener(", client_certificate: required", certificate)
                + "authentication: { certificate: { identity: [san_dns], pinned: /nowhere/pins } }",
            "authentication.certificate.identity",
            "[certificate]",
        ),
    ] {
        let found = load(&text).expect_err(&text).0;
        let is_told = |fault: &Fault| fault.place == place && fault.text.contains(word);
        assert!(found.iter().any(is_told), "{text}: {found:#?}");
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
    }
}

#[test]
fn certificates_that_name_nobody_are_a_hint_unless_a_service_looks_at_them() {
    let hints = |tls: &str, rest: &str, section: &str| {
        load(&(listener(tls, rest) + section)).expect("it is good").hints
    };
    let says = |hints: &[String]| hints.iter().any(|hint| hint.contains("name certificate in"));
    assert!(says(&hints(CA, "", "")));
    assert!(says(&hints(CA, "anonymous: true", "")));
    assert!(says(&hints(OPTIONAL, "authenticate: [password]", PASSWORD)));
    let http = "authentication: { http: { url: 'https://who.example/' } }";
    assert!(!says(&hints(CA, "authenticate: [http]", http)));
    assert!(!says(&hints("", "", "")));
}

#[test]
fn rules_may_use_what_a_certificate_can_prove() {
    let with = |tls: &str, names: &str, topic: &str| {
        let text = listener(tls, "authenticate: [certificate]").replace("'#'", topic);
        load(&(text + names))
    };
    let names = "authentication: { certificate: { identity: [{ san_uri: 'spiffe://{group}/{id}' }, cn], pinned: /nowhere/pins } }";
    for topic in ["'a/{identity}'", "'a/{username}'", "'a/{group}/{identity}'"] {
        with(CA, names, topic).expect(topic);
    }
    for (names, topic) in [(names, "'a/{tenant}'"), ("", "'a/{group}'")] {
        let faults = with(CA, names, topic).expect_err(topic).0;
        assert!(faults[0].text.contains("it can never hold"), "{faults:?}");
    }
    // Of whom a pin knows the identity only, whatever certificates say that come in elsewhere.
    let of = |name: &str| {
        let pins = "{ name: pins, bind: '127.0.0.1:8884', authenticate: [certificate], \
                    tls: { client_certificate: required, certificates: [{ certificate: a, key: b }] } }";
        let all = listener(CA, "authenticate: [certificate]").replacen(
            "}]\n",
            &format!("}}, {pins}]\n"),
            1,
        );
        let rule = format!(
            "}}, {{ who: {{ listener: {name} }}, allow: [publish], topic: 'a/{{group}}' }}]\n"
        );
        load(&(all.replacen("topic: '#' }]\n", &format!("topic: '#' {rule}"), 1) + names))
    };
    of("fleet").expect("these say a group");
    let faults = of("pins").expect_err("those say none").0;
    assert!(faults[0].place == "access[1]" && faults[0].text.contains("group"), "{faults:?}");
}

#[test]
fn a_listener_knows_what_it_asks_for() {
    let settings = load(&listener(CA, "authenticate: [certificate]")).expect("it is good");
    let asks = |listener: &ListenerSettings| Way::ALL.map(|way| listener.asks_for(way));
    assert_eq!(asks(&settings.listeners[0]), [true, false, false, false]);
    assert!(settings.listeners[0].certificates().is_some_and(|clients| clients.required));
}

#[test]
fn what_a_load_balancer_tells_of_certificates_is_of_use_or_a_fault() {
    let behind = |more: &str| {
        format!(
            "listeners: [{{ name: fleet, bind: '127.0.0.1:8883', proxy_protocol: {{ trusted: [10.0.0.0/8], common_names: true }}, {more} }}]\n\
             access: [{{ allow: [publish], topic: '#' }}]\n"
        )
    };
    let asks = "authenticate: [certificate]";
    let settings = load(&behind(asks)).expect("nothing else is needed");
    assert!(settings.listeners[0].is_told_common_names(), "{:?}", settings.hints);
    let attribute = "authentication: { certificate: { identity: [{ cn: '{tenant}/{id}' }] } }";
    let by_tenant = behind(asks).replace("topic: '#'", "topic: '{tenant}/#'") + attribute;
    load(&by_tenant).expect("common names give attributes");
    let tls = "tls: { certificates: [{ certificate: /nowhere/a.crt, key: /nowhere/a.key }], client_ca: /nowhere/ca.crt }";
    let not_of_them = "authentication: { certificate: { identity: [san_uri] } }";
    for (text, word) in [
        (behind(&format!("{asks}, {tls}")), "a client has one of both"),
        (behind(asks) + not_of_them, "write `identity: [cn]`"),
    ] {
        let faults = load(&text).expect_err("it is faulty").0;
        assert_eq!(faults[0].place, "listeners[0].proxy_protocol.common_names", "{faults:?}");
        assert!(faults[0].text.contains(word), "{faults:?}");
    }
}
