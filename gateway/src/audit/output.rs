//! Where the audit log is written: one of the process's outputs, or a file, which may be renamed or removed
//! while it is written and is then opened anew under its name.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Rights of a file that is new: its addresses and names are not for everybody.
const MODE: u32 = 0o640;

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Stdout,
    Stderr,
    File(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Stdout => formatter.write_str("standard output"),
            Target::Stderr => formatter.write_str("standard error"),
            Target::File(path) => path.display().fmt(formatter),
        }
    }
}

/// See the module.
pub enum Output {
    Stdout,
    Stderr,
    File { path: PathBuf, file: File },
}

impl Output {
    pub fn open(target: &Target) -> io::Result<Output> {
        Ok(match target {
            Target::Stdout => Output::Stdout,
            Target::Stderr => Output::Stderr,
            Target::File(path) => Output::File { path: path.clone(), file: open(path)? },
        })
    }

    /// One line, whole: in one write, so that nothing comes between its parts.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        let line = [line, "\n"].concat();
        match self {
            Output::Stdout => io::stdout().lock().write_all(line.as_bytes()),
            Output::Stderr => io::stderr().lock().write_all(line.as_bytes()),
            Output::File { file, .. } => file.write_all(line.as_bytes()),
        }
    }

    /// Opens the file anew if that of its name is another one by now, as after a rotation.
    pub fn follow_name(&mut self) -> io::Result<()> {
        let Output::File { path, file } = self else { return Ok(()) };
        let own = file.metadata()?;
        let is_own = fs::metadata(&*path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino()));
        if !is_own {
            *file = open(path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_rotated_goes_on_under_its_name() {
        let folder = std::env::temp_dir().join(format!("landfall-output-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of the test");
        let (path, old) = (folder.join("audit"), folder.join("audit.1"));
        fs::write(&path, "before\n").expect("it can be written");
        let mut output = Output::open(&Target::File(path.clone())).expect("it can be opened");
        output.write("one").expect("it can be written");
        fs::rename(&path, &old).expect("it can be renamed");
        output.write("two").expect("it can be written");
        output.follow_name().expect("it can be opened");
        output.write("three").expect("it can be written");
        output.follow_name().expect("nothing is to be done");
        let text = |path| fs::read_to_string(path).expect("it is there");
        assert_eq!((text(&old).as_str(), text(&path).as_str()), ("before\none\ntwo\n", "three\n"));
        fs::remove_dir_all(&folder).expect("it is the test's");
    }
}
