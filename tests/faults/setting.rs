//! What a cell's rig is made of, as its faults need it.

use clap::Args;

use crate::cell::Fault;
use crate::links::Link;

/// Before faults ask for something else.
#[derive(Clone)]
pub struct Setting {
    /// 1, or 3 with a replica on each and a minimum of two in sync.
    pub brokers: usize,
    pub partitions: i32,
    /// What stands between the gateway and Kafka.
    pub kafka: Front,
    /// A proxy stands between the gateway and the store, between devices and the gateway.
    pub store_proxy: bool,
    pub devices_proxy: bool,
    /// A proxy swallows bytes where packets were to vanish.
    pub swallows: bool,
    /// Between the gateway and the object store is a server that does what it is told.
    pub scripted_store: bool,
    pub devices: u32,
    /// Messages that the fleet sends in a second.
    pub rate: u32,
    /// Some devices send what is too large for Kafka.
    pub large: bool,
    /// The fleet's books are on the disk before a message leaves.
    pub synced: bool,
    /// Further lines of Kafka's `server.properties`.
    pub properties: Vec<(String, String)>,
    /// The gateway is a build in which faults can be asked for.
    pub with_faults: bool,
    /// The gateway has its clock from a [`tests::clock::Clock`].
    pub clock: bool,
    /// The descriptors that the gateway may have; its limit of connections follows from them.
    pub descriptors: Option<u64>,
    /// The gateway is in a group of which the memory can be taken away.
    pub memory_group: bool,
    pub soak: Soak,
    /// What a fault has for itself.
    taken: Vec<Part>,
    /// Two faults of which one needs the other's place.
    conflict: bool,
}

/// A part of the rig that a fault ends, or needs as it is, so that no other may end it meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Kafka,
    Store,
    Fleet,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Front {
    Nothing,
    /// [`tests::proxy::Proxy`].
    Proxy,
    /// [`tests::kafka::Refusing`].
    Refusing,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            brokers: 1,
            partitions: 24,
            kafka: Front::Nothing,
            store_proxy: false,
            devices_proxy: false,
            swallows: false,
            scripted_store: false,
            devices: 60,
            rate: 400,
            large: false,
            synced: false,
            properties: Vec::new(),
            with_faults: false,
            clock: false,
            descriptors: None,
            memory_group: false,
            soak: Soak::default(),
            taken: Vec::new(),
            conflict: false,
        }
    }
}

impl Setting {
    /// What all of the faults need; None where that cannot be.
    pub fn of(faults: &[&Fault], soak: Soak) -> Option<Setting> {
        let mut setting = Setting { soak, ..Setting::default() };
        faults.iter().for_each(|fault| (fault.setting)(&mut setting));
        let is_possible = setting.brokers == 1 || setting.kafka == Front::Nothing;
        (is_possible && !setting.conflict).then_some(setting)
    }

    /// The fault has this part for itself.
    pub fn takes(&mut self, part: Part) {
        self.conflict |= self.taken.contains(&part);
        self.taken.push(part);
    }

    /// Something stands before Kafka.
    pub fn put(&mut self, front: Front) {
        self.conflict |= self.kafka != Front::Nothing && self.kafka != front;
        self.kafka = front;
    }

    /// The fault is one of this link: a proxy makes it where the network cannot.
    pub fn breaks(&mut self, link: Link) {
        if !Link::needs_proxy() {
            return;
        }
        self.swallows = true;
        match link {
            Link::Kafka => self.put(Front::Proxy),
            Link::Store => self.store_proxy = true,
            Link::Devices => self.devices_proxy = true,
        }
    }

    /// Three brokers, for a fault of one.
    pub fn cluster(&mut self) {
        self.brokers = 3;
        self.takes(Part::Kafka);
    }
}

/// How long the cell `soak` lasts, which is up to whoever plays it.
#[derive(Args, Clone, Copy)]
pub struct Soak {
    /// Seconds that the cell `soak` talks
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub soak_seconds: u64,
    /// Its devices, each of which sends two messages in a second
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub soak_devices: u32,
}

impl Default for Soak {
    fn default() -> Soak {
        Soak { soak_seconds: 60, soak_devices: 200 }
    }
}

impl Soak {
    pub fn arguments(self) -> [String; 2] {
        let Soak { soak_seconds, soak_devices } = self;
        [format!("--soak-seconds={soak_seconds}"), format!("--soak-devices={soak_devices}")]
    }
}
