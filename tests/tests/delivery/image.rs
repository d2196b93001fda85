//! The container image and compose.yaml, without a container engine: the engines' own parsers take both,
//! and what is wrong with a copy is named.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::foreign;
use tests::image::compose::Compose;
use tests::image::dockerfile::{Dockerfile, USER, context};
use tests::tools::{Folder, program, repository};

const LANDFALL: &str = "/usr/local/bin/landfall";
/// The one password that compose.yaml asks for.
const SECRET: (&str, &str) = ("S3_SECRET_KEY", "a-secret-of-the-tests");
/// The gateway flushes what is left within this, after its drain's deadline.
const FLUSH: Duration = Duration::from_secs(5);

fn compose() -> Compose {
    Compose::read(&repository().join("compose.yaml"), &[SECRET]).expect("docker compose reads it")
}

/// The check fails, and says what is wrong.
#[track_caller]
fn names(checked: Result<(), String>, wanted: &str) {
    let fault = checked.expect_err(&format!("this goes through, and should tell of: {wanted}"));
    assert!(fault.contains(wanted), "this does not name {wanted}: {fault}");
}

/// A copy of a file of the repository with something else in one place.
#[track_caller]
fn changed(name: &str, from: &str, to: &str, folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(repository().join(name)).expect("it can be read");
    assert!(text.contains(from), "{name} has no {from}");
    let path = folder.join(name);
    std::fs::write(&path, text.replacen(from, to, 1)).expect("the test's folder can be written");
    path
}

#[test]
fn the_dockerfile_is_sound_and_what_is_wrong_with_one_is_named() {
    let context = context().expect("Docker reads .dockerignore");
    let check = |file: &Path| Dockerfile::read(file)?.check(&context);
    assert_eq!(check(&repository().join("Dockerfile")), Ok(()));
    let stray = |file: &&String| !file.ends_with("Cargo.toml") && file.starts_with("tests/");
    assert_eq!(context.iter().find(stray), None, "only what the build reads goes to the builder");
    let values = std::fs::read_to_string(repository().join("charts/landfall/values.yaml"));
    let pods = format!("runAsUser: {}", USER.split(':').next().expect("it has a user"));
    assert!(values.is_ok_and(|values| values.contains(&pods)), "pods run as the image's user");

    let folder = Folder::new("dockerfile");
    for (from, to, wanted) in [
        ("USER 65532:65532", "USER root", "USER root is not 65532:65532"),
        ("USER 65532:65532\n", "", "runs as root"),
        ("rust:1.95.0-bookworm", "rust:latest", "FROM rust:latest is not pinned"),
        ("rust:1.95.0-bookworm", "rust", "FROM rust is not pinned"),
        ("COPY LICENSE /licenses/", "COPY tests/src /src", "tests/src is not in the build context"),
        ("COPY --from=build /out/root/", "COPY --from=bild /out/root/", "bild"),
        (
            r#"["/usr/local/bin/landfall"]"#,
            LANDFALL,
            "ENTRYPOINT /usr/local/bin/landfall: not in exec",
        ),
        ("image.licenses", "image.license", "no label org.opencontainers.image.licenses"),
        ("VERSION=0.", "VERSION=9.", "Cargo.toml says"),
        ("WORKDIR /var/lib/landfall", "RUN true", "the image has no shell"),
        ("USER 65532", "WORKDIR /lib/x86_64-linux-gnu\nUSER 65532", "x86_64 is named"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNL SIGTERM", "STOPSIGNL"),
        ("FROM scratch", "FROM scratch as image", "FromAsCasing"),
    ] {
        names(check(&changed("Dockerfile", from, to, &folder)), wanted);
    }
}

/// A build in the image has no other files than those of its context.
#[test]
fn what_the_programs_have_in_them_is_in_the_build_context() {
    const SOURCES: [&str; 4] = ["proto/", "bridge/", "gateway/", "examples/device-sim/"];
    let context = context().expect("Docker reads .dockerignore");
    let is_source = |file: &&String| {
        file.ends_with(".rs") && SOURCES.iter().any(|folder| file.starts_with(folder))
    };
    let mut included = Vec::new();
    for file in context.iter().filter(is_source).filter(|file| file.contains("/src/")) {
        let path = repository().join(file);
        let text = std::fs::read_to_string(&path).expect("it can be read");
        // What follows is for tests, which no image has.
        let built = text.split("[cfg(test)]").next().unwrap_or_default();
        let names = built.split("include_str!(\"").skip(1);
        included.extend(names.filter_map(|rest| rest.split('"').next()).map(|name| {
            let folder = path.parent().expect("a file is in a folder");
            let found = folder.join(name).canonicalize().expect("what is included is there");
            let found = found.strip_prefix(repository()).expect("it is of the repository");
            found.to_str().expect("it is UTF-8").to_owned()
        }));
    }
    assert!(included.iter().any(|file| file.ends_with("RUNBOOK.md")), "{included:?}");
    let missing: Vec<_> = included.iter().filter(|file| !context.contains(file)).collect();
    // The formats' golden bytes are for tests in files of their own.
    let missing: Vec<_> = missing.into_iter().filter(|file| !file.contains("golden")).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn compose_is_sound_and_what_is_wrong_with_one_is_named() {
    let check = |file: &Path| Compose::read(file, &[SECRET])?.check();
    let file = repository().join("compose.yaml");
    assert_eq!(check(&file), Ok(()));
    names(Compose::read(&file, &[]).map(drop), "S3_SECRET_KEY");

    let folder = Folder::new("compose");
    // Paths in a compose file are beside it.
    for name in ["charts", "examples"] {
        std::os::unix::fs::symlink(repository().join(name), folder.join(name))
            .expect("the test's folder can be written");
    }
    for (from, to, wanted) in [
        ("    mem_limit: 512m", "    memory_limit: 512m", "memory_limit"),
        ("127.0.0.1:1883:1883", "1883:1883", "service gateway: port \"1883\" is published beyond"),
        (
            "127.0.0.1:3000:3000",
            "0.0.0.0:3000:3000",
            "service grafana: port \"3000\" is published beyond",
        ),
        (
            "versitygw:v1.8.0",
            "versitygw:latest",
            "service s3: image versity/versitygw:latest is not",
        ),
        ("apache/kafka:4.3.1", "apache/kafka", "service kafka: image apache/kafka is not pinned"),
        ("files/alerts.yaml", "files/alarms.yaml", "config alerts: there is no file"),
        ("  read_only: true", "  read_only: false", "service gateway: read_only is not true"),
        ("cap_drop: [ALL]", "cap_drop: [CHOWN]", "service gateway: cap_drop"),
        ("no-new-privileges:true", "no-new-privileges:false", "service gateway: security_opt"),
        (
            "file: ./examples/compose/landfall.yaml",
            "content: x",
            "service gateway: config landfall",
        ),
        ("- source: dashboard", "- source: dashboards", "dashboards"),
        ("depends_on: [prometheus]", "depends_on: [promotheus]", "promotheus"),
    ] {
        names(check(&changed("compose.yaml", from, to, &folder)), wanted);
    }
}

#[test]
fn compose_gives_a_gateway_time_to_drain_and_memory_that_fits() {
    let compose = compose();
    let gateway = compose.service("gateway");
    let grace = gateway.key("stop_grace_period").as_str().expect("it is there");
    let grace = humantime::parse_duration(grace).expect("compose writes durations as Go does");
    // `landfall.yaml` leaves the drain as it is by default.
    let drain = Duration::from_secs(5 + 25);
    assert!(grace >= drain + FLUSH, "it drains for {drain:?}, and is killed at {grace:?}");

    let mut check = Command::new(program("landfall"));
    check.args(["check", "--config"]).arg(repository().join("examples/compose/landfall.yaml"));
    // As the container's limit would say.
    let memory = gateway.key("mem_limit").as_str().expect("it is there");
    check.envs([SECRET, ("LANDFALL__LIMITS__MEMORY", memory)]);
    let checked = foreign::run("landfall", check);
    assert!(checked.contains("memory: 512 MiB"), "{checked}");
}
