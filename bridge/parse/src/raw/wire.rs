//! Where in an envelope's bytes its payload is, so that it need not be copied to be read. Pure.

use std::ops::Range;

/// The field of an inline payload, and that of a reference, which takes its place
/// (`proto/landfall/v1/envelope.proto`).
const INLINE: u64 = 30;
const REFERENCE: u64 = 31;
/// Bytes of the longest number.
const VARINT_MAX: usize = 10;

/// An inline payload within a message's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inline {
    /// With its name and its length.
    pub field: Range<usize>,
    pub payload: Range<usize>,
}

/// The inline payload, where there is one, once, and nothing that would take its place. What is no message is
/// for the decoder to refuse.
pub fn only_inline(message: &[u8]) -> Option<Inline> {
    let (mut found, mut at) = (None, 0);
    while at < message.len() {
        let start = at;
        let key = varint(message, &mut at)?;
        let payload = match key & 7 {
            0 => {
                varint(message, &mut at)?;
                at..at
            }
            1 => skip(message, &mut at, 8)?,
            2 => {
                let length = usize::try_from(varint(message, &mut at)?).ok()?;
                skip(message, &mut at, length)?
            }
            5 => skip(message, &mut at, 4)?,
            _ => return None,
        };
        match key >> 3 {
            INLINE if found.is_some() || key & 7 != 2 => return None,
            INLINE => found = Some(Inline { field: start..at, payload }),
            REFERENCE => return None,
            _ => {}
        }
    }
    found
}

fn skip(message: &[u8], at: &mut usize, length: usize) -> Option<Range<usize>> {
    let start = *at;
    let end = start.checked_add(length).filter(|end| *end <= message.len())?;
    *at = end;
    Some(start..end)
}

fn varint(message: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for (place, byte) in message[*at..].iter().take(VARINT_MAX).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * place as u32)?;
        if byte & 0x80 == 0 {
            *at += place + 1;
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use proto::v1::Envelope;
    use proto::v1::envelope::Payload;

    use super::*;

    /// Fields that matter here, others, and what is none.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..6);
        let field = |name: &'static [u8]| {
            bytes().prop_map(move |value| [name, &[value.len() as u8], &value].concat())
        };
        prop_oneof![
            4 => field(&[0xf2, 0x01]),
            1 => Just(vec![0xfa, 0x01, 0]),
            4 => field(&[0x0a]),
            1 => Just(vec![0xf0, 0x01, 7]),
            1 => bytes(),
        ]
    }

    proptest! {
        /// What is found is what the decoder takes for the payload, and without it the rest is the rest.
        #[test]
        fn the_payload_is_the_decoders(parts in prop::collection::vec(part(), 0..5)) {
            let bytes = parts.concat();
            if let (Some(inline), Ok(whole)) = (only_inline(&bytes), Envelope::decode(&bytes[..])) {
                let payload = Payload::Inline(bytes[inline.payload.clone()].to_vec().into());
                prop_assert_eq!(whole.payload.as_ref(), Some(&payload));
                let rest = [&bytes[..inline.field.start], &bytes[inline.field.end..]].concat();
                let rest = Envelope::decode(&rest[..]).expect("a part of a message is one");
                prop_assert_eq!(rest, Envelope { payload: None, ..whole });
            }
        }
    }
}
