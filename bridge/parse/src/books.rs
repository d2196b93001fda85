//! What a pool counts of the messages that it parses. Handles are made once: a look-up by labels costs more
//! than parsing a short message.

use std::collections::BTreeMap;

use metrics::{Counter, counter};

use crate::failure::{Dirt, Reason};
use crate::metadata::Became;
use crate::metrics as names;
use crate::plan::Plan;

/// See the module.
pub struct Books {
    /// By the place of their rule.
    rules: Vec<ParserBooks>,
    /// Of messages that no parser took.
    nobody: ParserBooks,
}

/// What is counted of one parser's messages.
pub struct ParserBooks {
    parser: String,
    messages: [Counter; Became::LABELS.len()],
    events: Counter,
    skipped_records: Counter,
    mark: Counter,
    zeros: Counter,
    /// Made when they are needed: most reasons never are.
    failures: BTreeMap<&'static str, Counter>,
}

impl Books {
    pub fn new(pool: &str, plan: &Plan) -> Books {
        let rules = plan.rules.iter().map(|rule| ParserBooks::new(pool, &rule.parser.name));
        Books { rules: rules.collect(), nobody: ParserBooks::new(pool, "") }
    }

    /// The books of the parser of this rule.
    pub fn of(&mut self, rule: Option<usize>) -> &mut ParserBooks {
        match rule {
            Some(rule) => &mut self.rules[rule],
            None => &mut self.nobody,
        }
    }
}

impl ParserBooks {
    fn new(pool: &str, parser: &str) -> ParserBooks {
        let labels = || [("pool", pool.to_owned()), ("parser", parser.to_owned())];
        let own = [("parser", parser.to_owned())];
        let dirt = |what| counter!(names::DIRT, "parser" => parser.to_owned(), "dirt" => what);
        ParserBooks {
            parser: parser.to_owned(),
            messages: Became::LABELS.map(|outcome| {
                let [pool, parser] = labels();
                counter!(names::MESSAGES, &[pool, parser, ("outcome", outcome.to_owned())])
            }),
            events: counter!(names::EVENTS, &labels()),
            skipped_records: counter!(names::SKIPPED_RECORDS, &own),
            mark: dirt("mark"),
            zeros: dirt("zeros"),
            failures: BTreeMap::new(),
        }
    }

    /// Counts what became of a message.
    pub fn count(&mut self, became: Became) {
        let label = became.label();
        let place = Became::LABELS.iter().position(|known| *known == label);
        self.messages[place.expect("every outcome has its label there")].increment(1);
        if let Became::Events { events, skipped } = became {
            self.events.increment(events);
            self.skipped_records.increment(skipped);
        }
    }

    pub fn count_dirt(&mut self, dirt: Dirt) {
        self.mark.increment(dirt.mark.into());
        self.zeros.increment(dirt.zeros.into());
    }

    pub fn count_failure(&mut self, reason: Reason) {
        let (label, parser) = (reason.label(), &self.parser);
        let made = || counter!(names::FAILURES, "parser" => parser.clone(), "reason" => label);
        self.failures.entry(label).or_insert_with(made).increment(1);
    }
}
