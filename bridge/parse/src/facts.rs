//! What is known of a message beside its payload.

/// A message's facts, as its envelope says them.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The MQTT topic, as published.
    pub topic: &'a str,
    /// When the gateway received it, milliseconds since 1970-01-01 UTC.
    pub received_ms: i64,
    /// Who sent it.
    pub device_id: &'a str,
    /// Whether that was proved.
    pub verified: bool,
    /// What the topic captured and the envelope names: `device_type`, `firmware_version`, `group` and others.
    pub attributes: &'a [(&'a str, &'a str)],
}

impl<'a> Facts<'a> {
    /// A level of the topic, counted from 0, or from the end where it is negative.
    pub fn level(&self, index: i64) -> Option<&'a str> {
        let distance = usize::try_from(index.unsigned_abs()).ok()?;
        if index < 0 {
            self.topic.rsplit('/').nth(distance - 1)
        } else {
            self.topic.split('/').nth(distance)
        }
    }

    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}
