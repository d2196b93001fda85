//! A herd: very many connections that all come at once, fall away at once, and come back. One thread and one
//! epoll, so that it takes of the machine as little as it can.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::entry::{self, Entry};
use crate::idle;
use crate::report::percentile;
use crate::visit::{Failure, Step, Visit};

/// How long a device waits for its CONNACK before it tries again: longer than a broker should need.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first and the longest pause before another attempt; each is drawn from half of it up.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// Connections that begin between two looks at the sockets.
const BEGIN_AT_ONCE: usize = 256;
const EVENTS_MAX: usize = 1024;
const LOOK: Duration = Duration::from_millis(10);
/// Nothing takes longer than this in all.
const LIMIT: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    pub entry: entry::Options,
    #[arg(long)]
    pub connections: usize,
    /// How far this process stands back behind others, as the nice value has it: in earnest the devices have
    /// machines of their own
    #[arg(long, default_value_t = 0)]
    pub nice: i32,
    /// All fall away and come back each time that one of these files is there, one after the other
    #[arg(long)]
    pub when: Vec<PathBuf>,
}

/// One time that all came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HerdReport {
    pub served: usize,
    /// From when all wanted to come until the last was in.
    pub seconds: f64,
    /// Until each was in, attempts that failed included, in milliseconds.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Sessions that were resumed.
    pub resumed: usize,
    /// Attempts that came to nothing, by why.
    pub failed: BTreeMap<String, u64>,
}

/// Comes, waits for the files, and holds the connections until this process is ended from outside. Each time
/// that all are in, a report is printed.
pub fn run(options: &Options) -> Result<(), String> {
    if options.connections == 0 {
        return Err("connections start at 1".to_owned());
    }
    crate::stand_back(options.nice)?;
    let mut herd = Herd::new(options)?;
    let say = |report: &HerdReport| {
        idle::say(&serde_json::to_string(report).expect("numbers can be written as JSON"))
    };
    say(&herd.come()?)?;
    for file in &options.when {
        while !file.exists() {
            herd.hold(LOOK)?;
        }
        herd.fall_away();
        say(&herd.come()?)?;
    }
    loop {
        herd.hold(LIMIT)?;
    }
}

struct Herd {
    entry: Entry,
    clock: Clock,
    random: SmallRng,
    epoll: OwnedFd,
    events: Vec<Event>,
    members: Vec<Member>,
    /// What is to be done for whom, and when: another attempt, or a look whether one took too long.
    due: BinaryHeap<Reverse<(u64, usize, u32)>>,
}

struct Member {
    visit: Option<Box<Visit>>,
    is_in: bool,
    /// Attempts since all came; what was due for an earlier one is not due any more.
    attempt: u32,
}

impl Herd {
    fn new(options: &Options) -> Result<Herd, String> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|error| format!("there is no epoll: {error}"))?;
        let member = || Member { visit: None, is_in: false, attempt: 0 };
        Ok(Herd {
            entry: Entry::new(&options.entry).with_own_sessions(),
            clock: Clock::start(),
            random: SmallRng::seed_from_u64(1),
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            members: std::iter::repeat_with(member).take(options.connections).collect(),
            due: BinaryHeap::new(),
        })
    }

    /// All at once, without a goodbye.
    fn fall_away(&mut self) {
        for member in &mut self.members {
            member.visit = None;
            member.is_in = false;
        }
    }

    /// All come at once, each until it is in.
    fn come(&mut self) -> Result<HerdReport, String> {
        let begin = self.clock.now();
        self.due.clear();
        for (number, member) in self.members.iter_mut().enumerate() {
            member.attempt = 0;
            self.due.push(Reverse((begin, number, 0)));
        }
        let mut took_us = Vec::with_capacity(self.members.len());
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let mut resumed = 0;
        while took_us.len() < self.members.len() {
            let now = self.clock.now();
            if now - begin > LIMIT.as_nanos() as u64 {
                return Err(format!("after {LIMIT:?} only {} are in: {failed:?}", took_us.len()));
            }
            let mut ended = self.begin_what_is_due(now)?;
            self.wait(if ended.is_empty() { LOOK } else { Duration::ZERO })?;
            for at in 0..self.events.len() {
                let number = self.events[at].data.u64() as usize;
                ended.push((number, self.step(number)?));
            }
            let now = self.clock.now();
            for (number, step) in ended {
                match step {
                    Step::Going => {}
                    Step::In => {
                        took_us.push(((now - begin) / 1000) as u32);
                        resumed += usize::from(
                            self.members[number]
                                .visit
                                .as_ref()
                                .is_some_and(|visit| visit.resumed()),
                        );
                    }
                    Step::Failed(why) => {
                        *failed.entry(why.name().to_owned()).or_default() += 1;
                        self.again(number, now);
                    }
                }
            }
        }
        let seconds = (self.clock.now() - begin) as f64 / 1e9;
        took_us.sort_unstable();
        let at = |share| percentile(&took_us, share) / 1000.0;
        let (p50_ms, p99_ms, max_ms) = (at(0.5), at(0.99), at(1.0));
        Ok(HerdReport { served: took_us.len(), seconds, p50_ms, p99_ms, max_ms, resumed, failed })
    }

    /// Begins some of the attempts that are due, and ends those that took too long.
    fn begin_what_is_due(&mut self, now: u64) -> Result<Vec<(usize, Step)>, String> {
        let (mut late, mut begun) = (Vec::new(), 0);
        while begun < BEGIN_AT_ONCE
            && let Some(Reverse((at, ..))) = self.due.peek()
            && *at <= now
        {
            let Some(Reverse((_, number, attempt))) = self.due.pop() else { break };
            let member = &mut self.members[number];
            if member.is_in || member.attempt != attempt {
                continue;
            }
            if member.visit.is_some() {
                late.push((number, Step::Failed(Failure::Late)));
                continue;
            }
            let visit = Visit::begin(&self.entry, number, &format!("herd-{number}"))?;
            visit.watch(&self.epoll, number)?;
            member.visit = Some(Box::new(visit));
            self.due.push(Reverse((now + PATIENCE.as_nanos() as u64, number, attempt)));
            begun += 1;
        }
        Ok(late)
    }

    fn again(&mut self, number: usize, now: u64) {
        let member = &mut self.members[number];
        member.visit = None;
        member.attempt += 1;
        let longest = (BACKOFF_MIN * 2_u32.pow(member.attempt.min(8) - 1)).min(BACKOFF_MAX);
        let pause = longest.mul_f64(self.random.random_range(0.5..1.0));
        self.due.push(Reverse((now + pause.as_nanos() as u64, number, member.attempt)));
    }

    fn step(&mut self, number: usize) -> Result<Step, String> {
        let member = &mut self.members[number];
        let Some(visit) = &mut member.visit else { return Ok(Step::Going) };
        if member.is_in {
            return match visit.is_still_there() {
                true => Ok(Step::Going),
                false => Err(format!("connection {number} was closed after it was accepted")),
            };
        }
        let step = visit.step();
        member.is_in = step == Step::In;
        Ok(step)
    }

    fn wait(&mut self, wait: Duration) -> Result<(), String> {
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait))
            .map(drop)
            .map_err(|error| format!("epoll does not wait: {error}"))
    }

    /// Watches the connections for as long; an error when one is closed.
    fn hold(&mut self, wait: Duration) -> Result<(), String> {
        self.wait(wait)?;
        for at in 0..self.events.len() {
            self.step(self.events[at].data.u64() as usize)?;
        }
        Ok(())
    }
}
