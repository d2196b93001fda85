//! As whom a certificate enters: which of its names is the identity, and which parts of it are attributes.

use std::fmt;
use std::str::FromStr;

use bridge::message::Verified;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer as _;

use crate::identity::NAME_MAX_BYTES;

/// Longest name of a certificate that is looked at, in bytes.
const SOURCE_MAX_BYTES: usize = 1024;
/// Parts of one template.
const PARTS_MAX: usize = 16;
/// The capture that is the identity.
const ID: &str = "id";
/// Captures beside it: what a message's metadata knows, and what quotas will.
const ATTRIBUTES: [&str; 4] = ["device_type", "firmware_version", "group", "tenant"];

/// Whether a text can be an identity.
pub fn is_identity(text: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Which name of a certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    SanUri,
    SanDns,
    /// The common name, where there is exactly one: of several, none says who it is.
    CommonName,
    /// The whole subject, as RFC 2253 writes it.
    Subject,
}

/// A name, and what of it is the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: Source,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Capture(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        match text {
            "san_uri" => Ok(Source::SanUri),
            "san_dns" => Ok(Source::SanDns),
            "cn" => Ok(Source::CommonName),
            "subject" => Ok(Source::Subject),
            _ => Err(format!(
                "{text:?} is no name of a certificate: write san_uri, san_dns, cn or subject"
            )),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Source::SanUri => "san_uri",
            Source::SanDns => "san_dns",
            Source::CommonName => "cn",
            Source::Subject => "subject",
        })
    }
}

impl Template {
    /// The whole name is the identity.
    pub fn whole(source: Source) -> Template {
        Template { source, parts: vec![Part::Capture(ID.to_owned())] }
    }

    /// Of a text with `{id}` in it, and perhaps attributes.
    pub fn parse(source: Source, text: &str) -> Result<Template, String> {
        let wrong = |what: &str| {
            Err(format!("{text:?} {what}: write such as spiffe://fleet/device/{{id}}"))
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, behind) = rest.split_once('{').unwrap_or((rest, ""));
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if rest.len() == before.len() {
                break;
            }
            let Some((name, behind)) = behind.split_once('}') else {
                return wrong("has a { without its }");
            };
            if name != ID && !ATTRIBUTES.contains(&name) {
                return wrong(&format!(
                    "has {{{name}}}, where {{id}} or one of {} belongs",
                    ATTRIBUTES.join(", ")
                ));
            }
            if parts.iter().any(|part| matches!(part, Part::Capture(known) if known == name)) {
                return wrong(&format!("has {{{name}}} twice"));
            }
            if matches!(parts.last(), Some(Part::Capture(_))) {
                return wrong("has two captures with nothing between them");
            }
            parts.push(Part::Capture(name.to_owned()));
            rest = behind;
        }
        if !parts.contains(&Part::Capture(ID.to_owned())) {
            return wrong("does not say which part is the identity");
        }
        if parts.len() > PARTS_MAX {
            return wrong(&format!("has more than {PARTS_MAX} parts"));
        }
        Ok(Template { source, parts })
    }

    /// It looks at the common name.
    pub fn is_of_common_names(&self) -> bool {
        self.source == Source::CommonName
    }

    /// It says this attribute of whom it fits.
    pub fn says(&self, attribute: &str) -> bool {
        let is_it = |part: &Part| matches!(part, Part::Capture(name) if name == attribute);
        attribute != ID && self.parts.iter().any(is_it)
    }

    /// The first name of the certificate that fits.
    fn find(&self, certificate: &X509Certificate<'_>) -> Option<Verified> {
        let names = match self.source {
            Source::SanUri | Source::SanDns => alternative_names(certificate, self.source),
            Source::CommonName => common_name(certificate).map(str::to_owned).into_iter().collect(),
            Source::Subject => subject(certificate).into_iter().collect(),
        };
        names.iter().find_map(|name| self.read(name))
    }

    fn read(&self, name: &str) -> Option<Verified> {
        let mut captures = Vec::new();
        if name.len() > SOURCE_MAX_BYTES || !fit(&self.parts, name, self.separator(), &mut captures)
        {
            return None;
        }
        let mut found = Verified::default();
        for (capture, value) in captures {
            match capture == ID {
                true => found.id = value.into(),
                false => found.attributes.push((capture.into(), value.into())),
            }
        }
        is_identity(&found.id).then_some(found)
    }

    /// What no capture has in it: it is one step of a path, one label of a name; but the whole name, where
    /// that is all.
    fn separator(&self) -> Option<char> {
        match (self.source, self.parts.len()) {
            (_, 1) | (Source::CommonName | Source::Subject, _) => None,
            (Source::SanUri, _) => Some('/'),
            (Source::SanDns, _) => Some('.'),
        }
    }
}

/// As whom the certificate enters, by the first template that fits.
pub fn find(templates: &[Template], certificate: &X509Certificate<'_>) -> Option<Verified> {
    let mut found = templates.iter().find_map(|template| template.find(certificate))?;
    complete(templates, &mut found);
    Some(found)
}

/// The same where no more is known of it than its common name.
pub fn find_told(templates: &[Template], common_name: &str) -> Option<Verified> {
    let mut of_common_names = templates.iter().filter(|template| template.is_of_common_names());
    let mut found = of_common_names.find_map(|template| template.read(common_name))?;
    complete(templates, &mut found);
    Some(found)
}

/// Adds what another template could have said, as empty: what a certificate does not say, its device cannot
/// claim.
pub fn complete(templates: &[Template], verified: &mut Verified) {
    for attribute in ATTRIBUTES {
        if templates.iter().any(|template| template.says(attribute))
            && verified.attribute(attribute).is_none()
        {
            verified.attributes.push((attribute.into(), Box::default()));
        }
    }
}

/// Whether the whole text is made of these parts; no capture is empty.
fn fit<'a>(
    parts: &'a [Part],
    text: &'a str,
    separator: Option<char>,
    captures: &mut Vec<(&'a str, &'a str)>,
) -> bool {
    let Some((first, others)) = parts.split_first() else { return text.is_empty() };
    match first {
        Part::Text(expected) => text
            .strip_prefix(expected.as_str())
            .is_some_and(|rest| fit(others, rest, separator, captures)),
        Part::Capture(name) => {
            // It ends where what is behind it could begin: so there is one way to read a name, and one look.
            let stop = match others.first() {
                Some(Part::Text(behind)) => behind.chars().next(),
                _ => None,
            };
            let is_end = |character: char| Some(character) == separator || Some(character) == stop;
            let end = text.find(is_end).unwrap_or(text.len());
            let (value, rest) = text.split_at(end);
            captures.push((name, value));
            !value.is_empty() && fit(others, rest, separator, captures)
        }
    }
}

fn alternative_names(certificate: &X509Certificate<'_>, source: Source) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let wanted = |name: &GeneralName<'_>| match (name, source) {
        (GeneralName::URI(uri), Source::SanUri) => Some((*uri).to_owned()),
        (GeneralName::DNSName(dns), Source::SanDns) => Some((*dns).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(wanted).collect()
}

/// The only common name of a certificate as it is encoded.
pub fn common_name_of(certificate: &[u8]) -> Option<Box<str>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    common_name(&parsed).map(Into::into)
}

/// The only common name.
pub fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    (names.next().is_none() && !name.is_empty()).then_some(name)
}

/// As RFC 2253 writes it and mosquitto's `use_subject_as_username` has it: the last part first.
fn subject(certificate: &X509Certificate<'_>) -> Option<String> {
    let parts: Option<Vec<String>> = certificate
        .subject()
        .iter_rdn()
        .map(|part| {
            let values: Option<Vec<String>> = part
                .iter()
                .map(|value| {
                    let kind = oid2abbrev(value.attr_type(), oid_registry()).ok()?;
                    Some(format!("{kind}={}", escaped(value.as_str().ok()?)))
                })
                .collect();
            Some(values?.join("+"))
        })
        .collect();
    let mut parts = parts?;
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (index, character) in value.chars().enumerate() {
        let at_edge =
            (index == 0 && "# ".contains(character)) || (index == last && character == ' ');
        if at_edge || ",+\"\\<>;".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer as _;

    use super::*;

    fn certificate(names: &[(&str, &str)], subject: &[(rcgen::DnType, &str)]) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        for (kind, name) in names {
            let name = (*name).try_into().expect("it is ASCII");
            params.subject_alt_names.push(match *kind {
                "uri" => rcgen::SanType::URI(name),
                _ => rcgen::SanType::DnsName(name),
            });
        }
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        params.self_signed(&key).expect("it can be signed").der().to_vec()
    }

    #[test]
    fn the_first_template_that_fits_says_who_it_is() {
        let der = certificate(
            &[
                ("uri", "urn:other"),
                ("uri", "spiffe://fleet/eu/device/m-1"),
                ("dns", "m-1.example.com"),
            ],
            &[(rcgen::DnType::OrganizationName, "A, B"), (rcgen::DnType::CommonName, "meter 1")],
        );
        let (_, parsed) = X509Certificate::from_der(&der).expect("it is one");
        let template = |source, text| Template::parse(source, text).expect("it is a template");
        let with_group = template(Source::SanUri, "spiffe://fleet/{group}/device/{id}");
        let found =
            find(&[template(Source::SanUri, "x://{id}"), with_group], &parsed).expect("it fits");
        assert_eq!(&*found.id, "m-1");
        assert_eq!(found.attributes, [("group".into(), "eu".into())]);
        let identity =
            |template: Template| find(&[template], &parsed).map(|found| found.id.to_string());
        for (source, text, expected) in [
            // A step of a path, and nothing behind it.
            (Source::SanUri, "spiffe://fleet/{id}", None),
            (Source::SanUri, "spiffe://fleet/{id}/device", None),
            (Source::SanDns, "{id}.example.com", Some("m-1")),
            (Source::SanDns, "{id}.com", None),
            (Source::CommonName, "meter {id}", Some("1")),
            // Nothing that stands behind it could be in it: nobody takes a part of a name for another.
            (Source::SanUri, "spiffe://fleet/eu/device/{group}-{id}", Some("1")),
            (Source::CommonName, "m{id}e{group} 1", None),
        ] {
            assert_eq!(identity(template(source, text)).as_deref(), expected, "{text}");
        }
        assert_eq!(identity(Template::whole(Source::CommonName)).as_deref(), Some("meter 1"));
        assert_eq!(identity(Template::whole(Source::SanUri)).as_deref(), Some("urn:other"));
        // As `openssl x509 -nameopt RFC2253` prints it.
        let subject = identity(Template::whole(Source::Subject));
        assert_eq!(subject.as_deref(), Some("CN=meter 1,O=A\\, B"));
    }

    #[test]
    fn what_another_name_could_have_said_nobody_may_claim() {
        let der = certificate(&[("uri", "spiffe://eu/m-1")], &[(rcgen::DnType::CommonName, "m-1")]);
        let (_, parsed) = X509Certificate::from_der(&der).expect("it is one");
        let template = |source, text| Template::parse(source, text).expect("it is a template");
        let names = [
            template(Source::SanUri, "urn:{tenant}:{id}"),
            template(Source::SanUri, "spiffe://{group}/{id}"),
            Template::whole(Source::CommonName),
        ];
        let said = |templates: &[Template]| find(templates, &parsed).expect("it fits").attributes;
        let of = |name: &str, value: &str| (Box::from(name), Box::from(value));
        assert_eq!(said(&names), [of("group", "eu"), of("tenant", "")]);
        assert_eq!(said(&[names[2].clone(), names[1].clone()]), [of("group", "")]);
        assert_eq!(said(&names[2..]), []);
        assert!(names[0].says("tenant") && !names[0].says("group") && !names[0].says("id"));
    }

    #[test]
    fn a_name_that_says_nobody_is_none() {
        let two = [
            (rcgen::DnType::CommonName, "a"),
            (rcgen::DnType::CustomDnType(vec![2, 5, 4, 3]), "b"),
        ];
        for subject in [&[][..], &two, &[(rcgen::DnType::CommonName, "a\u{0}b")]] {
            let der = certificate(&[], subject);
            let (_, parsed) = X509Certificate::from_der(&der).expect("it is one");
            assert_eq!(find(&[Template::whole(Source::CommonName)], &parsed), None, "{subject:?}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (text, expected) in [
            ("spiffe://x", "which part"),
            ("{id", "without its }"),
            ("{serial}", "{serial}"),
            ("{id}{group}", "nothing between"),
            ("{id}-{id}", "twice"),
        ] {
            let error = Template::parse(Source::SanUri, text).expect_err("it is wrong");
            assert!(error.contains(expected), "{error}");
        }
    }
}
