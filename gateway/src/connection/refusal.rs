//! What a client asks for and does not get, although it asks in good packets: for each refusal a label
//! for metrics, the codes of both versions and a sentence for people. What is no good packet is
//! `mqtt::Malformed`.

use crate::identity::Denied;
use crate::mqtt::{Version, reason};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    // Before there is a session.
    ConnectionLimit,
    NoConnect,
    /// There is no room for a CONNECT of that size while it arrives.
    ConnectMemory,
    ShuttingDown,
    AuthenticationMethod,
    ClientIdTooLong,
    /// 0x95 would call the CONNECT too large (v5 3.2.2.2).
    ConnackTooLarge,
    /// There is no room for what a session keeps of its CONNECT.
    ConnectKept,
    /// A still newer connection came, or the one that has the client id did not end in time.
    ClientIdContended,
    /// A client id that is bound to another identity.
    ClientIdForeign,
    /// Another identity is connected with the client id.
    ClientIdHeld,
    NoCredentials,
    /// None of its names is an identity.
    NamelessCertificate,
    WrongPassword,
    BadToken,
    /// By the HTTP service.
    DeniedByService,
    AuthenticationBusy,
    /// What knows whether the credentials are good does not answer.
    AuthenticationUnavailable,

    /// The will's topic is not one that the client may publish to.
    WillNotAuthorized,

    // In a session, or before.
    Retain,

    // In a session.
    /// It cannot be cut, and without it the client would wait for ever.
    AnswerTooLarge,
    /// There is no room for what the session keeps by now.
    SessionMemory,
    PacketIdInUse,
    ReceiveMaximum,
    TopicAlias,
    /// The session ends with the connection, whatever DISCONNECT asks for (v5 3.14.2.2.2).
    SessionExpiry,
    Auth,
    SubscriptionIdentifier,
    TooManyFilters,
    TooManyUnreleased,
    TooManyResends,
    /// By the admin port. Nothing keeps the client from coming back.
    EndedByOperator,
    /// A publish that the access rules do not allow, where a code cannot say so.
    NotAuthorized,
    /// The access rules changed, and it holds what it may not have any more.
    RightsChanged,
    /// The token, or whatever proved who the client is, was good until now.
    CredentialsExpired,
    /// What proved who the client is was taken away.
    CredentialsRevoked,
}

/// What is told of a refusal, and to whom.
struct Told {
    /// The value of the `reason` label.
    label: &'static str,
    /// MQTT 5's reason code.
    code: u8,
    /// The reason code whose return code a CONNACK of version 3 has, where that has one.
    v3: Option<u8>,
    sentence: &'static str,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 36] = [
        Refusal::ConnectionLimit,
        Refusal::NoConnect,
        Refusal::ConnectMemory,
        Refusal::ShuttingDown,
        Refusal::AuthenticationMethod,
        Refusal::ClientIdTooLong,
        Refusal::ConnackTooLarge,
        Refusal::ConnectKept,
        Refusal::ClientIdContended,
        Refusal::ClientIdForeign,
        Refusal::ClientIdHeld,
        Refusal::NoCredentials,
        Refusal::NamelessCertificate,
        Refusal::WrongPassword,
        Refusal::BadToken,
        Refusal::DeniedByService,
        Refusal::AuthenticationBusy,
        Refusal::AuthenticationUnavailable,
        Refusal::WillNotAuthorized,
        Refusal::Retain,
        Refusal::AnswerTooLarge,
        Refusal::SessionMemory,
        Refusal::PacketIdInUse,
        Refusal::ReceiveMaximum,
        Refusal::TopicAlias,
        Refusal::SessionExpiry,
        Refusal::Auth,
        Refusal::SubscriptionIdentifier,
        Refusal::TooManyFilters,
        Refusal::TooManyUnreleased,
        Refusal::TooManyResends,
        Refusal::EndedByOperator,
        Refusal::NotAuthorized,
        Refusal::RightsChanged,
        Refusal::CredentialsExpired,
        Refusal::CredentialsRevoked,
    ];

    const fn told(self) -> Told {
        const UNAVAILABLE: Option<u8> = Some(reason::SERVER_UNAVAILABLE);
        let (label, code, v3, sentence) = match self {
            Refusal::ConnectionLimit => (
                "connection_limit",
                reason::SERVER_BUSY,
                UNAVAILABLE,
                "the gateway has as many connections as it may",
            ),
            Refusal::NoConnect => {
                ("no_connect", reason::PROTOCOL_ERROR, None, "the first packet has to be CONNECT")
            }
            Refusal::ConnectMemory => (
                "connect_memory",
                reason::SERVER_UNAVAILABLE,
                None,
                "there is no room for a CONNECT of this size now: come again later",
            ),
            Refusal::ShuttingDown => {
                ("shutting_down", reason::SERVER_UNAVAILABLE, UNAVAILABLE, "the gateway shuts down")
            }
            Refusal::AuthenticationMethod => (
                "authentication_method",
                reason::BAD_AUTHENTICATION_METHOD,
                None,
                "enhanced authentication is not available",
            ),
            Refusal::ClientIdTooLong => (
                "client_id",
                reason::CLIENT_IDENTIFIER_NOT_VALID,
                Some(reason::CLIENT_IDENTIFIER_NOT_VALID),
                "the client id is longer than 1024 bytes",
            ),
            Refusal::ConnackTooLarge => (
                "answer_too_large",
                reason::IMPLEMENTATION_SPECIFIC,
                None,
                "the CONNACK is larger than your Maximum Packet Size",
            ),
            Refusal::ConnectKept => (
                "session_memory",
                reason::QUOTA_EXCEEDED,
                UNAVAILABLE,
                "too much is kept of CONNECT packets: fewer properties, or a smaller will",
            ),
            Refusal::ClientIdContended => (
                "taken_over",
                reason::SERVER_UNAVAILABLE,
                UNAVAILABLE,
                "another connection takes this client id",
            ),
            Refusal::ClientIdForeign => (
                "client_id_foreign",
                reason::CLIENT_IDENTIFIER_NOT_VALID,
                Some(reason::CLIENT_IDENTIFIER_NOT_VALID),
                "this client id is not yours: it has to be as the credentials say who you are",
            ),
            Refusal::ClientIdHeld => (
                "client_id_held",
                reason::CLIENT_IDENTIFIER_NOT_VALID,
                Some(reason::CLIENT_IDENTIFIER_NOT_VALID),
                "somebody else is connected with this client id",
            ),
            Refusal::NoCredentials => (
                "no_credentials",
                reason::NOT_AUTHORIZED,
                Some(reason::NOT_AUTHORIZED),
                "this listener asks for credentials, and none that it knows were sent",
            ),
            Refusal::NamelessCertificate => (
                "nameless_certificate",
                reason::NOT_AUTHORIZED,
                Some(reason::NOT_AUTHORIZED),
                "the certificate is good, and none of its names says who you are here",
            ),
            Refusal::WrongPassword => (
                "wrong_password",
                reason::BAD_USER_NAME_OR_PASSWORD,
                Some(reason::BAD_USER_NAME_OR_PASSWORD),
                "the user name or the password is wrong",
            ),
            Refusal::BadToken => (
                "bad_token",
                reason::BAD_USER_NAME_OR_PASSWORD,
                Some(reason::BAD_USER_NAME_OR_PASSWORD),
                "the token is not accepted: get a new one, for this audience",
            ),
            Refusal::DeniedByService => (
                "denied_by_service",
                reason::NOT_AUTHORIZED,
                Some(reason::NOT_AUTHORIZED),
                "whoever knows the clients of this listener does not let you in",
            ),
            Refusal::AuthenticationBusy => (
                "authentication_busy",
                reason::SERVER_BUSY,
                UNAVAILABLE,
                "too many wait for their credentials to be looked at: come again later",
            ),
            Refusal::AuthenticationUnavailable => (
                "authentication_unavailable",
                reason::SERVER_UNAVAILABLE,
                UNAVAILABLE,
                "the credentials cannot be looked at now: come again later",
            ),
            Refusal::WillNotAuthorized => (
                "not_authorized",
                reason::NOT_AUTHORIZED,
                Some(reason::NOT_AUTHORIZED),
                "you may not publish to the topic of your will",
            ),
            Refusal::Retain => (
                "retain",
                reason::RETAIN_NOT_SUPPORTED,
                None,
                "retained messages are not available",
            ),
            Refusal::AnswerTooLarge => (
                "answer_too_large",
                reason::PACKET_TOO_LARGE,
                None,
                "an answer is larger than your Maximum Packet Size",
            ),
            Refusal::SessionMemory => (
                "session_memory",
                reason::QUOTA_EXCEEDED,
                None,
                "too much is kept of this session: release QoS 2 messages, read what you are sent",
            ),
            Refusal::PacketIdInUse => (
                "packet_id_in_use",
                reason::PROTOCOL_ERROR,
                None,
                "the packet id belongs to another message that is not acknowledged",
            ),
            Refusal::ReceiveMaximum => (
                "receive_maximum_exceeded",
                reason::RECEIVE_MAXIMUM_EXCEEDED,
                None,
                "more messages wait for their acknowledgement than Receive Maximum allows",
            ),
            Refusal::TopicAlias => (
                "topic_alias",
                reason::TOPIC_ALIAS_INVALID,
                None,
                "topic aliases are not available: Topic Alias Maximum is 0",
            ),
            Refusal::SessionExpiry => (
                "session_expiry",
                reason::PROTOCOL_ERROR,
                None,
                "DISCONNECT asks for a session that CONNECT did not ask for",
            ),
            Refusal::Auth => (
                "auth",
                reason::PROTOCOL_ERROR,
                None,
                "AUTH without an authentication method in CONNECT",
            ),
            Refusal::SubscriptionIdentifier => (
                "subscription_identifier",
                reason::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                None,
                "subscription identifiers are not available",
            ),
            Refusal::TooManyFilters => (
                "filters",
                reason::QUOTA_EXCEEDED,
                None,
                "more than 500 topic filters in one packet: send them in several",
            ),
            Refusal::TooManyUnreleased => (
                "unreleased",
                reason::QUOTA_EXCEEDED,
                None,
                "too many QoS 2 messages were received and not released: send their PUBREL",
            ),
            Refusal::TooManyResends => (
                "resends",
                reason::QUOTA_EXCEEDED,
                None,
                "what is not acknowledged yet is sent again and again: wait for its answer",
            ),
            Refusal::EndedByOperator => (
                "ended_by_operator",
                reason::ADMINISTRATIVE_ACTION,
                None,
                "an operator ended this connection",
            ),
            Refusal::NotAuthorized => (
                "not_authorized",
                reason::NOT_AUTHORIZED,
                None,
                "you may not publish to this topic",
            ),
            Refusal::RightsChanged => (
                "rights_changed",
                reason::NOT_AUTHORIZED,
                None,
                "you may not have a subscription or the will that you have any more",
            ),
            Refusal::CredentialsExpired => (
                "credentials_expired",
                reason::NOT_AUTHORIZED,
                None,
                "the credentials have expired: come again with new ones",
            ),
            Refusal::CredentialsRevoked => (
                "credentials_revoked",
                reason::NOT_AUTHORIZED,
                None,
                "the credentials were taken away or changed",
            ),
        };
        Told { label, code, v3, sentence }
    }

    /// The value of the `reason` label: one of a fixed set. Some refusals share one.
    pub const fn label(self) -> &'static str {
        self.told().label
    }

    /// MQTT 5's reason code of the DISCONNECT.
    pub const fn code(self) -> u8 {
        self.told().code
    }

    /// The reason code of the CONNACK, as MQTT 5's; None where the version has none for it.
    pub const fn connack_code(self, version: Version) -> Option<u8> {
        match version {
            Version::V5 => Some(self.told().code),
            Version::V31 | Version::V311 => self.told().v3,
        }
    }

    /// It ends a session that its client did nothing against: an operator wants it, its proof is over, or the
    /// rules changed.
    pub const fn is_decided_by_others(self) -> bool {
        matches!(
            self,
            Refusal::EndedByOperator
                | Refusal::RightsChanged
                | Refusal::CredentialsExpired
                | Refusal::CredentialsRevoked
        )
    }

    /// What the client is told, where it can be told anything. Nothing in it is the client's.
    pub const fn sentence(self) -> &'static str {
        self.told().sentence
    }

    /// Counts a connection that ends by it.
    pub fn count(self) {
        let reason = self.label();
        ::metrics::counter!(crate::metrics::CONNECTIONS_CLOSED, "reason" => reason).increment(1);
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        match denied {
            Denied::NoEvidence => Refusal::NoCredentials,
            Denied::Nameless => Refusal::NamelessCertificate,
            Denied::WrongPassword => Refusal::WrongPassword,
            Denied::Token(_) => Refusal::BadToken,
            Denied::ByService => Refusal::DeniedByService,
            Denied::Busy => Refusal::AuthenticationBusy,
            Denied::Unavailable => Refusal::AuthenticationUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users' dashboards know them.
    #[test]
    fn labels_do_not_change() {
        let labels = Refusal::ALL.map(Refusal::label);
        let expected = [
            "connection_limit",
            "no_connect",
            "connect_memory",
            "shutting_down",
            "authentication_method",
            "client_id",
            "answer_too_large",
            "session_memory",
            "taken_over",
            "client_id_foreign",
            "client_id_held",
            "no_credentials",
            "nameless_certificate",
            "wrong_password",
            "bad_token",
            "denied_by_service",
            "authentication_busy",
            "authentication_unavailable",
            "not_authorized",
            "retain",
            "answer_too_large",
            "session_memory",
            "packet_id_in_use",
            "receive_maximum_exceeded",
            "topic_alias",
            "session_expiry",
            "auth",
            "subscription_identifier",
            "filters",
            "unreleased",
            "resends",
            "ended_by_operator",
            "not_authorized",
            "rights_changed",
            "credentials_expired",
            "credentials_revoked",
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn codes_are_failures_that_the_version_has() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place, "all of them are there, once");
            assert!(refusal.code() >= reason::UNSPECIFIED, "{refusal:?}");
            assert_eq!(refusal.connack_code(Version::V5), Some(refusal.code()));
            for version in [Version::V31, Version::V311] {
                let code = refusal.connack_code(version);
                let known = code.is_none_or(|code| reason::v3_connack(code).is_some());
                assert!(known, "{refusal:?} has no return code in version 3");
            }
            assert!(refusal.sentence().len() <= crate::mqtt::encode::REASON_STRING_MAX);
        }
    }
}
