//! What a program may use up. jaq has no such limits of its own; it asks for its table of terms once for
//! each term that it evaluates, and that is where steps are counted.

use std::cell::Cell;
use std::panic;

use jaq_core::data::HasLut;
use jaq_core::{DataT, Lut};
use jaq_json::Val;

/// Limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Terms evaluated, and what functions count beside them.
    pub steps: u64,
    /// Bytes of a text, or elements of a list, that an operator may make.
    pub size: usize,
    /// Levels of what a program makes.
    pub depth: usize,
}

/// Bytes of stack that a program may take: a thread of the standard library's size has twice that.
const STACK_MAX: usize = 1024 * 1024;

/// Steps that a message has for each of its bytes, beside those of one document: a program takes some for each
/// value, and no stranger can have it take all of them again in each of a million lines.
const STEPS_OF_BYTE: u64 = 100;

/// Steps that are left for the documents of one message.
#[derive(Debug, Default)]
pub struct Rest(u64);

impl Rest {
    /// Of a message of so many bytes, each of whose documents may take so many steps.
    pub fn new(steps: u64, bytes: usize) -> Rest {
        Rest(steps.saturating_add((bytes as u64).saturating_mul(STEPS_OF_BYTE)))
    }

    /// What a run may take.
    pub fn budget(&self, allowance: Allowance) -> Budget {
        let is_rest = self.0 < allowance.steps;
        let steps = allowance.steps.min(self.0);
        Budget {
            left: Cell::new(steps),
            stack_from: stack(),
            is_rest,
            allowance: Allowance { steps, ..allowance },
        }
    }

    /// A run has ended.
    pub fn took(&mut self, budget: &Budget) {
        self.0 -= budget.allowance.steps - budget.left.get();
    }
}

/// The budget of one run.
pub struct Budget {
    left: Cell<u64>,
    /// It is less than a document may take, because others of the message took the rest.
    is_rest: bool,
    stack_from: usize,
    pub allowance: Allowance,
}

/// Which limit was passed: what is thrown.
#[derive(Clone, Copy, Debug)]
pub enum Exhausted {
    Steps,
    Stack,
    Size,
    Depth,
}

impl Exhausted {
    pub fn sentence(self, budget: &Budget) -> String {
        let allowance = budget.allowance;
        match self {
            Exhausted::Steps if budget.is_rest => {
                format!(
                    "the message has no more steps left: it has {STEPS_OF_BYTE} for each byte beside those of one document"
                )
            }
            Exhausted::Steps => format!("the program took more than {} steps", allowance.steps),
            Exhausted::Stack => "the program calls itself too deeply".to_owned(),
            Exhausted::Size => {
                format!("the program made something larger than {}", allowance.size)
            }
            Exhausted::Depth => {
                format!("the program made something nested deeper than {}", allowance.depth)
            }
        }
    }
}

impl Budget {
    pub fn take(&self, steps: u64) {
        match self.left.get().checked_sub(steps) {
            Some(left) => self.left.set(left),
            None => {
                self.left.set(0);
                self.end(Exhausted::Steps)
            }
        }
    }

    /// Asks before something of this size is made; it costs a step for each KiB.
    pub fn make(&self, size: usize) {
        if size > self.allowance.size {
            self.end(Exhausted::Size);
        }
        self.take(size as u64 / 1024);
    }

    /// Unwinds the run, as [`panic::resume_unwind`] does, without a panic's hook.
    pub fn end(&self, exhausted: Exhausted) -> ! {
        panic::resume_unwind(Box::new(exhausted))
    }

    fn step(&self) {
        self.take(1);
        if self.stack_from.abs_diff(stack()) > STACK_MAX {
            self.end(Exhausted::Stack);
        }
    }
}

/// About where the stack's end is now.
#[inline(never)]
fn stack() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// Values of jaq, with a budget beside them.
pub struct Language;

#[derive(Clone)]
pub struct Data<'a> {
    pub lut: &'a Lut<Language>,
    pub budget: &'a Budget,
}

impl DataT for Language {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

impl<'a> HasLut<'a, Language> for Data<'a> {
    fn lut(&self) -> &'a Lut<Language> {
        self.budget.step();
        self.lut
    }
}
