//! What a record has to hold: the payload of a message that was sent, byte for byte, in it or in the object that it
//! names.

use std::collections::HashMap;

use super::case::{Case, id, place};
use super::object::Object;
use super::verdict::Kind;
use crate::books::Sha256;
use crate::landed::Landed;

/// Gives each record its message, and finds records that nobody's messages are in, and those whose content is not what
/// was sent.
pub(super) fn identify(case: &mut Case<'_>, open: &dyn Fn(&str) -> Result<Object, String>) {
    let by_hash: HashMap<Sha256, usize> = case
        .messages
        .iter()
        .enumerate()
        .map(|(index, sent)| (sent.message.sha256, index))
        .collect();
    for at in 0..case.records.len() {
        let landed = case.records[at].landed;
        let object = landed.uri.as_deref().map(open);
        let head = match &object {
            Some(Ok(object)) => Some(object.head.as_str()),
            _ => landed.head.as_deref(),
        };
        // A dead letter may have had no room for its payload, and an object may be gone: their hashes are left.
        let named = head.and_then(named).and_then(|(device, seq)| case.find(device, seq));
        let found = named.or_else(|| by_hash.get(&landed.sha256?).copied());
        case.records[at].message = found;
        let Some(index) = found else {
            case.finds(Kind::Foreign, || foreign(landed, head, &object));
            continue;
        };
        let sent = &case.messages[index];
        let is_whole = |size: u64, hash: Option<Sha256>| {
            size == sent.message.size as u64 && hash == Some(sent.message.sha256)
        };
        let mut faults = Vec::new();
        if !is_whole(landed.size, landed.sha256) {
            let (size, hash) = (landed.size, hash(landed.sha256));
            faults.push((Kind::Changed, format!("says {size} bytes, {hash}")));
        }
        match &object {
            Some(Err(why)) => {
                faults.push((Kind::Unresolved, format!("refers to {}: {why}", uri(landed))));
            }
            Some(Ok(Object { size, sha256, .. })) if !is_whole(*size, Some(*sha256)) => {
                let what = format!("refers to {} of {size} bytes, {sha256}", uri(landed));
                faults.push((Kind::Changed, what));
            }
            _ => {}
        }
        if faults.is_empty() {
            continue;
        }
        let told = sent.tell();
        for (kind, what) in faults {
            case.finds(kind, || format!("{told}: {} {what}", place(landed)));
        }
    }
}

/// Whose payload begins so: `DEVICE SEQ SIZE`.
fn named(head: &str) -> Option<(&str, u64)> {
    let mut words = head.split(' ');
    let named = (words.next()?, words.next()?.parse().ok()?);
    words.next()?.parse::<u64>().ok()?;
    words.next().is_none().then_some(named)
}

fn foreign(landed: &Landed, head: Option<&str>, object: &Option<Result<Object, String>>) -> String {
    let why = match object {
        Some(Err(why)) => format!(", whose object {} cannot be read: {why}", uri(landed)),
        _ => String::new(),
    };
    let head = head.unwrap_or("nothing to read");
    format!(
        "{} ({}): {} bytes, {}, beginning with {head:?}{why}",
        place(landed),
        id(landed),
        landed.size,
        hash(landed.sha256)
    )
}

fn uri(landed: &Landed) -> &str {
    landed.uri.as_deref().unwrap_or("no object")
}

fn hash(sha256: Option<Sha256>) -> String {
    sha256.map_or_else(|| "no hash".to_owned(), |sha256| sha256.to_string())
}
