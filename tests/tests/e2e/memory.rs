//! What the gateway may take holds, whatever is asked for, left unread, kept or held open, and an honest
//! client is served beside it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Version};
use tests::tools::{Folder, program};
use tests::wait::{START, until_true};

/// Whoever behaves is served.
#[track_caller]
fn assert_serves(gateway: &Gateway) {
    let mut honest = Client::connect(gateway.mqtt(), Version::V5, "honest");
    honest.publish_acknowledged("devices/meter/honest/power", 1, b"well");
    assert_eq!(gateway.page("/livez").code, 200);
}

#[test]
fn half_requests_to_the_admin_port_shut_out_nobody() {
    const REQUESTS: usize = 1100;
    const DESCRIPTORS: usize = 1024;
    let folder = Folder::new("descriptors");
    let script = folder.join("landfall");
    let landfall = program("landfall");
    let text = format!("#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec {} \"$@\"\n", landfall.display());
    std::fs::write(&script, text).expect("the folder can be written");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, executable).expect("the folder is the test's");
    let config = GatewayConfig::new(Kafka::shared()).set("limits.connections", 100);
    let gateway = config.program(&script).start_ready();
    let half = |number| {
        let mut stream = TcpStream::connect(gateway.admin()).expect("the admin port accepts");
        let head = format!("GET /metrics HTTP/1.1\r\nx-{number}: {}", "x".repeat(12_000));
        // The gateway may close in the middle of it.
        let _ = stream.write_all(head.as_bytes());
        stream
    };
    let requests: Vec<TcpStream> = (0..REQUESTS).map(half).collect();
    assert_serves(&gateway);
    until_true("each of them has an end", START, || requests.iter().all(is_closed));
}

/// The other side has closed it, perhaps after it said why.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket takes options");
    match stream.read(&mut [0; 4096]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
