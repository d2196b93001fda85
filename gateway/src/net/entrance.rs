//! One listener as its connections see it: its name and what it asks of who comes. A connection carries
//! it along in its [`super::Peer`], so whoever decides something about a client knows where it came in.

use std::sync::Arc;

use super::silent::Silent;
use super::tls::{ClientSettings, Tls, TlsSettings};
use super::{Bind, proxy, websocket};
use crate::access::{Access, OnDenied};
use crate::admission::Admission;
use crate::fault::Faults;
use crate::identity::{Authentication, DemandSettings, Demands, Way};
use crate::reload::Reload;

/// One listener as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    pub name: String,
    pub bind: Bind,
    pub on_denied: OnDenied,
    pub tls: Option<TlsSettings>,
    /// None: anybody may come in.
    pub demands: Option<DemandSettings>,
    pub websocket: Option<websocket::Settings>,
    pub proxy: Option<proxy::Settings>,
    /// Connections at a time; None: as many as the gateway may have.
    pub connections: Option<u32>,
    /// Sockets of which nothing whole came yet, at a time.
    pub silent: u32,
}

impl ListenerSettings {
    /// Whether it asks for this way, alone or with others.
    pub fn asks_for(&self, way: Way) -> bool {
        let ways = self.demands.iter().flat_map(|demands| demands.ways.iter().flatten());
        ways.into_iter().any(|asked| *asked == way)
    }

    /// A load balancer in front tells the common names of certificates that it verified.
    pub fn is_told_common_names(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.common_names.is_some())
    }

    /// What its clients are asked for of certificates; None: nothing.
    pub fn certificates(&self) -> Option<&ClientSettings> {
        self.tls.as_ref()?.clients.as_ref()
    }

    /// One of which nothing else is said.
    pub fn new(name: &str, bind: impl Into<Bind>) -> ListenerSettings {
        ListenerSettings {
            name: name.to_owned(),
            bind: bind.into(),
            on_denied: OnDenied::default(),
            tls: None,
            demands: None,
            websocket: None,
            proxy: None,
            connections: None,
            silent: 1,
        }
    }
}

/// See the module.
pub struct Entrance {
    pub name: Arc<str>,
    /// None where bytes come as they are.
    pub tls: Option<Arc<Tls>>,
    /// What its clients may do; None: everything.
    pub access: Option<Arc<Access>>,
    pub on_denied: OnDenied,
    /// What clients have to prove; None: anybody may come in.
    pub demands: Option<Demands>,
    /// How many connections it has, beside how many it may have.
    pub admission: Arc<Admission>,
    /// Its sockets of which nothing whole came yet.
    pub silent: Arc<Silent>,
    /// A load balancer in front says who connects.
    pub proxy: Option<proxy::Settings>,
    /// MQTT comes over WebSocket here, and not otherwise.
    pub websocket: Option<websocket::Settings>,
}

impl Entrance {
    /// Of a listener as it is configured; reads the files that it names.
    pub fn new(
        settings: &ListenerSettings,
        authentication: &Arc<Authentication>,
        access: Option<Arc<Access>>,
    ) -> Result<Entrance, Faults> {
        let tls = settings.tls.as_ref().map(|tls| Tls::open(&settings.name, tls)).transpose()?;
        let demands = settings.demands.as_ref().map(|demands| {
            let (ways, binding) = (demands.ways.clone(), demands.binding.clone());
            Demands::new(Arc::clone(authentication), ways, binding)
        });
        Ok(Entrance {
            name: settings.name.as_str().into(),
            tls: tls.map(Arc::new),
            demands,
            access,
            on_denied: settings.on_denied,
            admission: Admission::new(settings.connections.unwrap_or(u32::MAX)),
            silent: Silent::new(settings.silent),
            proxy: settings.proxy.clone(),
            websocket: settings.websocket.clone(),
        })
    }

    /// What of it alone may be read anew.
    pub fn reloads(&self) -> impl Iterator<Item = Arc<dyn Reload>> {
        self.tls.iter().map(|tls| Arc::clone(tls) as Arc<dyn Reload>)
    }
}

impl std::fmt::Debug for Entrance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Entrance").field("name", &self.name).finish_non_exhaustive()
    }
}
