//! The file of passwords: a line `NAME:HASH` for each, as mosquitto's tool and `landfall password` write
//! them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::hash::Hash;
use crate::identity::NAME_MAX_BYTES;

/// Largest file, in bytes.
pub const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Names in it.
const NAMES_MAX: usize = 100_000;
/// Faults of one file that are told.
const FAULTS_MAX: usize = 20;

/// By name.
pub type Hashes = HashMap<Box<str>, Arc<Hash>>;

/// Reads the file, or says what is wrong with it, line by line.
pub fn read(path: &Path) -> Result<Hashes, Vec<String>> {
    let path = path.display();
    let unreadable = |error| vec![format!("{path} cannot be read: {error}")];
    let mut bytes = Vec::new();
    File::open(path.to_string())
        .and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(vec![format!(
            "{path} has more than {FILE_MAX_BYTES} bytes: use http for so many"
        )]);
    }
    let text = String::from_utf8(bytes).map_err(|_| vec![format!("{path} is no UTF-8")])?;
    parse(&text).map_err(|faults| {
        let fault = |(line, text)| format!("{path}, line {line}: {text}");
        faults.into_iter().map(fault).collect()
    })
}

/// What the lines say, or what is wrong with which.
fn parse(text: &str) -> Result<Hashes, Vec<(usize, String)>> {
    let (mut hashes, mut faults) = (HashMap::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if faults.len() == FAULTS_MAX || hashes.len() == NAMES_MAX {
            let left =
                if hashes.len() == NAMES_MAX { "only so many names are read" } else { "and more" };
            faults.push((index + 1, left.to_owned()));
            break;
        }
        match entry(line) {
            Ok((name, hash)) => {
                if hashes.insert(name.into(), Arc::new(hash)).is_some() {
                    faults.push((index + 1, "the name stands above already".to_owned()));
                }
            }
            Err(fault) => faults.push((index + 1, fault)),
        }
    }
    if faults.is_empty() { Ok(hashes) } else { Err(faults) }
}

fn entry(line: &str) -> Result<(&str, Hash), String> {
    let (name, hash) = line.split_once(':').ok_or("there is no colon: write NAME:HASH")?;
    check_name(name)?;
    let hash = Hash::parse(hash.trim_end()).map_err(|error| error.to_string())?;
    Ok((name, hash))
}

/// Whether that may be the name of an identity in the file.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.len() > NAME_MAX_BYTES {
        return Err(format!("the name is longer than {NAME_MAX_BYTES} bytes"));
    }
    if name.contains(|one: char| one == ':' || one.is_control()) {
        return Err("the name has a colon or a control character".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$6$wNFOE5u4QeSRTErS$6rZclf8duo18CLqsh+fPEVO3yhbhvCmBS3HYFR2SsvMqNJsrbFav7JlzwxSTtZHO7i4mvC+0qB4gH5v5Qaso/Q==";

    #[test]
    fn names_comments_and_empty_lines_are_read() {
        let text = format!("# people\n\nann:{HASH}\r\nd\u{e9}v 2:{HASH}  \n   \n#x:y\n");
        let hashes = parse(&text).expect("it is good");
        let mut names: Vec<&str> = hashes.keys().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(names, ["ann", "d\u{e9}v 2"]);
        assert!(parse("").is_ok_and(|hashes| hashes.is_empty()));
    }

    #[test]
    fn every_fault_has_its_line_and_tells_no_password() {
        let text = format!("ann:{HASH}\nbob:hunter2\nann:{HASH}\ncarl\n:{HASH}\na\u{7}b:{HASH}\n");
        let faults = parse(&text).expect_err("it is not");
        let lines: Vec<usize> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
        assert!(faults[0].1.contains("landfall password"), "{faults:?}");
        assert!(!format!("{faults:?}").contains("hunter2"));
        let many = "x\n".repeat(1000);
        assert_eq!(parse(&many).expect_err("none is good").len(), FAULTS_MAX + 1);
    }
}
