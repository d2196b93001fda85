//! The container image and compose.yaml, without a container engine: what an engine reads is read by the
//! engines' own parsers, and what it would run is run, from the root file system that the Dockerfile's
//! commands lay out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::image::compose::Compose;
use tests::image::dockerfile::{Dockerfile, USER, context};
use tests::image::machine::{Container, Machine, is_root};
use tests::image::root::Root;
use tests::image::services::Services;
use tests::mqtt::{Client, Publish, Version};
use tests::process::Process;
use tests::prometheus::promtool;
use tests::tools::{Folder, program, repository};
use tests::wait::START;
use tests::{http, ports};

const LANDFALL: &str = "/usr/local/bin/landfall";
/// The one password that compose.yaml asks for.
const SECRET: (&str, &str) = ("S3_SECRET_KEY", "a-secret-of-the-tests");
/// The gateway flushes what is left within this, after its drain's deadline.
const FLUSH: Duration = Duration::from_secs(5);
/// Larger than any lane takes inline.
const LARGE: usize = 1024 * 1024;

fn dockerfile() -> Dockerfile {
    Dockerfile::read(&repository().join("Dockerfile")).expect("Docker reads it")
}

fn compose() -> Compose {
    Compose::read(&repository().join("compose.yaml"), &[SECRET]).expect("docker compose reads it")
}

/// The root as the Dockerfile makes it, of the programs that the tests have.
fn root(folder: &Path) -> Root {
    let programs = program("landfall").parent().expect("it lies in a folder").to_owned();
    Root::assemble(&dockerfile(), &programs, &folder.join("root")).expect("the commands work")
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

#[test]
fn the_root_holds_what_the_programs_load_and_what_is_wrong_with_one_is_named() {
    let folder = Folder::new("root");
    let root = root(&folder);
    assert_eq!(root.check(), Ok(()));

    let find = |name: &str| {
        let mut find = Command::new("find");
        let found = find.arg(root.folder()).args(["-name", name]).output().expect("find is there");
        let found = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        assert!(found.lines().count() == 1, "one {name} in the image, not: {found}");
        PathBuf::from(found)
    };
    let aside = folder.join("aside");
    for (name, wanted) in [
        ("libz.so.1", "libz.so.1"),
        ("libssl.so.3", "libssl.so.3"),
        ("legacy.so", "legacy.so"),
        ("ca-certificates.crt", "cert.pem leads nowhere"),
        ("landfall", "var/lib/landfall is missing"),
    ] {
        let path = match name {
            "landfall" => root.folder().join("var/lib/landfall"),
            name => find(name),
        };
        std::fs::rename(&path, &aside).expect("the root can be written");
        names(root.check(), wanted);
        std::fs::rename(&aside, &path).expect("the root can be written");
    }
    let shell = root.folder().join("bin");
    std::fs::create_dir(&shell).expect("the root can be written");
    std::fs::copy("/bin/sh", shell.join("sh")).expect("the root can be written");
    names(root.check(), "bin/sh can be run");
    std::fs::remove_dir_all(&shell).expect("the root can be written");
    let mode = |mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(mode);
        let passwd = root.folder().join("etc/passwd");
        std::fs::set_permissions(passwd, mode).expect("it is ours");
    };
    mode(0o666);
    names(root.check(), "etc/passwd can be written");
    mode(0o644);
    assert_eq!(root.check(), Ok(()));
}

/// A certificate for `localhost` that nobody has signed, and its key.
fn certificate(folder: &Path) -> [PathBuf; 2] {
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
    openssl.args(["/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    // It is no authority's certificate: rustls takes none of those from a server.
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&key);
    let made = openssl.output().expect("openssl can be started");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    [certificate, key]
}

/// A server with a certificate, which tells what came of every handshake.
fn tls_server(name: &str, [certificate, key]: &[PathBuf; 2], folder: &Path) -> (Process, u16) {
    let port = ports::free();
    let mut command = Command::new("python3");
    command.arg(repository().join("tests/tools/clients/tls_server.py"));
    command.arg(port.to_string()).args([certificate, key]);
    let mut server = Process::start(name, command, folder);
    until_it_says(&mut server, "listening");
    (server, port)
}

#[track_caller]
fn until_it_says(process: &mut Process, wanted: &str) {
    let end = std::time::Instant::now() + START;
    while !process.output().contains(wanted) {
        assert!(process.ended().is_none() && std::time::Instant::now() < end, "no {wanted}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_container_finds_authorities_names_and_old_algorithms() {
    let folder = Folder::new("authorities");
    let root = root(&folder);
    root.add_mount_points();
    let files = certificate(&folder);
    let (mut kafka, kafka_port) = tls_server("kafka", &files, &folder);
    let (mut store, store_port) = tls_server("store", &files, &folder);
    let (mqtt, admin) = (ports::local(ports::free()), ports::local(ports::free()));
    let config = folder.join("landfall.yaml");
    // Nothing says where authorities are: OpenSSL for Kafka and rustls for the store have to find them.
    let settings = json!({
        "listeners": [{ "name": "plain", "bind": mqtt.to_string() }],
        "admin": { "bind": admin.to_string() },
        "drain": { "pause": "0s", "deadline": "1s" },
        "kafka": {
            "bootstrap_servers": format!("localhost:{kafka_port}"),
            "properties": { "security.protocol": "ssl", "ssl.providers": "default,legacy" },
        },
        "object_store": {
            "url": "s3://bucket",
            "options": {
                "endpoint": format!("https://localhost:{store_port}"),
                "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b",
            },
        },
    });
    std::fs::write(&config, settings.to_string()).expect("the test's folder can be written");
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("the test's folder can be written");
    let hosts = PathBuf::from("/etc/hosts");
    let container = Container { root: &root, config: &config, data: &data, hosts: &hosts };
    let start = |name: &str| {
        let mut command = container.command(LANDFALL, &[]);
        command.args(["run", "--config", "/etc/landfall/landfall.yaml"]);
        let mut gateway = Process::start(name, command, &folder);
        gateway.until("the admin pages", START, || http::get(admin, "/livez").ok());
        // What is large goes to the store first, Kafka or not.
        let mut client = Client::connect(mqtt, Version::V5, "m-1");
        let publish = Publish::new("devices/meter/m-1/log", &[7; LARGE]).qos1(1);
        client.publish(&publish);
        (gateway, client)
    };

    let (mut gateway, _client) = start("stranger");
    for server in [&mut kafka, &mut store] {
        until_it_says(server, "refused");
        assert!(!server.output().contains("received"), "an unknown authority: {}", server.output());
    }
    gateway.kill();

    let bundle = root.folder().join("etc/ssl/certs/ca-certificates.crt");
    let mut known = std::fs::read(&bundle).expect("the image has authorities");
    known.extend(std::fs::read(&files[0]).expect("the certificate was made"));
    std::fs::write(&bundle, known).expect("the root can be written");
    let (_gateway, _client) = start("known");
    until_it_says(&mut kafka, "librdkafka");
    until_it_says(&mut store, "received b'P");
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

    let folder = Folder::new("compose-check");
    let root = root(&folder);
    root.add_mount_points();
    let config = repository().join("examples/compose/landfall.yaml");
    let memory = gateway.key("mem_limit").as_str().expect("it is there");
    let (data, hosts) = (folder.join("data"), PathBuf::from("/etc/hosts"));
    std::fs::create_dir(&data).expect("the test's folder can be written");
    let container = Container { root: &root, config: &config, data: &data, hosts: &hosts };
    let run = |words: &[&str]| {
        // As the container's limit would say.
        let environment = [SECRET, ("LANDFALL__LIMITS__MEMORY", memory)];
        let output = container.command(LANDFALL, &environment).args(words).output();
        let output = output.expect("unshare can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run(&["--version"]).trim(), concat!("landfall ", env!("CARGO_PKG_VERSION")));
    let checked = run(&["check", "--config", "/etc/landfall/landfall.yaml"]);
    assert!(checked.contains("memory: 512 MiB"), "{checked}");
}

#[test]
fn what_compose_describes_lands_every_message() {
    let folder = Folder::new("compose-run");
    let (compose, dockerfile, root) = (compose(), dockerfile(), root(&folder));
    root.add_mount_points();
    let names: Vec<String> = compose.services().map(|(name, _)| name.to_owned()).collect();
    let machine = Machine::start(&names);
    let services = Services {
        compose: &compose,
        dockerfile: &dockerfile,
        root: &root,
        machine: &machine,
        folder: &folder,
    };
    let _kafka = services.kafka();
    let _s3 = services.s3();
    let mut prometheus = services.prometheus();
    let config = services.place("prometheus", "/etc/prometheus/prometheus.yml");
    promtool(&["check", "config", &config.display().to_string()]).expect("promtool takes it");
    let mut gateway = services.ours("gateway", &[]);
    gateway.until("the gateway is ready", START, || machine.get("http://gateway:8080/readyz"));
    is_confined(&gateway);

    // So many that some of them are large.
    let short = [("--duration", "3s"), ("--devices", "60"), ("--rate", "600")];
    let mut simulator = services.ours("simulator", &short);
    assert!(simulator.wait(START).success(), "{}", simulator.tail());
    let mut verify = services.ours("verify", &[]);
    assert!(verify.wait(START).success(), "{}", verify.tail());
    let objects = services.place("s3", "/buckets/landfall/devices");
    assert!(objects.is_dir(), "large messages are in the bucket that a volume makes");

    let query = "landfall_build_info%7Bnamespace=%22compose%22,pod=%22gateway%22%7D";
    let scraped = format!("http://prometheus:9090/api/v1/query?query={query}");
    prometheus.until("Prometheus has asked the gateway", START, || {
        machine.get(&scraped).filter(|answer| answer.contains("compose"))
    });
    let rules = machine.get("http://prometheus:9090/api/v1/rules").expect("Prometheus answers");
    assert!(rules.contains("LandfallDown"), "Prometheus has the alerts: {rules}");

    let code = gateway.terminate(Duration::from_secs(40));
    assert_eq!(code, Some(0), "a container that is stopped drains: {}", gateway.tail());
}

/// The root cannot be written, and who runs in it is nobody.
#[track_caller]
fn is_confined(process: &Process) {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/{}/{name}", process.id())).expect("it runs")
    };
    let status = read("status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    if is_root() {
        assert!(status.contains("Uid:\t65532\t65532"), "{status}");
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    }
    let mounts = read("mountinfo");
    let top = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/"));
    assert!(top.is_some_and(|line| line.contains(" / ro,")), "the root is not read-only: {mounts}");
}
