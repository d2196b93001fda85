//! mosquitto's acl_file, whatever stands in it, asked about whatever a client is called and wants: it is read
//! or refused with its lines, and its answers keep to each other.

use gateway::access::acl_file::AclFile;
use gateway::access::{Source, Subject, Verdict};

/// The parts of an input, apart by this byte: the file, the client id, the user, the topic.
const APART: char = '\0';

/// Reads the file and asks it. Returns whether it was a good one.
pub fn ask(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let mut parts = text.split(APART);
    let [acl, client_id, user, topic] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let file = match AclFile::parse(acl) {
        Ok(file) => file,
        Err(faults) => {
            let lines = acl.split('\n').count() as u32;
            assert!(
                !faults.is_empty() && faults.iter().all(|fault| (1..=lines).contains(&fault.line))
            );
            return false;
        }
    };
    let user = Some(user).filter(|user| !user.is_empty());
    let subject =
        Subject { listener: "plain", client_id, identity: user, username: user, attributes: &[] };
    if !topic.is_empty() && !topic.contains(['+', '#']) {
        let written = file.publish(&subject, topic);
        is_of_a_line(acl, client_id, user, written);
        is_no_wider(&file, &subject, topic);
    }
    true
}

/// What is allowed, a line allows; and none with a place does so for who is called something with a wildcard.
fn is_of_a_line(acl: &str, client_id: &str, user: Option<&str>, verdict: Verdict) {
    let Verdict::Allowed(Source::Line(number)) = verdict else {
        assert!(!verdict.is_allowed(), "{verdict:?}");
        return;
    };
    let line = acl.split('\n').nth(number as usize - 1).expect("it is a line of the file");
    let line = line.trim_start_matches(' ');
    assert!(line.starts_with("topic") || line.starts_with("pattern"), "{line:?}");
    if line.starts_with("pattern") {
        let is_dangerous = |name: &str| name.contains(['+', '#']);
        assert!(!is_dangerous(client_id) && !user.is_some_and(is_dangerous), "{line:?}");
        let spans = line.contains("%c") && client_id.contains('/')
            || line.contains("%u") && user.is_none_or(|user| user.contains('/'));
        assert!(!spans, "{line:?}");
    }
}

/// A subscription that is granted brings nothing that could not be subscribed to by itself.
fn is_no_wider(file: &AclFile, subject: &Subject<'_>, topic: &str) {
    let alone = file.subscribe(subject, topic).is_allowed();
    let levels: Vec<&str> = topic.split('/').collect();
    for at in 0..levels.len() {
        let mut wider = levels.clone();
        wider[at] = "+";
        let plus = wider.join("/");
        let hash = [&levels[..at], &["#"]].concat().join("/");
        // A wildcard at the start leaves topics alone that begin with `$`.
        if at == 0 && topic.starts_with('$') {
            continue;
        }
        for filter in [plus, hash] {
            let granted = file.subscribe(subject, &filter).is_allowed();
            assert!(!granted || alone, "{filter:?} is granted, and {topic:?} is not");
        }
    }
}
