//! What is configured of identity: what knows whether evidence is good, and what a listener asks for.

use super::http::{self, HttpSettings};
use super::password::{self, PasswordSettings};
use super::token::TokenSettings;
use super::{Binding, Way};
use crate::net::tls::CertificateSettings;

/// Connections to a key server: one at work, and what the client keeps.
const KEY_SERVER_DESCRIPTORS: u64 = 4;

/// What clients of a listener have to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemandSettings {
    /// The first whose evidence is there decides; of each, all are asked for. None is empty.
    pub ways: Vec<Vec<Way>>,
    pub binding: Binding,
}

/// What knows whether evidence is good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationSettings {
    pub token: Option<TokenSettings>,
    pub password: Option<PasswordSettings>,
    pub http: Option<HttpSettings>,
    /// As whom certificates enter; listeners with TLS have it too.
    pub certificate: CertificateSettings,
}

impl AuthenticationSettings {
    /// There is something that knows about this way.
    pub fn has(&self, way: Way) -> bool {
        match way {
            // The section has a default for everything.
            Way::Certificate => true,
            Way::Token => self.token.is_some(),
            Way::Password => self.password.is_some(),
            Way::Http => self.http.is_some(),
        }
    }

    /// Whether a way proves an attribute of this name beside the identity.
    pub fn gives(&self, way: Way, attribute: &str) -> bool {
        match way {
            Way::Certificate => {
                self.certificate.identity.iter().any(|template| template.says(attribute))
            }
            Way::Token => self
                .token
                .iter()
                .flat_map(|token| &token.attributes)
                .any(|(known, _)| known == attribute),
            // A name, and nothing else.
            Way::Password => false,
            // What the service says is not known here.
            Way::Http => true,
        }
    }

    /// Bytes that the look at evidence takes.
    pub fn memory_cost(&self) -> u64 {
        let passwords = self.password.as_ref().map_or(0, |_| password::MEMORY_COST);
        passwords + self.http.as_ref().map_or(0, |_| http::MEMORY_COST)
    }

    /// Descriptors that whoever is asked takes.
    pub fn descriptors(&self) -> u64 {
        let keys = self.token.as_ref().map_or(0, |_| KEY_SERVER_DESCRIPTORS);
        keys + self.http.as_ref().map_or(0, |_| http::ASKING_MAX as u64)
    }
}
