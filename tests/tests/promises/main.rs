//! What Landfall promises, on a real Kafka and a real object store with faults between them: one module
//! for each promise or part of one, on the harness of the crate `tests`.

// What is acknowledged is durable: stores are held back, fail and die, and nothing is lost.
mod durable;
// What Kafka refuses is sent again, and nothing overtakes it.
mod errors;
// A topic's partitions come, go and stand still, and no device loses its order by it.
mod partitions;
// The time of a record is the gateway's, and no message's fault.
mod times;
// Waiting for Kafka costs no CPU.
mod waiting;
// What keeps a lane from landing is named, and goes by.
mod causes;
// A message takes the lane that its metadata says, no lane waits for another, and the sums hold.
mod lanes;
// The ledger's books add up, and it tells of what Kafka may have twice.
mod ledger;
// Large messages go to the object store while they arrive, and never in the way of small ones.
mod large;
// A flood of large messages is no work of those who serve small ones.
mod flood;
// A store that refuses, dawdles, breaks off and lies costs no message that was acknowledged.
mod store;
// Resends, acknowledgements, QoS 2, wills and takeovers: what a device is told is so.
mod session;
// A time of day that jumps moves what is written of it, and nothing that waits.
mod clock;
// What strangers can hold open, send and leave undone has a bound.
mod bounds;
// The memory limit holds, whatever is asked for.
mod memory;
// Bytes of strangers, at random and damaged on purpose, break neither the codec nor a connection.
mod fuzz;
// However much is logged, no payload is in a log and no device in a metric.
mod secrecy;
// A drain forgets nothing and ends.
mod drain;
// A start says what is wrong, and waits for a Kafka that is away.
mod start;
// Clients of one gateway hear each other, and what becomes of them costs the uplink nothing.
mod local;
// A simulated fleet through gateways that are killed, as users build them, and the proof put to the proof.
mod fleet;
// The events of that fleet, by the configuration that ships with it, and their proof put to the proof.
mod events;
// Every event of what landed is in its canonical topic, whatever becomes of the role's members.
mod parse;
// What data teams are given to read with, in Python, Java and Go, sees the same values.
mod readers;
// A panic in any kind of thread or task is told, and costs no more than that kind.
mod panics;
// The faults that tests ask for are not in the program that users build.
mod faults;
// What Kafka says of a topic is known soon after it is so.
mod topics;
// The bridge's Kafka sink keeps on a real Kafka what every sink has to keep.
mod sink;
