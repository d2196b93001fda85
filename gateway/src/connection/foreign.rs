//! What speaks no MQTT to an MQTT port, recognised by its first bytes: the mistakes of every
//! installation, which look like nothing but malformed packets otherwise.

use crate::edge::Edge;
use crate::net::{Entrance, Peer};

/// A head of HTTP that is longer says what it is without its end, in bytes.
const HTTP_HEAD_MAX: usize = 2 * 1024;
const PROXY_V1: &[u8] = b"PROXY ";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The methods of HTTP, and how HTTP/2 begins.
const HTTP: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    b"PRI * HTTP/2",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    Tls,
    ProxyHeader,
    Http,
    WebSocket,
    /// MQTT, where a WebSocket has to be opened around it.
    Mqtt,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recognised {
    /// MQTT, or nothing that is known here.
    Nothing,
    /// More bytes have to tell; what it is if none come.
    Perhaps(Option<Foreign>),
    Foreign(Foreign),
}

/// Recognises what begins with these bytes. None of it begins like a CONNECT.
pub(super) fn recognise(bytes: &[u8]) -> Recognised {
    let begins = |wanted: &[u8]| bytes.starts_with(wanted);
    let may_become = |wanted: &[u8]| !bytes.is_empty() && wanted.starts_with(bytes);
    // A record of a handshake in any version; as a CONNECT it would have three bytes.
    if begins(&[0x16, 3]) {
        return Recognised::Foreign(Foreign::Tls);
    }
    if begins(PROXY_V1) || begins(PROXY_V2) {
        return Recognised::Foreign(Foreign::ProxyHeader);
    }
    if HTTP.into_iter().any(begins) {
        return http(bytes);
    }
    let beginnings = [&[0x16, 3][..], PROXY_V1, PROXY_V2].into_iter().chain(HTTP);
    match beginnings.into_iter().any(may_become) {
        true => Recognised::Perhaps(None),
        false => Recognised::Nothing,
    }
}

/// A request is an upgrade to WebSocket by one of its headers.
fn http(head: &[u8]) -> Recognised {
    let text = head.to_ascii_lowercase();
    let has = |wanted: &[u8]| text.windows(wanted.len()).any(|part| part == wanted);
    if has(b"\nupgrade: websocket") || has(b"\nupgrade:websocket") {
        Recognised::Foreign(Foreign::WebSocket)
    } else if has(b"\r\n\r\n") || has(b"\n\n") || head.len() >= HTTP_HEAD_MAX {
        Recognised::Foreign(Foreign::Http)
    } else {
        Recognised::Perhaps(Some(Foreign::Http))
    }
}

impl Foreign {
    /// All of them, in the order of their places.
    pub const ALL: [Foreign; 5] =
        [Foreign::Tls, Foreign::ProxyHeader, Foreign::Http, Foreign::WebSocket, Foreign::Mqtt];

    /// What begins with these bytes where a request for a WebSocket was expected, if it is known to be
    /// something else.
    pub(crate) fn in_place_of_http(bytes: &[u8]) -> Option<Foreign> {
        match recognise(bytes) {
            Recognised::Foreign(foreign @ (Foreign::Tls | Foreign::ProxyHeader)) => Some(foreign),
            // The type of CONNECT, and no letter.
            Recognised::Nothing if bytes.first().is_some_and(|first| first >> 4 == 1) => {
                Some(Foreign::Mqtt)
            }
            _ => None,
        }
    }

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Foreign::Tls => "tls",
            Foreign::ProxyHeader => "proxy_header",
            Foreign::Http => "http",
            Foreign::WebSocket => "websocket",
            Foreign::Mqtt => "mqtt",
        }
    }

    /// What to do about it at such a listener.
    fn advice(self, entrance: &Entrance) -> &'static str {
        match self {
            Foreign::Tls => "add `tls` to this listener, or let the device connect without TLS",
            Foreign::ProxyHeader if entrance.proxy.is_some() => {
                "it is a second one behind the first, or of an address that is not in \
                 proxy_protocol.trusted: let the load balancer drop what its clients send of it"
            }
            Foreign::ProxyHeader => {
                "turn the PROXY protocol off in the load balancer, or write its networks into \
                 proxy_protocol.trusted of this listener"
            }
            Foreign::Http => {
                "let health checks ask /livez and /readyz of the admin port, or open a TCP \
                 connection here"
            }
            Foreign::WebSocket => {
                "let the client connect over TCP (mqtt:// in place of ws://), or open a listener with \
                 `websocket: {}` for it"
            }
            Foreign::Mqtt => {
                "let the device connect with ws://, or open a listener without `websocket` for it"
            }
        }
    }

    /// Says what came and what to do, now and then.
    pub(crate) fn log(self, edge: &Edge, peer: &Peer) {
        if !edge.foreign_logs[self as usize].allows() {
            return;
        }
        let (listener, what_to_do) = (peer.listener(), self.advice(&peer.entrance));
        match self {
            Foreign::Tls => {
                tracing::warn!(listener, %peer, what_to_do, "TLS came to a listener without TLS");
            }
            Foreign::ProxyHeader => {
                tracing::warn!(listener, %peer, what_to_do, "a PROXY header came where none is read");
            }
            Foreign::Http => {
                tracing::warn!(listener, %peer, what_to_do, "HTTP came to an MQTT port");
            }
            Foreign::WebSocket => tracing::warn!(
                listener,
                %peer,
                what_to_do,
                "MQTT over WebSocket came to a listener without WebSocket"
            ),
            Foreign::Mqtt => tracing::warn!(
                listener,
                %peer,
                what_to_do,
                "MQTT without WebSocket came to a listener for WebSocket"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mqtt_is_recognised_by_its_first_bytes() {
        let upgrade = "GET /mqtt HTTP/1.1\r\nHost: gw\r\nUPGRADE: WebSocket\r\n\r\n";
        for (bytes, expected) in [
            (&[0x16, 3, 1, 2, 0, 1][..], Foreign::Tls),
            (&[0x16, 3, 3], Foreign::Tls),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n\x10", Foreign::ProxyHeader),
            (b"PROXY UNKNOWN\r\n", Foreign::ProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Foreign::ProxyHeader),
            (b"GET / HTTP/1.0\r\n\r\n", Foreign::Http),
            (b"OPTIONS / HTTP/1.0\n\n", Foreign::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Foreign::Http),
            (upgrade.as_bytes(), Foreign::WebSocket),
        ] {
            assert_eq!(recognise(bytes), Recognised::Foreign(expected), "{bytes:02x?}");
            // However it is cut, it is not taken for something else before it is known.
            for end in 1..bytes.len() {
                let part = recognise(&bytes[..end]);
                let fits = matches!(part, Recognised::Perhaps(None | Some(Foreign::Http)))
                    || part == Recognised::Foreign(expected);
                assert!(fits, "{:02x?}: {part:?}", &bytes[..end]);
            }
        }
        let long = [b"GET /".as_slice(), &[b'a'; HTTP_HEAD_MAX]].concat();
        assert_eq!(recognise(&long), Recognised::Foreign(Foreign::Http));
        assert_eq!(recognise(b"GET / HTTP/1.1\r\n"), Recognised::Perhaps(Some(Foreign::Http)));
    }

    #[test]
    fn what_comes_in_place_of_a_request_is_told_apart() {
        for (bytes, expected) in [
            (&b"\x10\x13\0\x04MQTT"[..], Some(Foreign::Mqtt)),
            (&[0x10], Some(Foreign::Mqtt)),
            (&[0x16, 3, 1], Some(Foreign::Tls)),
            (&[0x16], None),
            (b"PROXY TCP4", Some(Foreign::ProxyHeader)),
            (b"GET / HTTP/1.1\r\n\r\n", None),
            (b"P", None),
            (b"", None),
        ] {
            assert_eq!(Foreign::in_place_of_http(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn mqtt_is_not_taken_for_something_else() {
        assert_eq!(recognise(&[]), Recognised::Nothing);
        for first in 0x10..=0x1f {
            let connect = [&[first, 0x0d, 0, 4][..], b"MQTT\x04\x02\0\x3c\0\x01a"].concat();
            for end in 2..=connect.len() {
                assert_eq!(recognise(&connect[..end]), Recognised::Nothing);
            }
        }
        for stray in [&[0xc0, 0][..], b"SSH-2.0-OpenSSH", b"\0\0\0", b"PUBLISH", b"\r\n\r\nx"] {
            assert_eq!(recognise(stray), Recognised::Nothing, "{stray:02x?}");
        }
    }
}
