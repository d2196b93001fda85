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

use super::attempts::{Attempts, Who};
use super::remembered::{Remembered, Secret};
use super::{Credential, Denied, Identity, Way};
use crate::fault::{Fault, Faults};
use crate::low_priority::LowPriority;
use crate::reload::Reload;
pub use file::check_name;
use hash::{ARGON2_MEMORY_MAX, Hash};

/// Clients whose passwords wait to be looked at, each with its CONNECT; more are turned away.
const WAITING_MAX: usize = 256;
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
    attempts: Attempts,
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
            attempts: Attempts::new("passwords that wait", 1, WAITING_MAX),
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
        let name_mark = self.secret.mark(&[name.as_bytes()]).number();
        let who = Who { address, name: name_mark };
        let turn = self.attempts.place(who).await?;
        let hash = known.clone().unwrap_or_else(|| {
            let place = name_mark % users.stand_ins.len() as u64;
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
        let proved = known.filter(|_| is_right);
        self.attempts.ended(who, proved.is_some());
        match proved {
            Some(hash) => {
                users.remembered.lock().insert(mark, (), REMEMBERED_BYTES, None);
                Ok(identity(name, &hash))
            }
            None => Err(Denied::WrongPassword),
        }
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
        let turn = passwords.attempts.places().take(None).await.expect("a turn");
        prove("dev1", "secret").await.expect("it is remembered");
        let waits = tokio::time::timeout(Duration::from_millis(50), prove("dev2", "word")).await;
        assert!(waits.is_err(), "it was never looked at");
        drop(turn);
        let [Credential::Password(credential)] = &proved.credentials[..] else {
            panic!("a password proved it")
        };
        passwords.reload().expect("the file is as it was");
        assert!(passwords.still_has(credential));
        let turn = passwords.attempts.places().take(None).await.expect("a turn");
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
    async fn guesses_of_one_network_hold_up_no_device_of_another() {
        let folder = folder("waiting");
        let passwords = Arc::new(passwords(&folder));
        let low = Arc::new(LowPriority::start().expect("threads"));
        let (stranger, honest) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let places = Arc::clone(passwords.attempts.places());
        let turn = places.take(None).await.expect("a turn");
        let ends = Arc::new(Mutex::new(Vec::new()));
        let prove = |name: String, word: &'static str, address| {
            let (passwords, low) = (Arc::clone(&passwords), Arc::clone(&low));
            let ends = Arc::clone(&ends);
            tokio::spawn(async move {
                let proved = passwords.prove(&name, word.as_bytes(), address, &low).await;
                ends.lock().push((name, proved.err()));
            })
        };
        let in_line = async |count| {
            while places.waiting() < count {
                tokio::task::yield_now().await;
            }
        };
        let mut all: Vec<_> = (0..WAITING_MAX)
            .map(|number| prove(format!("guess-{number}"), "guess", stranger))
            .collect();
        in_line(WAITING_MAX / 2).await;
        all.push(prove("dev1".to_owned(), "secret", honest));
        all.push(prove("dev2".to_owned(), "word", honest));
        in_line(WAITING_MAX / 2 + 2).await;
        drop(turn);
        for one in all {
            one.await.expect("it comes to its end");
        }
        let ends = ends.lock();
        let (busy, looked_at): (Vec<_>, Vec<_>) =
            ends.iter().partition(|(_, error)| *error == Some(Denied::Busy));
        assert_eq!(busy.len(), WAITING_MAX / 2, "one network may have half of the places");
        let at = |name: &str| looked_at.iter().position(|(one, _)| one == name);
        assert_eq!((at("dev1"), at("dev2")), (Some(1), Some(3)), "networks take turns");
        assert_eq!(looked_at[1].1, None);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
