//! The password file: who has which password, looked at by one thread behind the others, one at a time,
//! because each look is meant to be expensive.

mod file;
pub mod hash;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bridge::message::Verified;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::failures::Failures;
use super::remembered::{Remembered, Secret};
use super::{Credential, Denied, Identity, Way};
use crate::arrivals::Arrivals;
use crate::fault::{Fault, Faults};
use crate::low_priority::LowPriority;
use crate::reload::Reload;
pub use file::check_name;
use hash::{ARGON2_MEMORY_MAX, Hash};

/// Clients whose passwords wait to be looked at, each with its CONNECT; more are turned away.
const WAITING_MAX: u64 = 256;
/// Passwords that were right and need not be looked at again until the file is read anew.
const REMEMBERED_MAX: usize = 100_000;
/// Bytes of one of them, with its place.
const REMEMBERED_BYTES: usize = 128;
/// What passwords take at most, in bytes: the memory that one look fills, the file as it is and as it is
/// read anew, and what is remembered.
pub const MEMORY_COST: u64 =
    ARGON2_MEMORY_MAX + 3 * file::FILE_MAX_BYTES + (REMEMBERED_MAX * REMEMBERED_BYTES) as u64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordSettings {
    /// The file of names and hashes.
    pub file: PathBuf,
}

/// See the module.
pub struct Passwords {
    settings: PasswordSettings,
    secret: Secret,
    users: RwLock<Arc<Users>>,
    /// One look at a time.
    turn: Arc<Semaphore>,
    /// Of those that wait; while places are scarce, one network has few of them.
    waiting: Arc<Arrivals>,
    failures: Mutex<Failures>,
}

/// What the file says.
struct Users {
    hashes: file::Hashes,
    /// For names that are not there: hashes in no order of theirs.
    stand_ins: Vec<Arc<Hash>>,
    remembered: Mutex<Remembered<()>>,
}

/// By whose password an identity was proved.
#[derive(Debug)]
pub struct PasswordCredential {
    name: Box<str>,
    hash: Arc<Hash>,
}

impl Users {
    fn read(settings: &PasswordSettings) -> Result<Users, Faults> {
        let hashes = file::read(&settings.file).map_err(|texts| {
            let fault = |text| Fault { place: PLACE.to_owned(), text };
            Faults(texts.into_iter().map(fault).collect())
        })?;
        let mut stand_ins: Vec<_> = hashes.values().cloned().collect();
        if stand_ins.is_empty() {
            stand_ins.push(Arc::new(Hash::stand_in()));
        }
        let remembered = Remembered::new(REMEMBERED_MAX, REMEMBERED_MAX * REMEMBERED_BYTES);
        Ok(Users { hashes, stand_ins, remembered: Mutex::new(remembered) })
    }
}

const PLACE: &str = "authentication.password.file";

/// Whether the file can be used.
pub fn check(settings: &PasswordSettings) -> Result<(), Faults> {
    Users::read(settings).map(|_| ())
}

impl Passwords {
    pub fn read(settings: &PasswordSettings) -> Result<Passwords, Faults> {
        Ok(Passwords {
            users: RwLock::new(Arc::new(Users::read(settings)?)),
            settings: settings.clone(),
            secret: Secret::new(),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arrivals::new("passwords that wait", WAITING_MAX),
            failures: Mutex::default(),
        })
    }

    /// Says who has this name and password. Who is not there costs as much as a wrong password. Cancel
    /// safe.
    pub(super) async fn prove(
        &self,
        name: &str,
        password: &[u8],
        address: Option<IpAddr>,
        low_priority: &LowPriority,
    ) -> Result<Identity, Denied> {
        let users = Arc::clone(&self.users.read());
        let known = users.hashes.get(name).cloned();
        let mark = self.secret.mark(&[name.as_bytes(), password]);
        if let Some(hash) = &known
            && users.remembered.lock().get(&mark, Instant::now()).is_some()
        {
            return Ok(identity(name, hash));
        }
        let mut place = self.waiting.nothing(address);
        if !place.change(1) {
            return Err(Denied::Busy);
        }
        let who = address.map(|address| (address, self.secret.mark(&[name.as_bytes()]).number()));
        let turn = self.turn(who).await?;
        let hash = known.clone().unwrap_or_else(|| {
            let mark = self.secret.mark(&[name.as_bytes()]);
            let place = mark.number() % users.stand_ins.len() as u64;
            Arc::clone(&users.stand_ins[place as usize])
        });
        let own: Box<[u8]> = password.into();
        // The turn goes along with the work, which is done even if nobody waits for it any more.
        let looked = low_priority.run(move || {
            let is_right = hash.is_of(&own);
            drop(turn);
            is_right
        });
        let is_right = looked.await.map_err(|_| Denied::Unavailable)?;
        match known.filter(|_| is_right) {
            Some(hash) => {
                if let Some((address, name)) = who {
                    self.failures.lock().forget(address, name);
                }
                users.remembered.lock().insert(mark, (), REMEMBERED_BYTES, None);
                Ok(identity(name, &hash))
            }
            None => {
                if let Some((address, name)) = who {
                    self.failures.lock().note(address, name, Instant::now());
                }
                Err(Denied::WrongPassword)
            }
        }
    }

    /// Waits for its turn. What has failed often, of this name from this address, is known only then, however
    /// many attempts came at once; who has to wait for that keeps nobody else waiting.
    async fn turn(&self, who: Option<(IpAddr, u64)>) -> Result<OwnedSemaphorePermit, Denied> {
        let next = async || {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            turn.expect("nobody closes it")
        };
        let turn = next().await;
        let Some((address, name)) = who else { return Ok(turn) };
        let wait = self.failures.lock().turn(address, name, Instant::now()).ok_or(Denied::Busy)?;
        if wait.is_zero() {
            return Ok(turn);
        }
        drop(turn);
        sleep(wait).await;
        Ok(next().await)
    }

    /// The file still has that name with that password.
    pub(super) fn still_has(&self, credential: &PasswordCredential) -> bool {
        self.users.read().hashes.get(&credential.name).is_some_and(|hash| *hash == credential.hash)
    }
}

fn identity(name: &str, hash: &Arc<Hash>) -> Identity {
    let credential = PasswordCredential { name: name.into(), hash: Arc::clone(hash) };
    Identity {
        verified: Arc::new(Verified { id: name.into(), attributes: Vec::new() }),
        way: Way::Password,
        user_name: Some(name.into()),
        ends_at_ms: None,
        credentials: vec![Credential::Password(credential)],
    }
}

impl Reload for Passwords {
    fn place(&self) -> &str {
        PLACE
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.settings.file.clone()]
    }

    fn reload(&self) -> Result<(), Faults> {
        let users = Users::read(&self.settings)?;
        *self.users.write() = Arc::new(users);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// With the password `secret` of `dev1` and `word` of `dev2`.
    fn passwords(folder: &std::path::Path) -> Passwords {
        let file = folder.join("passwords");
        let line = |name: &str, password: &str| {
            format!("{name}:{}\n", Hash::of(password.as_bytes(), [7; 16]).expect("it can be made"))
        };
        std::fs::write(&file, line("dev1", "secret") + &line("dev2", "word")).expect("written");
        Passwords::read(&PasswordSettings { file }).expect("it is good")
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("landfall-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[tokio::test]
    async fn a_password_is_remembered_until_the_file_is_read_anew() {
        let folder = folder("remembered");
        let passwords = passwords(&folder);
        let low = LowPriority::start().expect("threads");
        let prove =
            async |name: &str, word: &str| passwords.prove(name, word.as_bytes(), None, &low).await;
        let proved = prove("dev1", "secret").await.expect("it is right");
        assert_eq!((proved.name(), proved.user_name()), ("dev1", "dev1"));
        for (name, word) in [("dev1", "word"), ("dev1", ""), ("nobody", "secret"), ("", "secret")] {
            assert_eq!(prove(name, word).await.err(), Some(Denied::WrongPassword), "{name} {word}");
        }
        // While somebody else has the turn, only what is remembered passes.
        let turn = passwords.turn.acquire().await.expect("a turn");
        prove("dev1", "secret").await.expect("it is remembered");
        let waits = tokio::time::timeout(Duration::from_millis(50), prove("dev2", "word")).await;
        assert!(waits.is_err(), "it was never looked at");
        drop(turn);
        let [Credential::Password(credential)] = &proved.credentials[..] else {
            panic!("a password proved it")
        };
        passwords.reload().expect("the file is as it was");
        assert!(passwords.still_has(credential));
        let turn = passwords.turn.acquire().await.expect("a turn");
        let waits = tokio::time::timeout(Duration::from_millis(50), prove("dev1", "secret")).await;
        assert!(waits.is_err(), "nothing is remembered any more");
        drop(turn);
        let file = &passwords.settings.file;
        let text = std::fs::read_to_string(file).expect("it is there");
        std::fs::write(file, "dev1:broken\n").expect("written");
        assert!(passwords.reload().is_err());
        prove("dev1", "secret").await.expect("a bad file changes nothing");
        std::fs::write(file, text.replace("dev1:", "dev3:")).expect("written");
        passwords.reload().expect("it is good");
        assert!(!passwords.still_has(credential));
        assert_eq!(prove("dev1", "secret").await.err(), Some(Denied::WrongPassword));
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let folder = folder("waiting");
        let passwords = passwords(&folder);
        let low = LowPriority::start().expect("threads");
        let mut others = passwords.waiting.nothing(None);
        assert!(others.change(WAITING_MAX / 2), "one network may have half of the places");
        let busy = passwords.prove("dev1", b"secret", None, &low).await;
        assert_eq!(busy.err(), Some(Denied::Busy));
        let elsewhere = "192.0.2.1".parse().ok();
        let proved = passwords.prove("dev1", b"secret", elsewhere, &low).await;
        assert!(proved.is_ok(), "who comes from elsewhere has a place");
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
