//! Session tickets that forget nobody's certificate: who resumes a session is asked anew whether the
//! certificate that began it is still good, and else has to shake hands in full, where it is told why not.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets;

use super::clients::Clients;

/// See the module. What makes and opens the tickets is shared with what was before a reload, so that
/// sessions outlive a new certificate of the gateway.
#[derive(Debug)]
pub struct Tickets {
    pub maker: Arc<dyn ProducesTickets>,
    /// Where clients are asked for a certificate.
    pub clients: Option<Arc<Clients>>,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.maker.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.maker.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.maker.encrypt(plain)
    }

    /// None, and with it a handshake in full, for who could not do one now.
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let session = self.maker.decrypt(ticket)?;
        let Some(clients) = &self.clients else { return Some(session) };
        let still_good = match client_chain(&session)?.split_first() {
            Some((leaf, others)) => clients.look_at(leaf, others).is_ok(),
            None => !clients.is_required(),
        };
        still_good.then_some(session)
    }
}

/// The client's certificates in a session as rustls 0.23 encodes it (`ServerSessionValue`); None if it is
/// not as expected, which a test would find before a client does.
fn client_chain(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut rest = session;
    if number(&mut rest, 1)? == 1 {
        // The name that the client asked for.
        list(&mut rest, 1)?;
    }
    let _version_and_suite = number(&mut rest, 4)?;
    let _secret = list(&mut rest, 1)?;
    let _extended = number(&mut rest, 1)?;
    let mut chain = Vec::new();
    if number(&mut rest, 1)? == 1 {
        let mut certificates = list(&mut rest, 3)?;
        while !certificates.is_empty() {
            chain.push(CertificateDer::from(list(&mut certificates, 3)?));
        }
    }
    Some(chain)
}

fn number(rest: &mut &[u8], width: usize) -> Option<u32> {
    let (digits, behind) = rest.split_at_checked(width)?;
    *rest = behind;
    Some(digits.iter().fold(0, |number, &digit| number << 8 | u32::from(digit)))
}

fn list<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = number(rest, width)?;
    let (content, behind) = rest.split_at_checked(length as usize)?;
    *rest = behind;
    Some(content)
}
