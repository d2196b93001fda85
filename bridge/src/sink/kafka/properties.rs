//! Which of librdkafka's properties a configuration may set. What a promise rests on is not among
//! them.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;

/// Properties that Landfall fixes, each with its reason.
const FIXED: [(&str, &str); 18] = [
    ("acks", "Landfall acknowledges only what all in-sync replicas have"),
    ("request.required.acks", "Landfall acknowledges only what all in-sync replicas have"),
    ("enable.idempotence", "a device's order rests on it"),
    ("enable.gapless.guarantee", "a device's order rests on it"),
    ("message.timeout.ms", "a message that was taken is never given up"),
    ("delivery.timeout.ms", "a message that was taken is never given up"),
    ("partitioner", "keys are placed as the Java client places them"),
    ("delivery.report.only.error", "the acknowledgement comes from the delivery report"),
    ("plugin.library.paths", "no foreign code is loaded"),
    ("bootstrap.servers", "write kafka.bootstrap_servers"),
    ("metadata.broker.list", "write kafka.bootstrap_servers"),
    ("allow.auto.create.topics", "write kafka.create_topics"),
    ("transactional.id", "Landfall does not use transactions"),
    (
        "queue.buffering.max.messages",
        "the lane's share of memory is the bound: write lanes.….memory",
    ),
    ("queue.buffering.max.kbytes", "the lane's share of memory is the bound: write lanes.….memory"),
    ("statistics.interval.ms", "readiness rests on it"),
    ("retries", "a message that was taken is never given up"),
    ("message.send.max.retries", "a message that was taken is never given up"),
];

/// The properties that cannot be set, each with the reason.
pub fn faults(properties: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut accepted = ClientConfig::new();
    for (key, value) in properties {
        if let Some((_, reason)) = FIXED.iter().find(|(fixed, _)| fixed == key) {
            faults.push((key.clone(), format!("cannot be set: {reason}")));
            continue;
        }
        let mut alone = ClientConfig::new();
        alone.set(key, value);
        match alone.create_native_config() {
            Ok(_) => {
                accepted.set(key, value);
            }
            // The error would show the value, which may be a secret.
            Err(rdkafka::error::KafkaError::ClientConfig(_, reason, _, _)) => {
                let reason = reason.replace(value.as_str(), "…");
                faults.push((key.clone(), format!("is refused by librdkafka: {reason}")));
            }
            Err(_) => faults.push((key.clone(), "is refused by librdkafka".to_owned())),
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_promise_rests_on_cannot_be_set() {
        let properties = [
            ("acks", "1"),
            ("linger.ms", "20"),
            ("no.such.property", "x"),
            ("sasl.password", "hunter2"),
            ("socket.keepalive.enable", "perhaps"),
        ];
        let properties: BTreeMap<String, String> =
            properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let keys: Vec<String> = faults(&properties).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["acks", "no.such.property", "socket.keepalive.enable"]);
        assert!(!format!("{:?}", faults(&properties)).contains("hunter2"));
    }
}
