//! The work of the metadata stream's own group: one record for each raw message of every lane, whatever
//! becomes of it when it is parsed.

use bridge::record::{RecordBatch, RecordBuf};

use crate::failure::Failure;
use crate::metadata::{self, Message};
use crate::parsing::lane_of;
use crate::plan::PoolLane;
use crate::raw::{Opened, Raw};
use crate::work::{Cancelled, Emit, Step, Work};

/// See the module.
pub struct Landings {
    topic: String,
    lanes: Vec<PoolLane>,
    record: RecordBuf,
    opened: Opened,
}

impl Landings {
    pub fn new(topic: &str, lanes: &[PoolLane]) -> Landings {
        Landings {
            topic: topic.to_owned(),
            lanes: lanes.to_vec(),
            record: RecordBuf::default(),
            opened: Opened::default(),
        }
    }
}

impl Work for Landings {
    fn work(&mut self, raw: &Raw<'_>, out: &mut RecordBatch<()>) -> Step {
        let is_one = raw.open(&mut self.opened).is_ok();
        let lane = lane_of(&self.lanes, raw.topic);
        let message = Message { lane, raw, opened: is_one.then_some(&self.opened) };
        metadata::landed(&self.topic, &message, &mut self.record);
        self.opened.let_go(raw.bytes());
        out.push(self.record.as_record(), ());
        Step::Done
    }

    fn work_large(&mut self, raw: &Raw<'_>, emit: &mut Emit<'_>) -> Result<Step, Cancelled> {
        let mut out = RecordBatch::default();
        let step = self.work(raw, &mut out);
        emit(out).map(|()| step)
    }

    /// Kafka takes nothing that says where it is: there is nothing smaller.
    fn refuse(&mut self, _: &Raw<'_>, _: &Failure, _: bool, _: &mut RecordBatch<()>) {}
}
