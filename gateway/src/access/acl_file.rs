//! mosquitto's `acl_file`, read as mosquitto reads it: who may read and write which topics. Pure.
//!
//! Its order: a user's own lines, of which those that deny come first; then the patterns, of which those that
//! deny come first again. So a user's line that allows is stronger than a pattern that denies. Lines before
//! the first `user` are for clients without a user name. A topic that starts with `$` needs a line that does.
//!
//! Landfall is stricter in three things. mosquitto grants every subscription and leaves out what may not be
//! read; Landfall refuses one that could bring what may not be read. What stands for `%c` and `%u` is one
//! level or part of one, and never spans more. A user name that nobody proved is none.

use std::collections::HashMap;
use std::fmt;

use bridge::topic::pattern::{Pattern, PatternError, Piece, Value};

use super::policy::{Index, Source, Subject, Verdict, value};

/// Largest file, in bytes.
pub const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Most lines that say something.
const LINES_MAX: usize = 100_000;
/// Faults that are told of one file.
const FAULTS_MAX: usize = 20;
/// The numbers of `%c` and `%u` as places of a pattern.
const CLIENT_ID: u8 = 0;
const USER: u8 = 1;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct AclFile {
    /// Of clients without a user name.
    nobody: Lines,
    users: HashMap<Box<str>, Lines>,
    patterns: Lines,
    /// Of the patterns.
    index: Index,
}

/// Lines that belong together.
#[derive(Clone, Debug, Default)]
struct Lines(Vec<Line>);

#[derive(Clone, Debug)]
struct Line {
    /// From 1.
    number: u32,
    right: Right,
    pattern: Pattern,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Deny,
    Read,
    Write,
    ReadWrite,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// From 1.
    pub line: u32,
    pub text: String,
}

impl fmt::Display for LineFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.text)
    }
}

/// What a line says.
enum Said<'a> {
    User(&'a str),
    Topic(Right, Pattern),
    Pattern(Right, Pattern),
}

impl AclFile {
    /// Reads a file's text: everything that it says, or what is wrong with it.
    pub fn parse(text: &str) -> Result<AclFile, Vec<LineFault>> {
        let mut file = AclFile::default();
        let (mut user, mut lines, mut faults) = (None, 0, Vec::new());
        for (number, line) in (1..).zip(text.split('\n')) {
            let said = match say(line) {
                Ok(None) => continue,
                Ok(Some(said)) => said,
                Err(text) => {
                    faults.push(LineFault { line: number, text });
                    if faults.len() == FAULTS_MAX {
                        break;
                    }
                    continue;
                }
            };
            lines += 1;
            if lines > LINES_MAX {
                let text = format!("there are more lines than the {LINES_MAX} that can be");
                faults.push(LineFault { line: number, text });
                break;
            }
            match said {
                Said::User(name) => user = Some(name),
                Said::Topic(right, pattern) => {
                    let lines = match user {
                        None => &mut file.nobody,
                        Some(user) => file.users.entry(user.into()).or_default(),
                    };
                    lines.0.push(Line { number, right, pattern });
                }
                Said::Pattern(right, pattern) => {
                    file.index.add(&pattern, file.patterns.0.len());
                    file.patterns.0.push(Line { number, right, pattern });
                }
            }
        }
        if faults.is_empty() { Ok(file) } else { Err(faults) }
    }

    /// Whether any line lets somebody do something.
    pub fn allows_anything(&self) -> bool {
        let lists = self.users.values().chain([&self.nobody, &self.patterns]);
        lists.flat_map(|list| &list.0).any(|line| line.right != Right::Deny)
    }

    /// Whether any line is about reading, in which Landfall is stricter.
    pub fn has_readers(&self) -> bool {
        let lists = self.users.values().chain([&self.nobody, &self.patterns]);
        lists.flat_map(|list| &list.0).any(|line| line.right.reads())
    }

    /// Patterns without a place, which are for everybody.
    pub fn plain_patterns(&self) -> impl Iterator<Item = u32> {
        self.patterns.0.iter().filter(|line| line.pattern.is_plain()).map(|line| line.number)
    }

    /// What is said of publishing to a topic.
    pub fn publish(&self, subject: &Subject<'_>, topic: &str) -> Verdict {
        let mut allowed = None;
        for line in &self.own(subject).0 {
            // What has no place is compared without one.
            if line.pattern.matches(topic, |_| Value::NOTHING) {
                match line.right {
                    Right::Deny => return Verdict::Forbidden(Source::Line(line.number)),
                    right if right.writes() => allowed = allowed.or(Some(line.number)),
                    _ => {}
                }
            }
        }
        if let Some(number) = allowed {
            return Verdict::Allowed(Source::Line(number));
        }
        if let Some(verdict) = self.dangerous(subject) {
            return verdict;
        }
        for line in self.index.candidates(topic).map(|at| &self.patterns.0[at]) {
            if line.pattern.is_plain() || line.pattern.matches(topic, values(subject, line.right)) {
                match line.right {
                    Right::Deny => return Verdict::Forbidden(Source::Line(line.number)),
                    right if right.writes() => {
                        allowed =
                            Some(allowed.map_or(line.number, |known: u32| known.min(line.number)));
                    }
                    _ => {}
                }
            }
        }
        allowed.map_or(Verdict::Nothing, |number| Verdict::Allowed(Source::Line(number)))
    }

    /// What is said of subscribing to a filter: whether all that it can match may be read.
    pub fn subscribe(&self, subject: &Subject<'_>, filter: &str) -> Verdict {
        let own = self.own(subject).subscribe(filter, |_| Box::new(|_| Value::NOTHING));
        if own != Verdict::Nothing {
            return own;
        }
        if let Some(verdict) = self.dangerous(subject) {
            return verdict;
        }
        self.patterns.subscribe(filter, |right| Box::new(values(subject, right)))
    }

    /// The lines of a client's user.
    fn own(&self, subject: &Subject<'_>) -> &Lines {
        const NO_LINES: &Lines = &Lines(Vec::new());
        match subject.username {
            None => &self.nobody,
            Some(user) => self.users.get(user).unwrap_or(NO_LINES),
        }
    }

    /// mosquitto holds nobody against its patterns whose names have wildcards in them. One with a slash would
    /// span levels there, which no pattern here does: where patterns deny, nobody gets around them by it.
    fn dangerous(&self, subject: &Subject<'_>) -> Option<Verdict> {
        let names = [Some(subject.client_id), subject.username].into_iter().flatten();
        let is_in_names = |what: &[char]| names.clone().any(|name| name.contains(what));
        let has_wildcard = is_in_names(&['+', '#']);
        if !has_wildcard && !is_in_names(&['/']) {
            return None;
        }
        let denies = self.patterns.0.iter().any(|line| line.right == Right::Deny);
        match (denies, has_wildcard) {
            (true, _) => Some(Verdict::Forbidden(Source::DangerousName)),
            (false, true) => Some(Verdict::Nothing),
            (false, false) => None,
        }
    }
}

/// What comes into the places of a pattern for somebody.
fn values<'s>(subject: &Subject<'s>, right: Right) -> impl Fn(u8) -> Value<'s> {
    let (client_id, user) = (subject.client_id, subject.username);
    move |number| {
        let text = if number == CLIENT_ID { Some(client_id) } else { user };
        value(text, right == Right::Deny)
    }
}

impl Lines {
    fn subscribe<'s>(
        &self,
        filter: &str,
        values: impl Fn(Right) -> Box<dyn Fn(u8) -> Value<'s> + 's>,
    ) -> Verdict {
        let mut verdict = Verdict::Nothing;
        for Line { number, right, pattern } in &self.0 {
            if *right == Right::Deny {
                if pattern.overlaps(filter, values(*right)) {
                    return Verdict::Forbidden(Source::Line(*number));
                }
            } else if right.reads()
                && verdict == Verdict::Nothing
                && pattern.contains(filter, values(*right))
            {
                verdict = Verdict::Allowed(Source::Line(*number));
            }
        }
        verdict
    }
}

impl Right {
    fn reads(self) -> bool {
        matches!(self, Right::Read | Right::ReadWrite)
    }

    fn writes(self) -> bool {
        matches!(self, Right::Write | Right::ReadWrite)
    }
}

/// What a line says; None where it says nothing. As mosquitto takes lines apart: words end at a space, and a
/// comment begins at the start of a line.
fn say(line: &str) -> Result<Option<Said<'_>>, String> {
    let line = line.trim_end_matches(|character: char| {
        character.is_ascii_whitespace() || character == '\u{b}'
    });
    if line.starts_with('#') {
        return Ok(None);
    }
    let line = line.trim_start_matches(' ');
    if line.is_empty() {
        return Ok(None);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_matches(' ');
    match word {
        "user" if rest.is_empty() => Err("there is no name behind `user`".to_owned()),
        "user" => Ok(Some(Said::User(rest))),
        "topic" => topic(rest, false).map(|(right, pattern)| Some(Said::Topic(right, pattern))),
        "pattern" => topic(rest, true).map(|(right, pattern)| Some(Said::Pattern(right, pattern))),
        _ => Err(format!(
            "{:?} is not known: write `user NAME`, `topic [read|write|readwrite|deny] FILTER` or `pattern …`, with spaces between; a comment begins with # at the start of its line",
            shown(word)
        )),
    }
}

/// What is behind `topic` or `pattern`.
fn topic(rest: &str, has_places: bool) -> Result<(Right, Pattern), String> {
    if rest.is_empty() {
        return Err("there is no topic filter".to_owned());
    }
    let (right, filter) = match rest.split_once(' ') {
        None => (Right::ReadWrite, rest),
        Some((word, filter)) => {
            let right = match word {
                "read" => Right::Read,
                "write" => Right::Write,
                "readwrite" => Right::ReadWrite,
                "deny" => Right::Deny,
                _ => {
                    return Err(format!(
                        "{:?} is no right: write read, write, readwrite or deny; a filter with spaces needs one before it",
                        shown(word)
                    ));
                }
            };
            (right, filter.trim_start_matches(' '))
        }
    };
    let pattern = if has_places { places(filter) } else { Pattern::new([Piece::Text(filter)]) };
    let pattern = pattern.map_err(|error| format!("{:?}: {error}", shown(filter)))?;
    Ok((right, pattern))
}

/// A filter in which `%c` and `%u` are places.
fn places(filter: &str) -> Result<Pattern, PatternError> {
    let (mut pieces, mut rest) = (Vec::new(), filter);
    while let Some(at) = rest.find("%c").into_iter().chain(rest.find("%u")).min() {
        let number = if rest[at..].starts_with("%c") { CLIENT_ID } else { USER };
        pieces.extend([Piece::Text(&rest[..at]), Piece::Value(number)]);
        rest = &rest[at + 2..];
    }
    pieces.push(Piece::Text(rest));
    Pattern::new(pieces)
}

/// As much of a faulty text as an error tells.
fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of mosquitto's own manual, with what its users add.
    const FILE: &str = "\
# This affects access control for clients with no username.
topic read $SYS/#
topic open/#

user roger
topic foo/bar
topic readwrite rooms/+/light
topic deny rooms/cellar/light
topic write  with a space/x

user dashboard
topic read devices/#
topic deny devices/secret/#
user roger
topic read late/#

# This affects all clients.
pattern write $SYS/broker/connection/%c/state
pattern write devices/%u/#
pattern read commands/dev-%c-%u/+
pattern deny devices/+/forbidden
";

    fn file(text: &str) -> AclFile {
        AclFile::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    fn subject<'a>(user: Option<&'a str>, client_id: &'a str) -> Subject<'a> {
        Subject { listener: "plain", client_id, identity: user, username: user, attributes: &[] }
    }

    fn line(number: u32) -> Verdict {
        Verdict::Allowed(Source::Line(number))
    }

    fn denied(number: u32) -> Verdict {
        Verdict::Forbidden(Source::Line(number))
    }

    #[test]
    fn publishing_is_as_mosquitto_has_it() {
        let file = file(FILE);
        for (user, client_id, topic, expected) in [
            (None, "c", "open/a", line(3)),
            (None, "c", "open", line(3)),
            (None, "c", "$SYS/a", Verdict::Nothing),
            (None, "c", "foo/bar", Verdict::Nothing),
            // Lines before the first user are for nobody else.
            (Some("roger"), "c", "open/a", Verdict::Nothing),
            (Some("roger"), "c", "foo/bar", line(6)),
            (Some("roger"), "c", "rooms/attic/light", line(7)),
            (Some("roger"), "c", "rooms/cellar/light", denied(8)),
            (Some("roger"), "c", "with a space/x", line(9)),
            (Some("roger"), "c", "late/a", Verdict::Nothing),
            (Some("dashboard"), "c", "devices/a", Verdict::Nothing),
            (Some("stranger"), "c", "foo/bar", Verdict::Nothing),
            // Patterns are for everybody.
            (Some("roger"), "c", "devices/roger/x", line(19)),
            (Some("roger"), "c", "devices/other/x", Verdict::Nothing),
            (None, "c", "devices//x", Verdict::Nothing),
            (None, "c", "$SYS/broker/connection/c/state", line(18)),
            (None, "d", "$SYS/broker/connection/c/state", Verdict::Nothing),
            (Some("roger"), "c", "devices/roger/forbidden", denied(21)),
            // A user's own line is stronger than a pattern.
            (Some("roger"), "c", "devices/roger", line(19)),
        ] {
            let verdict = file.publish(&subject(user, client_id), topic);
            assert_eq!(verdict, expected, "{user:?} as {client_id} to {topic}");
        }
    }

    #[test]
    fn a_users_line_beats_a_pattern_and_who_denies_comes_first() {
        let file = file(
            "pattern deny a/%u\npattern write a/+\nuser u\ntopic write a/u\ntopic deny a/b\ntopic write a/b\n",
        );
        let u = subject(Some("u"), "c");
        assert_eq!(file.publish(&u, "a/u"), line(4));
        assert_eq!(file.publish(&u, "a/b"), denied(5));
        assert_eq!(file.publish(&subject(Some("v"), "c"), "a/v"), denied(1));
        assert_eq!(file.publish(&subject(Some("v"), "c"), "a/u"), line(2));
        assert_eq!(file.subscribe(&subject(Some("v"), "c"), "a/+"), denied(1));
    }

    #[test]
    fn a_subscription_may_bring_nothing_that_may_not_be_read() {
        let file = file(FILE);
        let dashboard = subject(Some("dashboard"), "c");
        assert_eq!(file.subscribe(&dashboard, "devices/open/#"), line(12));
        assert_eq!(file.subscribe(&dashboard, "devices/#"), denied(13), "mosquitto grants it");
        assert_eq!(file.subscribe(&dashboard, "#"), denied(13));
        assert_eq!(file.subscribe(&dashboard, "other/#"), Verdict::Nothing);
        let roger = subject(Some("roger"), "c");
        assert_eq!(file.subscribe(&roger, "commands/dev-c-roger/x"), line(20));
        assert_eq!(file.subscribe(&roger, "commands/dev-c-roger/+"), line(20));
        assert_eq!(file.subscribe(&roger, "commands/+/x"), Verdict::Nothing);
        assert_eq!(
            file.subscribe(&roger, "devices/roger/x"),
            Verdict::Nothing,
            "it is for writing"
        );
        assert_eq!(file.subscribe(&roger, "late/+"), line(15), "a user may come twice");
        assert_eq!(file.subscribe(&subject(None, "c"), "$SYS/#"), line(2));
        assert_eq!(file.subscribe(&subject(None, "c"), "#"), denied(21));
    }

    /// CVE-2017-7650.
    #[test]
    fn names_with_wildcards_widen_no_pattern() {
        let allowing = file("pattern readwrite devices/%u/%c/#\npattern readwrite open/#\n");
        let denying = file("pattern readwrite #\npattern deny secret/%c\n");
        for name in ["+", "#", "a+", "+/a", "#a"] {
            for subject in [subject(Some(name), "c"), subject(Some("u"), name)] {
                for topic in ["devices/u/c/x", "devices/+/c", "open/a"] {
                    assert_eq!(
                        allowing.publish(&subject, topic),
                        Verdict::Nothing,
                        "{name} {topic}"
                    );
                }
                assert_eq!(
                    allowing.subscribe(&subject, "devices/+/+/#"),
                    Verdict::Nothing,
                    "{name}"
                );
                let dangerous = Verdict::Forbidden(Source::DangerousName);
                assert_eq!(denying.publish(&subject, "secret/c"), dangerous, "{name}");
                assert_eq!(denying.subscribe(&subject, "open"), dangerous, "{name}");
            }
        }
        let spanning = subject(Some("u"), "a/b");
        assert_eq!(allowing.publish(&spanning, "devices/u/a/b"), Verdict::Nothing);
        assert_eq!(allowing.publish(&spanning, "open/a"), line(2));
        let dangerous = Verdict::Forbidden(Source::DangerousName);
        for topic in ["secret/a", "secret/a/b", "open"] {
            assert_eq!(denying.publish(&spanning, topic), dangerous, "no way around by a name");
        }
        assert_eq!(denying.subscribe(&spanning, "open"), dangerous);
    }

    #[test]
    fn faults_are_told_with_their_lines() {
        let text = "topic\n  # no comment\nuser\ntopic write a/#/b\ntopic may a\ntopic\tread a\n\npattern read +%c\nuser  ok \nTOPIC a\n";
        let faults = AclFile::parse(text).expect_err("there are faults");
        let lines: Vec<u32> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 8, 10], "{faults:?}");
        assert!(faults[4].to_string().starts_with("line 5: \"may\" is no right"), "{}", faults[4]);
        let many = "x\n".repeat(1_000);
        assert_eq!(AclFile::parse(&many).expect_err("there are faults").len(), FAULTS_MAX);
        let long = "topic a\n".repeat(LINES_MAX + 1);
        let faults = AclFile::parse(&long).expect_err("there are too many");
        assert_eq!(faults[0].line as usize, LINES_MAX + 1);
        // What editors of other systems leave behind is nothing.
        let crlf = file("user a\r\ntopic write b \r\n\r\n");
        assert_eq!(crlf.publish(&subject(Some("a"), "c"), "b"), line(2));
    }

    #[test]
    fn what_check_wants_to_know_of_it() {
        let all = file(FILE);
        assert!(all.allows_anything() && all.has_readers());
        assert_eq!(all.plain_patterns().collect::<Vec<_>>(), [21]);
        let nothing = file("user a\ntopic deny b\n");
        assert!(!nothing.allows_anything() && !nothing.has_readers());
    }
}
