//! SUBSCRIBE and UNSUBSCRIBE: what the local plane grants, as codes.

use super::packets::Packets;
use super::{Close, Refusal};
use crate::access::Action;
use crate::local::SubscribeError;
use crate::mqtt::{Filter, Subscribe, Unsubscribe, reason};

/// Filters of one SUBSCRIBE or UNSUBSCRIBE: more than a client may hold, and an answer that fits beside
/// what waits to be sent.
const FILTERS_MAX: usize = 500;

impl Packets<'_> {
    pub(super) fn subscribe(&mut self, subscribe: &Subscribe<'_>) -> Result<(), Close> {
        if subscribe.subscription_identifier.is_some() {
            return Err(Refusal::SubscriptionIdentifier.into());
        }
        let mut codes = Vec::new();
        for filter in subscribe.filters() {
            has_place(&codes)?;
            codes.push(self.subscribe_to(&filter));
        }
        Ok(self.outbound.suback(subscribe.packet_id, &codes)?)
    }

    fn subscribe_to(&mut self, filter: &Filter<'_>) -> u8 {
        if filter.shared {
            return reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
        }
        if !self.shared.may_subscribe(filter.filter) {
            self.shared.denied(Action::Subscribe, filter.filter);
            return reason::NOT_AUTHORIZED;
        }
        let (local, client_id) = (&self.shared.edge.local, &self.shared.device.client_id);
        match self.session.subscribe(local, client_id, filter.filter, filter.no_local) {
            Ok(()) => reason::SUCCESS,
            Err(SubscribeError::FilterTooLong) => reason::TOPIC_FILTER_INVALID,
            Err(SubscribeError::TooManyForClient | SubscribeError::TooManyInAll) => {
                reason::QUOTA_EXCEEDED
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>) -> Result<(), Close> {
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            has_place(&codes)?;
            let existed = self.session.unsubscribe(filter);
            codes.push(if existed { reason::SUCCESS } else { reason::NO_SUBSCRIPTION_EXISTED });
        }
        Ok(self.outbound.unsuback(unsubscribe.packet_id, &codes)?)
    }
}

/// The answer to a packet of many filters is bounded.
fn has_place(codes: &[u8]) -> Result<(), Refusal> {
    match codes.len() < FILTERS_MAX {
        true => Ok(()),
        false => Err(Refusal::TooManyFilters),
    }
}
