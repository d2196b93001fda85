//! Which client ids an identity may have: so that a device can only be itself. Pure.

use super::NAME_MAX_BYTES;

/// What a client id has to do with the identity of who claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It is the identity.
    Equals,
    /// It is the identity, or begins with it and this separator, which is never empty: `dev10` is nothing
    /// of `dev1`. An identity with the separator in it has none: `dev1-a` would be two.
    BeginsWith(Box<str>),
    /// Nothing.
    Any,
}

/// The client id that is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The one that was asked for.
    AsAsked,
    /// This one, in place of an empty one.
    Assigned(String),
}

impl Binding {
    /// The client id for an identity that asks for this one, empty or not; None where it may not have it.
    /// `unique` makes a text that nobody else has.
    pub fn bind(
        &self,
        identity: &str,
        client_id: &str,
        unique: impl FnOnce() -> String,
    ) -> Option<Bound> {
        debug_assert!(identity.len() <= NAME_MAX_BYTES);
        match (self, client_id) {
            (Binding::BeginsWith(separator), _) if identity.contains(&**separator) => None,
            (Binding::Equals, "") => Some(Bound::Assigned(identity.to_owned())),
            (Binding::BeginsWith(separator), "") => {
                Some(Bound::Assigned(format!("{identity}{separator}{}", unique())))
            }
            (Binding::Any, "") => Some(Bound::Assigned(unique())),
            (Binding::Equals, _) => (client_id == identity).then_some(Bound::AsAsked),
            (Binding::BeginsWith(separator), _) => {
                let behind = client_id.strip_prefix(identity)?;
                (behind.is_empty() || behind.starts_with(&**separator)).then_some(Bound::AsAsked)
            }
            (Binding::Any, _) => Some(Bound::AsAsked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(binding: &Binding, client_id: &str) -> Option<Bound> {
        binding.bind("dev1", client_id, || "u".to_owned())
    }

    #[test]
    fn a_device_is_itself_and_nobody_else() {
        let begins = Binding::BeginsWith("-".into());
        for (client_id, equals, begins_with) in [
            ("dev1", true, true),
            ("dev1-a", false, true),
            ("dev1-", false, true),
            ("dev10", false, false),
            ("dev10-a", false, false),
            ("dev", false, false),
            ("-dev1", false, false),
            ("DEV1", false, false),
            ("dev1\u{301}", false, false),
            ("dev2", false, false),
            ("+", false, false),
            ("dev1/#", false, false),
        ] {
            let asked = |is| if is { Some(Bound::AsAsked) } else { None };
            assert_eq!(bind(&Binding::Equals, client_id), asked(equals), "{client_id}");
            assert_eq!(bind(&begins, client_id), asked(begins_with), "{client_id}");
            assert_eq!(
                begins.bind("dev1-a", client_id, || "u".to_owned()),
                None,
                "whose is dev1-a?"
            );
            assert_eq!(bind(&Binding::Any, client_id), Some(Bound::AsAsked));
        }
    }

    #[test]
    fn an_empty_client_id_becomes_one_of_its_own() {
        let assigned = |id: &str| Some(Bound::Assigned(id.to_owned()));
        assert_eq!(bind(&Binding::Equals, ""), assigned("dev1"));
        assert_eq!(bind(&Binding::BeginsWith(":".into()), ""), assigned("dev1:u"));
        assert_eq!(bind(&Binding::Any, ""), assigned("u"));
    }
}
