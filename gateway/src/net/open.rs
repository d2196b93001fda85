//! From a socket to a transport that carries MQTT: whatever a listener puts around the packets is opened
//! here, from the outside in, under the one deadline that began when the socket was accepted.

use super::{Peer, Transport};
use crate::connection::Close;
use crate::edge::Edge;
use crate::patience::Patience;

/// Opens what the peer's entrance puts around MQTT. Nothing of it happens in the accept loop.
///
/// Not cancel safe: what was read is lost.
pub async fn open(
    _edge: &Edge,
    transport: Transport,
    peer: Peer,
    _patience: &mut Patience,
) -> Result<(Transport, Peer), Close> {
    Ok((transport, peer))
}
