//! What a client may do: publish, subscribe, leave a will. Asked for each of them, against the rules as they
//! are now.

pub mod acl_file;
pub mod policy;
mod returns;
pub mod rules;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::counter;
use parking_lot::Mutex;

use crate::fault::{Fault, Faults};
use crate::metrics as names;
use crate::reload::Reload;
use acl_file::AclFile;
pub use policy::{Action, Policy, Source, Subject, Verdict};
pub use returns::Returns;
pub use rules::Rules;

/// Where the configuration names the file.
const FILE_PLACE: &str = "access_file.mosquitto";

/// What a client of MQTT 5 gets for a publish that it may not make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDenied {
    /// The code 0x87, and its connection goes on.
    #[default]
    Answer,
    /// The end of its connection.
    Close,
}

/// Revisions of all policies there are: each is one's alone.
static REVISIONS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The policy that this thread asked last, and its revision.
    static ASKED: RefCell<Option<(u64, Arc<Policy>)>> = const { RefCell::new(None) };
}

/// The rules as they are configured: the section `access`, and mosquitto's file as it was read at first.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    pub rules: Arc<Rules>,
    pub file: Option<(PathBuf, Arc<AclFile>)>,
}

impl AccessSettings {
    pub fn policy(&self) -> Policy {
        let acl_file = self.file.as_ref().map(|(_, file)| Arc::clone(file));
        Policy { rules: Arc::clone(&self.rules), acl_file }
    }
}

/// See the module. All listeners share it.
pub struct Access {
    /// Changes with the policy, so that asking takes no lock.
    revision: AtomicU64,
    policy: Mutex<Arc<Policy>>,
    path: Option<PathBuf>,
    /// Who was ended for what he may not do.
    pub returns: Returns,
}

impl Access {
    pub fn new(settings: &AccessSettings) -> Access {
        Access {
            revision: AtomicU64::new(REVISIONS.fetch_add(1, Ordering::Relaxed)),
            policy: Mutex::new(Arc::new(settings.policy())),
            path: settings.file.as_ref().map(|(path, _)| path.clone()),
            returns: Returns::default(),
        }
    }

    /// Whether somebody may publish to a topic, now or as his will.
    pub fn may_publish(&self, subject: &Subject<'_>, topic: &str) -> bool {
        self.ask(|policy| policy.publish(subject, topic).is_allowed())
    }

    /// Whether somebody may subscribe to a filter.
    pub fn may_subscribe(&self, subject: &Subject<'_>, filter: &str) -> bool {
        self.ask(|policy| policy.subscribe(subject, filter).is_allowed())
    }

    /// Asks the policy as it is now. Each thread keeps the one that it asked last.
    fn ask<T>(&self, question: impl FnOnce(&Policy) -> T) -> T {
        let revision = self.revision.load(Ordering::Acquire);
        ASKED.with_borrow_mut(|asked| match asked {
            Some((known, policy)) if *known == revision => question(policy),
            _ => {
                // A change meanwhile is seen by the next who asks.
                let policy = Arc::clone(&self.policy.lock());
                let answer = question(&policy);
                *asked = Some((revision, policy));
                answer
            }
        })
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Access").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reload for Access {
    fn place(&self) -> &str {
        FILE_PLACE
    }

    fn files(&self) -> Vec<PathBuf> {
        self.path.iter().cloned().collect()
    }

    fn reload(&self) -> Result<(), Faults> {
        let Some(path) = &self.path else { return Ok(()) };
        let read = read(path).map_err(|texts| {
            let fault = |text| Fault { place: FILE_PLACE.to_owned(), text };
            Faults(texts.into_iter().map(fault).collect())
        })?;
        let mut policy = self.policy.lock();
        *policy = Arc::new(Policy { acl_file: Some(Arc::new(read)), ..(**policy).clone() });
        self.revision.store(REVISIONS.fetch_add(1, Ordering::Relaxed), Ordering::Release);
        Ok(())
    }
}

/// Reads mosquitto's file, or what is wrong with it.
pub fn read(path: &Path) -> Result<AclFile, Vec<String>> {
    let fault = |text: String| vec![format!("{}: {text}", path.display())];
    let unreadable = |error: std::io::Error| fault(format!("cannot be read: {error}"));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    let most = acl_file::FILE_MAX_BYTES;
    if size > most {
        return Err(fault(format!("has {size} bytes; at most {most} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    AclFile::parse(&text).map_err(|faults| {
        faults.iter().map(|fault| format!("{} {fault}", path.display())).collect()
    })
}

/// Counts something that was not allowed.
pub fn count_denied(action: Action) {
    counter!(names::ACCESS_DENIED, "action" => action.word()).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(client_id: &str) -> Subject<'_> {
        Subject { listener: "plain", client_id, identity: None, username: None, attributes: &[] }
    }

    #[test]
    fn a_new_file_counts_at_once_and_a_bad_one_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("landfall-access-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder of the test");
        let path = folder.join("acl");
        std::fs::write(&path, "topic write a\n").expect("it can be written");
        let file = Arc::new(read(&path).expect("a good file"));
        let rules = Arc::default();
        let access = Access::new(&AccessSettings { rules, file: Some((path.clone(), file)) });
        let other = Access::new(&AccessSettings { rules: Arc::default(), file: None });
        let may = |topic| access.may_publish(&subject("c"), topic);
        assert!(may("a") && !may("b"));
        assert!(!other.may_publish(&subject("c"), "a"), "each is asked for itself");
        std::fs::write(&path, "topic write b\n").expect("it can be written");
        access.reload().expect("a good file");
        assert!(!may("a") && may("b"));
        std::fs::write(&path, "topic write a\ntopc write b\n").expect("it can be written");
        let Faults(faults) = access.reload().expect_err("a bad file");
        assert!(faults[0].text.contains("line 2: \"topc\" is not known"), "{faults:?}");
        assert!(!may("a") && may("b"), "all stays as it was");
        std::fs::remove_dir_all(&folder).expect("it is the test's");
    }
}
