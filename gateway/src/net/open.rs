//! From a socket to a transport that carries MQTT: whatever a listener puts around the packets is opened
//! here, from the outside in, under the one deadline that began when the socket was accepted.

use std::sync::Arc;
use std::time::Instant;

use super::silent::Silence;
use super::{Peer, Transport, tls, websocket};
use crate::connection::Close;
use crate::edge::Edge;
use crate::patience::Patience;

/// Opens what the peer's entrance puts around MQTT, with the silence that lasts until its CONNECT. Nothing of it
/// happens in the accept loop.
///
/// Not cancel safe: what was read is lost.
pub async fn open(
    edge: &Edge,
    transport: Transport,
    peer: &mut Peer,
    mut silence: Silence,
    patience: &mut Patience,
) -> Result<(Transport, Silence), Close> {
    let heard = silence.until(hear(edge, transport, &mut *peer, patience)).await;
    let mut transport = heard.unwrap_or(Err(Close::Silent))?;
    let entrance = Arc::clone(&peer.entrance);
    if let Some(tls) = &entrance.tls {
        let accepting = tls::accept(tls, edge, transport, peer, silence, patience);
        let (inside, shown) = Box::pin(accepting).await?;
        transport = inside;
        // Else it is as the load balancer says.
        if shown.is_some() {
            peer.certificate = shown;
        }
        silence = entrance.silent.begin_inside(Instant::now());
    }
    if let Some(settings) = &entrance.websocket {
        let upgrading = websocket::open(edge, transport, peer, settings, patience);
        transport = silence.until(upgrading).await.unwrap_or(Err(Close::Silent))?;
    }
    Ok((transport, silence))
}

/// Waits for the first byte of the client's own, behind what a load balancer says: until then a socket costs
/// little memory.
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
