//! What writes the fleet's books: lines are in the file when `write` returns, and on the disk when `durable`
//! does. Many devices that wait for the disk wait for one fdatasync.

use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tokio::sync::watch;

/// Appends to the books; there is one of it for a file.
pub struct Pen {
    file: File,
    path: PathBuf,
    disk: Option<Disk>,
}

/// A thread that has the disk confirm what was written.
struct Disk {
    wanted: Arc<Wanted>,
    /// Up to which write it is on the disk, or why the disk does not take it.
    durable: watch::Receiver<Result<u64, String>>,
}

/// The number of the last write.
#[derive(Default)]
struct Wanted {
    write: Mutex<u64>,
    more: Condvar,
}

impl Pen {
    /// Books are made, or gone on with. Nobody else may write them meanwhile.
    pub fn open(path: &Path) -> Result<Pen, String> {
        let cannot = |error: std::io::Error| cannot(path, &error);
        let file =
            File::options().create(true).append(true).read(true).open(path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "another fleet writes the books {}: end it first",
                    path.display()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        Ok(Pen { file, path: path.to_owned(), disk: None })
    }

    /// Cuts off what is behind so many bytes: a line that a kill tore, of which nothing was sent.
    pub fn cut_off(&self, whole: u64) -> Result<(), String> {
        self.file.set_len(whole).map_err(|error| cannot(&self.path, &error))
    }

    /// From now on, [`Pen::durable`] waits for the disk.
    pub fn sync(&mut self) -> Result<(), String> {
        let file = self.file.try_clone().map_err(|error| cannot(&self.path, &error))?;
        let wanted = Arc::new(Wanted::default());
        let (say, durable) = watch::channel(Ok(0));
        let (path, order) = (self.path.clone(), Arc::clone(&wanted));
        std::thread::spawn(move || confirm(&file, &path, &order, &say));
        self.disk = Some(Disk { wanted, durable });
        Ok(())
    }

    pub fn write(&self, lines: &str) -> Result<(), String> {
        if lines.is_empty() {
            return Ok(());
        }
        (&self.file).write_all(lines.as_bytes()).map_err(|error| cannot(&self.path, &error))
    }

    pub fn line(&self, line: impl Display) -> Result<(), String> {
        self.write(&format!("{line}\n"))
    }

    /// Waits until all that was written is on the disk, where that is asked for.
    pub async fn durable(&self) -> Result<(), String> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let own = {
            let mut write = disk.wanted.lock();
            *write += 1;
            disk.wanted.more.notify_one();
            *write
        };
        let mut durable = disk.durable.clone();
        let reached =
            |reached: &Result<u64, String>| reached.as_ref().map_or(true, |at| *at >= own);
        let reached = durable.wait_for(reached).await;
        reached.expect("the thread says why it ends").clone().map(drop)
    }
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.write.lock().expect("nothing panics under this lock")
    }
}

fn confirm(file: &File, path: &Path, wanted: &Wanted, say: &watch::Sender<Result<u64, String>>) {
    let mut done = 0;
    loop {
        let reached = wanted.more.wait_while(wanted.lock(), |write| *write == done);
        done = *reached.expect("nothing panics under this lock");
        let durable = file.sync_data().map(|()| done).map_err(|error| cannot(path, &error));
        let is_broken = durable.is_err();
        // Where no device waits any more, the fleet ends.
        if say.send(durable).is_err() || is_broken {
            return;
        }
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> String {
    format!("the books {} cannot be written: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_durable_is_in_the_file_and_nobody_else_writes_it() {
        let path = std::env::temp_dir().join(format!("landfall-pen-{}", std::process::id()));
        let mut pen = Pen::open(&path).expect("the folder for temporary files can be written");
        let other = Pen::open(&path).err().expect("two do not write at once");
        assert!(other.contains("another fleet writes"), "{other}");
        pen.line("e 1 0").expect("there is room");
        pen.write("e 2").expect("there is room");
        drop(pen);
        pen = Pen::open(&path).expect("the other is gone");
        pen.cut_off("e 1 0\n".len() as u64).expect("it can be written");
        pen.sync().expect("there are descriptors");
        pen.line("e 3 0").expect("there is room");
        let (one, other) = tokio::join!(pen.durable(), pen.durable());
        assert_eq!((one, other), (Ok(()), Ok(())));
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "e 1 0\ne 3 0\n");
        std::fs::remove_file(path).expect("it was written");
    }
}
