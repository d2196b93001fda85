//! A client's certificate, verified anew after something was read anew that it rested on: in a line with all
//! others of which that is so, and behind established connections. What the client showed is copied only
//! when it is its turn.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use tokio::sync::OwnedSemaphorePermit;

use super::{Refusal, Shared};
use crate::net::certificate::EndsAtMs;
use crate::rights::Rights;

/// See the module. Dropping it takes nothing from anybody: what is being verified is verified in vain.
pub(super) enum Examination {
    Waits(Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>),
    Runs(Pin<Box<dyn Future<Output = Result<EndsAtMs, Refusal>> + Send>>),
}

impl Examination {
    pub fn begin(rights: &Rights) -> Examination {
        Examination::Waits(Box::pin(rights.place()))
    }

    /// Until when the client may stay, if it may; `chain` is what it showed.
    pub fn poll(
        &mut self,
        shared: &Arc<Shared>,
        chain: &[CertificateDer<'static>],
        context: &mut Context<'_>,
    ) -> Poll<Result<EndsAtMs, Refusal>> {
        loop {
            match self {
                Examination::Waits(place) => {
                    let place = ready!(place.as_mut().poll(context));
                    let verified = verify(Arc::clone(shared), chain.to_vec(), place);
                    *self = Examination::Runs(Box::pin(verified));
                }
                Examination::Runs(verified) => return verified.as_mut().poll(context),
            }
        }
    }
}

/// Whether a client that has left might still be here with its certificate; `chain` is what it showed.
pub(super) async fn still_good(shared: &Arc<Shared>, chain: &[CertificateDer<'static>]) -> bool {
    let peer = &shared.peer;
    let (Some(certificate), Some(tls)) = (&peer.certificate, &peer.entrance.tls) else {
        return true;
    };
    if tls.ask_again(certificate).is_some() {
        return true;
    }
    let mut examination = Examination::begin(&shared.edge.rights);
    poll_fn(|context| examination.poll(shared, chain, context)).await.is_ok()
}

async fn verify(
    shared: Arc<Shared>,
    chain: Vec<CertificateDer<'static>>,
    place: OwnedSemaphorePermit,
) -> Result<EndsAtMs, Refusal> {
    let peer = &shared.peer;
    let (Some(certificate), Some(tls)) = (peer.certificate.clone(), peer.entrance.tls.clone())
    else {
        return Err(Refusal::CredentialsRevoked);
    };
    let verified = shared.edge.low_priority.run(move || {
        let verified = tls.verify_again(&certificate, &chain);
        drop(place);
        verified
    });
    match verified.await {
        Ok(Ok(ends_at_ms)) => Ok(ends_at_ms),
        // Nobody knows whether it is good.
        Ok(Err(_)) | Err(_) => Err(Refusal::CredentialsRevoked),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use bridge::message::Device;

    use super::*;
    use crate::connection::tests::shared;
    use crate::edge::tests::edge;
    use crate::rights::VERIFIED_AT_ONCE;

    #[tokio::test]
    async fn of_a_herd_that_has_to_be_verified_a_few_are_at_a_time() {
        let edge = edge();
        // It shows nothing, which is good for nobody.
        let somebody = shared(&edge, Device::default());
        let mut places = Vec::new();
        for _ in 0..VERIFIED_AT_ONCE {
            places.push(edge.rights.place().await);
        }
        let mut examination = Examination::begin(&edge.rights);
        let mut context = Context::from_waker(Waker::noop());
        assert!(examination.poll(&somebody, &[], &mut context).is_pending());
        assert!(matches!(examination, Examination::Waits(_)), "nothing is copied yet");
        places.pop();
        let verified = poll_fn(|context| examination.poll(&somebody, &[], context)).await;
        assert_eq!(verified, Err(Refusal::CredentialsRevoked));
        // Its place is free again.
        places.push(edge.rights.place().await);
    }
}
