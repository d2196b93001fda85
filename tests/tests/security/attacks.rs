//! Attacks from one network, tried while honest devices come in: those of another network do not notice, and those
//! behind the attacker's own address are not shut out for what it did.

use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Connect, Packet, Seen, Version, encode, open_from};
use tests::pki::{Authority, Leaf};
use tests::service::{Says, Service};
use tests::tls::Tls;
use tests::tools::Folder;
use tests::wait::{SOON, until_true};

use super::password::landfall_password;

/// Two addresses of version 4 are two networks.
const STRANGER: [u8; 4] = [127, 0, 0, 66];
const HONEST: [u8; 4] = [127, 0, 0, 1];
/// What a client has from its first byte to its CONNACK.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

fn connect(client_id: &str, name: &str, password: &str) -> Connect {
    let mut connect = Connect::new(Version::V5, client_id);
    connect.user_name = Some(name.to_owned());
    connect.password = Some(password.as_bytes().to_owned());
    connect
}

/// A client from there that has sent this CONNECT.
fn send(gateway: &Gateway, host: [u8; 4], connect: &Connect) -> Client {
    let mut client = Client::open_from(host, gateway.mqtt(), connect.version);
    client.send(&encode::connect(connect));
    client
}

/// It is let in, in the time that it has.
#[track_caller]
fn comes_in(mut client: Client) -> Client {
    match client.read(CONNECT_WAIT) {
        Seen::Packet(Packet::Connack { code: 0, .. }) => client,
        other => panic!("it is not let in: {other:?}"),
    }
}

/// A gateway that asks for passwords, and these devices, whose passwords are `NAME's`.
fn with_passwords(folder: &Folder, names: &[&str]) -> Gateway {
    let file: PathBuf = folder.join("passwords");
    let line = |name: &&str| landfall_password(name, &format!("{name}'s\n")).1;
    let lines: String = names.iter().map(line).collect();
    std::fs::write(&file, lines).expect("the test's folder can be written");
    GatewayConfig::new(Kafka::shared())
        .set("listeners.0.authenticate", json!(["password"]))
        .set("authentication.password.file", file.to_str().expect("UTF-8"))
        .set("access", json!([{ "allow": ["publish"], "topic": "#" }]))
        .start_ready()
}

#[test]
fn wrong_passwords_of_one_address_shut_out_no_new_device_of_another() {
    const STRANGERS: usize = 300;
    const DEVICES: [&str; 3] = ["dev1", "dev2", "dev3"];
    let folder = Folder::new("attack");
    let gateway = with_passwords(&folder, &DEVICES);
    let strangers: Vec<Client> = (0..STRANGERS)
        .map(|number| {
            // Some names are there and some are not.
            let name = format!("dev{number}");
            send(&gateway, STRANGER, &connect(&name, &name, "guess"))
        })
        .collect();
    // None was looked at before: each has to wait for its turn.
    let honest =
        DEVICES.map(|name| send(&gateway, HONEST, &connect(name, name, &format!("{name}'s"))));
    let _honest = honest.map(comes_in);
    drop(strangers);
}

#[test]
fn wrong_passwords_behind_one_address_shut_out_no_other_device_there() {
    let folder = Folder::new("attack");
    let gateway = with_passwords(&folder, &["dev1", "dev2"]);
    // More than cost nothing, of a name that is there, and then more than may wait for it.
    for _ in 0..12 {
        let mut stranger = send(&gateway, HONEST, &connect("dev2", "dev2", "guess"));
        assert!(matches!(stranger.expect_packet(), Packet::Connack { code: 0x86, .. }));
    }
    let guess = connect("dev2", "dev2", "guess");
    let guesses: Vec<Client> = (0..40).map(|_| send(&gateway, HONEST, &guess)).collect();
    until_true("guesses are turned away", SOON, || {
        let labels = [("reason", "authentication_busy")];
        gateway.metrics().sum("landfall_connections_closed_total", &labels) > 0.0
    });
    comes_in(send(&gateway, HONEST, &connect("dev1", "dev1", "dev1's")));
    drop(guesses);
}

/// 400 a second, each of which costs the gateway its first flight and leaves it waiting for the second.
#[test]
fn a_flood_of_hellos_of_one_address_shuts_out_no_device_of_another() {
    const PAUSE: Duration = Duration::from_micros(2500);
    const HELLOS: usize = 2000;
    let folder = Folder::new("attack");
    let root = Authority::new("root");
    let server = root.issue(&Leaf::server()).write(&folder, "server");
    let certificate = json!({ "certificate": server.certificate(), "key": server.key() });
    let gateway = GatewayConfig::new(Kafka::shared())
        .set("listeners.0.tls.certificates", json!([certificate]))
        .start_ready();
    let tls = Tls::trusting(&root);
    let (hello, address) = (tls.hello(), gateway.mqtt());
    let flood = thread::spawn(move || {
        let began = Instant::now();
        let said = |number: usize| -> TcpStream {
            thread::sleep((PAUSE * number as u32).saturating_sub(began.elapsed()));
            let mut silent = open_from(STRANGER, address);
            std::io::Write::write_all(&mut silent, &hello).expect("it is connected");
            silent
        };
        (0..HELLOS).map(said).collect::<Vec<_>>()
    });
    let (mut served, mut worst) = (0, Duration::ZERO);
    while !flood.is_finished() {
        let began = Instant::now();
        let connect = Connect::new(Version::V5, &format!("honest-{served}"));
        drop(Client::connect_tls(address, &tls.clone().forgetful(), &connect));
        worst = worst.max(began.elapsed());
        served += 1;
        thread::sleep(Duration::from_millis(50));
    }
    assert!(worst < CONNECT_WAIT / 2, "one of {served} took {worst:?}");
    drop(flood.join().expect("it does not panic"));
}

/// The service works on for whom it hangs; who comes from elsewhere has places of his own.
#[test]
fn a_service_that_hangs_for_one_network_answers_the_others() {
    const STRANGERS: usize = 300;
    let service = Service::start(Says::NothingTo("stranger"));
    let url = service.url("/auth");
    let gateway = GatewayConfig::new(Kafka::shared())
        .set("listeners.0.authenticate", json!(["http"]))
        .set("authentication.http", json!({ "url": url, "timeout": "8s" }))
        .set("access", json!([{ "allow": ["publish"], "topic": "#" }]))
        .start_ready();
    let strangers: Vec<Client> = (0..STRANGERS)
        .map(|number| {
            let name = format!("stranger-{number}");
            send(&gateway, STRANGER, &connect(&name, &name, "guess"))
        })
        .collect();
    until_true("as many hang as one network may have", SOON, || service.asked().len() >= 32);
    for number in 0..20 {
        let name = format!("honest-{number}");
        comes_in(send(&gateway, HONEST, &connect(&name, &name, "secret")));
    }
    let asked = service.asked();
    let hang = asked.iter().filter(|question| question.contains("stranger")).count();
    assert_eq!(hang, 32, "half of the 64 that may be asked at a time");
    drop(strangers);
}
