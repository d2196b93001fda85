//! One listener as its connections see it: its name and what it asks of who comes. A connection carries
//! it along in its [`super::Peer`], so whoever decides something about a client knows where it came in.

use std::sync::Arc;

use crate::access::Access;
use crate::config::{ListenerSettings, OnDenied};

/// See the module.
#[derive(Debug)]
pub struct Entrance {
    pub name: Arc<str>,
    /// What its clients may do; None: everything.
    pub access: Option<Arc<Access>>,
    pub on_denied: OnDenied,
}

impl Entrance {
    /// Of a listener as it is configured.
    pub fn new(settings: &ListenerSettings, access: Option<Arc<Access>>) -> Entrance {
        Entrance { name: settings.name.as_str().into(), access, on_denied: settings.on_denied }
    }
}
