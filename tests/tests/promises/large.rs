//! Large messages: streamed to the object store while they arrive, referred to by a record, and never in
//! the way of small ones.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proto::v1::Reference;
use proto::v1::envelope::Payload;
use sha2::{Digest as _, Sha256};
use tests::fail_points::FailPoints;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, Record, unique};
use tests::mqtt::property::Property;
use tests::mqtt::{Client, Packet, Publish, Seen, Version, encode};
use tests::not_run;
use tests::proxy::Proxy;
use tests::s3::S3;
use tests::tools::{Folder, program};
use tests::wait::{SOON, START, until_true};

const MIB: usize = 1024 * 1024;
const A_WHILE: Duration = Duration::from_secs(1);

fn gateway_with_s3(kafka: &Kafka) -> (Gateway, String) {
    let (s3, bucket) = (S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    let section = S3::section(&bucket, s3.address());
    (GatewayConfig::new(kafka).set("object_store", section).start_ready(), bucket)
}

/// A gateway whose store answers through a proxy, and the name of its bucket.
fn with_s3_behind_proxy(kafka: &Kafka) -> (GatewayConfig, Proxy, String) {
    let (s3, bucket) = (S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    let proxy = Proxy::start(s3.address().port());
    let section = S3::section(&bucket, proxy.address());
    (GatewayConfig::new(kafka).set("object_store", section), proxy, bucket)
}

/// Bytes that differ from one seed to the next, and from one place to the next.
fn payload(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8 ^ (at / 65_536) as u8 ^ seed).collect()
}

#[track_caller]
fn reference(record: &Record) -> Reference {
    match record.envelope().payload {
        Some(Payload::Reference(reference)) => reference,
        other => panic!("a large payload goes by reference: {other:?}"),
    }
}

/// The record's object is this payload, and the record says so.
#[track_caller]
fn refers_to(record: &Record, object: &[u8], payload: &[u8]) {
    let reference = reference(record);
    assert!(object == payload, "the object is the payload, byte by byte");
    assert_eq!(reference.size, payload.len() as u64);
    assert_eq!(record.envelope().payload_size, payload.len() as u64);
    assert_eq!(&*reference.sha256, Sha256::digest(payload).as_slice());
}

#[test]
fn many_at_once_arrive_whole_and_small_ones_pass() {
    const UPLOADS: u8 = 12;
    const SIZE: usize = 11 * MIB;
    let kafka = Kafka::shared();
    let (gateway, bucket) = gateway_with_s3(kafka);
    let mqtt = gateway.mqtt();
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|seed| {
            thread::spawn(move || {
                let version = Version::ALL[usize::from(seed) % 3];
                let id = format!("camera-{seed}");
                let mut client = Client::connect(mqtt, version, &id);
                let topic = format!("devices/camera/{id}/video");
                let publish = Publish::new(&topic, &payload(seed, SIZE));
                if seed % 2 == 0 {
                    client.publish(&publish.qos1(1));
                    // Behind the large one on the same connection: either may be first.
                    client.publish(&Publish::new(&topic, b"small").qos1(2));
                    let mut ids = [client.expect_packet(), client.expect_packet()].map(|packet| {
                        let Packet::Puback { packet_id, code: 0, .. } = packet else {
                            panic!("{packet:?}")
                        };
                        packet_id
                    });
                    ids.sort_unstable();
                    assert_eq!(ids, [1, 2]);
                } else {
                    client.publish(&publish.qos2(1));
                    client.expect_pubrec(1);
                    client.pubrel(1);
                    client.expect_pubcomp(1);
                }
            })
        })
        .collect();
    let mut small = Client::connect(mqtt, Version::V311, "small");
    for id in 1..=50 {
        small.publish_acknowledged("devices/meter/small/power", id, b"21");
    }
    for upload in uploads {
        upload.join().expect("every upload is acknowledged");
    }
    let landed = kafka.wait_for(&gateway.topic("slow"), usize::from(UPLOADS), START);
    let s3 = S3::shared();
    for record in &landed {
        let envelope = record.envelope();
        let seed: u8 = envelope.device_id["camera-".len()..].parse().expect("a number");
        let reference = reference(record);
        assert!(!reference.uri.contains("camera"), "nothing of the device: {}", reference.uri);
        refers_to(record, &s3.object(&reference.uri), &payload(seed, SIZE));
    }
    assert_eq!(s3.keys(&bucket).len(), usize::from(UPLOADS), "an object for each, and no more");
    let slow = gateway.lane("slow");
    assert_eq!((&slow["landed"], &slow["in_flight"]), (&UPLOADS.into(), &0.into()), "{slow}");
    until_true("its memory is given back", SOON, || gateway.lane("slow")["memory_used_bytes"] == 0);
}

/// The task of each upload panics, as a library's did for an endpoint that it did
/// not understand.
#[test]
fn whoever_waits_for_a_task_that_panicked_gets_an_answer() {
    const FAILED: u8 = 0x83;
    /// Half the time after which a connection looks by itself.
    const TOLD: Duration = Duration::from_secs(5);
    let kafka = Kafka::shared();
    let (s3, bucket) = (S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    let points = FailPoints::start();
    let gateway = GatewayConfig::new(kafka)
        .set("object_store", S3::section(&bucket, s3.address()))
        // Room for a part of each, and for none that is read ahead.
        .set("lanes.slow.large_memory", "24MiB")
        .fail_points(&points)
        .start_ready();
    let mut small = Client::connect(gateway.mqtt(), Version::V5, "small");
    points.begin("upload");
    let mut clients = Vec::new();
    for number in 0..4 {
        let id = format!("camera-{number}");
        let mut client = Client::connect(gateway.mqtt(), Version::V5, &id);
        let topic = format!("devices/camera/{id}/video");
        let publish = Publish::new(&topic, &payload(1, 12 * MIB)).qos1(1);
        let bytes = encode::publish(Version::V5, &publish);
        client.send(&bytes[..MIB]);
        clients.push((client, bytes));
    }
    until_true("each has its part of the memory", SOON, || {
        gateway.lane("slow")["memory_used_bytes"].as_u64() > Some(20 * MIB as u64)
    });
    // What looks at a connection at its start looks no more.
    thread::sleep(2 * A_WHILE);
    let mut uploads = Vec::new();
    for (mut client, bytes) in clients {
        uploads.push(thread::spawn(move || {
            // The gateway closes while it sends, and would never read it without the answer.
            client.stream().set_write_timeout(Some(TOLD)).expect("a socket takes a timeout");
            let _ = client.try_send(&bytes[MIB..]);
            client.expect_disconnect(FAILED, TOLD);
        }));
    }
    for upload in uploads {
        upload.join().expect("each is told that its message failed");
    }
    // One that is whole before its one request panics.
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "camera-0");
    let whole = payload(1, MIB);
    client.publish(&Publish::new("devices/camera/camera-0/video", &whole).qos1(1));
    client.expect_disconnect(FAILED, SOON);
    until_true("their memory is given back", SOON, || {
        gateway.lane("slow")["memory_used_bytes"] == 0
    });
    until_true("their connections are gone", SOON, || gateway.status()["connections"] == 1);
    let slow = gateway.lane("slow");
    assert_eq!((&slow["failed"], &slow["in_flight"]), (&1.into(), &0.into()), "{slow}");
    small.publish_acknowledged("devices/meter/small/power", 1, b"21");
    let counted = gateway.metrics().sum("landfall_panics_total", &[("thread", "large")]);
    assert!(counted >= 5.0, "{counted} panics are counted");
    assert!(gateway.log().contains("panicked"), "{}", gateway.log());

    points.end("upload");
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "camera-0");
    client.publish_acknowledged("devices/camera/camera-0/video", 1, &payload(1, 12 * MIB));
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let kafka = Kafka::shared();
    let (gateway, bucket) = gateway_with_s3(kafka);
    let bytes = encode::publish(
        Version::V5,
        &Publish::new("devices/camera/broken/video", &payload(1, 12 * MIB)).qos1(1),
    );
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "broken");
    client.send(&bytes[..8 * MIB]);
    until_true("parts are on their way", SOON, || {
        gateway.lane("slow")["memory_used_bytes"].as_u64() > Some(0)
    });
    drop(client);
    until_true("its memory is given back", SOON, || gateway.lane("slow")["memory_used_bytes"] == 0);
    until_true("the store is asked for nothing more", SOON, || {
        gateway.metrics().sum("landfall_object_store_open_requests", &[]) == 0.0
    });
    assert_eq!(S3::shared().keys(&bucket), Vec::<String>::new());
    assert_eq!(kafka.count(&gateway.topic("slow")), 0);
    // The device sends it again, whole.
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "broken");
    client.send(&bytes);
    client.expect_puback(1);
    assert_eq!(S3::shared().keys(&bucket).len(), 1);
    assert_eq!(kafka.count(&gateway.topic("slow")), 1);
}

/// Nothing reads a connection whose upload waits: for room, or for a part that is on its way to the store.
#[test]
fn who_leaves_in_the_middle_of_an_upload_that_waits_is_noticed() {
    const PART: usize = 5 * MIB;
    let (config, proxy, _) = with_s3_behind_proxy(Kafka::shared());
    // Room for one part, and none that is read ahead.
    let gateway = config.set("lanes.slow.large_memory", "6MiB").start_ready();
    let bytes = encode::publish(
        Version::V5,
        &Publish::new("devices/camera/c-1/video", &payload(1, 12 * MIB)).qos1(1),
    );
    let mut holder = Client::connect(gateway.mqtt(), Version::V5, "holder");
    holder.send(&bytes[..MIB]);
    until_true("it has its part of the memory", SOON, || {
        gateway.lane("slow")["memory_used_bytes"].as_u64() > Some(PART as u64)
    });
    let waiting = |count: u64| gateway.lane("slow")["waiting_connections"] == count;
    // One closes; one is closed with an answer unread, which breaks the connection off.
    for answer_is_unread in [false, true] {
        let mut leaving = Client::connect(gateway.mqtt(), Version::V5, "leaving");
        if answer_is_unread {
            leaving.ping();
            let mut peeked = [0];
            let read = leaving.stream().peek(&mut peeked).expect("an answer");
            assert_eq!(read, 1);
        }
        leaving.send(&bytes[..64 * 1024]);
        until_true("it waits for room", SOON, || waiting(1));
        drop(leaving);
        until_true("it is gone, and waits no more", SOON, || {
            gateway.status()["connections"] == 1 && waiting(0)
        });
    }
    proxy.hold_answers();
    holder.send(&bytes[MIB..PART + 64 * 1024]);
    thread::sleep(A_WHILE);
    drop(holder);
    until_true("so is the one whose part is on its way", SOON, || {
        gateway.status()["connections"] == 0
    });
    proxy.release();
    until_true("the memory is given back", SOON, || gateway.lane("slow")["memory_used_bytes"] == 0);
}

/// A client that sent everything and said goodbye owes nothing, however long the store takes.
#[test]
fn what_was_sent_whole_lands_although_its_client_is_gone() {
    /// Longer than it takes to notice a client that is gone.
    const LONG: Duration = Duration::from_secs(8);
    let kafka = Kafka::shared();
    let (config, proxy, _) = with_s3_behind_proxy(kafka);
    let gateway = config.set("lanes.slow.large_memory", "6MiB").start_ready();
    proxy.hold_answers();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "c-1");
    let sent = payload(1, 5 * MIB + 64 * 1024);
    client.publish(&Publish::new("devices/camera/c-1/video", &sent));
    client.disconnect();
    thread::sleep(LONG);
    assert_eq!(gateway.status()["connections"], 1, "the rest of its message is not read yet");
    proxy.release();
    let landed = kafka.wait_for(&gateway.topic("slow"), 1, SOON);
    refers_to(&landed[0], &S3::shared().object(&reference(&landed[0]).uri), &sent);
    until_true("it is gone", SOON, || gateway.status()["connections"] == 0);
    let labels = [("reason", "disconnected")];
    let closed = gateway.metrics().sum("landfall_connections_closed_total", &labels);
    assert_eq!(closed, 1.0, "its goodbye was read");
}

#[test]
fn a_resend_of_an_open_upload_joins_it() {
    let kafka = Kafka::shared();
    let (config, proxy, bucket) = with_s3_behind_proxy(kafka);
    let gateway = config.start_ready();
    let publish = Publish::new("devices/camera/c-1/image", &payload(3, MIB)).qos1(1);
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "c-1");
    proxy.hold_answers();
    client.publish(&publish);
    client.publish(&publish.clone().dup());
    client.publish_acknowledged("devices/camera/c-1/image", 2, b"small");
    client.expect_silence(A_WHILE);
    proxy.release();
    client.expect_puback(1);
    client.ping();
    client.expect_pingresp();
    assert_eq!(kafka.count(&gateway.topic("slow")), 1);
    assert_eq!(S3::shared().keys(&bucket).len(), 1);
    assert_eq!(gateway.lane("slow")["received"], 1);
}

#[test]
fn a_resend_that_comes_while_the_first_is_acknowledged_is_answered_by_that() {
    let kafka = Kafka::shared();
    let (config, proxy, _) = with_s3_behind_proxy(kafka);
    // One is all the window takes: a resend needs no place in it.
    let gateway = config.set("limits.window_messages", 1).start_ready();
    for (seed, same) in [(3, true), (4, false)] {
        let mut client = Client::connect(gateway.mqtt(), Version::V5, "c-1");
        let publish = Publish::new("devices/camera/c-1/image", &payload(seed, MIB)).qos1(1);
        proxy.hold_answers();
        client.publish(&publish);
        let again = match same {
            true => publish.dup(),
            false => Publish::new("devices/camera/c-1/image", &payload(9, MIB)).qos1(1).dup(),
        };
        let again = encode::publish(Version::V5, &again);
        let (some, rest) = again.split_at(MIB / 2);
        client.send(some);
        proxy.release();
        client.expect_puback(1);
        client.send(rest);
        if same {
            client.ping();
            client.expect_pingresp();
        } else {
            client.expect_disconnect(0x82, SOON);
        }
    }
    assert_eq!(kafka.count(&gateway.topic("slow")), 2);
    assert_eq!(gateway.lane("slow")["received"], 2);
}

#[test]
fn a_large_qos_2_message_lands_once_and_another_under_its_id_too() {
    let kafka = Kafka::shared();
    let (gateway, bucket) = gateway_with_s3(kafka);
    let mut client = Client::connect(gateway.mqtt(), Version::V311, "exact");
    let topic = "devices/camera/exact/video";
    // In one part, and in several.
    for size in [MIB, 6 * MIB] {
        let publish = |seed| Publish::new(topic, &payload(seed, size)).qos2(7);
        for publish in [publish(1), publish(1), publish(1).dup(), publish(2), publish(2).dup()] {
            client.publish(&publish);
            client.expect_pubrec(7);
        }
        // Behind each other, before the first is durable.
        client.publish(&publish(3));
        client.publish(&publish(3));
        client.expect_pubrec(7);
        client.expect_pubrec(7);
        client.pubrel(7);
        client.expect_pubcomp(7);
    }
    let landed = kafka.wait_for(&gateway.topic("slow"), 6, SOON);
    assert_eq!((landed.len(), S3::shared().keys(&bucket).len()), (6, 6));
    for (record, seed) in landed.iter().zip([1, 2, 3].repeat(2)) {
        let size = reference(record).size as usize;
        refers_to(record, &S3::shared().object(&reference(record).uri), &payload(seed, size));
    }
    until_true("its memory is given back", SOON, || gateway.lane("slow")["memory_used_bytes"] == 0);
}

#[test]
fn a_small_message_waits_for_no_large_one_before_it() {
    let kafka = Kafka::shared();
    let (config, proxy, _) = with_s3_behind_proxy(kafka);
    let gateway = config.start_ready();
    proxy.hold_answers();
    for version in Version::ALL {
        let mut client = Client::connect(gateway.mqtt(), version, "c-1");
        // Two of one part, and one of several.
        for (id, size) in [(1, 600_000), (2, 600_000), (3, 9 * MIB)] {
            let image = payload(id as u8, size);
            client.publish(&Publish::new("devices/camera/c-1/image", &image).qos1(id));
        }
        client.publish_acknowledged("devices/camera/c-1/alarm", 4, b"fire");
        client.ping();
        client.expect_pingresp();
        client.expect_silence(A_WHILE / 4);
    }
    proxy.release();
    // What waits for the store holds memory, and what lands gives it back.
    until_true("its memory is given back", START, || {
        gateway.lane("slow")["memory_used_bytes"] == 0
    });
}

#[test]
fn acknowledged_is_stored_while_the_store_is_killed() {
    const DEVICES: u16 = 4;
    const KILLS: u32 = 10;
    let kafka = Kafka::shared();
    let (s3, bucket) = (S3::start(), unique("bucket"));
    s3.create_bucket(&bucket);
    let section = S3::section(&bucket, s3.address());
    let gateway = GatewayConfig::new(kafka).set("object_store", section).start_ready();
    let ended = AtomicBool::new(false);
    let acknowledged = thread::scope(|scope| {
        let device = |device: u16| {
            let (gateway, ended) = (&gateway, &ended);
            move || {
                let mut acknowledged = 0;
                let id = format!("camera-{device}");
                let topic = format!("devices/camera/{id}/video");
                let publish = Publish::new(&topic, &payload(device as u8, 6 * MIB)).qos1(1);
                let bytes = encode::publish(Version::V5, &publish);
                while !ended.load(Ordering::Acquire) {
                    let mut client = Client::connect(gateway.mqtt(), Version::V5, &id);
                    while !ended.load(Ordering::Acquire) && client.try_send(&bytes).is_ok() {
                        match client.read(START) {
                            Seen::Packet(Packet::Puback { .. }) => acknowledged += 1,
                            _ => break,
                        }
                    }
                }
                acknowledged
            }
        };
        let devices: Vec<_> = (0..DEVICES).map(|at| scope.spawn(device(at))).collect();
        for _ in 0..KILLS {
            thread::sleep(A_WHILE / 2);
            s3.kill();
            s3.start_again();
        }
        thread::sleep(A_WHILE / 2);
        ended.store(true, Ordering::Release);
        devices.into_iter().map(|device| device.join().expect("no panic")).sum::<usize>()
    });
    assert!(acknowledged > 0, "some came through");
    let records = kafka.read_all(&gateway.topic("slow"));
    assert!(records.len() >= acknowledged, "{} of {acknowledged}", records.len());
    for record in &records {
        let device: u8 = record.envelope().device_id["camera-".len()..].parse().expect("a number");
        refers_to(record, &s3.object(&reference(record).uri), &payload(device, 6 * MIB));
    }
}

#[test]
fn a_store_that_refuses_is_named_before_the_first_message_and_harms_no_device() {
    let kafka = Kafka::shared();
    let (s3, bucket) = (S3::shared(), unique("bucket"));
    let config = GatewayConfig::new(kafka).set("object_store", S3::section(&bucket, s3.address()));
    let gateway = config.set("lanes.slow.large_memory", "5MiB").start_ready();
    until_true("it says why before anything is sent", SOON, || {
        gateway.page("/readyz").body.contains("404 NoSuchBucket")
    });
    assert_eq!(gateway.metrics().sum("landfall_object_store_up", &[]), 0.0);

    // What fits the lane's share waits for half a minute, and so does what does not.
    let large = |topic: &str| Publish::new(topic, &payload(1, 2 * MIB)).qos1(1);
    let mut fits = Client::connect(gateway.mqtt(), Version::V5, "fits");
    fits.publish(&large("devices/camera/fits/alarm"));
    let mut dribbles = Client::connect(gateway.mqtt(), Version::V5, "dribbles");
    let image = encode::publish(
        Version::V5,
        &Publish::new("devices/camera/dribbles/image", &payload(1, 4 * MIB)).qos1(1),
    );
    dribbles.send(&image[..2 * MIB]);
    until_true("the share is taken", SOON, || {
        gateway.lane("slow")["memory_used_bytes"].as_u64() > Some(4 * MIB as u64)
    });
    let mut does_not_fit = Client::connect(gateway.mqtt(), Version::V5, "does-not-fit");
    // Its head and a bit: the rest would not get through to a gateway that does not read.
    let bytes = encode::publish(Version::V5, &large("devices/camera/does-not-fit/image"));
    does_not_fit.send(&bytes[..16 * 1024]);
    let began = Instant::now();
    let mut rest = image[2 * MIB..].chunks(16 * 1024);
    while began.elapsed() < Duration::from_secs(25) {
        dribbles.send(rest.next().expect("there is enough"));
        let mut small = Client::connect(gateway.mqtt(), Version::V5, "small");
        small.publish_acknowledged("devices/meter/small/power", 1, b"21");
        thread::sleep(A_WHILE / 4);
    }
    let puts = gateway.metrics().sum("landfall_object_store_requests_total", &[]);
    assert_eq!(puts, 0.0, "the probe asks, and no upload beside it");
    does_not_fit.expect_disconnect(0x83, START);
    fits.expect_disconnect(0x83, START);
    assert!(began.elapsed() > Duration::from_secs(28), "they waited");

    // It is mended while a message waits.
    let mut waits = Client::connect(gateway.mqtt(), Version::V5, "waits");
    waits.publish(&large("devices/camera/waits/alarm"));
    waits.expect_silence(A_WHILE);
    s3.create_bucket(&bucket);
    waits.expect_puback(1);
    until_true("it is well", SOON, || {
        gateway.metrics().sum("landfall_object_store_up", &[]) == 1.0
    });
    assert!(!gateway.page("/readyz").body.contains("object store"), "nothing is wrong any more");
}

#[test]
fn wrong_keys_and_a_silent_store_are_named() {
    let kafka = Kafka::shared();
    let (s3, bucket) = (S3::shared(), unique("bucket"));
    s3.create_bucket(&bucket);
    let mut section = S3::section(&bucket, s3.address());
    section["options"]["secret_access_key"] = "wrong".into();
    let wrong = GatewayConfig::new(kafka).set("object_store", section).start_ready();
    until_true("it says why", SOON, || {
        wrong.page("/readyz").body.contains("403 SignatureDoesNotMatch")
    });
    let (config, proxy, _) = with_s3_behind_proxy(kafka);
    proxy.hold_answers();
    let silent = config.start_ready();
    until_true("it says why", START, || silent.page("/readyz").body.contains("no answer within"));
    proxy.release();
    until_true("it is well", SOON, || silent.metrics().sum("landfall_object_store_up", &[]) == 1.0);
}

#[test]
fn sizes_around_the_inline_limit() {
    let kafka = Kafka::shared();
    let (gateway, _) = gateway_with_s3(kafka);
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "edge");
    let sizes = [512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 5 * MIB, 5 * MIB + 1, 10 * MIB];
    for (index, size) in sizes.iter().enumerate() {
        client.publish(
            &Publish::new("devices/camera/edge/image", &payload(0, *size)).qos1(index as u16 + 1),
        );
        client.expect_puback(index as u16 + 1);
    }
    let landed = kafka.wait_for(&gateway.topic("slow"), sizes.len(), START);
    for record in &landed {
        let envelope = record.envelope();
        let expected = payload(0, envelope.payload_size as usize);
        match envelope.payload {
            Some(Payload::Inline(inline)) => {
                assert!(inline.len() <= 512 * 1024);
                assert!(inline == expected);
            }
            _ => refers_to(record, &S3::shared().object(&reference(record).uri), &expected),
        }
    }
    let mut sizes_landed: Vec<usize> =
        landed.iter().map(|record| record.envelope().payload_size as usize).collect();
    sizes_landed.sort_unstable();
    assert_eq!(sizes_landed, sizes);
}

#[test]
fn a_folder_is_an_object_store_and_tail_follows_its_references() {
    let kafka = Kafka::shared();
    let folder = Folder::new("objects");
    let url = format!("file://{}/Geräte/a~b/100%25/my%20devices", folder.display());
    let gateway = GatewayConfig::new(kafka)
        .set("object_store", serde_json::json!({ "url": url }))
        .start_ready();
    let large = Arc::new(payload(9, 2 * MIB));
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "c-1");
    client.publish(
        &Publish::new("devices/camera/c-1/image", &large)
            .qos1(1)
            .with(Property::user("note", "\u{1b}[31mred")),
    );
    client.expect_puback(1);
    let record = &kafka.wait_for(&gateway.topic("slow"), 1, SOON)[0];
    let uri = reference(record).uri;
    let folder = folder.join("Geräte/a~b/100%/my devices");
    let escaped = url.replace("ä", "%C3%A4");
    let path = uri.strip_prefix(&escaped).unwrap_or_else(|| panic!("{uri} is not under {escaped}"));
    let path = folder.join(path.trim_start_matches('/'));
    refers_to(record, &std::fs::read(path).expect("the object is a file"), &large);
    let mut tail = Command::new(program("landfall"));
    tail.args(["tail", "slow", "--count", "1", "--config"]).arg(gateway.config_file());
    let shown = tests::foreign::run("tail", tail);
    assert!(shown.contains("devices/camera/c-1/image") && shown.contains("2"), "{shown}");
    assert!(!shown.contains("cannot be read"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "control characters are escaped: {shown:?}");
}

/// A file system of that many MiB over a folder, until it is dropped.
struct Tiny<'f>(&'f Folder);

impl Tiny<'_> {
    /// None where mounting is not allowed.
    fn mount(folder: &Folder, mib: usize) -> Option<Tiny<'_>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(&**folder);
        mount.status().is_ok_and(|status| status.success()).then_some(Tiny(folder))
    }
}

impl Drop for Tiny<'_> {
    fn drop(&mut self) {
        // Lazily: after a failure the gateway may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(&**self.0).status();
    }
}

#[test]
fn a_full_disk_holds_only_large_messages() {
    let folder = Folder::new("tiny");
    let Some(_mounted) = Tiny::mount(&folder, 8) else {
        return not_run("a full disk", "mounting a small tmpfs takes root");
    };
    let filler = folder.join("filler");
    std::fs::write(&filler, vec![7; 6 * MIB]).expect("there is room for it");
    let url = format!("file://{}/", folder.display());
    let gateway = GatewayConfig::new(Kafka::shared())
        .set("object_store", serde_json::json!({ "url": url }))
        .start_ready();
    let send = |id: &str, mib: usize| {
        let mut client = Client::connect(gateway.mqtt(), Version::V5, id);
        let topic = format!("devices/camera/{id}/image");
        client.publish(&Publish::new(&topic, &payload(1, mib * MIB)).qos1(1));
        client
    };
    // A device that goes on sending keeps the disk full, and has an end.
    let mut never = send("never", 12);
    let mut waiting = [send("c-1", 3), send("c-2", 3), send("c-3", 3)];
    for id in 1..=10 {
        let mut other = Client::connect(gateway.mqtt(), Version::V5, "m-1");
        other.publish_acknowledged("devices/meter/m-1/power", id, b"small");
    }
    until_true("it says why", SOON, || {
        gateway.page("/readyz").body.contains("object store fails: No space left on device")
    });
    assert_eq!(gateway.metrics().sum("landfall_object_store_up", &[]), 0.0);
    never.expect_disconnect(0x83, START);
    let mut again = Client::connect(gateway.mqtt(), Version::V5, "again");
    for client in &mut waiting {
        client.expect_disconnect(0x83, START);
    }
    again.publish(&Publish::new("devices/camera/again/image", &payload(1, 3 * MIB)).qos1(1));
    again.expect_silence(A_WHILE);
    std::fs::remove_file(&filler).expect("it is there");
    again.expect_puback(1);
    until_true("it is well", SOON, || {
        gateway.metrics().sum("landfall_object_store_up", &[]) == 1.0
    });
    let find = Command::new("find").arg(&*folder).args(["-type", "f"]).output();
    let found = String::from_utf8(find.expect("find can be started").stdout).expect("text");
    assert_eq!(found.lines().count(), 1, "what did not fit leaves nothing: {found}");
    let log = gateway.log();
    let warnings = log.lines().filter(|line| line.contains("WARN")).count();
    assert!(log.contains("No space left on device") && warnings < 10, "{log}");
    let slow = gateway.lane("slow");
    assert_eq!((&slow["landed"], &slow["in_flight"]), (&1.into(), &0.into()), "{slow}");
}

#[test]
fn without_a_store_the_inline_limit_is_the_largest() {
    let gateway = GatewayConfig::new(Kafka::shared()).start_ready();
    for version in Version::ALL {
        let mut client = Client::connect(gateway.mqtt(), version, "c-1");
        client.publish_acknowledged("devices/camera/c-1/image", 1, &payload(1, 512 * 1024));
        // The gateway closes while the client still sends.
        let large = Publish::new("devices/camera/c-1/image", &payload(1, 2 * MIB)).qos1(2);
        let _ = client.try_send(&encode::publish(version, &large));
        match version {
            Version::V5 => client.expect_disconnect(0x95, SOON),
            _ => client.expect_closed(SOON),
        }
    }
}
