//! A hundred large messages at once: memory stays within its plan, and every byte arrives.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use proto::v1::Reference;
use proto::v1::envelope::Payload;
use sha2::{Digest as _, Sha256};
use tests::kafka::{Record, unique};
use tests::proc;
use tests::s3::S3;

use super::Bench;
use crate::report::UploadReport;
use crate::table::{Aim, Line, mebibytes, seconds};
use crate::upload::{self, CHUNK};

const COUNT: u64 = 100;
const SIZE: usize = 32 * 1024 * 1024;
/// How long all of them may take.
const UPLOAD_WAIT: Duration = Duration::from_secs(300);
/// How long the last record may take to be seen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Parts of 5 MiB that are held at once, and a little for each.
const LARGE_MEMORY: &str = "152MiB";

pub fn row(bench: &Bench) -> Vec<Line> {
    let (s3, bucket) = (S3::start(), unique("bucket"));
    s3.create_bucket(&bucket);
    // Room for thirty uploads; the fast lane gives some of its share for it.
    let gateway = bench
        .gateway()
        .set("object_store", S3::section(&bucket, s3.address()))
        .set("limits.memory", "512MiB")
        .set("limits.connections", 1000)
        .set("lanes.fast.memory", "32MiB")
        .set("lanes.slow.large_memory", LARGE_MEMORY)
        .start_ready();
    let before = proc::resident_bytes(gateway.id());
    let arguments = [
        "upload".to_owned(),
        format!("--address={}", gateway.mqtt()),
        format!("--count={COUNT}"),
        format!("--size={SIZE}"),
    ];
    let report: UploadReport = bench.child("upload", &arguments, UPLOAD_WAIT);
    let peak = proc::peak_resident_bytes(gateway.id()) as f64;
    bench.check_landed(&gateway, report.acknowledged);
    let records = bench.kafka.wait_for(&gateway.topic("slow"), COUNT as usize, PATIENCE);
    let mut seen = BTreeSet::new();
    for record in &records {
        seen.insert(check(record, &s3));
    }
    assert_eq!(seen.len() as u64, COUNT, "every upload has its record");
    assert_eq!(s3.keys(&bucket).len() as u64, COUNT, "every upload has its object, once");
    let name = "100 uploads of 32 MiB at once";
    let total = (COUNT * SIZE as u64) as f64;
    vec![
        Line::plain(
            name,
            "peak resident memory of the gateway",
            mebibytes(peak),
            format!("{} before, lanes.slow.large_memory={LARGE_MEMORY}", mebibytes(before as f64)),
        )
        .aimed(Aim::AtMost(256.0 * 1024.0 * 1024.0), peak, mebibytes),
        Line::plain(
            name,
            "objects whose bytes, size and SHA-256 are right",
            format!("{} of {COUNT}", seen.len()),
            "",
        )
        .aimed(Aim::AtLeast(COUNT as f64), seen.len() as f64, |count| format!("{count:.0}")),
        Line::plain(
            name,
            "time, and per second",
            format!("{}, {}", seconds(report.seconds), mebibytes(total / report.seconds)),
            "",
        ),
    ]
}

/// The record's object is what its device sent, byte by byte, and the record says so. Returns the number
/// of the upload.
fn check(record: &Record, s3: &S3) -> u64 {
    let envelope = record.envelope();
    let number = envelope.device_id.strip_prefix("bench-").and_then(|number| number.parse().ok());
    let number: u64 = number.unwrap_or_else(|| panic!("whose is it? {}", envelope.device_id));
    let Some(Payload::Reference(Reference { uri, size, sha256, .. })) = envelope.payload else {
        panic!("upload {number} did not go by reference");
    };
    assert_eq!(size, SIZE as u64, "upload {number}: the size in its record");
    let path = s3.path(&uri);
    let mut file = File::open(&path)
        .unwrap_or_else(|error| panic!("upload {number}: {uri} is not there: {error}"));
    let mut hasher = Sha256::new();
    let (mut expected, mut found) = ([0; CHUNK], [0; CHUNK]);
    for index in 0..(SIZE / CHUNK) as u64 {
        upload::chunk(number, index, &mut expected);
        file.read_exact(&mut found)
            .unwrap_or_else(|error| panic!("upload {number}: {uri} ends early: {error}"));
        assert!(expected == found, "upload {number}: {uri} differs in chunk {index}");
        hasher.update(found);
    }
    let rest = file.read(&mut found).expect("the object can be read");
    assert_eq!(rest, 0, "upload {number}: {uri} goes on behind its end");
    assert_eq!(hasher.finalize().as_slice(), &*sha256, "upload {number}: the hash in its record");
    number
}
