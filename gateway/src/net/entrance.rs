//! One listener as its connections see it: its name and what it asks of who comes. A connection carries
//! it along in its [`super::Peer`], so whoever decides something about a client knows where it came in.

use std::sync::Arc;

use crate::config::ListenerSettings;

/// See the module.
#[derive(Debug)]
pub struct Entrance {
    pub name: Arc<str>,
}

impl Entrance {
    /// Of a listener as it is configured.
    pub fn new(settings: &ListenerSettings) -> Entrance {
        Entrance { name: settings.name.as_str().into() }
    }
}
