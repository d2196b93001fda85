//! Reads topics from their beginning to where they end now, and from there on when it is asked again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::source::Source;
use crate::progress::{Unit, Work};

/// How long Kafka may take to answer a question.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// How far the gateway's clock, which records have, may be behind the simulator's.
const CLOCKS_APART_MS: i64 = 10 * 60 * 1000;
/// How long no record may come although there are more.
const RECORD_WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

pub struct Reader {
    consumer: BaseConsumer,
    /// What is asked would wait behind the records that the other one waits for.
    asks: BaseConsumer,
    servers: String,
    /// The next offset that is wanted of each partition.
    next: BTreeMap<(String, i32), i64>,
}

/// Where topics end.
pub struct Ends(BTreeMap<(String, i32), i64>);

impl Reader {
    /// Finds the topics' partitions; `option` names them on the command line. Of each only what was written
    /// since a time is read, if there is one.
    pub fn open(
        source: &Source,
        topics: &[String],
        option: &str,
        since_ms: Option<i64>,
    ) -> anyhow::Result<Reader> {
        let mut config = ClientConfig::new();
        config.set("group.id", "device-sim-verify").set("log_level", "2");
        for (name, value) in &source.properties {
            config.set(name, value);
        }
        let servers = source.bootstrap_servers.clone();
        config.set("bootstrap.servers", &servers).set("enable.auto.commit", "false");
        let client = || -> anyhow::Result<BaseConsumer> {
            config.create().context("the Kafka client cannot be made")
        };
        let mut reader =
            Reader { consumer: client()?, asks: client()?, servers, next: BTreeMap::new() };
        for topic in topics {
            for partition in reader.partitions(topic, option)? {
                let (low, _) = reader.bounds(topic, partition)?;
                reader.next.insert((topic.clone(), partition), low);
            }
        }
        if let Some(since_ms) = since_ms {
            reader.skip_to(since_ms)?;
        }
        let mut begins = TopicPartitionList::new();
        for ((topic, partition), offset) in &reader.next {
            begins.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        reader.consumer.assign(&begins)?;
        Ok(reader)
    }

    fn partitions(&self, topic: &str, option: &str) -> anyhow::Result<Vec<i32>> {
        let metadata = self.asks.fetch_metadata(Some(topic), ANSWER_WAIT);
        let metadata = metadata
            .with_context(|| format!("Kafka at {} does not answer: is it there?", self.servers))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.filter(|found| found.error().is_none() && !found.partitions().is_empty());
        let found = found.with_context(|| {
            format!("the topic {topic} does not exist: name such topics with {option} or --config")
        })?;
        Ok(found.partitions().iter().map(|partition| partition.id()).collect())
    }

    /// The first offset that there is, and the one behind the last.
    fn bounds(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        self.asks
            .fetch_watermarks(topic, partition, ANSWER_WAIT)
            .with_context(|| format!("the end of {topic}[{partition}] cannot be read"))
    }

    /// Leaves out what is older.
    fn skip_to(&mut self, since_ms: i64) -> anyhow::Result<()> {
        let since = Offset::Offset((since_ms - CLOCKS_APART_MS).max(0));
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in self.next.keys() {
            asked.add_partition_offset(topic, *partition, since)?;
        }
        if self.next.is_empty() {
            return Ok(());
        }
        let found = self
            .asks
            .offsets_for_times(asked, ANSWER_WAIT)
            .context("Kafka does not say where the run began: leave --since-start out")?;
        for place in found.elements() {
            let (topic, partition) = (place.topic(), place.partition());
            place.error().with_context(|| format!("where the run began in {topic}"))?;
            let begin = match place.offset() {
                Offset::Offset(offset) => offset,
                // The end: nothing was written since then.
                _ => self.bounds(topic, partition)?.1,
            };
            self.next.insert((topic.to_owned(), partition), begin);
        }
        Ok(())
    }

    /// Where the topics end now, of each partition with more than was read.
    pub fn ends(&self) -> anyhow::Result<Ends> {
        let mut ends = BTreeMap::new();
        for ((topic, partition), next) in &self.next {
            let (_, end) = self.bounds(topic, *partition)?;
            if end > *next {
                ends.insert((topic.clone(), *partition), end);
            }
        }
        Ok(Ends(ends))
    }

    /// What is read, for people: the topics may be many.
    fn what(&self) -> String {
        let mut topics: Vec<&str> = self.next.keys().map(|(topic, _)| topic.as_str()).collect();
        topics.dedup();
        match topics[..] {
            [] => "reads no topic".to_owned(),
            [topic] => format!("reads {topic}"),
            [topic, ..] => format!("reads {topic} and {} more topics", topics.len() - 1),
        }
    }

    /// How many offsets there are up to there.
    fn until(&self, ends: &BTreeMap<(String, i32), i64>) -> u64 {
        let lengths = ends.iter().filter_map(|(place, end)| Some(end - self.next.get(place)?));
        lengths.map(|length| length.max(0) as u64).sum()
    }

    /// Hands over every record up to there that was not yet; of each partition in order.
    pub fn read_to(
        &mut self,
        ends: Ends,
        take: &mut dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Ends(mut ends) = ends;
        let mut last = Instant::now();
        let mut done = 0;
        let mut work = Work::begin(self.what(), Unit::Things("records"), self.until(&ends));
        while !ends.is_empty() {
            let message = match self.consumer.poll(LOOK) {
                Some(Ok(message)) => message,
                // What goes on and what does not is told apart by whether records come.
                Some(Err(error)) if last.elapsed() >= RECORD_WAIT => {
                    return Err(error).context("Kafka cannot be read");
                }
                Some(Err(_)) | None => {
                    let places: Vec<String> = ends
                        .keys()
                        .map(|(topic, partition)| format!("{topic}[{partition}]"))
                        .collect();
                    anyhow::ensure!(
                        last.elapsed() < RECORD_WAIT,
                        "no record came for {} s although there are more in {}: is Kafka well?",
                        RECORD_WAIT.as_secs(),
                        places.join(", ")
                    );
                    continue;
                }
            };
            last = Instant::now();
            let place = (message.topic().to_owned(), message.partition());
            take(&message)?;
            let next = message.offset() + 1;
            // Offsets, not records: some of them may be no record, and what is behind the end is not counted.
            let reached = ends.get(&place).map(|end| next.min(*end));
            let before = self.next.get(&place).copied().unwrap_or_default();
            done += reached.map_or(0, |reached| reached.saturating_sub(before).max(0) as u64);
            work.reach(done);
            if ends.get(&place).is_some_and(|end| next >= *end) {
                ends.remove(&place);
            }
            self.next.insert(place, next);
        }
        Ok(())
    }
}
