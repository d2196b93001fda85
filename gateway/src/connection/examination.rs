//! A client's certificate, verified anew after something was read anew that it rested on: in a line with all
//! others of which that is so, and behind established connections. What the client showed is copied only
//! when it is its turn.

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
