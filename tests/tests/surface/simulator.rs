//! `device-sim run` as people watch it: on a terminal, with faults by key, and for machines.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::gateway::GatewayConfig;
use tests::kafka::Kafka;
use tests::ports;
use tests::process::{Process, Signal};
use tests::terminal::Terminal;
use tests::tools::{Folder, program};
use tests::wait::{SOON, START, until, until_true};

/// How long the devices may take to come back, and everything to be acknowledged.
const SETTLE: Duration = Duration::from_secs(60);
/// How long nothing has to happen before it is believed that nothing happens.
const STANDSTILL: Duration = Duration::from_millis(1500);

fn ledger(folder: &Path) -> PathBuf {
    folder.join("sim.ledger")
}

/// A fleet of twenty that says a hundred things in a second.
fn fleet(folder: &Path, gateway: &str, more: &[&str]) -> Command {
    let mut command = Command::new(program("device-sim"));
    command.args(["run", "--gateway", gateway, "--devices", "20", "--rate", "100"]);
    command.args(["--large-size", "2048", "--seed", "7", "--ledger"]).arg(ledger(folder));
    command.args(more);
    command
}

/// What the ledger has of a kind of line.
fn lines(folder: &Path, what: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(ledger(folder)).unwrap_or_default();
    // The last line may be on its way.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["what"] == what).collect()
}

fn resent(folder: &Path) -> usize {
    let again = |line: &&Value| line["attempt"].as_u64() > Some(1);
    lines(folder, "sent").iter().filter(again).count()
}

/// The number of a row of the screen, such as `sent`.
#[track_caller]
fn number(screen: &str, name: &str) -> usize {
    let row = screen.lines().find(|row| row.split_whitespace().next() == Some(name));
    let row = row.unwrap_or_else(|| panic!("no row {name} in\n{screen}"));
    let number = row.split_whitespace().nth(1).expect("a number stands beside its name");
    number.replace(',', "").parse().unwrap_or_else(|_| panic!("{number:?} in {row}"))
}

/// Of a row with a rate.
#[track_caller]
fn rate(screen: &str, name: &str) -> f64 {
    let row = screen.lines().find(|row| row.split_whitespace().next() == Some(name));
    let rate = row.and_then(|row| row.split_whitespace().nth(2)).expect("a rate stands there");
    rate.trim_end_matches("/s").replace(',', "").parse().expect("it is a number")
}

fn state(process: &Process) -> char {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", process.id()));
    let status = status.expect("the process is there");
    let (_, behind) = status.rsplit_once(')').expect("its name is in brackets");
    behind.trim_start().chars().next().expect("it has a state")
}

#[test]
fn a_fleet_is_watched_and_put_to_faults_by_key() {
    let kafka = Kafka::shared();
    let gateway = GatewayConfig::new(kafka).start_ready();
    let folder = Folder::new("simulator");
    let terminal = Terminal::new(80, 32);
    let before = terminal.settings();
    let command = fleet(&folder, &gateway.mqtt().to_string(), &["--duration", "0"]);
    let mut process = terminal.run("device-sim", &command, &folder);
    let all_are_in = |screen: &str| screen.contains("20 of 20").then_some(());
    terminal.until("all devices are connected", START, all_are_in);
    assert!(terminal.is_taken() && terminal.hides_cursor());
    assert_ne!(terminal.settings(), before, "keys come at once");
    terminal.until("something is acknowledged", SOON, |screen| {
        (number(screen, "acknowledged") > 100 && screen.contains("talking")).then_some(())
    });

    terminal.press("s");
    terminal.until("it is stopped", SOON, |screen| {
        (screen.contains("stopped: nobody publishes") && screen.contains("s go on")).then_some(())
    });
    // What was on its way when the key was pressed has come to its end.
    terminal.until("all is acknowledged", SOON, |screen| {
        (number(screen, "outstanding") < 5).then_some(())
    });
    let stood = lines(&folder, "sent").len();
    std::thread::sleep(STANDSTILL);
    assert_eq!(lines(&folder, "sent").len(), stood, "a fleet that is stopped publishes nothing");
    let shown = terminal.screen();
    assert_eq!(number(&shown, "sent"), stood);
    assert_eq!(lines(&folder, "disconnected").len(), 0, "connections stay");
    assert!(all_are_in(&shown).is_some(), "{shown}");

    terminal.press("s");
    terminal.until("it goes on", SOON, |screen| {
        (screen.contains("talking") && number(screen, "sent") > stood + 20).then_some(())
    });

    // As often as it takes on a machine that is busy.
    until_true("it floods", SETTLE, || {
        terminal.press("f");
        let screen = terminal.screen();
        screen.contains("flood: 10 times the rate for") && rate(&screen, "sent") > 250.0
    });

    // While it floods, something is on its way at any time.
    until_true("what was on its way is sent again", SETTLE, || {
        terminal.press("fc");
        terminal.until("devices come back", SETTLE, |screen| {
            let cuts = lines(&folder, "disconnected").len();
            (cuts >= 20 && all_are_in(screen).is_some()).then_some(())
        });
        resent(&folder) > 0
    });
    let shown = terminal.until("the cut is told", SOON, |screen| {
        (screen.contains("connections were cut") && number(screen, "resent") > 0)
            .then(|| screen.to_owned())
    });
    assert!(!shown.contains("connection lost"), "nobody but the key cuts:\n{shown}");

    terminal.press("q");
    let code = until("the run has ended", SETTLE, || process.ended()).code();
    assert_eq!(code, Some(0), "{}", terminal.screen());
    assert_eq!(terminal.settings(), before);
    assert!(!terminal.is_taken() && !terminal.hides_cursor());
    until_true("it sums up", SOON, || terminal.screen().contains("; ledger "));
    let last = terminal.last_screen();
    assert!(last.contains("ended: everything is acknowledged"), "{last}");
    assert_eq!(number(&last, "sent"), lines(&folder, "sent").len(), "{last}");
    assert_eq!(number(&last, "acknowledged"), lines(&folder, "acknowledged").len(), "{last}");
    assert_eq!(number(&last, "resent"), resent(&folder), "{last}");
    assert_eq!(number(&last, "outstanding"), 0, "{last}");

    let mut command = Command::new(program("device-sim"));
    command.arg("verify").arg("--ledger").arg(ledger(&folder));
    command.arg("--config").arg(gateway.config_file());
    let mut verify = Process::start("verify", command, &folder);
    assert_eq!(verify.wait(SETTLE).code(), Some(0), "{}", verify.log());
    assert!(verify.output().contains("all is there"), "{}", verify.log());

    // The same for machines: one document, of what the ledger says.
    let more = ["--duration", "2s", "--format", "json"];
    let command = fleet(&folder, &gateway.mqtt().to_string(), &more);
    let mut process = Process::start("machines", command, &folder);
    assert_eq!(process.wait(SETTLE).code(), Some(0), "{}", process.log());
    let told: Value = serde_json::from_str(&process.output()).expect("one document, and no more");
    let count = |name: &str| told["total"][name].as_u64().map(|count| count as usize);
    assert_eq!(count("sent"), Some(lines(&folder, "sent").len()), "{told}");
    assert_eq!(count("acknowledged"), Some(lines(&folder, "acknowledged").len()), "{told}");
    assert_eq!(told["outcome"], "acknowledged");
    assert_eq!(told["talk"]["ended_by"], "time");
    let sum = |name: &str| {
        let profiles = told["profiles"].as_array().expect("a list").iter();
        profiles.map(|profile| profile[name].as_u64().expect("a number")).sum::<u64>() as usize
    };
    for name in ["devices", "sent", "sent_at_qos_0", "acknowledged", "connections"] {
        assert_eq!(Some(sum(name)), count(name), "{name}: {told}");
    }
    let answered = ["sent_at_qos_0", "resent", "acknowledged"].map(|name| count(name).unwrap());
    assert_eq!(count("sent"), Some(answered.iter().sum()), "{told}");
    let longest = told["total"]["latency"]["longest_seconds"].as_f64().expect("a number");
    assert!(longest > 0.0 && longest < 60.0, "{told}");
}

#[test]
fn a_refusal_is_shown_with_its_reason() {
    let folder = Folder::new("simulator");
    let passwords = folder.join("passwords");
    std::fs::write(&passwords, "").expect("the test's folder can be written");
    let gateway = GatewayConfig::new(Kafka::shared())
        .set("listeners.0.authenticate", serde_json::json!(["password"]))
        .set("authentication.password.file", passwords.to_str().expect("it is text"))
        .set("access", serde_json::json!([{ "allow": ["publish"], "topic": "#" }]))
        .start_ready();
    let terminal = Terminal::new(80, 24);
    let address = gateway.mqtt().to_string();
    let command = fleet(&folder, &address, &["--password", "guessed", "--settle", "0s"]);
    let mut process = terminal.run("device-sim", &command, &folder);
    terminal.until("refusals", START, |screen| {
        let row = |begin: &str| screen.lines().find(|row| row.trim_start().starts_with(begin));
        let told = screen.lines().find(|row| row.contains("connection refused: "))?;
        assert!(told.contains("CONNACK "), "{told}");
        (row("refused")?.contains(" connections") && row("devices")?.contains("0 of 20"))
            .then_some(())
    });
    terminal.press("q");
    assert_eq!(until("the run has ended", SETTLE, || process.ended()).code(), Some(1));
}

#[test]
fn what_takes_long_says_how_long() {
    let folder = Folder::new("simulator");
    let terminal = Terminal::new(90, 24);
    let mut command = Command::new(program("device-sim"));
    command.args(["prepare", "--devices", "100000", "--make-ca"]).arg(folder.join("fleet"));
    let mut process = terminal.run("device-sim", &command, &folder);
    terminal.until("how far it is", START, |screen| {
        let line = screen.lines().find(|line| line.starts_with("makes what devices prove"))?;
        (line.contains(" of 100,000 devices, ") && line.ends_with(" left")).then_some(())
    });
    process.kill();
}

/// A terminal with a fleet that reaches nobody, and is watched all the same.
struct Watched {
    terminal: Terminal,
    before: String,
    process: Process,
    folder: Folder,
}

impl Watched {
    #[track_caller]
    fn start(environment: &[(&str, &str)], more: &[&str]) -> Watched {
        let folder = Folder::new("simulator");
        let terminal = Terminal::new(80, 24);
        let before = terminal.settings();
        let nobody = ports::local(ports::free()).to_string();
        let mut command = fleet(&folder, &nobody, &[&["--settle", "1s"], more].concat());
        command.envs(environment.iter().copied());
        let process = terminal.run("device-sim", &command, &folder);
        Watched { terminal, before, process, folder }
    }

    /// Waits for the screen.
    #[track_caller]
    fn shown(self) -> Watched {
        self.terminal.until("the screen", START, |screen| {
            let is_whole = screen.contains("gateway not reached") && screen.contains("q quit");
            (is_whole && number(screen, "outstanding") > 0).then_some(())
        });
        self
    }

    #[track_caller]
    fn is_given_back(&self, why: &str) {
        assert_eq!(self.terminal.settings(), self.before, "{why}");
        let is_as_before = || !self.terminal.is_taken() && !self.terminal.hides_cursor();
        until_true(why, SOON, is_as_before);
    }
}

#[test]
fn the_terminal_is_given_back_however_a_run_ends() {
    for (how, keys, signal) in [
        ("q, twice", "qq", None),
        ("Ctrl-C, twice", "\x03\x03", None),
        (r"Ctrl-\", "\x1c", None),
        ("SIGTERM", "", Some(Signal::TERM)),
    ] {
        let mut watched = Watched::start(&[], &[]).shown();
        watched.terminal.press(keys);
        if let Some(signal) = signal {
            watched.process.signal(signal);
            watched.terminal.until("it settles", SOON, |screen| {
                (screen.contains("settling: waiting for") && screen.contains(" at most"))
                    .then_some(())
            });
            watched.process.signal(signal);
        }
        // What they had to say is not acknowledged.
        let code = until(how, SOON, || watched.process.ended()).code();
        assert_eq!(code, Some(1), "{how}");
        watched.is_given_back(how);
        until_true("it sums up", SOON, || {
            watched.terminal.screen().contains("messages are not acknowledged")
        });
    }

    // A closed window ends it too, and the ledger is whole.
    let mut watched = Watched::start(&[], &[]).shown();
    watched.terminal.close();
    until("the run has ended", SOON, || watched.process.ended());
    let text = std::fs::read_to_string(ledger(&watched.folder)).expect("there is a ledger");
    assert!(text.ends_with('\n'));
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
}

#[test]
fn a_stopped_process_gives_the_terminal_back_until_it_goes_on() {
    let mut watched = Watched::start(&[], &["--duration", "0"]).shown();
    for stops in ["\x1a", ""] {
        if stops.is_empty() {
            watched.process.signal(Signal::TSTP);
        }
        watched.terminal.press(stops);
        until_true("it is stopped", SOON, || state(&watched.process) == 'T');
        watched.is_given_back("a stop");
        watched.process.signal(Signal::CONT);
        until_true("it goes on", SOON, || watched.terminal.is_taken());
        watched.terminal.until("it is drawn anew", SOON, |screen| {
            (screen.contains("gateway not reached") && screen.contains("q quit")).then_some(())
        });
        assert_ne!(watched.terminal.settings(), watched.before);
    }

    // Narrow, low and wide, while it runs.
    for (columns, rows) in [(60, 24), (60, 10), (160, 50), (20, 3)] {
        watched.terminal.resize(columns, rows);
        let fits = |screen: &str| {
            let last = screen.lines().last().unwrap_or_default();
            let is_whole = columns < 60 || (last.contains("c cut") && last.contains("q quit"));
            let wide = screen.contains("at QoS 0") == (columns > 100);
            (is_whole && wide && screen.lines().count() == usize::from(rows)).then_some(())
        };
        watched.terminal.until(&format!("{columns}x{rows}"), SOON, fits);
    }
    watched.process.signal(Signal::QUIT);
    until("the run has ended", SOON, || watched.process.ended());
    watched.is_given_back("the end");
}

#[test]
fn colours_and_the_screen_itself_can_be_done_without() {
    const COLOURS: [&str; 3] = ["\x1b[32m", "\x1b[33m", "\x1b[1;31m"];
    let ends = |watched: &mut Watched| {
        watched.process.signal(Signal::TERM);
        until("the run has ended", SOON, || watched.process.ended());
        until_true("it sums up", SOON, || {
            watched.terminal.screen().contains("messages are not acknowledged")
        });
        watched.terminal.bytes()
    };
    let mut watched = Watched::start(&[], &[]).shown();
    let bytes = ends(&mut watched);
    assert!(COLOURS.iter().any(|colour| bytes.contains(colour)), "{bytes:?}");

    let mut watched = Watched::start(&[("NO_COLOR", "1")], &[]).shown();
    let bytes = ends(&mut watched);
    assert!(COLOURS.iter().all(|colour| !bytes.contains(colour)), "{bytes:?}");

    // No screen is shown where the terminal is none, or another's.
    let cases = [
        (&[("TERM", "dumb")][..], &["--duration", "6s"][..]),
        (&[("TERM", "")], &["--duration", "1s"]),
        (&[], &["--duration", "1s", "--end-with-stdin"]),
        (&[], &["--duration", "1s", "--format", "json"]),
    ];
    let all = cases.map(|(environment, more)| (Watched::start(environment, more), more));
    for (mut watched, more) in all {
        until("the run has ended", START, || watched.process.ended());
        until_true("it sums up", SOON, || watched.terminal.bytes().contains("acknowledged"));
        let bytes = watched.terminal.bytes();
        assert!(!bytes.contains('\x1b'), "{more:?}: {bytes:?}");
        let is_long = more.contains(&"6s");
        assert_eq!(bytes.contains("talking: 0 of 20 devices connected"), is_long, "{bytes:?}");
        watched.is_given_back("nothing was taken");
    }
}

#[test]
fn landfall_dev_keeps_the_terminal_for_itself() {
    let folder = Folder::new("dev");
    let terminal = Terminal::new(100, 40);
    let before = terminal.settings();
    let [mqtt, websocket, admin] = [(); 3].map(|()| ports::free().to_string());
    let mut command = Command::new(program("landfall"));
    command.args(["dev", "--simulate", "2", "--mqtt-port", &mqtt, "--ws-port", &websocket]);
    command.args(["--admin-port", &admin, "--data-dir"]).arg(folder.join("data"));
    let mut process = terminal.run("dev", &command, &folder);
    until_true("something has landed", START, || terminal.bytes().contains("landed  "));
    assert_eq!(process.terminate(START), Some(0));
    assert!(!terminal.bytes().contains("\x1b[?"), "{:?}", terminal.bytes());
    assert_eq!(terminal.settings(), before);
}
