//! From a socket to a transport that carries MQTT: whatever a listener puts around the packets is opened
//! here, from the outside in, under the one deadline that began when the socket was accepted.

use std::sync::Arc;

use super::silent::Silence;
use super::{Peer, Transport, tls, websocket};
use crate::connection::Close;
use crate::edge::Edge;
use crate::patience::Patience;

/// Opens what the peer's entrance puts around MQTT. Nothing of it happens in the accept loop.
///
/// Not cancel safe: what was read is lost.
pub async fn open(
    edge: &Edge,
    transport: Transport,
    peer: &mut Peer,
    silence: Silence,
    patience: &mut Patience,
) -> Result<Transport, Close> {
    let heard = silence.until(hear(edge, transport, &mut *peer, patience)).await;
    let mut transport = heard.unwrap_or(Err(Close::Silent))?;
    let entrance = Arc::clone(&peer.entrance);
    if let Some(tls) = &entrance.tls {
        let accepted = Box::pin(tls::accept(tls, edge, transport, peer, patience)).await?;
        (transport, peer.certificate) = accepted;
    }
    if let Some(settings) = &entrance.websocket {
        transport = websocket::open(edge, transport, peer, settings, patience).await?;
    }
    Ok(transport)
}

/// Waits for the first byte of the client's own: what a load balancer says in front of it breaks no silence.
async fn hear(
    edge: &Edge,
    mut transport: Transport,
    peer: &mut Peer,
    patience: &mut Patience,
) -> Result<Transport, Close> {
    let entrance = Arc::clone(&peer.entrance);
    if let Some(settings) = &entrance.proxy {
        settings.read(edge, &mut transport, peer, patience).await?;
    }
    match transport.readable_within(patience).await {
        Ok(true) => Ok(transport),
        Ok(false) => Err(Close::TooSlow),
        Err(_) => Err(Close::BeforeConnect),
    }
}
