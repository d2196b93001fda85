//! The certificates that these tests are made with are what they claim to be, as `openssl` reads them:
//! else a refusal would show nothing.

use std::process::Command;

use tests::pki::{Authority, Key, Leaf, Use, self_signed_v1};
use tests::tools::Folder;

/// What `openssl` prints of it; empty if it fails.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is there");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn certificates_and_lists_are_what_they_claim_to_be() {
    let folder = Folder::new("pki");
    let root = Authority::new("root");
    let intermediate = root.intermediate("intermediate");
    let leaf = Leaf::client("m-1").key(Key::Rsa).uri("spiffe://fleet/device/m-1").never_ends();
    let leaf = intermediate.issue(&leaf);
    let files = leaf.write(&folder, "leaf");
    let root_file = root.write(&folder, "root");
    let text = |file: &str| openssl(&["x509", "-in", file, "-noout", "-text"]);
    let (ca, certificate) = (root_file.to_str().expect("UTF-8"), files.certificate());
    let verified = openssl(&[
        "verify",
        "-CAfile",
        ca,
        "-untrusted",
        certificate,
        "-purpose",
        "sslclient",
        certificate,
    ]);
    assert!(verified.ends_with(": OK\n"), "{verified}");
    let said = text(certificate);
    for expected in ["Version: 3", "URI:spiffe://fleet/device/m-1", "Dec 31 23:59:59 9999 GMT"] {
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
    let printed = openssl(&["x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]);
    assert!(printed.to_lowercase().replace(':', "").contains(&leaf.fingerprint()), "{printed}");
    let wrong_use = root.issue(&Leaf::client("m-2").usage(Use::Server)).write(&folder, "server");
    let refused =
        openssl(&["verify", "-CAfile", ca, "-purpose", "sslclient", wrong_use.certificate()]);
    assert!(!refused.contains(": OK"), "{refused}");

    let v1 = root.issue_v1(&folder, "old").write(&folder, "old");
    assert!(text(v1.certificate()).contains("Version: 1"), "{}", text(v1.certificate()));
    let own = self_signed_v1(&folder, "lone").write(&folder, "lone");
    assert!(text(own.certificate()).contains("Version: 1"), "{}", text(own.certificate()));

    let revoked = root.issue(&Leaf::client("m-3"));
    let lists = [
        ("Version 2", root.revoke(&[&revoked])),
        ("Version 1", root.revoke_v1(&folder, &[&revoked])),
    ];
    for (version, list) in lists {
        let file = folder.join("list.pem");
        std::fs::write(&file, list).expect("the test's folder can be written");
        let file = file.to_str().expect("UTF-8");
        let said = openssl(&["crl", "-in", file, "-noout", "-text", "-CAfile", ca]);
        assert!(said.contains(version), "{said}");
        let leaf = revoked.write(&folder, "revoked");
        let arguments = ["verify", "-CAfile", ca, "-CRLfile", file, "-crl_check"];
        let checked = openssl(&[&arguments[..], &[leaf.certificate()]].concat());
        assert!(!checked.contains(": OK"), "{checked}");
        let other = root.issue(&Leaf::client("m-4")).write(&folder, "other");
        let checked = openssl(&[&arguments[..], &[other.certificate()]].concat());
        assert!(checked.contains(": OK"), "{checked}");
    }
}
