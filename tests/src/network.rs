//! Faults of the network on loopback, by port: packets vanish in one direction or in both, connections are reset.
//! They are rules of nftables in a network namespace that a test has for itself, so that nobody else on the
//! machine loses a packet. Without a namespace there is [`crate::proxy::Proxy`], which swallows bytes instead.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::geteuid;

use crate::not_run;

/// Says inside which namespace the process outside was.
const OUTSIDE: &str = "LANDFALL_TEST_OUTSIDE";
/// The table of all rules.
const TABLE: &str = "inet landfall";
/// What a namespace begins with, and then the program takes the shell's place.
const BEGIN: &str = r#"ip link set lo up && exec "$0" "$@""#;
/// Each kind of rule once: that the kernel has them is not a matter of the program `nft` alone.
const TRY: &str = "nft add table inet try && \
    nft add chain inet try c '{ type filter hook input priority 0; }' && \
    nft add rule inet try c tcp dport 1 reject with tcp reset && ss -V >&2";

/// A network of a process and its children: nothing but a loopback, which is up.
pub struct Namespace;

impl Namespace {
    /// A program that is going to run in a namespace of its own, under the id of what is started here.
    pub fn command(program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        if !geteuid().is_root() {
            // In a user namespace everybody may.
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--", "sh", "-c", BEGIN]).arg(program);
        command.env(OUTSIDE, namespace()).env("PATH", path());
        command
    }

    /// Why this machine gives none; tried once.
    pub fn unavailable() -> Option<&'static str> {
        static REASON: OnceLock<Option<String>> = OnceLock::new();
        let reason = REASON.get_or_init(|| {
            let tried = Namespace::command("sh").arg("-c").arg(TRY).output();
            match tried {
                Ok(tried) if tried.status.success() => None,
                Ok(tried) => {
                    let said = String::from_utf8_lossy(&tried.stderr).trim().replace('\n', "; ");
                    Some(format!("no network namespace with nftables: {said}"))
                }
                Err(error) => Some(format!("unshare cannot be started: {error}")),
            }
        });
        reason.as_deref()
    }

    /// Plays a test of this program in a network of its own, or says that it was not run.
    #[track_caller]
    pub fn play(test: &str) {
        if let Some(why) = Namespace::unavailable() {
            return not_run(test, why);
        }
        let this = std::env::current_exe().expect("a program knows its path");
        let mut command = Namespace::command(this);
        let said = command.args(["--exact", test, "--nocapture"]).output();
        let said = said.expect("unshare was tried before");
        let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && text.contains("1 passed"), "{text}");
    }

    /// Is this process in one that [`Namespace::command`] made?
    pub fn is_here() -> bool {
        std::env::var_os(OUTSIDE).is_some_and(|outside| outside != namespace())
    }
}

/// The namespace of this process, such as `net:[4026531840]`.
fn namespace() -> OsString {
    let link = std::fs::read_link("/proc/self/ns/net");
    link.map(PathBuf::into_os_string).expect("Linux says it")
}

/// Where `ip`, `nft` and `ss` are, too: Debian puts them where only root looks.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    path.push(":/usr/sbin:/sbin");
    path
}

/// The network of the namespace that this process is in.
pub struct Network(());

/// What happens to a packet.
#[derive(Clone, Copy)]
enum Verdict {
    Drop,
    Reset,
}

/// Which packets, seen from the port of a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Towards,
    From,
}

impl Network {
    #[track_caller]
    pub fn here() -> Network {
        assert!(Namespace::is_here(), "the network of the machine itself is left alone");
        nft(&format!("add table {TABLE}\n"));
        Network(())
    }

    /// What goes to servers on these ports vanishes; what they send arrives.
    #[track_caller]
    pub fn drop_towards(&self, ports: &[u16]) -> Fault {
        Fault::begin(ports, &[Way::Towards], Verdict::Drop)
    }

    /// What servers on these ports send vanishes; what goes to them arrives.
    #[track_caller]
    pub fn drop_from(&self, ports: &[u16]) -> Fault {
        Fault::begin(ports, &[Way::From], Verdict::Drop)
    }

    /// Nothing arrives in either direction, and nobody is told.
    #[track_caller]
    pub fn drop_all(&self, ports: &[u16]) -> Fault {
        Fault::begin(ports, &[Way::Towards, Way::From], Verdict::Drop)
    }

    /// Connections with these ports are reset: those that stand now at once, new ones when they begin.
    #[track_caller]
    pub fn reset(&self, ports: &[u16]) -> Fault {
        let fault = Fault::begin(ports, &[Way::Towards, Way::From], Verdict::Reset);
        reset_established(ports);
        fault
    }

    /// Connections that stand now are reset, once; new ones are not touched.
    #[track_caller]
    pub fn reset_once(&self, ports: &[u16]) {
        reset_established(ports);
    }
}

/// One fault, in a chain of its own: several stand side by side. It ends with this.
#[must_use = "a fault ends when it is dropped"]
pub struct Fault {
    chain: String,
}

impl Fault {
    #[track_caller]
    fn begin(ports: &[u16], ways: &[Way], verdict: Verdict) -> Fault {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let chain = format!("{TABLE} fault_{}_{number}", std::process::id());
        // A packet on loopback comes in once, and its sender has done all that it can.
        let mut rules = format!("add chain {chain} {{ type filter hook input priority 0; }}\n");
        if matches!(verdict, Verdict::Reset) {
            // The resets themselves have to arrive.
            rules += &format!("add rule {chain} tcp flags & rst == rst accept\n");
        }
        let ports = listed(ports, ", ");
        for way in ways {
            let side = if *way == Way::Towards { "dport" } else { "sport" };
            let verdict = match verdict {
                Verdict::Drop => "drop",
                Verdict::Reset => "reject with tcp reset",
            };
            rules += &format!("add rule {chain} tcp {side} {{ {ports} }} {verdict}\n");
        }
        nft(&rules);
        Fault { chain }
    }

    /// Ends it now.
    pub fn heal(self) {}
}

impl Drop for Fault {
    fn drop(&mut self) {
        let chain = &self.chain;
        let ended = try_nft(&format!("flush chain {chain}\ndelete chain {chain}\n"));
        if let Err(said) = ended
            && !std::thread::panicking()
        {
            panic!("a fault of the network does not end: {said}");
        }
    }
}

fn listed(ports: &[u16], separator: &str) -> String {
    assert!(!ports.is_empty(), "a fault of the network has a port");
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(separator)
}

/// The kernel ends the sockets of one side, and tells the other by a reset.
#[track_caller]
fn reset_established(ports: &[u16]) {
    let sides = ports.iter().map(|port| format!("dport = :{port}")).collect::<Vec<_>>();
    let mut ss = Command::new("ss");
    ss.args(["--kill", "--tcp", "--numeric", "state", "connected", &sides.join(" or ")]);
    let said = ss.output().expect("ss was tried before");
    assert!(said.status.success(), "ss: {}", String::from_utf8_lossy(&said.stderr));
}

#[track_caller]
fn nft(commands: &str) {
    if let Err(said) = try_nft(commands) {
        panic!("nft: {said}: {commands}");
    }
}

/// All of them or none.
fn try_nft(commands: &str) -> Result<(), String> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    // If it ended before, it says why.
    let _ = stdin.write_all(commands.as_bytes());
    drop(stdin);
    let said = child.wait_with_output().map_err(|error| error.to_string())?;
    match said.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&said.stderr).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::net::TcpStream;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use super::*;
    use crate::server::{Server, Shared};
    use crate::wait::{SOON, until_true};

    /// Longer than an answer takes where nothing vanishes; less than the kernel's first resend of a SYN.
    const SILENCE: Duration = Duration::from_millis(500);

    /// Counts what came, and sends it back.
    fn echo(mut stream: &TcpStream, shared: &Shared<AtomicU64>) -> Option<()> {
        let mut bytes = [0; 64];
        let count = stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        shared.state.fetch_add(count as u64, Ordering::AcqRel);
        stream.write_all(&bytes[..count]).ok()
    }

    fn server() -> Server<AtomicU64> {
        Server::start(AtomicU64::new(0), echo)
    }

    fn client(server: &Server<AtomicU64>) -> TcpStream {
        let client = TcpStream::connect(server.address).expect("it listens");
        client.set_read_timeout(Some(SILENCE)).expect("a socket takes a timeout");
        client
    }

    /// What becomes of one more byte.
    fn say(mut client: &TcpStream) -> Result<(), ErrorKind> {
        client.write_all(b"x").map_err(|error| error.kind())?;
        client.read_exact(&mut [0]).map_err(|error| error.kind())
    }

    /// Hears the answers to as many bytes as were not answered.
    fn until_answered(mut client: &TcpStream) {
        until_true("what vanished is sent again", SOON, || client.read_exact(&mut [0]).is_ok());
    }

    fn connect(server: &Server<AtomicU64>) -> Option<ErrorKind> {
        TcpStream::connect_timeout(&server.address, SILENCE).err().map(|error| error.kind())
    }

    #[test]
    fn packets_vanish_one_way_or_both_and_connections_are_reset() {
        if !Namespace::is_here() {
            return Namespace::play(
                "network::tests::packets_vanish_one_way_or_both_and_connections_are_reset",
            );
        }
        let network = Network::here();
        let (one, other) = (server(), server());
        let port = [one.address.port()];
        let (to_one, to_other) = (client(&one), client(&other));
        let came = || one.state().load(Ordering::Acquire);
        assert_eq!((say(&to_one), say(&to_other)), (Ok(()), Ok(())));

        let fault = network.drop_towards(&port);
        assert_eq!(say(&to_one), Err(ErrorKind::WouldBlock));
        assert_eq!((came(), connect(&one)), (1, Some(ErrorKind::TimedOut)));
        assert_eq!(say(&to_other), Ok(()), "another port is another's affair");
        fault.heal();
        until_answered(&to_one);
        assert_eq!(came(), 2);

        let fault = network.drop_from(&port);
        assert_eq!(say(&to_one), Err(ErrorKind::WouldBlock));
        assert_eq!(came(), 3, "it came, and the answer vanished");
        fault.heal();
        until_answered(&to_one);

        // Two at once, of which one ends.
        let both = [port[0], other.address.port()];
        let (first, second) = (network.drop_all(&both), network.drop_towards(&port));
        assert_eq!(
            (say(&to_one), say(&to_other)),
            (Err(ErrorKind::WouldBlock), Err(ErrorKind::WouldBlock))
        );
        first.heal();
        until_answered(&to_other);
        assert_eq!((came(), connect(&one)), (3, Some(ErrorKind::TimedOut)));
        second.heal();
        until_answered(&to_one);

        let idle = client(&one);
        until_true("it was accepted", SOON, || say(&idle).is_ok());
        network.reset_once(&port);
        assert!(is_reset(say(&to_one)) && is_reset(say(&idle)));
        assert_eq!((connect(&one), say(&to_other)), (None, Ok(())));
        let fault = network.reset(&both);
        assert!(is_reset(say(&to_other)));
        assert_eq!(connect(&one), Some(ErrorKind::ConnectionRefused));
        drop(fault);
        assert_eq!((say(&client(&one)), say(&client(&other))), (Ok(()), Ok(())));
    }

    fn is_reset(end: Result<(), ErrorKind>) -> bool {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        matches!(end, Err(ConnectionAborted | ConnectionReset | BrokenPipe))
    }

    #[test]
    #[should_panic(expected = "left alone")]
    fn the_machines_own_network_is_left_alone() {
        if Namespace::is_here() {
            panic!("this is not the machine's own, which is left alone");
        }
        let _network = Network::here();
    }
}
