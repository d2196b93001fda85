//! The plan of descriptors: what Kafka, the object store, the admin port and the process itself may have
//! open at a time, so that connections take none of it, however long they stay. Checked at start, as
//! the plan of memory is.

use bridge::objects::{FILES_PER_LANE, REQUESTS_PER_LANE};

use crate::admin;
use crate::net::listen::REFUSED_MAX;

/// Brokers that are planned for, unless more are named: the cluster may have others than the first ones.
const KAFKA_BROKERS: u64 = 12;
/// For each broker that a client knows: its socket, and the two ends of a pipe that wakes its thread.
const PER_BROKER: u64 = 3;
/// A client's own such pipe.
const PER_CLIENT: u64 = 2;
/// A producer that is made anew stands beside the one that it replaces.
const CLIENTS_PER_LANE: u64 = 2;
/// Who reads, and who writes what comes of it.
const CLIENTS_PER_GROUP: u64 = 2;
/// A file on scratch.
const PER_SCRATCH: u64 = 1;
/// What looks after the topics.
const OTHER_CLIENTS: u64 = 1;
/// Standard streams, what wakes the runtimes, look-ups of names, files that are read, the watch of their
/// directories.
const PROCESS: u64 = 64;
/// An object that is written to a folder, and the folder that is synced.
const PER_FILE: u64 = 2;
/// Requests to the object store beside the uploads: whether it is there, and credentials.
const OTHER_REQUESTS: u64 = 8;
/// Without a setting, fewer connections are no plan but a fault.
pub const DEFAULT_CONNECTIONS_MIN: u64 = 100;

/// Who may have how many open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorPlan {
    pub kafka: u64,
    pub object_store: u64,
    pub admin: u64,
    /// Listeners, connections over the limit that are told so, and the process itself.
    pub process: u64,
}

/// Ports that are listened on.
#[derive(Clone, Copy)]
pub struct Ports {
    pub listeners: usize,
    /// The admin port, and that of its probes.
    pub admin: usize,
}

/// Where the objects are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Remote,
    Folder,
}

impl DescriptorPlan {
    /// `brokers` are those that the configuration names.
    pub fn new(
        lanes: usize,
        brokers: usize,
        ports: &Ports,
        store: Option<StoreKind>,
    ) -> DescriptorPlan {
        let (requests, files) = (REQUESTS_PER_LANE as u64, FILES_PER_LANE as u64);
        DescriptorPlan {
            kafka: kafka(lanes as u64 * CLIENTS_PER_LANE + OTHER_CLIENTS, brokers),
            object_store: match store {
                None => 0,
                Some(StoreKind::Remote) => lanes as u64 * requests + OTHER_REQUESTS,
                Some(StoreKind::Folder) => {
                    lanes as u64 * (requests * PER_FILE + files) + OTHER_REQUESTS
                }
            },
            admin: ports.admin as u64 * (1 + admin::CONNECTIONS_MAX as u64),
            process: ports.listeners as u64 + u64::from(REFUSED_MAX) + PROCESS,
        }
    }

    /// The parse role's, with so many consumer groups. Each fetches one object at a time into a file.
    pub fn of_parse(
        groups: usize,
        brokers: usize,
        admin_ports: usize,
        store: Option<StoreKind>,
    ) -> DescriptorPlan {
        let per_object = match store {
            None => 0,
            Some(StoreKind::Remote) => 1,
            Some(StoreKind::Folder) => PER_FILE,
        };
        DescriptorPlan {
            kafka: kafka(groups as u64 * CLIENTS_PER_GROUP + OTHER_CLIENTS, brokers),
            object_store: store
                .map_or(0, |_| groups as u64 * (per_object + PER_SCRATCH) + OTHER_REQUESTS),
            admin: admin_ports as u64 * (1 + admin::CONNECTIONS_MAX as u64),
            process: PROCESS,
        }
    }

    /// With so many more that the process itself takes.
    pub fn and_for_process(self, more: u64) -> DescriptorPlan {
        DescriptorPlan { process: self.process + more, ..self }
    }

    /// What is not for connections.
    pub fn reserved(&self) -> u64 {
        self.kafka + self.object_store + self.admin + self.process
    }
}

fn kafka(clients: u64, brokers: usize) -> u64 {
    // The named ones stay beside those that the cluster tells of.
    let brokers = brokers as u64 + KAFKA_BROKERS.max(brokers as u64);
    clients * (PER_CLIENT + brokers * PER_BROKER)
}

/// The hard limit of open descriptors.
pub fn descriptor_limit() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .and_then(|line| line.split_whitespace().nth(4)?.parse().ok())
        .unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_its_part() {
        let ports = |listeners, admin| Ports { listeners, admin };
        let plan = DescriptorPlan::new(4, 1, &ports(1, 1), None);
        // Nine clients with a pipe of their own and thirteen brokers.
        assert_eq!(plan.kafka, 9 * (2 + 13 * 3));
        assert_eq!(plan.object_store, 0);
        assert_eq!(plan.reserved(), plan.kafka + 65 + 129);
        let more = DescriptorPlan::new(5, 24, &ports(2, 2), Some(StoreKind::Remote));
        assert_eq!((more.admin, more.process), (130, 130));
        assert_eq!(more.kafka, 11 * (2 + 48 * 3));
        assert_eq!(more.object_store, 5 * 16 + 8);
        let folder = DescriptorPlan::new(4, 1, &ports(1, 1), Some(StoreKind::Folder));
        assert_eq!(folder.object_store, 4 * (16 * 2 + 48) + 8);
        let parse = DescriptorPlan::of_parse(3, 1, 1, Some(StoreKind::Remote));
        assert_eq!((parse.kafka, parse.object_store), (7 * (2 + 13 * 3), 3 * 2 + 8));
    }
}
