//! What a pool does with each raw record that it reads: the records that it makes of it, or why it makes none
//! yet.

use bridge::record::RecordBatch;

use crate::failure::Failure;
use crate::raw::Raw;

/// Turns raw records into others. Each pool's thread has one, and the thread for its large payloads another.
pub trait Work: Send + 'static {
    /// Appends to `out` what is to be written of the record, which is to be finished when all of it landed.
    fn work(&mut self, raw: &Raw<'_>, out: &mut RecordBatch<()>) -> Step;

    /// The same of a record that is [`Step::Large`], piece by piece; it may take its time.
    fn work_large(&mut self, raw: &Raw<'_>, emit: &mut Emit<'_>) -> Result<Step, Cancelled>;

    /// Appends what is to be written of a record that has failed, whatever its rule says: it is kept in the
    /// quarantine, `with_value` unless Kafka does not take it with that.
    fn refuse(
        &mut self,
        raw: &Raw<'_>,
        failure: &Failure,
        with_value: bool,
        out: &mut RecordBatch<()>,
    );
}

/// Takes a piece of what is to be written, and waits until there is room for it.
pub type Emit<'e> = dyn FnMut(RecordBatch<()>) -> Result<(), Cancelled> + 'e;

/// The message is somebody else's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

/// What a record needs.
#[derive(Debug)]
pub enum Step {
    /// All that is to be written of it was.
    Done,
    /// It takes a while, and is not for the pool's own thread: `work_large`.
    Large,
    /// It cannot be worked on now, for this reason; trying again helps.
    Hold(String),
    /// It has failed, and its partition stops until somebody decides.
    Stop(Failure),
}
