//! One connection of a device, through rumqttc, in MQTT 3.1.1 or 5.
//!
//! rumqttc's event loop runs in a task of its own, because a poll that is dropped half-way may lose
//! bytes. What it says comes out as [`Signal`]s, in order.

use std::time::Duration;

use rumqttc::{Outgoing, v5};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::fleet::{Device, Version};
use crate::outbox::Message;

/// Requests on their way to rumqttc; more than any window.
const REQUESTS: usize = 64;
/// Signals on their way to the device.
const SIGNALS: usize = 256;
/// Largest packet, in bytes: MQTT's own limit, so that the gateway's is the one that is met.
const PACKET_MAX_BYTES: u32 = 268_435_455;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECT_WAIT_S: u64 = 5;
/// How long a goodbye may take.
const GOODBYE_WAIT: Duration = Duration::from_millis(500);

/// What happened on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The gateway accepted it, and takes this many messages at once, if it said so.
    Connected { receive_maximum: Option<u16> },
    /// The next of the messages handed over left, under this packet id; 0 is QoS 0.
    Left(u16),
    /// PUBACK or PUBREC; the code is MQTT 5's.
    Acknowledged { packet_id: u16, code: u8 },
    /// The connection is gone.
    Ended,
}

/// See the module.
pub struct Link {
    client: Client,
    signals: mpsc::Receiver<Signal>,
    task: JoinHandle<()>,
}

enum Client {
    V311(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

impl Link {
    /// Begins to connect with a clean session.
    pub fn connect(device: &Device, host: &str, port: u16) -> Link {
        let (sender, signals) = mpsc::channel(SIGNALS);
        let (client, task) = match device.version {
            Version::V311 => {
                let mut options = rumqttc::MqttOptions::new(&device.id, host, port);
                options
                    .set_keep_alive(KEEP_ALIVE)
                    .set_clean_session(true)
                    .set_max_packet_size(PACKET_MAX_BYTES as usize, PACKET_MAX_BYTES as usize);
                let (client, mut events) = rumqttc::AsyncClient::new(options, REQUESTS);
                events.network_options.set_connection_timeout(CONNECT_WAIT_S);
                let task = tokio::spawn(async move {
                    while let Ok(event) = events.poll().await {
                        if let Some(signal) = signal_311(&event)
                            && sender.send(signal).await.is_err()
                        {
                            return;
                        }
                    }
                    // The device may be gone too.
                    let _ = sender.send(Signal::Ended).await;
                });
                (Client::V311(client), task)
            }
            Version::V5 => {
                let mut options = v5::MqttOptions::new(&device.id, host, port);
                options
                    .set_keep_alive(KEEP_ALIVE)
                    .set_clean_start(true)
                    .set_connection_timeout(CONNECT_WAIT_S)
                    .set_max_packet_size(Some(PACKET_MAX_BYTES));
                let (client, mut events) = v5::AsyncClient::new(options, REQUESTS);
                let task = tokio::spawn(async move {
                    while let Ok(event) = events.poll().await {
                        if let Some(signal) = signal_5(&event)
                            && sender.send(signal).await.is_err()
                        {
                            return;
                        }
                    }
                    // The device may be gone too.
                    let _ = sender.send(Signal::Ended).await;
                });
                (Client::V5(client), task)
            }
        };
        Link { client, signals, task }
    }

    /// The next signal; [`Signal::Ended`] for ever after the last. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        self.signals.recv().await.unwrap_or(Signal::Ended)
    }

    /// Hands a message over; false when the connection is gone.
    pub fn publish(&self, device: &Device, message: &Message) -> bool {
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        match &self.client {
            Client::V311(client) => {
                let qos = [
                    rumqttc::QoS::AtMostOnce,
                    rumqttc::QoS::AtLeastOnce,
                    rumqttc::QoS::ExactlyOnce,
                ][usize::from(message.qos)];
                client.try_publish(topic, qos, false, payload).is_ok()
            }
            Client::V5(client) => {
                use v5::mqttbytes::QoS;
                let qos =
                    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(message.qos)];
                let properties = properties(device, message);
                client.try_publish_with_properties(topic, qos, false, payload, properties).is_ok()
            }
        }
    }

    /// Ends the connection with a goodbye.
    pub async fn disconnect(mut self) {
        let asked = match &self.client {
            Client::V311(client) => client.try_disconnect().is_ok(),
            Client::V5(client) => client.try_disconnect().is_ok(),
        };
        if asked {
            let ended = async { while self.next().await != Signal::Ended {} };
            // A gateway that does not close in time is left.
            let _ = tokio::time::timeout(GOODBYE_WAIT, ended).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn properties(device: &Device, message: &Message) -> v5::mqttbytes::v5::PublishProperties {
    let mut user_properties = vec![
        ("message-id".to_owned(), message.sequence.to_string()),
        ("device-type".to_owned(), device.kind.to_owned()),
        ("firmware-version".to_owned(), device.firmware.to_owned()),
        ("group".to_owned(), device.group.to_owned()),
    ];
    user_properties.extend(message.event_ms.map(|ms| ("event-start".to_owned(), ms.to_string())));
    v5::mqttbytes::v5::PublishProperties { user_properties, ..Default::default() }
}

fn signal_311(event: &rumqttc::Event) -> Option<Signal> {
    use rumqttc::{Event, Packet};
    Some(match event {
        Event::Outgoing(Outgoing::Publish(packet_id)) => Signal::Left(*packet_id),
        Event::Incoming(Packet::ConnAck(_)) => Signal::Connected { receive_maximum: None },
        Event::Incoming(Packet::PubAck(ack)) => {
            Signal::Acknowledged { packet_id: ack.pkid, code: 0 }
        }
        Event::Incoming(Packet::PubRec(ack)) => {
            Signal::Acknowledged { packet_id: ack.pkid, code: 0 }
        }
        _ => return None,
    })
}

fn signal_5(event: &v5::Event) -> Option<Signal> {
    use v5::Event;
    use v5::mqttbytes::v5::{Packet, PubAckReason, PubRecReason};
    /// What a refusal is called in the ledger; rumqttc keeps its own names of them.
    const REFUSED: u8 = 0x80;
    Some(match event {
        Event::Outgoing(Outgoing::Publish(packet_id)) => Signal::Left(*packet_id),
        Event::Incoming(Packet::ConnAck(ack)) => {
            let receive_maximum = ack.properties.as_ref().and_then(|known| known.receive_max);
            Signal::Connected { receive_maximum }
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            let fine =
                matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
            Signal::Acknowledged { packet_id: ack.pkid, code: if fine { 0 } else { REFUSED } }
        }
        Event::Incoming(Packet::PubRec(ack)) => {
            let fine =
                matches!(ack.reason, PubRecReason::Success | PubRecReason::NoMatchingSubscribers);
            Signal::Acknowledged { packet_id: ack.pkid, code: if fine { 0 } else { REFUSED } }
        }
        _ => return None,
    })
}
