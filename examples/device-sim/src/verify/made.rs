//! Reads what the parse role made of the raw records, and hands all of it to the judge.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use super::Arguments;
use super::canonical::{Asked, Found, Headers, Judge, Verdict};
use super::judge::Account;
use super::place::Place;
use super::read::Raw;
use super::reader::Reader;
use super::source::{Made, Source};
use crate::progress::{Unit, Work};

/// Between two looks whether the parse role has caught up.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Reads until everything is there that is due, or there is no more in the time that is waited. The raw
/// records are read on the way. What is made of a record has its timestamp, so that the same time divides
/// both.
pub fn read(
    source: &Source,
    account: &Account,
    raw: &mut Raw<'_>,
    since_ms: Option<i64>,
    arguments: &Arguments,
) -> anyhow::Result<Verdict> {
    let made = &source.made;
    anyhow::ensure!(
        !made.topics.is_empty(),
        "there are no canonical topics: name them with --canonical-topics, or in --config"
    );
    let mut topics = made.topics.clone();
    topics.push(made.quarantine.clone());
    topics.extend(made.metadata.clone());
    let option = "--canonical-topics, --quarantine-topic, --metadata-topic";
    let mut reader = Reader::open(source, &topics, option, since_ms)?;
    let mut judge = Judge::new(Asked {
        no_doubles: arguments.no_doubles,
        metadata: made.metadata.is_some(),
        unordered: made.unordered.clone(),
    });
    let begin = Instant::now();
    let end = begin + arguments.wait;
    let wait = arguments.wait.as_secs();
    let waits = "waits until the parse role has caught up";
    let mut work = Work::begin(waits, Unit::Things("seconds at most"), wait);
    loop {
        // What was made up to here is of raw records that are there now, and are read first.
        let ends = reader.ends()?;
        for record in raw.catch_up()? {
            judge.raw(account, record);
        }
        reader
            .read_to(ends, &mut |message: &BorrowedMessage<'_>| take(&mut judge, made, message))?;
        if judge.is_complete() || Instant::now() >= end {
            return Ok(judge.end());
        }
        work.reach(begin.elapsed().as_secs());
        std::thread::sleep(LOOK_PAUSE);
    }
}

fn take(judge: &mut Judge, made: &Made, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
    let place = Place {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
    };
    let found = Found {
        key: message.key().unwrap_or_default(),
        value: message.payload().unwrap_or_default(),
        place,
    };
    if *found.place.topic == made.quarantine {
        judge.quarantined(&found, &headers(message).with_context(|| found.place.to_string())?);
    } else if Some(&found.place.topic) == made.metadata.as_ref() {
        judge.metadata(&found);
    } else {
        judge.event(&found);
    }
    Ok(())
}

fn headers(message: &BorrowedMessage<'_>) -> anyhow::Result<Headers> {
    let mut found = Headers::default();
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        let field = match header.key {
            "landfall-reason" => &mut found.reason,
            "landfall-source" => &mut found.source,
            "landfall-detail" => &mut found.detail,
            _ => continue,
        };
        let text = std::str::from_utf8(header.value.unwrap_or_default());
        *field = text.with_context(|| format!("the header {} is no text", header.key))?.to_owned();
    }
    Ok(found)
}
