//! mosquitto, the measure of what an MQTT broker costs: in memory only, with its limits opened up so that
//! nothing holds it back, and nobody subscribed.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use tests::pki::Files;
use tests::process::Process;
use tests::tools::{Folder, mosquitto};
use tests::{ports, wait};

use crate::entry::Tls;

/// A running broker; it ends with this.
pub struct Mosquitto {
    address: SocketAddr,
    process: Process,
    _folder: Folder,
}

impl Mosquitto {
    pub fn start() -> Mosquitto {
        Mosquitto::start_with("")
    }

    /// With a certificate, TLS of one version and one cipher; the curve is what clients offer.
    pub fn secured(files: &Files, tls: Tls) -> Mosquitto {
        let fixed = match tls {
            Tls::V1_2 => "tls_version tlsv1.2\nciphers ECDHE-ECDSA-AES128-GCM-SHA256",
            Tls::V1_3 => "tls_version tlsv1.3\nciphers_tls1.3 TLS_AES_128_GCM_SHA256",
        };
        let (certificate, key) = (files.certificate(), files.key());
        Mosquitto::start_with(&format!("certfile {certificate}\nkeyfile {key}\n{fixed}\n"))
    }

    /// For MQTT in WebSockets. mosquitto 2.0.11 does not start with no other listener beside.
    pub fn with_websocket() -> Mosquitto {
        let other = ports::local(ports::free());
        let (ip, port) = (other.ip(), other.port());
        Mosquitto::start_with(&format!("protocol websockets\nlistener {port} {ip}\n"))
    }

    /// With more lines about its listener.
    fn start_with(listener: &str) -> Mosquitto {
        let folder = Folder::new("mosquitto");
        let address = ports::local(ports::free());
        let text = format!(
            "listener {} {}\n\
             {listener}\
             allow_anonymous true\n\
             persistence false\n\
             max_connections -1\n\
             max_inflight_messages 0\n\
             max_queued_messages 0\n\
             max_queued_bytes 0\n\
             max_keepalive 65535\n\
             set_tcp_nodelay true\n\
             sys_interval 0\n\
             log_type error\n\
             log_dest stderr\n\
             user root\n",
            address.port(),
            address.ip(),
        );
        let file = folder.join("mosquitto.conf");
        std::fs::write(&file, text).expect("the run's folder can be written");
        let mut command = Command::new(mosquitto());
        command.arg("-c").arg(&file);
        let mut process = Process::start("mosquitto", command, &folder);
        process.until("mosquitto's start", wait::START, || TcpStream::connect(address).ok());
        Mosquitto { address, process, _folder: folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }
}
