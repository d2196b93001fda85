//! Where a store's objects are: the URL of the configuration, the keys under it, and the URIs by which
//! consumers find them. There is one path: what the URL says, percent-decoded, is the key's beginning,
//! and a URI decoded in the same way leads to the key again.

use object_store::path::Path;
use url::Url;
use uuid::Uuid;

/// Bytes of a prefix. A key has at most 1,024, and what Landfall adds at most 250.
const PREFIX_MAX_BYTES: usize = 700;
/// What may be written.
const FORMS: &str = "write s3://BUCKET/PREFIX, gs://, az:// or file:///path";

/// A place in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What is before a key in its URI.
    root: Url,
    /// The root's path, decoded.
    path: Path,
    /// What is before a key within the store.
    prefix: Path,
}

/// The key of a large message's payload under the store's prefix:
/// `{lane}/{yyyy}/{mm}/{dd}/{hh}/{gateway_id}/{message_id}`, by the hour of receipt. Nothing of the device is
/// in it.
pub(crate) fn payload_key(
    lane: &str,
    received_ms: i64,
    gateway_id: &str,
    message_id: [u8; 16],
) -> String {
    let received = jiff::Timestamp::from_millisecond(received_ms).unwrap_or_default();
    let (hour, message_id) = (received.strftime("%Y/%m/%d/%H"), Uuid::from_bytes(message_id));
    format!("{lane}/{hour}/{gateway_id}/{message_id}")
}

/// The URL of a store that `text` is; or what is wrong with it, and what to write.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let (url, path) = parse(text)?;
    let bytes = path.as_ref().len();
    if url.scheme() != "file" && bytes > PREFIX_MAX_BYTES {
        return Err(format!(
            "its prefix has {bytes} bytes: keys have at most 1024, so write at most {PREFIX_MAX_BYTES}"
        ));
    }
    Ok(url)
}

/// A URL and its path, decoded. It means what was written: whatever a URL's reader would drop or replace
/// without a word is refused.
fn parse(text: &str) -> Result<(Url, Path), String> {
    if text.contains(|c: char| c.is_ascii_control()) {
        return Err(format!("{text:?} holds a control character: {FORMS}"));
    }
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL ({error}): {FORMS}"))?;
    let (scheme, is_azure) = (url.scheme(), matches!(url.scheme(), "az" | "abfs" | "abfss"));
    if !(is_azure || matches!(scheme, "s3" | "gs" | "file")) {
        return Err(format!("{scheme}:// is not known: {FORMS}"));
    }
    let Some((_, rest)) = text.split_once("://") else {
        return Err(format!("{text:?} names no place: {FORMS}"));
    };
    if rest.contains(['?', '#']) {
        return Err("holds a query or a fragment, which no path has: a ? of the path itself is written %3F, a # %23".to_owned());
    }
    if url.password().is_some() || !(url.username().is_empty() || is_azure) {
        return Err("holds a user name: credentials are written under object_store.options, or come from the environment".to_owned());
    }
    if url.port().is_some() {
        return Err(
            "holds a port: an address other than the cloud's own is object_store.options.endpoint"
                .to_owned(),
        );
    }
    match (scheme, url.host_str().unwrap_or_default()) {
        ("file", "") => {}
        ("file", host) => {
            return Err(format!("names the host {host}: write three slashes, file:///path"));
        }
        (_, "") => return Err(format!("names no bucket: write {scheme}://BUCKET/PREFIX")),
        (_, host) if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) => {
            return Err(format!("{host:?} is no bucket: write {scheme}://BUCKET/PREFIX"));
        }
        _ => {}
    }
    let written = rest.find('/').map_or("", |at| &rest[at..]);
    if let Some(broken) = broken_escape(written) {
        return Err(format!(
            "{broken:?} stands for no byte: a % of the path itself is written %25"
        ));
    }
    let path = Path::from_url_path(written).map_err(|_| {
        format!("{written:?} is no path of an object: write names between single slashes, in UTF-8, none of them . or ..")
    })?;
    // A backslash would become a slash, for example.
    if Path::from_url_path(url.path()).ok().as_ref() != Some(&path) {
        return Err(format!("{written:?} would be read as {:?}: write that", url.path()));
    }
    Ok((url, path))
}

/// A percent sign without two hexadecimal digits, with what comes after it.
fn broken_escape(path: &str) -> Option<String> {
    path.match_indices('%').find_map(|(at, _)| {
        let digits = path.as_bytes().get(at + 1..at + 3);
        let whole = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        (!whole).then(|| path[at..].chars().take(3).collect())
    })
}

impl Place {
    /// The place that a configuration's URL names.
    pub(super) fn new(url: &Url) -> Result<Place, String> {
        let (root, path) = parse(url.as_str())?;
        // A folder is a store of its own: its keys begin in it.
        let prefix = if root.scheme() == "file" { Path::default() } else { path.clone() };
        Ok(Place { root, path, prefix })
    }

    /// Where the store keeps `key`, which is parts between slashes, of characters that no escape is
    /// needed for.
    pub(super) fn path(&self, key: &str) -> Path {
        key.split('/').fold(self.prefix.clone(), Path::join)
    }

    /// What a reference to `key` says.
    pub(super) fn uri(&self, key: &str) -> String {
        let root = self.root.as_str();
        format!("{}/{key}", root.strip_suffix('/').unwrap_or(root))
    }

    /// Where the store keeps what a reference's URI names; None for what is not under this place.
    pub(super) fn find(&self, uri: &str) -> Option<Path> {
        let (url, path) = parse(uri).ok()?;
        let same_store = url.scheme() == self.root.scheme()
            && url.username() == self.root.username()
            && url.host_str() == self.root.host_str();
        let below = path.prefix_match(&self.path).filter(|_| same_store)?;
        let found = below.fold(self.prefix.clone(), Path::join);
        (found != self.prefix).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "slow/2026/11/24/21/gw-1/01a20f67";

    #[test]
    fn one_path_is_written_and_read() {
        for (url, before_key, before_uri) in [
            ("s3://fleet", "", "s3://fleet/"),
            ("s3://fleet/", "", "s3://fleet/"),
            ("s3://fleet/devices", "devices/", "s3://fleet/devices/"),
            ("s3://fleet/devices/", "devices/", "s3://fleet/devices/"),
            ("s3://fleet/Geräte/a", "Geräte/a/", "s3://fleet/Ger%C3%A4te/a/"),
            ("s3://fleet/Ger%C3%A4te", "Geräte/", "s3://fleet/Ger%C3%A4te/"),
            ("gs://fleet/a~b", "a~b/", "gs://fleet/a~b/"),
            ("az://fleet/100%25", "100%/", "az://fleet/100%25/"),
            ("s3://fleet/my%20devices", "my devices/", "s3://fleet/my%20devices/"),
            ("s3://fleet/a%3Fb%23c", "a?b#c/", "s3://fleet/a%3Fb%23c/"),
            ("s3://fleet/a*[b]{c}^|d", "a*[b]{c}^|d/", "s3://fleet/a*[b]{c}^|d/"),
            (
                "abfss://fleet@account.dfs.core.windows.net/p",
                "p/",
                "abfss://fleet@account.dfs.core.windows.net/p/",
            ),
            ("file:///data/my%20Geräte", "", "file:///data/my%20Ger%C3%A4te/"),
            ("file:///", "", "file:///"),
        ] {
            let place = Place::new(&parse_url(url).expect(url)).expect(url);
            assert_eq!(place.path(KEY).as_ref(), format!("{before_key}{KEY}"), "{url}");
            let uri = place.uri(KEY);
            assert!(uri.starts_with(before_uri.split(['^', '{']).next().unwrap()), "{uri}");
            assert_eq!(place.find(&uri), Some(place.path(KEY)), "{uri}");
        }
        let place = Place::new(&Url::parse("s3://fleet/a~b").unwrap()).unwrap();
        let other_spelling = format!("s3://fleet/a%7Eb/{KEY}");
        assert_eq!(place.find(&other_spelling), Some(place.path(KEY)));
    }

    #[test]
    fn what_would_become_another_place_is_refused() {
        for (url, word) in [
            ("s3://fleet/a//b", "single slashes"),
            ("s3://fleet//", "single slashes"),
            ("s3://fleet/a/../b", ".."),
            ("s3://fleet/a/%2e%2e/b", ".."),
            ("s3://fleet/./b", ".."),
            ("s3://fleet/a%2F..%2Fb", ".."),
            ("s3://fleet/a%00b", "no path"),
            ("s3://fleet/a%FFb", "UTF-8"),
            ("s3://fleet/a#b", "%23"),
            ("s3://fleet/a?b=c", "%3F"),
            ("s3://fleet/100%", "%25"),
            ("s3://fleet/100%zz/a", "%25"),
            ("s3://key:secret@fleet/a", "credentials"),
            ("s3://key@fleet/a", "credentials"),
            ("s3://fleet:9000/a", "endpoint"),
            ("s3:///a", "names no bucket"),
            ("s3://fle et/a", "is no"),
            ("s3://flöte/a", "is no bucket"),
            ("s3://fle\tet/a", "control character"),
            ("s3:fleet/a", "BUCKET"),
            ("file://data/objects", "three slashes"),
            ("file:///a\\b", "would be read as"),
            ("file:relative", "file:///path"),
            ("http://fleet/a", "is not known"),
            ("fleet", "is no URL"),
            (&format!("s3://fleet/{}", "a".repeat(701)), "at most 700"),
        ] {
            let fault = parse_url(url).expect_err(url);
            assert!(fault.contains(word), "{url}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn nothing_outside_is_found() {
        for (root, uri) in [
            ("s3://fleet/devices", "s3://fleet/devices"),
            ("s3://fleet/devices", "s3://fleet/devices/"),
            ("s3://fleet/devices", "s3://fleet/devices-too/a"),
            ("s3://fleet/devices", "s3://fleet/devices/../a"),
            ("s3://fleet/devices", "s3://fleet/devices/%2e%2e/a"),
            ("s3://fleet/devices", "s3://fleet/devices/..%2F..%2Fa"),
            ("s3://fleet/devices", "s3://other/devices/a"),
            ("s3://fleet/devices", "gs://fleet/devices/a"),
            ("s3://fleet/devices", "s3://u@fleet/devices/a"),
            ("file:///data", "file:///etc/passwd"),
            ("file:///data", "file://host/data/a"),
            ("file:///data", "file:///data/../etc/passwd"),
            ("file:///data", "nothing"),
        ] {
            let place = Place::new(&Url::parse(root).unwrap()).unwrap();
            assert_eq!(place.find(uri), None, "{uri} under {root}");
        }
    }
}
