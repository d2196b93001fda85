//! Who is connected, for people: page by page in the order of client ids, and what only a connection itself
//! knows, which is asked of it. It costs connections nothing until somebody looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bridge::Signals;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Clients;
use crate::connection::Shared;

/// Questions to connections that wait for an answer; beyond it the oldest gets none.
const QUESTIONS_MAX: usize = 64;
/// The way of those whom nobody asked who they are.
const ANONYMOUS: &str = "anonymous";
/// A connection that does not get to answer in this time has other things to do.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Which clients somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Behind this client id.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Whose client id begins so.
    pub prefix: Option<String>,
    pub identity: Option<String>,
    pub listener: Option<String>,
}

/// Some of the clients, in the order of their ids.
#[derive(Debug, Serialize)]
pub struct ClientPage {
    pub clients: Vec<ClientStatus>,
    /// There are more behind this one.
    pub after: Option<String>,
    /// Sessions in all, wanted or not.
    pub connected: usize,
}

/// What is known of a client from its CONNECT on.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ClientStatus {
    pub client_id: String,
    /// What it proved to be.
    pub identity: Option<String>,
    /// How it proved it; `anonymous` where nobody asked.
    pub way: &'static str,
    pub address: String,
    pub listener: String,
    pub version: &'static str,
    /// 0: none.
    pub keep_alive_seconds: u16,
    /// RFC 3339.
    pub connected_since: String,
}

/// What a connection itself knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Messages that it sent and that are not acknowledged.
    pub in_flight: u32,
    /// Filters that it is subscribed to.
    pub subscriptions: usize,
    pub has_will: bool,
}

/// Questions to connections, from the oldest to the newest.
#[derive(Default)]
pub(super) struct Questions(Mutex<Vec<(Arc<str>, oneshot::Sender<Figures>)>>);

impl Clients {
    /// The first of those that are wanted. Looks through all of them, with pauses: a shard's lock is held
    /// for a part of a millisecond, and whoever else is on this thread has its turn in between.
    pub async fn page(&self, wanted: &Wanted) -> ClientPage {
        let mut first: BTreeMap<Arc<str>, Arc<Shared>> = BTreeMap::new();
        let mut connected = 0;
        let mut more = false;
        for shard in &self.shards {
            {
                let shard = shard.lock();
                for (client_id, holder) in shard.iter() {
                    let Some(shared) = &holder.shared else { continue };
                    connected += 1;
                    if !wanted.takes(client_id, shared) {
                        continue;
                    }
                    if first.len() >= wanted.limit {
                        more = true;
                        match first.last_entry() {
                            Some(last) if **client_id < **last.key() => last.remove(),
                            _ => continue,
                        };
                    }
                    first.insert(Arc::clone(client_id), Arc::clone(shared));
                }
            }
            tokio::task::yield_now().await;
        }
        let after = first.keys().next_back().filter(|_| more).map(|id| id.to_string());
        let clients = first.values().map(|shared| ClientStatus::of(shared)).collect();
        ClientPage { clients, after, connected }
    }

    /// One client, and what its connection says, if it gets to it.
    pub async fn client(&self, client_id: &str) -> Option<(ClientStatus, Option<Figures>)> {
        let (status, answer) = {
            let shard = self.shard(client_id).lock();
            let (client_id, holder) = shard.get_key_value(client_id)?;
            let status = ClientStatus::of(holder.shared.as_ref()?);
            let answer = self.questions.ask(client_id);
            holder.mailbox.signal(Signals::ASKED);
            (status, answer)
        };
        let figures = timeout(ANSWER_WAIT, answer).await;
        Some((status, figures.ok().and_then(Result::ok)))
    }

    /// A connection answers whoever asked it.
    pub fn answer(&self, client_id: &str, figures: Figures) {
        let mut questions = self.questions.0.lock();
        for (_, asks) in questions.extract_if(.., |(asked, _)| **asked == *client_id) {
            // Whoever asked may be gone.
            let _ = asks.send(figures);
        }
    }
}

impl Questions {
    fn ask(&self, client_id: &Arc<str>) -> oneshot::Receiver<Figures> {
        let (asks, answer) = oneshot::channel();
        let mut questions = self.0.lock();
        questions.retain(|(_, asks)| !asks.is_closed());
        if questions.len() >= QUESTIONS_MAX {
            questions.remove(0);
        }
        questions.push((Arc::clone(client_id), asks));
        answer
    }
}

impl Wanted {
    fn takes(&self, client_id: &str, shared: &Shared) -> bool {
        let is = |wanted: &Option<String>, what: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == what)
        };
        self.after.as_deref().is_none_or(|after| client_id > after)
            && self.prefix.as_deref().is_none_or(|prefix| client_id.starts_with(prefix))
            && is(&self.identity, shared.device.verified_id())
            && is(&self.listener, Some(shared.peer.listener()))
    }
}

impl ClientStatus {
    fn of(shared: &Shared) -> ClientStatus {
        let Shared { device, identity, peer, version, keep_alive_s, connected_s, .. } = shared;
        ClientStatus {
            client_id: device.client_id.to_string(),
            identity: device.verified_id().map(str::to_owned),
            way: identity.as_ref().map_or(ANONYMOUS, |identity| identity.way.name()),
            address: peer.to_string(),
            listener: peer.listener().to_owned(),
            version: version.label(),
            keep_alive_seconds: *keep_alive_s,
            connected_since: Timestamp::from_second(i64::from(*connected_s))
                .expect("an unsigned number of 32 bits is a time in reach")
                .to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bridge::message::Device;

    use super::*;
    use crate::clients::Claim;
    use crate::connection::tests::shared;
    use crate::edge::tests::edge;
    use crate::identity::Identity;
    use crate::patience::Patience;

    async fn hold(clients: &Arc<Clients>, shared: Arc<Shared>) -> (Claim, Arc<bridge::Mailbox>) {
        let mailbox = Arc::new(bridge::Mailbox::default());
        let client_id: Arc<str> = (&*shared.device.client_id).into();
        let mut patience = Patience::new(Duration::from_secs(60));
        let claim = clients.claim(&client_id, None, &mailbox, &mut patience).await;
        let claim = claim.expect("the id is free");
        claim.show(&shared);
        (claim, mailbox)
    }

    fn device(client_id: &str, identity: Option<&str>) -> Device {
        Device {
            client_id: client_id.into(),
            verified: identity.map(|id| Arc::clone(&Identity::named(id).verified)),
            properties: Vec::new(),
        }
    }

    fn ids(page: &ClientPage) -> Vec<&str> {
        page.clients.iter().map(|client| client.client_id.as_str()).collect()
    }

    #[tokio::test]
    async fn pages_hold_everybody_once_in_order() {
        let clients = Clients::new();
        let edge = edge();
        let mut claims = Vec::new();
        for number in [7, 3, 12, 0, 9, 5, 1, 11, 4, 8, 2, 10, 6] {
            let device = device(&format!("meter-{number:02}"), None);
            claims.push(hold(&clients, shared(&edge, device)).await);
        }
        let mut wanted = Wanted { limit: 5, ..Default::default() };
        let mut seen = Vec::new();
        let mut pages = 0;
        loop {
            let page = clients.page(&wanted).await;
            assert_eq!(page.connected, 13);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            pages += 1;
            match page.after {
                Some(after) => wanted.after = Some(after),
                None => break,
            }
        }
        let expected: Vec<String> = (0..13).map(|number| format!("meter-{number:02}")).collect();
        assert_eq!((seen, pages), (expected, 3));
        claims.clear();
        assert!(clients.page(&wanted).await.clients.is_empty());
    }

    #[tokio::test]
    async fn a_filter_takes_what_it_says_and_a_full_last_page_is_the_last() {
        let clients = Clients::new();
        let edge = edge();
        let _claims = [
            hold(&clients, shared(&edge, device("a-1", Some("alice")))).await,
            hold(&clients, shared(&edge, device("a-2", Some("bob")))).await,
            hold(&clients, shared(&edge, device("b-1", None))).await,
        ];
        let all = Wanted { limit: 3, ..Default::default() };
        let some = |text: &str| Some(text.to_owned());
        for (wanted, expected) in [
            (all.clone(), &["a-1", "a-2", "b-1"][..]),
            (Wanted { prefix: some("a-"), limit: 2, ..all.clone() }, &["a-1", "a-2"]),
            (Wanted { identity: some("bob"), ..all.clone() }, &["a-2"]),
            (Wanted { listener: some("plain"), ..all.clone() }, &["a-1", "a-2", "b-1"]),
            (Wanted { listener: some("other"), ..all.clone() }, &[]),
            (Wanted { after: some("a-1"), ..all.clone() }, &["a-2", "b-1"]),
        ] {
            let page = clients.page(&wanted).await;
            assert_eq!(ids(&page), expected, "{wanted:?}");
            assert_eq!(page.after, None, "{wanted:?}");
        }
    }

    #[tokio::test]
    async fn it_is_told_how_a_client_proved_who_it_is() {
        let clients = Clients::new();
        let edge = edge();
        let alice = Identity::named("alice");
        let way = alice.way.name();
        let proved = Arc::into_inner(shared(&edge, device("a-1", Some("alice"))));
        let mut proved = proved.expect("nobody else has it");
        proved.identity = Some(alice);
        let _claims = [
            hold(&clients, Arc::new(proved)).await,
            hold(&clients, shared(&edge, device("b-1", None))).await,
        ];
        let page = clients.page(&Wanted { limit: 2, ..Default::default() }).await;
        let ways: Vec<_> = page.clients.iter().map(|client| client.way).collect();
        assert_eq!(ways, [way, "anonymous"]);
    }

    #[tokio::test]
    async fn a_connection_is_asked_and_whoever_does_not_answer_is_not_waited_for_long() {
        let clients = Clients::new();
        let edge = edge();
        let (_claim, mailbox) = hold(&clients, shared(&edge, device("a-1", None))).await;
        assert!(clients.client("a-2").await.is_none());
        let asking = tokio::spawn({
            let clients = Arc::clone(&clients);
            async move { clients.client("a-1").await }
        });
        while !mailbox.signals().has(Signals::ASKED) {
            tokio::task::yield_now().await;
        }
        let figures = Figures { in_flight: 3, subscriptions: 1, has_will: true };
        clients.answer("a-2", Figures { in_flight: 0, ..figures });
        clients.answer("a-1", figures);
        let (status, answer) = asking.await.expect("no panic").expect("it is there");
        assert_eq!((status.client_id.as_str(), answer), ("a-1", Some(figures)));
        assert!(clients.questions.0.lock().is_empty());
        let (_, answer) = clients.client("a-1").await.expect("it is there");
        assert_eq!(answer, None);
    }

    #[test]
    fn questions_nobody_waits_for_take_no_place() {
        let questions = Questions::default();
        let id: Arc<str> = "a-1".into();
        for _ in 0..3 {
            drop(questions.ask(&id));
        }
        let waiting: Vec<_> = (0..2 * QUESTIONS_MAX).map(|_| questions.ask(&id)).collect();
        assert_eq!(questions.0.lock().len(), QUESTIONS_MAX);
        drop(waiting);
    }
}
