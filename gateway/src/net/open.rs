//! From a socket to a transport that carries MQTT: whatever a listener puts around the packets is opened
//! here, from the outside in, under the one deadline that began when the socket was accepted.

use std::sync::Arc;

use super::{Peer, Transport, tls};
use crate::connection::Close;
use crate::edge::Edge;
use crate::patience::Patience;

/// Opens what the peer's entrance puts around MQTT. Nothing of it happens in the accept loop.
///
/// Not cancel safe: what was read is lost.
pub async fn open(
    edge: &Edge,
    mut transport: Transport,
    mut peer: Peer,
    patience: &mut Patience,
) -> Result<(Transport, Peer), Close> {
    let entrance = Arc::clone(&peer.entrance);
    if let Some(tls) = &entrance.tls {
        let accepted = Box::pin(tls::accept(tls, edge, transport, &peer, patience)).await?;
        (transport, peer.certificate) = accepted;
    }
    Ok((transport, peer))
}
