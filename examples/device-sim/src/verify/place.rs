//! A place in Kafka: the topic, the partition and the offset of a record.

use std::fmt;

use serde::Deserialize;

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl Place {
    /// `TOPIC/PARTITION/OFFSET`, as headers have it.
    pub fn parse(text: &str) -> Option<Place> {
        let mut parts = text.rsplitn(3, '/');
        let (offset, partition) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Place { topic: parts.next()?.to_owned(), partition, offset })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read() {
        let place = Place { topic: "landfall.fast".to_owned(), partition: 2, offset: 17 };
        assert_eq!(Place::parse("landfall.fast/2/17").as_ref(), Some(&place));
        assert_eq!(place.to_string(), "landfall.fast[2]@17");
        for text in ["", "landfall.fast", "landfall.fast/2", "landfall.fast/x/1"] {
            assert_eq!(Place::parse(text), None);
        }
    }
}
