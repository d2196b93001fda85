//! A Kafka that does not answer costs nothing but the waiting.

use std::thread;
use std::time::Duration;

use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::load::{Load, assert_landed_in_order};
use tests::proc;
use tests::process::Signal;
use tests::wait::START;

/// Partitions, and devices with a full window each: every partition has many records open, and some that wait.
const SIZES: [(i32, usize); 3] = [(1, 25), (3, 25), (24, 100)];
/// Until what was on its way has come to stand still, the rest of a batch that was cut as well.
const SETTLED: Duration = Duration::from_secs(6);
const MEASURED: Duration = Duration::from_secs(6);
/// Of a core.
const PERCENT_MAX: f64 = 5.0;

#[test]
fn waiting_for_kafka_costs_no_cpu() {
    let kafka = Kafka::start();
    let begin = |&(partitions, devices)| {
        let gateway = GatewayConfig::with_partitions(&kafka, partitions).start_ready();
        let load = Load::start(gateway.mqtt(), devices);
        (partitions, gateway, load)
    };
    let all: Vec<_> = SIZES.iter().map(begin).collect();
    all.iter().for_each(|(_, _, load)| load.each_goes_on(20, START));

    kafka.signal(Signal::STOP);
    thread::sleep(SETTLED);
    let used = |(_, gateway, _): &(i32, Gateway, Load)| {
        (proc::cpu_seconds(gateway.id()), proc::threads_cpu_seconds(gateway.id()))
    };
    let before: Vec<_> = all.iter().map(used).collect();
    thread::sleep(MEASURED);
    let after: Vec<_> = all.iter().map(used).collect();
    kafka.signal(Signal::CONT);

    let mut told = String::new();
    let mut worst: f64 = 0.0;
    for (((partitions, ..), before), after) in all.iter().zip(&before).zip(&after) {
        let percent = |before: f64, after: f64| 100.0 * (after - before) / MEASURED.as_secs_f64();
        let process = |used: &Result<f64, String>| used.clone().expect("the gateway runs");
        let whole = percent(process(&before.0), process(&after.0));
        worst = worst.max(whole);
        told += &format!("{partitions} partitions: {whole:.1} % of a core:");
        for (name, after) in &after.1 {
            let one = percent(before.1.get(name).copied().unwrap_or_default(), *after);
            if one >= 0.5 {
                told += &format!(" {name} {one:.1} %");
            }
        }
        told += "\n";
    }
    eprint!("{told}");
    for (_, gateway, load) in all {
        load.each_goes_on(20, START);
        assert_landed_in_order(&load.stop(), &kafka.read_all(&gateway.topic("fast")));
        gateway.comes_to_rest();
    }
    assert!(worst <= PERCENT_MAX, "{told}");
}
