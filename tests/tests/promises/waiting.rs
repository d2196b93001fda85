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
/// Until what was handed over is on its way.
const HANDED_OVER: Duration = Duration::from_secs(2);
/// From then until what was on its way has timed out, and with it the rest of a batch that was cut.
const TIMED_OUT: Duration = Duration::from_secs(4);
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
    thread::sleep(HANDED_OVER);
    let early = measure(&all);
    thread::sleep(TIMED_OUT);
    let late = measure(&all);
    kafka.signal(Signal::CONT);

    for (_, gateway, load) in all {
        load.each_goes_on(20, START);
        assert_landed_in_order(&load.stop(), &kafka.read_all(&gateway.topic("fast")));
        gateway.comes_to_rest();
    }
    let too_much = |all: &[(f64, String)]| all.iter().filter(|one| one.0 > PERCENT_MAX).count();
    // A batch that the system cut costs a core until it has timed out; it is rare.
    assert!(too_much(&early) <= 1, "{early:?}");
    assert_eq!(too_much(&late), 0, "{late:?}");
}

/// What each uses of a core, and which of its threads do.
fn measure(all: &[(i32, Gateway, Load)]) -> Vec<(f64, String)> {
    let used = |(_, gateway, _): &(i32, Gateway, Load)| {
        let process = proc::cpu_seconds(gateway.id()).expect("the gateway runs");
        (process, proc::threads_cpu_seconds(gateway.id()))
    };
    let before: Vec<_> = all.iter().map(used).collect();
    thread::sleep(MEASURED);
    let percent = |before: f64, after: f64| 100.0 * (after - before) / MEASURED.as_secs_f64();
    let each = all.iter().zip(before).map(|(one, (process, threads))| {
        let (process_now, threads_now) = used(one);
        let whole = percent(process, process_now);
        let mut told = format!("{} partitions: {whole:.1} % of a core:", one.0);
        for (name, now) in &threads_now {
            let one = percent(threads.get(name).copied().unwrap_or_default(), *now);
            if one >= 0.5 {
                told += &format!(" {name} {one:.1} %");
            }
        }
        eprintln!("{told}");
        (whole, told)
    });
    each.collect()
}
