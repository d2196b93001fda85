//! What an answer of an object store means for the request that got it: one table of the errors of S3
//! and of the stores that speak like it.
//!
//! Retries live in one layer, in `request.rs`; object_store itself tries nothing again.

use object_store::client::HttpErrorKind;

use crate::text::escape;

/// What to do about a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It may work in a moment: the same request again, after a pause that grows.
    Again,
    /// The store takes nothing of anybody while it stands like this, and no device is at fault: wait
    /// until it is asked in vain no more.
    Wait,
    /// What was sent of this upload is gone or of no use: it has to begin anew, with the device.
    Anew,
    /// This object can never be stored, here or at another try.
    Never,
}

/// A store's answer, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// The error's name in the store's own words; empty where it gave none.
    pub code: String,
    /// The error's sentence; empty where there is none.
    pub message: String,
    /// The region in which the bucket is, where the store said so.
    pub region: String,
}

/// A request that failed: what to do, and why it failed for those who have to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub reaction: Reaction,
    pub reason: String,
}

struct Row {
    status: u16,
    /// Empty: whatever the status comes with.
    code: &'static str,
    reaction: Reaction,
    /// What to write or mend; empty where there is nothing to do.
    advice: &'static str,
}

const fn row(status: u16, code: &'static str, reaction: Reaction, advice: &'static str) -> Row {
    Row { status, code, reaction, advice }
}

const RIGHTS: &str =
    "the store's user needs the rights to put objects, to get them and to abort uploads";
const KEYS: &str = "look at access_key_id and secret_access_key, or at where they come from";
const ELSEWHERE: &str = "the bucket is in another region: mend region and endpoint";
const BUCKET: &str = "create the bucket, or mend object_store.url";
const CLOCK: &str = "the clocks of the gateway and of the store differ: mend the gateway's";
const UNKNOWN: &str = "the store does not take requests of this form: see object_store.options";

/// Every error that a write or a look may get. The name decides, whatever its status is (S3 sends errors
/// with status 200 too); the status decides where the name is not known.
const REACTIONS: &[Row] = &[
    // What passes by itself.
    row(400, "RequestTimeout", Reaction::Again, ""),
    row(400, "IncompleteBody", Reaction::Again, ""),
    row(400, "BadDigest", Reaction::Again, ""),
    row(400, "InvalidDigest", Reaction::Again, ""),
    row(400, "Md5Mismatch", Reaction::Again, ""),
    row(400, "XAmzContentSHA256Mismatch", Reaction::Again, ""),
    row(403, "RequestExpired", Reaction::Again, ""),
    row(408, "", Reaction::Again, ""),
    row(409, "OperationAborted", Reaction::Again, ""),
    row(409, "ConditionalRequestConflict", Reaction::Again, ""),
    row(409, "", Reaction::Again, ""),
    row(425, "", Reaction::Again, ""),
    row(429, "", Reaction::Again, "the store throttles: spread the load, or raise its limits"),
    row(500, "InternalError", Reaction::Again, ""),
    row(500, "OperationTimedOut", Reaction::Again, ""),
    row(500, "", Reaction::Again, ""),
    row(502, "", Reaction::Again, ""),
    row(
        503,
        "SlowDown",
        Reaction::Again,
        "the store throttles: spread the load, or raise its limits",
    ),
    row(503, "ServiceUnavailable", Reaction::Again, ""),
    row(503, "ServerBusy", Reaction::Again, ""),
    row(503, "", Reaction::Again, ""),
    row(504, "", Reaction::Again, ""),
    row(507, "XMinioStorageFull", Reaction::Again, "the store is full"),
    row(507, "", Reaction::Again, "the store is full"),
    // What somebody has to mend, and meanwhile the store takes what is smaller: the device that sends it
    // again at once would be told the same.
    row(400, "EntityTooLarge", Reaction::Again, "raise the size that the store takes"),
    row(413, "", Reaction::Again, "raise the size that the store, or a proxy before it, takes"),
    // What somebody has to mend.
    row(301, "PermanentRedirect", Reaction::Wait, ELSEWHERE),
    row(301, "", Reaction::Wait, ELSEWHERE),
    row(302, "", Reaction::Wait, ELSEWHERE),
    row(307, "TemporaryRedirect", Reaction::Wait, ELSEWHERE),
    row(307, "", Reaction::Wait, ELSEWHERE),
    row(308, "", Reaction::Wait, ELSEWHERE),
    row(400, "AuthorizationHeaderMalformed", Reaction::Wait, ELSEWHERE),
    row(400, "IllegalLocationConstraintException", Reaction::Wait, ELSEWHERE),
    row(400, "ExpiredToken", Reaction::Wait, "the credentials have expired: renew them"),
    row(400, "InvalidToken", Reaction::Wait, KEYS),
    row(400, "TokenRefreshRequired", Reaction::Wait, "the credentials have expired: renew them"),
    row(400, "InvalidBucketName", Reaction::Wait, BUCKET),
    row(400, "KeyTooLongError", Reaction::Wait, "shorten the prefix in object_store.url"),
    row(400, "InvalidRequest", Reaction::Wait, UNKNOWN),
    row(400, "InvalidArgument", Reaction::Wait, UNKNOWN),
    row(400, "", Reaction::Wait, UNKNOWN),
    row(401, "", Reaction::Wait, KEYS),
    row(402, "", Reaction::Wait, "the store's account is closed"),
    row(403, "AccessDenied", Reaction::Wait, RIGHTS),
    row(403, "AuthorizationFailure", Reaction::Wait, RIGHTS),
    row(403, "AuthorizationPermissionMismatch", Reaction::Wait, RIGHTS),
    row(403, "AllAccessDisabled", Reaction::Wait, RIGHTS),
    row(403, "AccountProblem", Reaction::Wait, "the store's account has a problem"),
    row(403, "InvalidAccessKeyId", Reaction::Wait, KEYS),
    row(403, "SignatureDoesNotMatch", Reaction::Wait, KEYS),
    row(403, "AuthenticationFailed", Reaction::Wait, KEYS),
    row(403, "ExpiredToken", Reaction::Wait, "the credentials have expired: renew them"),
    row(403, "RequestTimeTooSkewed", Reaction::Wait, CLOCK),
    row(403, "InvalidObjectState", Reaction::Wait, RIGHTS),
    row(403, "", Reaction::Wait, RIGHTS),
    row(404, "NoSuchBucket", Reaction::Wait, BUCKET),
    row(404, "ContainerNotFound", Reaction::Wait, "create the container, or mend object_store.url"),
    row(404, "", Reaction::Wait, BUCKET),
    row(405, "MethodNotAllowed", Reaction::Wait, UNKNOWN),
    row(405, "", Reaction::Wait, UNKNOWN),
    row(406, "", Reaction::Wait, UNKNOWN),
    row(409, "InvalidBucketState", Reaction::Wait, BUCKET),
    row(409, "ContainerBeingDeleted", Reaction::Wait, BUCKET),
    row(410, "", Reaction::Wait, BUCKET),
    row(411, "MissingContentLength", Reaction::Wait, UNKNOWN),
    row(411, "", Reaction::Wait, UNKNOWN),
    row(412, "PreconditionFailed", Reaction::Wait, UNKNOWN),
    row(412, "", Reaction::Wait, UNKNOWN),
    row(501, "NotImplemented", Reaction::Wait, UNKNOWN),
    row(501, "", Reaction::Wait, UNKNOWN),
    // What ends this upload.
    row(400, "InvalidPart", Reaction::Anew, ""),
    row(400, "InvalidPartOrder", Reaction::Anew, ""),
    row(400, "InvalidBlockList", Reaction::Anew, ""),
    row(404, "NoSuchUpload", Reaction::Anew, ""),
    row(416, "", Reaction::Anew, ""),
    // What is wrong with this object.
    row(400, "EntityTooSmall", Reaction::Never, UNKNOWN),
];

/// Bytes of a store's sentence that are told on.
const MESSAGE_MAX_BYTES: usize = 300;

impl Answer {
    /// What the answer says with its headers and the beginning of its body, whatever the store's
    /// dialect: XML, or nothing but a status.
    pub fn read<'h>(status: u16, header: impl Fn(&str) -> Option<&'h str>, body: &[u8]) -> Answer {
        let body = String::from_utf8_lossy(body);
        let is_error = !(200..300).contains(&status) || body.contains("<Error>");
        let text = |tag| if is_error { element(&body, tag) } else { String::new() };
        let code = Some(text("Code")).filter(|code| !code.is_empty());
        // Azure says it in a header, where an answer to HEAD has no body.
        let code = code.or_else(|| header("x-ms-error-code").map(printable));
        Answer {
            status,
            code: code.unwrap_or_default(),
            message: text("Message"),
            region: header("x-amz-bucket-region").map(printable).unwrap_or_default(),
        }
    }

    /// It does what was asked.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status) && self.code.is_empty()
    }

    /// What to do about it; an answer without an error is one that could not be understood.
    pub fn fault(&self) -> Fault {
        let named = || REACTIONS.iter().find(|row| !row.code.is_empty() && row.code == self.code);
        let by_status =
            || REACTIONS.iter().find(|row| row.code.is_empty() && row.status == self.status);
        let (reaction, advice) = match named().or_else(by_status) {
            Some(row) => (row.reaction, row.advice),
            None if self.status >= 500 || self.status < 300 => (Reaction::Again, ""),
            None => (Reaction::Wait, UNKNOWN),
        };
        let mut reason = self.status.to_string();
        for (before, text) in [
            (" ", &*self.code),
            (": ", &self.message),
            ("; its region is ", &self.region),
            ("; ", advice),
        ] {
            if !text.is_empty() {
                reason.push_str(before);
                reason.push_str(text);
            }
        }
        Fault { reaction, reason }
    }
}

impl Fault {
    /// Nobody answered.
    pub fn no_answer(kind: HttpErrorKind, text: &str) -> Fault {
        let reason = match kind {
            HttpErrorKind::Timeout => format!("no answer in time: {}", printable(text)),
            _ => format!("no answer: {}", printable(text)),
        };
        Fault { reaction: Reaction::Again, reason }
    }

    /// A request never came to its end. The panic itself is in the log.
    pub fn panicked() -> Fault {
        let reason = "a request panicked, which is a fault of Landfall: see the log".to_owned();
        Fault { reaction: Reaction::Never, reason }
    }

    /// Nothing was asked of the store, because there is nothing to ask it with.
    pub fn no_credentials(text: &str) -> Fault {
        let reason = format!(
            "there are no credentials for it ({}): write them into object_store.options, or let the environment or a role give them",
            printable(text)
        );
        Fault { reaction: Reaction::Wait, reason }
    }
}

/// The text of the first element of that name.
fn element(xml: &str, name: &str) -> String {
    let found = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| {
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(printable(text))
    });
    found.unwrap_or_default()
}

/// The beginning of what a server said, on one line.
fn printable(text: &str) -> String {
    let mut end = text.len().min(MESSAGE_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    escape(&text[..end].split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Each row as a status and a name.
    pub fn rows() -> impl Iterator<Item = (u16, &'static str, Reaction)> {
        REACTIONS.iter().map(|row| (row.status, row.code, row.reaction))
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer::read(status, |_| None, body.as_bytes())
    }

    #[test]
    fn each_name_stands_once_and_each_status_has_a_row_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for (status, code, _) in rows() {
            assert!(seen.insert((if code.is_empty() { status } else { 0 }, code, status)));
        }
        for (status, ..) in rows() {
            assert!(rows().any(|(other, code, _)| other == status && code.is_empty()), "{status}");
        }
    }

    #[test]
    fn the_name_decides_and_the_status_where_it_is_not_known() {
        let error =
            |code: &str| format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>");
        for (status, code, reaction) in [
            (400, "RequestTimeout", Reaction::Again),
            (400, "SomethingNew", Reaction::Wait),
            (418, "SomethingNew", Reaction::Wait),
            (599, "SomethingNew", Reaction::Again),
            (200, "SlowDown", Reaction::Again),
            (200, "AccessDenied", Reaction::Wait),
            (200, "NoSuchUpload", Reaction::Anew),
            (200, "SomethingNew", Reaction::Again),
        ] {
            let answer = answer(status, &error(code));
            assert!(!answer.is_ok(), "{answer:?}");
            assert_eq!(answer.fault().reaction, reaction, "{answer:?}");
        }
        assert!(
            answer(
                200,
                "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
            )
            .is_ok()
        );
        assert!(!answer(301, "").is_ok());
    }

    #[test]
    fn a_reason_says_what_the_store_said_and_what_to_do_on_one_line() {
        let body = "<Error><Code>PermanentRedirect</Code><Message>Use\nanother \u{1b}[2J endpoint</Message></Error>";
        let region = |name: &str| (name == "x-amz-bucket-region").then_some("eu-central-1");
        let fault = Answer::read(301, region, body.as_bytes()).fault();
        assert_eq!(
            fault.reason,
            format!(
                "301 PermanentRedirect: Use another \\u{{1b}}[2J endpoint; its region is eu-central-1; {ELSEWHERE}"
            )
        );
        let long = "ä".repeat(1000);
        let fault = answer(400, &format!("<Error><Message>{long}</Message></Error>")).fault();
        assert!(fault.reason.len() < MESSAGE_MAX_BYTES + 100, "{}", fault.reason);
    }
}
