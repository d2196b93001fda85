//! What a Kafka counts itself, asked for by its own tool over JMX.

use std::process::Command;

use super::{Kafka, java};
use crate::process::Process;
use crate::{ports, wait};

/// Produce requests since the broker's start; each version of the request has a bean of its own.
const PRODUCE_REQUESTS: &str =
    "kafka.network:type=RequestMetrics,name=RequestsPerSec,request=Produce,version=*";

/// What the tool says, and fails, as long as there was no such request.
const NONE: &str = "No matched attributes for the queried objects";

/// Has a broker tell its counters on that port, on loopback.
pub(super) fn tell(command: &mut Command, port: u16) {
    let options = [
        format!("port={port}"),
        format!("rmi.port={port}"),
        "host=127.0.0.1".to_owned(),
        "authenticate=false".to_owned(),
        "ssl=false".to_owned(),
    ]
    .map(|option| format!("-Dcom.sun.management.jmxremote.{option}"));
    let options = options.join(" ") + " -Djava.rmi.server.hostname=127.0.0.1";
    command.env("JDK_JAVA_OPTIONS", options);
}

impl Kafka {
    /// How many produce requests it has had; it was started with its counters.
    #[track_caller]
    pub fn produce_requests(&self) -> u64 {
        let port = self.counters.expect("the broker was started with its counters");
        let mut command = java(&self.folder, "org.apache.kafka.tools.JmxTool");
        let url = format!("service:jmx:rmi:///jndi/rmi://{}/jmxrmi", ports::local(port));
        command.args(["--jmx-url", &url, "--object-name", PRODUCE_REQUESTS]);
        command.args(["--attributes", "Count", "--one-time", "--report-format", "properties"]);
        let name = super::unique("kafka-counters");
        let mut process = Process::start(&name, command, &self.folder);
        let status = process.wait(wait::START);
        if !status.success() && process.log().contains(NONE) {
            return 0;
        }
        assert!(status.success(), "{}", process.tail());
        let output = process.output();
        // One line for each version, `BEAN:Count=NUMBER`.
        let counts = output.lines().filter_map(|line| line.split_once(":Count="));
        counts.map(|(_, count)| count.trim().parse::<u64>().expect("a count")).sum()
    }
}
