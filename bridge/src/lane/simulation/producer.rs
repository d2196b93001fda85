//! librdkafka's idempotent producer as far as a lane meets it: batches of what is queued for a partition, at most
//! five messages on their way, retries in order, epochs, fatal errors, implied acknowledgements.
//!
//! It follows `rd_kafka_toppar_producer_serve` and `rd_kafka_msgbatch_handle_Produce_result` of 2.12.1.

use std::collections::{BTreeMap, VecDeque};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::cluster::{Answer, BATCH_HEAD, Heading, Sent};
use super::messages;
use crate::kafka::{client, properties};
use crate::record::RecordBuf;
use crate::sink::kafka::verdict;
use crate::sink::{Decided, Token, Verdict};

/// Messages of a partition on their way, at most, before another request is made.
const IN_FLIGHT_MAX: usize = 5;
/// What failed is sent again after so many milliseconds (`retry.backoff.ms`).
const RETRY_BACKOFF_MS: u64 = 100;

/// What a lane's configuration makes of librdkafka.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the lane gathers a batch, and how long the producer does.
    pub gather_ms: u64,
    pub linger_ms: u64,
    pub batch_bytes: u32,
    pub batch_records: usize,
    pub is_gapless: bool,
}

impl Settings {
    /// Of the producer that Landfall would make.
    pub fn of(batch_bytes: u32, batch_records: u32) -> Settings {
        let own = [("batch.num.messages".to_owned(), batch_records.to_string())];
        let own = BTreeMap::from(own);
        let config = client::producer("kafka:9092", &own, 0, batch_bytes);
        let said = |name: &str| config.get(properties::canonical(name)).unwrap_or_default();
        let number = |name: &str| said(name).parse::<f64>().expect("it is a number").ceil();
        assert_eq!((said("enable.idempotence"), said("acks")), ("true", "all"));
        assert_eq!(said("message.timeout.ms"), "0", "nothing is given up for its age");
        Settings {
            gather_ms: client::gathers(&own).as_millis() as u64,
            linger_ms: number("linger.ms") as u64,
            batch_bytes: number("batch.size") as u32,
            batch_records: number("batch.num.messages") as usize,
            is_gapless: said("enable.gapless.guarantee") == "true",
        }
    }
}

pub struct Producer {
    settings: Settings,
    id: u64,
    epoch: u32,
    /// It has its id from then on.
    ready_at_ms: u64,
    pub is_fatal: bool,
    /// It takes the next epoch as soon as nothing is on its way.
    drains: bool,
    pub partitions: BTreeMap<(usize, usize), Line>,
    pub reports: Vec<Decided>,
}

/// What it has of a partition.
#[derive(Default)]
pub struct Line {
    queue: VecDeque<Message>,
    requests: Vec<Request>,
    /// Of the last message that came.
    newest_id: u64,
    /// The epoch that the numbers below are of.
    epoch: Option<u32>,
    base_id: u64,
    next_acked: u32,
    next_failed: u32,
    acked_id: u64,
    waits_for_drain: bool,
    retry_at_ms: u64,
    /// Of a batch a part came later than it waits for: those are two, and nobody can help it.
    is_cut: bool,
    /// The broker that leads it, as far as the producer knows.
    pub leader: Option<usize>,
}

struct Message {
    id: u64,
    token: Token,
    record: RecordBuf,
    sent: Sent,
    queued_at_ms: u64,
    /// Where it was the first of a batch: that batch's last. It is sent again as it was.
    last_id: Option<u64>,
    was_sent: bool,
}

struct Request {
    number: u64,
    messages: VecDeque<Message>,
    heading: Heading,
}

/// What is to be sent to a broker.
pub struct Sending {
    pub number: u64,
    pub broker: usize,
    pub heading: Heading,
    pub batch: Vec<Sent>,
}

/// What a failed batch means for the producer.
enum Reaction {
    Retry,
    RetryInNextEpoch,
    Permanent,
    Fatal,
}

impl Producer {
    pub fn new(settings: &Settings, id: u64, ready_at_ms: u64) -> Producer {
        Producer {
            settings: settings.clone(),
            id,
            epoch: 0,
            ready_at_ms,
            is_fatal: false,
            drains: false,
            partitions: BTreeMap::new(),
            reports: Vec::new(),
        }
    }

    pub fn queue(&mut self, place: (usize, usize), record: RecordBuf, token: Token, now_ms: u64) {
        let line = self.partitions.entry(place).or_default();
        line.is_cut &= !line.is_empty();
        line.newest_id += 1;
        let sent = messages::sent(record.as_record());
        line.queue.push_back(Message {
            id: line.newest_id,
            token,
            record,
            sent,
            queued_at_ms: now_ms,
            last_id: None,
            was_sent: false,
        });
    }

    /// When something is due next by itself. What is due already waits for something else.
    pub fn due_at_ms(&self, now_ms: u64) -> Option<u64> {
        let due = self.partitions.values().filter_map(|line| {
            let at_ms = line.queue.front()?.queued_at_ms + self.settings.linger_ms;
            Some(at_ms.max(line.retry_at_ms).max(self.ready_at_ms))
        });
        due.filter(|at_ms| *at_ms > now_ms).min()
    }

    /// What is to be sent now; `is_up` says to which brokers there is a connection.
    pub fn serve(
        &mut self,
        now_ms: u64,
        is_up: impl Fn(usize) -> bool,
        next_request: &mut u64,
    ) -> Vec<Sending> {
        let mut sendings = Vec::new();
        if self.drains && self.partitions.values().all(|line| line.requests.is_empty()) {
            (self.drains, self.epoch) = (false, self.epoch + 1);
        }
        if self.is_fatal || self.drains || now_ms < self.ready_at_ms {
            return sendings;
        }
        for (place, line) in &mut self.partitions {
            let Some(broker) = line.leader.filter(|broker| is_up(*broker)) else { continue };
            for _ in 0..line.may_send(&self.settings, self.epoch, now_ms) {
                let Some(messages) = line.next_batch(&self.settings) else { break };
                *next_request += 1;
                let heading = Heading {
                    topic: place.0,
                    partition: place.1,
                    producer: self.id,
                    epoch: self.epoch,
                    first_sequence: (messages[0].id - line.base_id) as u32,
                };
                let batch = messages.iter().map(|message| message.sent).collect();
                sendings.push(Sending { number: *next_request, broker, heading, batch });
                line.requests.push(Request { number: *next_request, messages, heading });
            }
        }
        sendings
    }

    /// A partition of which two requests are on their way. Where the first has to be tried again, at another leader,
    /// the second is refused, and with the next epoch all that is on its way is there twice.
    pub fn is_beside_itself(&self) -> Option<(usize, usize)> {
        let is_beside = |line: &Line| line.requests.len() > 1 && !line.is_cut;
        self.partitions.iter().find(|(_, line)| is_beside(line)).map(|(place, _)| *place)
    }

    /// A partition of which new records wait here although as many are on their way as may be: librdkafka spins.
    pub fn spins(&self, now_ms: u64) -> Option<(usize, usize)> {
        let spins = |line: &Line| {
            line.in_flight() >= IN_FLIGHT_MAX
                && !line.is_cut
                && line.epoch == Some(self.epoch)
                && !line.waits_for_drain
                && line.queue.front().is_some_and(|first| {
                    !first.was_sent && first.queued_at_ms + self.settings.linger_ms <= now_ms
                })
        };
        if self.is_fatal || self.drains {
            return None;
        }
        self.partitions.iter().find(|(_, line)| spins(line)).map(|(place, _)| *place)
    }

    /// Kafka's answer to a request, or that there is none.
    pub fn answered(
        &mut self,
        (place, number): ((usize, usize), u64),
        answer: &Answer,
        now_ms: u64,
    ) {
        let Some(line) = self.partitions.get_mut(&place) else { return };
        let Some(at) = line.requests.iter().position(|request| request.number == number) else {
            return;
        };
        let mut request = line.requests.remove(at);
        let failed = match answer {
            Answer::Stored | Answer::Known => {
                self.is_fatal |= line.confirmed(request, answer, &mut self.reports);
                return;
            }
            Answer::Failed(code) | Answer::Culprits(code, _) => *code,
        };
        if let Some(last) = request.messages.back().map(|message| message.id) {
            request.messages[0].last_id = Some(last);
        }
        let next = request.heading.first_sequence + request.messages.len() as u32;
        line.retry_at_ms = now_ms + RETRY_BACKOFF_MS;
        match line.reaction(&request, failed) {
            Reaction::Retry => {
                (line.next_failed, line.waits_for_drain) = (next, true);
                return line.take_back(request.messages);
            }
            Reaction::RetryInNextEpoch => {
                (line.next_failed, line.waits_for_drain, self.drains) = (next, true, true);
                return line.take_back(request.messages);
            }
            Reaction::Fatal => self.is_fatal = true,
            Reaction::Permanent if self.settings.is_gapless => self.is_fatal = true,
            // What is behind it is numbered anew and goes on.
            Reaction::Permanent => self.drains = true,
        }
        line.next_failed = next;
        for (at, message) in request.messages.into_iter().enumerate() {
            let code = match answer {
                Answer::Culprits(_, culprits) if !culprits.contains(&at) => {
                    Code::InvalidDifferentRecord
                }
                Answer::Culprits(_, culprits) if culprits.len() > 1 => Code::InvalidRecord,
                _ => failed,
            };
            self.reports.push(message.failed(code));
        }
    }

    /// The requests on their way to a broker, in their order.
    pub fn on_their_way(&self, numbers: &[u64]) -> Vec<((usize, usize), u64)> {
        let all = self
            .partitions
            .iter()
            .flat_map(|(place, line)| line.requests.iter().map(|request| (*place, request.number)));
        let mut found: Vec<_> = all.filter(|(_, number)| numbers.contains(number)).collect();
        found.sort_by_key(|(_, number)| *number);
        found
    }

    /// Gives up what waits for a partition that is not there.
    pub fn fail_queue(&mut self, place: (usize, usize), code: Code) {
        let Some(line) = self.partitions.get_mut(&place) else { return };
        self.reports.extend(line.queue.drain(..).map(|message| message.failed(code)));
    }

    /// Gives up everything.
    pub fn purge(mut self) -> Vec<Decided> {
        for line in self.partitions.values_mut() {
            let requests = line.requests.drain(..).flat_map(|request| request.messages);
            self.reports.extend(requests.map(|message| message.failed(Code::PurgeInflight)));
            let queued = line.queue.drain(..);
            self.reports.extend(queued.map(|message| message.failed(Code::PurgeQueue)));
        }
        self.reports
    }
}

impl Line {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.requests.is_empty()
    }

    /// What comes next does so later than what is here waits for it.
    pub fn cut_here(&mut self) {
        self.is_cut |= !self.queue.is_empty();
    }

    fn in_flight(&self) -> usize {
        self.requests.iter().map(|request| request.messages.len()).sum()
    }

    /// How many requests may be made now.
    fn may_send(&mut self, settings: &Settings, epoch: u32, now_ms: u64) -> usize {
        let in_flight = self.in_flight();
        if self.waits_for_drain && in_flight > 0 {
            return 0;
        }
        self.waits_for_drain = false;
        let Some(first) = self.queue.front() else { return 0 };
        if first.was_sent && now_ms < self.retry_at_ms {
            return 0;
        }
        let bytes: u32 = self.queue.iter().map(|message| message.sent.bytes).sum();
        let is_due = now_ms >= first.queued_at_ms + settings.linger_ms
            || self.queue.len() >= settings.batch_records
            || bytes >= settings.batch_bytes;
        if self.epoch != Some(epoch) {
            if in_flight > 0 {
                return 0;
            }
            (self.epoch, self.base_id) = (Some(epoch), first.id);
            (self.next_acked, self.next_failed) = (0, 0);
        }
        if is_due { IN_FLIGHT_MAX.saturating_sub(in_flight) } else { 0 }
    }

    fn next_batch(&mut self, settings: &Settings) -> Option<VecDeque<Message>> {
        let last_id = self.queue.front()?.last_id.unwrap_or(u64::MAX);
        let (mut messages, mut bytes) = (VecDeque::new(), BATCH_HEAD);
        while let Some(message) = self.queue.front() {
            let is_full = bytes + message.sent.bytes > settings.batch_bytes
                || messages.len() >= settings.batch_records;
            if message.id > last_id || is_full && !messages.is_empty() {
                break;
            }
            bytes += message.sent.bytes;
            messages.extend(self.queue.pop_front());
        }
        messages.iter_mut().for_each(|message| message.was_sent = true);
        Some(messages)
    }

    /// Puts messages back in front of those behind them.
    fn take_back(&mut self, messages: VecDeque<Message>) {
        let first = messages.front().map_or(0, |message| message.id);
        let at = self.queue.partition_point(|waiting| waiting.id < first);
        for message in messages.into_iter().rev() {
            self.queue.insert(at, message);
        }
    }

    /// Returns whether that is fatal.
    fn confirmed(&mut self, request: Request, answer: &Answer, reports: &mut Vec<Decided>) -> bool {
        let first_sequence = request.heading.first_sequence;
        let next = first_sequence + request.messages.len() as u32;
        let (first, last) = match (request.messages.front(), request.messages.back()) {
            (Some(first), Some(last)) => (first.id, last.id),
            _ => return false,
        };
        let mut is_fatal = false;
        if self.acked_id + 1 < first {
            // What is before it counts as stored, and is reported without a place in the log.
            while self.queue.front().is_some_and(|message| message.id <= last) {
                reports.extend(self.queue.pop_front().map(Message::implied));
            }
        } else if first_sequence != self.next_acked && first_sequence == self.next_failed {
            is_fatal = true;
            self.next_failed = next;
        }
        if !is_fatal {
            if self.next_failed == self.next_acked {
                self.next_failed = next;
            }
            self.next_acked = next;
        }
        self.acked_id = self.acked_id.max(last);
        reports.extend(request.messages.into_iter().map(|message| match answer {
            Answer::Known => message.implied(),
            _ => Decided { token: message.token, verdict: Verdict::Durable },
        }));
        is_fatal
    }

    fn reaction(&self, request: &Request, code: Code) -> Reaction {
        if Some(request.heading.epoch) != self.epoch {
            return Reaction::Permanent;
        }
        match code {
            Code::OutOfOrderSequenceNumber => {
                match request.heading.first_sequence > self.next_acked {
                    true => Reaction::RetryInNextEpoch,
                    false => Reaction::Fatal,
                }
            }
            code if is_retried(code) => Reaction::Retry,
            _ => Reaction::Permanent,
        }
    }
}

/// librdkafka sends it again by itself.
fn is_retried(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::RequestTimedOut
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::UnknownTopicOrPartition
            | Code::KafkaStorageError
            | Code::InvalidMessage
    )
}

impl Message {
    fn failed(self, code: Code) -> Decided {
        let error = KafkaError::MessageProduction(code);
        Decided { token: self.token, verdict: verdict(&error, self.record) }
    }

    /// As Landfall's sink has it: it is not certain.
    fn implied(self) -> Decided {
        let reason = "Kafka confirmed what came behind it, and not this".into();
        Decided { token: self.token, verdict: Verdict::Undecided { record: self.record, reason } }
    }
}
