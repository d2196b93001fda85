//! SUBSCRIBE and UNSUBSCRIBE: checked whole when decoded, then read filter by filter from where
//! they were received.

use super::property::{self, Allowed, Properties, Property, UserProperties};
use super::reader::Reader;
use super::{Malformed, Version, topic};

/// A SUBSCRIBE with at least one filter.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe<'a> {
    pub packet_id: u16,
    /// Never 0.
    pub subscription_identifier: Option<u32>,
    pub user_properties: UserProperties<'a>,
    filters: &'a [u8],
}

impl<'a> Subscribe<'a> {
    /// The subscriptions, in the order in which SUBACK answers them.
    pub const fn filters(&self) -> Filters<'a> {
        Filters { reader: Reader::new(self.filters) }
    }
}

/// One subscription that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    /// As sent, with `$share/NAME/` where it is shared.
    pub filter: &'a str,
    /// Of the form `$share/NAME/FILTER`.
    pub shared: bool,
    /// 0, 1 or 2.
    pub qos: u8,
    pub no_local: bool,
    pub retain_as_published: bool,
    /// 0: retained messages at every subscribe, 1: only for a new subscription, 2: none.
    pub retain_handling: u8,
}

/// See [`Subscribe::filters`].
#[derive(Clone, Debug)]
pub struct Filters<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Filters<'a> {
    type Item = Filter<'a>;

    fn next(&mut self) -> Option<Filter<'a>> {
        const CHECKED: &str = "every filter was read when its SUBSCRIBE was decoded";
        if self.reader.is_empty() {
            return None;
        }
        let filter = self.reader.string("").expect(CHECKED);
        let options = self.reader.u8("").expect(CHECKED);
        Some(Filter {
            filter,
            shared: topic::is_shared(filter),
            qos: options & 0b11,
            no_local: options & NO_LOCAL != 0,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling: (options >> 4) & 0b11,
        })
    }
}

/// An UNSUBSCRIBE with at least one filter.
#[derive(Clone, Copy, Debug)]
pub struct Unsubscribe<'a> {
    pub packet_id: u16,
    pub user_properties: UserProperties<'a>,
    filters: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    /// The filters, in the order in which UNSUBACK answers them.
    pub const fn filters(&self) -> Topics<'a> {
        Topics { reader: Reader::new(self.filters) }
    }
}

/// See [`Unsubscribe::filters`].
#[derive(Clone, Debug)]
pub struct Topics<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Topics<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        const CHECKED: &str = "every filter was read when its UNSUBSCRIBE was decoded";
        if self.reader.is_empty() {
            return None;
        }
        Some(self.reader.string("").expect(CHECKED))
    }
}

const NO_LOCAL: u8 = 0b0100;
const RETAIN_AS_PUBLISHED: u8 = 0b1000;

pub(super) fn subscribe(version: Version, body: &[u8]) -> Result<Subscribe<'_>, Malformed> {
    const ALLOWED: Allowed = Allowed::of(&[property::SUBSCRIPTION_IDENTIFIER]);
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let mut subscription_identifier = None;
    let mut user_properties = UserProperties::default();
    if version == Version::V5 {
        let mut properties = Properties::read(&mut reader, ALLOWED)?;
        while let Some(property) = properties.next()? {
            if let Property::SubscriptionIdentifier(number) = property {
                subscription_identifier = Some(number);
            }
        }
        user_properties = properties.user();
    }
    let filters = reader.rest();
    if filters.is_empty() {
        return Err(Malformed::NoFilters);
    }
    while !reader.is_empty() {
        let shared = topic::check_filter(version, reader.string("topic filter")?)?;
        check_options(version, shared, reader.u8("subscription options")?)?;
    }
    Ok(Subscribe { packet_id, subscription_identifier, user_properties, filters })
}

/// v5 3.8.3.1; in v3 everything but the QoS is reserved (v3.1.1 3.8.3).
fn check_options(version: Version, shared: bool, options: u8) -> Result<(), Malformed> {
    let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(Malformed::SubscriptionOptions);
    }
    if options & 0b11 == 3 {
        return Err(Malformed::SubscriptionQos);
    }
    if options >> 4 == 3 {
        return Err(Malformed::RetainHandling);
    }
    if shared && options & NO_LOCAL != 0 {
        return Err(Malformed::NoLocalShared);
    }
    Ok(())
}

pub(super) fn unsubscribe(version: Version, body: &[u8]) -> Result<Unsubscribe<'_>, Malformed> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let user_properties = match version {
        Version::V5 => Properties::read(&mut reader, Allowed::of(&[]))?.finish()?,
        Version::V31 | Version::V311 => UserProperties::default(),
    };
    let filters = reader.rest();
    if filters.is_empty() {
        return Err(Malformed::NoFilters);
    }
    while !reader.is_empty() {
        topic::check_filter(version, reader.string("topic filter")?)?;
    }
    Ok(Unsubscribe { packet_id, user_properties, filters })
}
