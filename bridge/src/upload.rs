//! The claim check: a payload too large for its lane goes to the object store while it arrives, never
//! held whole, and a reference to it through the lane.
//!
//! An upload fills one part in memory, which came out of the lane's share before its first byte was
//! read. The part's memory goes with it to the store and comes back for the next one; while it is on its
//! way, the next may take more, as long as half of the share is free. Without room the device's socket is
//! not read. A message counts as received when its last byte is here; from then on nothing of its device
//! waits for it. Dropping an upload before that aborts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::account::Reservation;
use crate::ages::Age;
use crate::fail_point;
use crate::format::{Body, Head};
use crate::identity::Dedupe;
use crate::lane::{Lane, Pending};
use crate::mailbox::Mailbox;
use crate::message::Carriage;
use crate::objects::{Object, ObjectError, PART_SIZE, Store};
use crate::outcome::Outcome;
use crate::receipt::Receipt;
use crate::record::RECORD_COST;

/// A large message that arrives.
pub struct Upload {
    landing: Landing,
    object: Arc<Object>,
    runtime: Handle,
    /// Of whoever sends the bytes; none where all of them are here.
    mailbox: Option<Arc<Mailbox>>,
    progress: Arc<Progress>,
    part: Vec<u8>,
    /// The memory of `part`, taken from the account's share; None until it has some.
    room: Option<Reservation>,
    hasher: Sha256,
    size: u64,
    received: u64,
    /// That of the record, until the receipt takes it over.
    charge: Reservation,
    /// To the task that writes the parts; none while everything fits in one.
    parts: Option<Writer>,
}

/// What an upload and the task that writes its parts tell each other.
#[derive(Default)]
struct Progress {
    /// The store failed for good.
    failed: AtomicBool,
    /// No more parts begin.
    ended: AtomicBool,
    /// Nobody sends the rest.
    abandoned: AtomicBool,
    /// Memory for the next part, while no part has it.
    spare: Mutex<Option<Reservation>>,
}

/// The task's word to the upload that may wait for it. However the task ends, by a panic too, no part
/// begins any more, and its upload is woken to hear that.
struct TaskEnd {
    progress: Arc<Progress>,
    mailbox: Option<Arc<Mailbox>>,
}

/// The way to the task. What waits there is bounded by the share that its memory came from.
struct Writer {
    steps: mpsc::UnboundedSender<Step>,
    progress: Arc<Progress>,
    /// The last part was sent.
    finished: bool,
}

/// What the record with the reference will be made of, and where it goes.
pub(crate) struct Landing {
    pub lane: Arc<Lane>,
    pub head: Head,
    pub dedupe: Dedupe,
    pub on_landing: Outcome,
}

/// Bytes come with their memory, which is free when the store has them.
enum Step {
    Part(Bytes, Option<Reservation>),
    Finish(Bytes, Option<Reservation>, Box<Whole>),
}

/// A message whose last byte is here.
struct Whole {
    landing: Landing,
    receipt: Receipt,
    sha256: [u8; 32],
    size: u64,
    submitted: Instant,
    /// It counts among those that are on their way to the store.
    age: Age,
}

/// The object store failed; the message cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub struct StoreFailed;

impl Upload {
    /// A payload of `size` bytes goes to the store under `key`; `charge` is what [`Upload::cost`] says and
    /// what the head takes.
    pub(crate) fn new(
        landing: Landing,
        store: &Store,
        key: &str,
        size: u64,
        mut charge: Reservation,
        mailbox: Option<Arc<Mailbox>>,
    ) -> Upload {
        let progress = Progress::default();
        *progress.spare.lock() = Some(charge.split(size.min(PART_SIZE)));
        Upload {
            landing,
            object: Arc::new(store.objects.object(key, &charge.account.permits)),
            runtime: store.runtime.clone(),
            mailbox,
            progress: Arc::new(progress),
            part: Vec::new(),
            room: None,
            hasher: Sha256::new(),
            size,
            received: 0,
            charge,
            parts: None,
        }
    }

    /// Bytes that a part takes from the budget for a message of `size`.
    pub fn cost(size: u64) -> u64 {
        size.min(PART_SIZE) + RECORD_COST
    }

    /// Takes what fits of the next bytes and says how many. Zero: there is no room before a part has
    /// arrived, and then the mailbox's owner is woken.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, StoreFailed> {
        if self.progress.failed.load(Ordering::Acquire) {
            return Err(StoreFailed);
        }
        let left = self.size - self.received;
        if self.room.is_none() {
            let Some(room) = self.take_room(left.min(PART_SIZE)) else { return Ok(0) };
            self.room = Some(room);
            self.part.reserve_exact(left.min(PART_SIZE) as usize);
        }
        let room = (PART_SIZE - self.part.len() as u64).min(left) as usize;
        let taken = &bytes[..bytes.len().min(room)];
        self.part.extend_from_slice(taken);
        self.hasher.update(taken);
        self.received += taken.len() as u64;
        if self.part.len() as u64 == PART_SIZE && self.received < self.size {
            self.send_part();
        }
        Ok(taken.len())
    }

    /// Memory for a part: what this upload has, or more.
    fn take_room(&self, bytes: u64) -> Option<Reservation> {
        let spare = self.progress.spare.lock().take();
        spare.or_else(|| Reservation::take_ahead(&self.charge.account, Carriage::Large, bytes))
    }

    /// All bytes are here.
    pub fn is_whole(&self) -> bool {
        self.received == self.size
    }

    /// A hash of the payload, once it is whole, by which a resend is known.
    pub fn fingerprint(&self) -> u128 {
        Self::fingerprint_of(&self.hasher.clone().finalize().into())
    }

    /// [`Upload::fingerprint`] of a payload with this SHA-256: its first half.
    pub fn fingerprint_of(sha256: &[u8; 32]) -> u128 {
        let mut half = [0; 16];
        half.copy_from_slice(&sha256[..16]);
        u128::from_le_bytes(half)
    }

    /// Counts the message as received, completes the object and lands its reference; the outcome
    /// comes to `reply_to`.
    pub fn finish(mut self, reply_to: Option<(Arc<Mailbox>, u32)>) {
        let sha256: [u8; 32] = self.hasher.finalize().into();
        let account = Arc::clone(&self.charge.account);
        let charge = std::mem::take(&mut self.charge.bytes);
        let age = account.uploads.begin();
        let whole = Box::new(Whole {
            landing: self.landing,
            receipt: Receipt::open(account, Carriage::Large, charge, reply_to),
            sha256,
            size: self.size,
            submitted: Instant::now(),
            age,
        });
        let last = Bytes::from(std::mem::take(&mut self.part));
        let room = self.room;
        match self.parts {
            None => {
                let object = self.object;
                self.runtime.spawn(async move {
                    fail_point::ask("upload");
                    let put = object.put(last).await;
                    drop(room);
                    match put {
                        Ok(()) => whole.land(&object),
                        Err(error) => whole.fail(&object, &error),
                    }
                });
            }
            Some(parts) => parts.finish(Step::Finish(last, room, whole)),
        }
    }

    fn send_part(&mut self) {
        let part = Bytes::from(std::mem::take(&mut self.part));
        let step = Step::Part(part, self.room.take());
        let parts = self.parts.get_or_insert_with(|| {
            let (sender, steps) = mpsc::unbounded_channel();
            let object = Arc::clone(&self.object);
            let progress = Arc::clone(&self.progress);
            let end = TaskEnd { progress, mailbox: self.mailbox.clone() };
            self.runtime.spawn(write_parts(object, steps, end));
            Writer { steps: sender, progress: Arc::clone(&self.progress), finished: false }
        });
        if parts.steps.send(step).is_err() {
            self.progress.failed.store(true, Ordering::Release);
        }
    }
}

impl Writer {
    fn finish(mut self, last: Step) {
        self.finished = true;
        // If the task is gone, the receipt in the step fails the message.
        let _ = self.steps.send(last);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut spare = self.progress.spare.lock();
        self.progress.ended.store(true, Ordering::Release);
        self.progress.abandoned.store(!self.finished, Ordering::Release);
        *spare = None;
    }
}

impl Drop for TaskEnd {
    fn drop(&mut self) {
        self.progress.failed.store(true, Ordering::Release);
        self.wake();
    }
}

impl TaskEnd {
    fn wake(&self) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.wake();
        }
    }
}

impl Progress {
    /// A part's memory is free: for the next one, if this upload has no other.
    fn give_back(&self, room: Option<Reservation>) {
        let mut spare = self.spare.lock();
        if spare.is_none() && !self.ended.load(Ordering::Acquire) {
            *spare = room;
        }
    }
}

/// Writes the parts of one object as they come. Ends with the object completed or aborted.
async fn write_parts(object: Arc<Object>, mut steps: mpsc::UnboundedReceiver<Step>, end: TaskEnd) {
    fail_point::ask("upload");
    let mut parts = match object.put_parts().await {
        Ok(parts) => parts,
        Err(error) => return object.log_failure(&error),
    };
    loop {
        match steps.recv().await {
            Some(Step::Part(part, room)) if !end.progress.abandoned.load(Ordering::Acquire) => {
                if let Err(error) = parts.put(part).await {
                    object.log_failure(&error);
                    // Nobody waits for what is removed.
                    drop((end, steps, room));
                    return parts.abort().await;
                }
                end.progress.give_back(room);
                end.wake();
            }
            Some(Step::Finish(last, room, whole)) => {
                let written = async {
                    if !last.is_empty() {
                        parts.put(last).await?;
                    }
                    drop(room);
                    parts.complete().await
                };
                return match written.await {
                    Ok(()) => whole.land(&object),
                    Err(error) => {
                        whole.fail(&object, &error);
                        parts.abort().await
                    }
                };
            }
            Some(Step::Part(..)) | None => {
                drop(steps);
                return parts.abort().await;
            }
        }
    }
}

impl Whole {
    fn land(self, object: &Object) {
        let Whole { landing, receipt, sha256, size, submitted, age } = self;
        let Landing { lane, mut head, dedupe, on_landing } = landing;
        let dedupe_key = dedupe.finish(Upload::fingerprint_of(&sha256));
        let record =
            head.finish(&dedupe_key, Body::Reference { uri: object.uri(), size, sha256: &sha256 });
        lane.submit(record, Pending { receipt, on_landing, submitted });
        // From here on the lane knows how old it is.
        drop(age);
    }

    fn fail(self, object: &Object, error: &ObjectError) {
        object.log_failure(error);
        self.receipt.resolve(Outcome::Failed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use url::Url;

    use super::*;
    use crate::account::Account;
    use crate::format::Format;
    use crate::kafka_topic::TopicName;
    use crate::key::KeyStrategy;
    use crate::lanes::LanePlan;
    use crate::mailbox::Mark;
    use crate::message::{Device, Message, Payload};
    use crate::metadata::Metadata;
    use crate::objects::Objects;

    const SIZE: u64 = 12 * 1024 * 1024;
    /// Room for one part and what belongs to it.
    const SHARE: u64 = PART_SIZE + RECORD_COST;
    const SOON: Duration = Duration::from_secs(20);

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Wakes>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Uploading {
        upload: Option<Upload>,
        account: Arc<Account>,
        mailbox: Arc<Mailbox>,
        wakes: Arc<Wakes>,
    }

    /// An upload of so many bytes whose tasks run there.
    fn uploading(runtime: &tokio::runtime::Runtime, size: u64) -> Uploading {
        let lane = Lane::new(
            &LanePlan {
                name: "slow".into(),
                topic: TopicName::Fixed("slow".into()),
                key: KeyStrategy::DeviceId,
                format: Format::Envelope,
                inline_size: 1024,
                gather: Duration::ZERO,
                properties: BTreeMap::new(),
                inline_memory: 0,
                large_memory: SHARE,
            },
            None,
            Arc::default(),
        );
        let url = Url::from_directory_path(std::env::temp_dir()).expect("an absolute path");
        let objects = Objects::open(&url, &BTreeMap::new()).expect("the folder is there");
        let account = Arc::clone(&lane.account);
        let charge = Reservation::take(&account, Carriage::Large, Upload::cost(size));
        let (mailbox, wakes) = (Arc::new(Mailbox::default()), Arc::new(Wakes::default()));
        mailbox.collect(&Waker::from(Arc::clone(&wakes)), &mut Vec::new());
        let message = Message {
            device: &Device::default(),
            topic: "t",
            payload: Payload::Streamed { size },
            qos: 1,
            dup: false,
            retain: false,
            packet_id: 1,
            received_ms: 0,
            content_type: "",
            properties: &[],
        };
        let landing = Landing {
            lane,
            head: Head::default(),
            dedupe: Dedupe::begin(&Metadata::default(), &message),
            on_landing: Outcome::Landed,
        };
        let store = Store { objects: Arc::new(objects), runtime: runtime.handle().clone() };
        let charge = charge.expect("nothing else is taken");
        let place = "slow/never-written";
        let upload = Upload::new(landing, &store, place, size, charge, Some(Arc::clone(&mailbox)));
        Uploading { upload: Some(upload), account, mailbox, wakes }
    }

    /// A runtime on which every task that asks for the time panics, as each request to a store does.
    fn runtime_of_panics() -> tokio::runtime::Runtime {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).build().expect("a runtime")
    }

    #[track_caller]
    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + SOON;
        while !holds() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn whoever_waits_for_a_part_hears_that_its_task_panicked() {
        let runtime = runtime_of_panics();
        let mut uploading = uploading(&runtime, SIZE);
        let upload = uploading.upload.as_mut().expect("it was begun");
        assert_eq!(upload.push(&vec![7; SIZE as usize]), Ok(PART_SIZE as usize));
        let woken = || uploading.wakes.0.load(Ordering::Relaxed) > 0;
        until("the upload sleeps for ever", woken);
        assert_eq!(upload.push(&[7]), Err(StoreFailed));
        drop(uploading.upload);
        let used = || uploading.account.share(Carriage::Large).used();
        until("the part keeps its memory", || used() == 0);
    }

    #[test]
    fn a_message_whose_last_task_panicked_failed() {
        let runtime = runtime_of_panics();
        for size in [PART_SIZE, SIZE] {
            let mut uploading = uploading(&runtime, size);
            let mut upload = uploading.upload.take().expect("it was begun");
            let payload = vec![7; PART_SIZE as usize];
            while !upload.is_whole() {
                // Each part goes as if there were always room, so that the task's end is not seen before.
                *upload.progress.spare.lock() = Some(Reservation::take_over_limit(
                    &uploading.account,
                    Carriage::Large,
                    PART_SIZE,
                ));
                upload.progress.failed.store(false, Ordering::Release);
                let left = (size - upload.received).min(PART_SIZE) as usize;
                assert_eq!(upload.push(&payload[..left]), Ok(left));
            }
            // Held up until it was seen.
            let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
            runtime.spawn(async move { held.recv().is_err() });
            upload.finish(Some((Arc::clone(&uploading.mailbox), 3)));
            // The task of several parts is gone already, and the message with it.
            let is_on_its_way = uploading.account.uploads.oldest().is_some();
            assert_eq!(is_on_its_way, size == PART_SIZE);
            drop(hold);
            let mut marks = Vec::new();
            until("its session never hears of it", || {
                uploading.mailbox.collect(Waker::noop(), &mut marks);
                !marks.is_empty()
            });
            assert_eq!(marks, [Mark { slot: 3, outcome: Outcome::Failed }]);
            let used = || uploading.account.share(Carriage::Large).used();
            until("its memory stays taken", || used() == 0);
            assert_eq!(uploading.account.uploads.oldest(), None);
            let totals = uploading.account.ledger.totals();
            assert_eq!((totals.failed, totals.in_flight), (1, 0));
        }
    }
}
