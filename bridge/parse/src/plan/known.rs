//! What is known of a raw message beside what its envelope says: what its topic captures, and what the
//! configuration says of its route and its device. Pure.

use bridge::metadata::DeviceAttributes;
use bridge::route::Routes;
use proto::v1::Envelope;

/// The attributes that an envelope has fields for; nothing else says them.
pub const OF_ENVELOPE: [&str; 4] = ["device_id", "device_type", "firmware_version", "group"];

/// Attributes that most messages have, at most.
const ATTRIBUTES: usize = 8;

/// Where attributes come from that no envelope holds.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub routes: Routes,
    pub devices: DeviceAttributes,
}

impl Known {
    /// All that is known of a message: what its envelope has fields for, and the rest.
    pub fn of_message<'a>(&'a self, envelope: &'a Envelope) -> Vec<(&'a str, &'a str)> {
        let own = [
            ("device_type", &*envelope.device_type),
            ("firmware_version", &envelope.firmware_version),
            ("group", &envelope.group),
        ];
        let mut all = Vec::with_capacity(ATTRIBUTES);
        all.extend(own.into_iter().filter(|(_, value)| !value.is_empty()));
        self.attributes(&envelope.source_topic, &envelope.device_id, &mut all);
        all
    }

    /// Appends what is known by a message's topic and device, the strongest first. An empty text says nothing.
    pub fn attributes<'a>(
        &'a self,
        topic: &'a str,
        device_id: &str,
        out: &mut Vec<(&'a str, &'a str)>,
    ) {
        let mut add = |name: &'a str, value: &'a str| {
            let is_new =
                !OF_ENVELOPE.contains(&name) && out.iter().all(|(known, _)| *known != name);
            if is_new && !value.is_empty() {
                out.push((name, value));
            }
        };
        if let Some((_, route, captures)) = self.routes.first_match(topic) {
            captures.iter().for_each(|(name, value)| add(name, value));
            route.attributes.iter().for_each(|(name, value)| add(name, value));
        }
        // Most fleets have no such file, and then nothing is hashed.
        let device = match self.devices.is_empty() {
            true => None,
            false => self.devices.get(device_id),
        };
        device.into_iter().flatten().for_each(|(name, value)| add(name, value));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bridge::route::Route;
    use bridge::topic::filter::Filter;

    use super::*;

    #[test]
    fn the_topic_says_more_than_the_route_and_the_route_more_than_the_file() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let filter = Filter::parse("devices/{device_type}/{device_id}/{stream}/#").expect("one");
        let attributes = map(&[("plant", "north"), ("stream", "route")]);
        let route = Route { filter, attributes, device_envelope: false };
        let device =
            map(&[("plant", "file"), ("group", "file"), ("hall", "7"), ("stream", "file")]);
        let known = Known {
            routes: vec![route].into(),
            devices: DeviceAttributes::from([("m-1".to_owned(), device)]),
        };
        let told = |topic, device_id| {
            let mut out = vec![("device_type", "of the envelope")];
            known.attributes(topic, device_id, &mut out);
            out.split_off(1)
        };
        let all = [("stream", "power"), ("plant", "north"), ("hall", "7")];
        assert_eq!(told("devices/meter/m-1/power", "m-1"), all);
        assert_eq!(told("devices/meter/m-1/power", "m-2"), all[..2]);
        // An empty level says nothing.
        assert_eq!(told("devices/meter/m-1//x", "m-2"), [("plant", "north"), ("stream", "route")]);
        assert_eq!(told("elsewhere", "m-2"), []);
    }
}
