//! Certificates that are known one by one: of them no chain, version, time or extension is asked, only
//! that the client has the key.

use std::collections::HashMap;

use crate::net::certificate::Fingerprint;

/// The longest file, in bytes, and most certificates in it.
pub const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
const PINS_MAX: usize = 1_000_000;

/// By fingerprint, as whom a client enters.
#[derive(Debug, Default)]
pub struct Pins(HashMap<Fingerprint, Box<str>>);

impl Pins {
    /// Of lines `SHA256 IDENTITY`; what is wrong with them otherwise, line by line.
    pub fn parse(text: &str) -> Result<Pins, Vec<String>> {
        let mut pins = HashMap::new();
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let (digits, identity) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let Some(fingerprint) = fingerprint(digits) else {
                faults.push(format!("line {number} does not begin with 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them"));
                continue;
            };
            let identity = identity.trim();
            if !super::names::is_identity(identity) {
                faults.push(format!("line {number} has no identity: write the fingerprint, a space and the device's name"));
            } else if pins.insert(fingerprint, identity.into()).is_some() {
                faults.push(format!("line {number} has a fingerprint that stands there already"));
            }
        }
        if pins.len() > PINS_MAX {
            faults.push(format!("has {} certificates; at most {PINS_MAX} are taken", pins.len()));
        }
        if faults.is_empty() { Ok(Pins(pins)) } else { Err(faults) }
    }

    pub fn identity(&self, fingerprint: &Fingerprint) -> Option<&str> {
        self.0.get(fingerprint).map(|identity| &**identity)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// With or without colons.
fn fingerprint(text: &str) -> Option<Fingerprint> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| *character != ':')
        .map(|character| character.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    (digits.len() == 64).then(|| bytes.try_into().expect("it has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_certificate_and_its_identity() {
        let colons = ["0F"; 32].join(":");
        let text = format!("# devices\n{} m-1\n\n  {colons}\tthe device, 2 \n", "ab".repeat(32));
        let pins = Pins::parse(&text).expect("it is right");
        assert_eq!(pins.identity(&[0xab; 32]), Some("m-1"));
        assert_eq!(pins.identity(&[0x0f; 32]), Some("the device, 2"));
        assert_eq!(pins.identity(&[0; 32]), None);
        assert!(!pins.is_empty() && Pins::parse("").expect("it is right").is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let (good, other) = ("ab".repeat(32), "cd".repeat(32));
        for (text, expected) in [
            (format!("{good} a\n{good} b"), "line 2 has a fingerprint"),
            (format!("\n{other}"), "line 2 has no identity"),
            (format!("{} a", &good[1..]), "line 1 does not begin"),
            ("zz a".to_owned(), "line 1 does not begin"),
            (format!("{good} a\u{7}b"), "line 1 has no identity"),
        ] {
            let faults = Pins::parse(&text).expect_err("it is wrong");
            assert!(faults[0].starts_with(expected), "{faults:?}");
        }
    }
}
