//! The connections of the gateway with what is around it, and what may happen to them: by rules of the network, where
//! the cell has one for itself, and else by a proxy that swallows bytes.

use tests::network::{self, Namespace, Network};
use tests::proxy::Proxy;

use crate::rig::Rig;

/// With whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Kafka,
    Store,
    Devices,
}

/// What vanishes.
#[derive(Clone, Copy)]
pub enum Lost {
    All,
    /// What goes to the one who listens.
    Towards,
    /// What comes from there. A proxy holds it back instead.
    From,
}

/// It ends with this.
#[must_use = "it ends when it is dropped"]
pub enum Broken<'r> {
    Rules(#[expect(dead_code, reason = "it is dropped")] network::Fault),
    Proxy(&'r Proxy),
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if let Broken::Proxy(proxy) = self {
            proxy.release();
        }
    }
}

impl Link {
    /// Whether a proxy has to stand there.
    pub fn needs_proxy() -> bool {
        !Namespace::is_here()
    }
}

impl Rig {
    /// From now on something vanishes on this link.
    pub fn lose(&self, link: Link, lost: Lost) -> Broken<'_> {
        let Some(proxy) = self.proxy_of(link) else {
            let (network, ports) = (Network::here(), self.ports_of(link));
            return Broken::Rules(match lost {
                Lost::All => network.drop_all(&ports),
                Lost::Towards => network.drop_towards(&ports),
                Lost::From => network.drop_from(&ports),
            });
        };
        match lost {
            Lost::All | Lost::Towards => proxy.blackhole(),
            Lost::From => proxy.hold_answers(),
        }
        Broken::Proxy(proxy)
    }

    /// From now on connections of this link are reset, and none comes about.
    pub fn refuse(&self, link: Link) -> Broken<'_> {
        match self.proxy_of(link) {
            None => Broken::Rules(Network::here().reset(&self.ports_of(link))),
            Some(proxy) => {
                proxy.refuse();
                Broken::Proxy(proxy)
            }
        }
    }

    /// Connections of this link that stand now are reset.
    pub fn reset(&self, link: Link) {
        match self.proxy_of(link) {
            None => Network::here().reset_once(&self.ports_of(link)),
            Some(proxy) => proxy.cut(),
        }
    }
}
