//! A device's last words: kept while it is connected, published when it goes without a goodbye, on a
//! message's normal way, if it might still say them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::Refusal;
use bridge::message::{Message, Payload};
use rustls::pki_types::CertificateDer;
use tokio::time::sleep;

use super::{Clock, Shared, examination};
use crate::access::Action;
use crate::budget::Kept;
use crate::local::ClientKey;
use crate::mqtt::Will;

/// How long a will waits for room in its lane before it counts as refused.
const ROOM_WAIT: Duration = Duration::from_secs(60);
const ROOM_PAUSE: Duration = Duration::from_millis(100);
/// What a will that waits takes beside its texts, in bytes: its task and the sender's state.
const WAITING_COST: u64 = 1024;

/// An owned copy of a [`Will`].
pub struct StoredWill {
    topic: Box<str>,
    payload: Box<[u8]>,
    qos: u8,
    retain: bool,
    content_type: Box<str>,
    properties: Vec<(Box<str>, Box<str>)>,
}

impl StoredWill {
    pub fn new(will: &Will<'_>) -> StoredWill {
        let own = |(name, value): (&str, &str)| (name.into(), value.into());
        StoredWill {
            topic: will.topic.into(),
            payload: will.payload.into(),
            qos: will.qos,
            retain: will.retain,
            content_type: will.content_type.into(),
            properties: will.user_properties.iter().map(own).collect(),
        }
    }

    /// Publishes it. Its session ended with the connection, so a delay ends at once (v5 3.1.3.2.2). `chain` is
    /// what its sender showed of certificates.
    pub(super) async fn publish(&self, shared: &Arc<Shared>, chain: &[CertificateDer<'static>]) {
        let uplink = &shared.edge.uplink;
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(name, value)| (&**name, &**value)).collect();
        let message = Message {
            device: &shared.device,
            topic: &self.topic,
            payload: Payload::Inline(&self.payload),
            qos: self.qos,
            dup: false,
            retain: self.retain,
            packet_id: 0,
            received_ms: Clock::read().unix_ms,
            content_type: &self.content_type,
            properties: &properties,
        };
        // It is part of a packet of at most 64 KiB, and so here whole.
        let decided = uplink.decide(&message);
        let deadline = Instant::now() + ROOM_WAIT;
        let (mut waiting, mut asked) = (None, None);
        loop {
            // It was allowed when it was left, which may be long ago; and what has to prove who its sender is may
            // be taken back while it waits, or was a moment ago.
            let seen = shared.edge.rights.seen();
            if asked.replace(seen) != Some(seen) && !self.may_be_said(shared, chain).await {
                return uplink.refuse(None, Refusal::NotAuthorized);
            }
            if decided.offer(Instant::now()).is_ok() {
                break;
            }
            if waiting.is_none() && self.qos > 0 {
                let mut place = Kept::nothing(&shared.edge.waiting_wills);
                waiting = place.change(self.waiting_bytes(shared, chain)).then_some(place);
            }
            if waiting.is_none() || Instant::now() >= deadline {
                return uplink.refuse(Some(decided.lane()), Refusal::Shed);
            }
            sleep(ROOM_PAUSE).await;
        }
        if shared.edge.local.interested(&self.topic) {
            let client = ClientKey::of(&shared.device.client_id);
            shared.edge.local.publish(client, &self.topic, &self.payload);
        }
    }

    /// Its sender might still publish that, and is believed to be who it said.
    async fn may_be_said(&self, shared: &Arc<Shared>, chain: &[CertificateDer<'static>]) -> bool {
        if !shared.may_publish(&self.topic) {
            shared.denied(Action::Publish, &self.topic);
            return false;
        }
        shared.is_proved() && examination::still_good(shared, chain).await
    }

    /// What it takes while it waits, with what is kept of its sender.
    fn waiting_bytes(&self, shared: &Shared, chain: &[CertificateDer<'static>]) -> u64 {
        let chain: usize = chain.iter().map(|certificate| certificate.len()).sum();
        (self.bytes() + shared.device.bytes() + chain) as u64 + WAITING_COST
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// It asks to be retained.
    pub fn retain(&self) -> bool {
        self.retain
    }

    /// How many properties it has.
    pub fn properties(&self) -> usize {
        self.properties.len()
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, value)| name.len() + value.len());
        let own = self.topic.len() + self.payload.len() + self.content_type.len();
        own + properties.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use bridge::message::Device;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::access::acl_file::AclFile;
    use crate::access::{Access, AccessSettings};
    use crate::connection::tests::shared;
    use crate::edge::Edge;
    use crate::edge::tests::edge;
    use crate::identity::Authentication;
    use crate::net::tls::tests::{World, meet};
    use crate::net::{Entrance, ListenerSettings, Peer};
    use crate::reload::Reload as _;

    /// However long something takes on a busy machine.
    const LONG: Duration = Duration::from_secs(30);

    /// A client that is gone, and what it showed.
    struct Gone {
        peer: Peer,
        chain: Vec<CertificateDer<'static>>,
    }

    impl Gone {
        /// Its will is on its way.
        fn publishes(&self, edge: &Arc<Edge>) -> JoinHandle<()> {
            let device =
                Device { client_id: "meter-1".into(), verified: None, properties: Vec::new() };
            let known = Arc::into_inner(shared(edge, device)).expect("it is new");
            let client = Arc::new(Shared { peer: self.peer.clone(), ..known });
            let will = StoredWill {
                topic: "devices/meter/meter-1/gone".into(),
                payload: Box::from(&b"gone"[..]),
                qos: 1,
                retain: false,
                content_type: Box::default(),
                properties: Vec::new(),
            };
            let chain = self.chain.clone();
            tokio::spawn(async move { will.publish(&client, &chain).await })
        }
    }

    /// Wills that were refused because they are not allowed.
    fn refused(edge: &Edge) -> u64 {
        let index = Refusal::ALL.iter().position(|one| *one == Refusal::NotAuthorized);
        let index = index.expect("it is one of them");
        edge.uplink.accounts().map(|account| account.ledger.totals().refused[index]).sum()
    }

    /// Its will is said while nothing changes; not after that change, which comes while it waits for room; and
    /// not a moment after it, when its connection has not heard of it.
    async fn is_silenced_by(client: Gone, change: impl FnOnce()) {
        let edge = edge();
        let fill = || -> Vec<_> {
            let lanes = edge.uplink.lanes().iter().map(|(lane, _)| lane);
            let uplink = &edge.uplink;
            let take = |lane| std::iter::from_fn(move || uplink.reserve(Some(lane), 64).ok());
            lanes.flat_map(take).collect()
        };
        let until_it_waits = async || {
            while edge.waiting_wills.used() == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let taken = fill();
        let publishing = client.publishes(&edge);
        timeout(LONG, until_it_waits()).await.expect("there is no room");
        drop(taken);
        timeout(LONG, publishing).await.expect("there is room").expect("no panic");
        assert_eq!(refused(&edge), 0);

        let taken = fill();
        let publishing = client.publishes(&edge);
        timeout(LONG, until_it_waits()).await.expect("there is no room");
        change();
        edge.rights.change();
        timeout(LONG, publishing).await.expect("it waits no longer").expect("no panic");
        assert_eq!(refused(&edge), 1);

        drop(taken);
        timeout(LONG, client.publishes(&edge)).await.expect("it is refused").expect("no panic");
        assert_eq!(refused(&edge), 2);
    }

    #[tokio::test]
    async fn whose_certificate_is_revoked_has_no_last_words() {
        let world = World::new();
        world.issue("meter-1", 7, true);
        let entrance = world.entrance();
        let client = world.client("meter-1", &rustls::version::TLS13);
        let (transport, certificate, _) = meet(&entrance, &client).await.expect("it is good");
        let mut peer = Peer::new(Arc::clone(&entrance), None);
        peer.certificate = Some(certificate);
        let client = Gone { peer, chain: transport.client_chain().to_vec() };
        is_silenced_by(client, || {
            world.revoke(&[7]);
            entrance.tls.as_ref().expect("it has TLS").reload().expect("the files are good");
        })
        .await;
    }

    #[tokio::test]
    async fn who_may_not_publish_there_any_more_has_no_last_words() {
        let name = format!("landfall-wills-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let write = |text: &str| std::fs::write(&path, text).expect("it can be written");
        write("topic write devices/#\n");
        let file = AclFile::parse("topic write devices/#\n").expect("it is one");
        let settings =
            AccessSettings { rules: Arc::default(), file: Some((path.clone(), Arc::new(file))) };
        let access = Arc::new(Access::new(&settings));
        let listener =
            ListenerSettings::new("plain", std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        let asking = Entrance::new(&listener, &Authentication::none(), Some(Arc::clone(&access)));
        let entrance = Arc::new(asking.expect("it reads no file"));
        let client = Gone { peer: Peer::new(entrance, None), chain: Vec::new() };
        is_silenced_by(client, || {
            write("topic write elsewhere/#\n");
            access.reload().expect("it is one");
        })
        .await;
        std::fs::remove_file(&path).expect("it is the test's");
    }
}
