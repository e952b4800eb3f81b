//! Which sends are being decided or rendered at this moment, where it outlives the process: a send that kills the
//! worker is found by it, and those that merely waited in the same hands are not suspected.
//!
//! A file of one line a slot, without waiting for the disk: what dies is the process, not the machine. The operating
//! system's lock on it ends with the process, however that ends.

use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::send::SendId;

/// An id and a line feed.
const SLOT_BYTES: u64 = 33;
/// Sends in work at once that are written down; more are not.
const SLOTS_MAX: u64 = 1_024;

/// The file of this process.
#[derive(Debug)]
pub struct InWork {
    /// None where no file could be made: the worker works, and finds nobody guilty.
    file: Option<(File, PathBuf)>,
    free: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    freed: Vec<u64>,
    used: u64,
}

/// As long as it lives, the send is in work.
#[derive(Debug)]
pub struct Entered<'a>(&'a InWork, Option<u64>);

impl InWork {
    /// Begins a file under `stem`.
    pub fn begin(stem: &Path) -> Self {
        let file = begin(stem)
            .inspect_err(|error| tracing::warn!("cannot write down what is in work: {error}"))
            .ok();
        Self { file, free: Mutex::default() }
    }

    /// Writes down that a send is in work, until what comes back is dropped.
    pub fn enter(&self, send: &SendId) -> Entered<'_> {
        let slot = {
            let mut slots = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = (slots.used < SLOTS_MAX).then_some(slots.used);
            slots.freed.pop().or_else(|| {
                slots.used += 1;
                fresh
            })
        };
        self.write(slot, &format!("{send}\n"));
        Entered(self, slot)
    }

    fn write(&self, slot: Option<u64>, line: &str) {
        if let (Some((file, _)), Some(slot)) = (&self.file, slot) {
            // What cannot be written is not known afterwards, and nobody is suspected.
            let _ = file.write_all_at(line.as_bytes(), slot * SLOT_BYTES);
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let Self(in_work, Some(slot)) = self else { return };
        in_work.write(Some(*slot), &format!("{:32}\n", ""));
        in_work.free.lock().unwrap_or_else(PoisonError::into_inner).freed.push(*slot);
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.file {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What processes that died on this host had in work, by the files they left under `stem`, which are removed.
pub fn left_behind(stem: &Path) -> io::Result<Vec<SendId>> {
    let folder = stem.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let own =
            path.file_name().and_then(|file| file.to_str()?.strip_prefix(&name)?.strip_prefix(".work."));
        if own.is_none_or(|rest| rest.ends_with("new")) {
            continue;
        }
        let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = vec![0; usize::try_from(SLOT_BYTES * SLOTS_MAX).unwrap_or_default()];
        let length = file.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..length]);
        found.extend(text.lines().filter_map(SendId::parse));
        std::fs::remove_file(&path)?;
    }
    Ok(found)
}

/// Locked before it has its name, so that nobody takes it for a dead process's.
fn begin(stem: &Path) -> io::Result<(File, PathBuf)> {
    let mut path = stem.as_os_str().to_owned();
    path.push(format!(".work.{}", uuid::Uuid::new_v4().simple()));
    let path = PathBuf::from(path);
    let new = path.with_extension("new");
    let file = File::options().create_new(true).read(true).write(true).open(&new)?;
    file.try_lock().map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::rename(&new, &path)?;
    Ok((file, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(digit: char) -> SendId {
        SendId::parse(&digit.to_string().repeat(32)).unwrap()
    }

    #[test]
    fn what_was_in_work_at_a_death_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("shop.db");
        let dead = InWork::begin(&stem);
        drop(dead.enter(&send('a')));
        let in_work = dead.enter(&send('b'));
        let path = dead.file.as_ref().unwrap().1.clone();
        let alive = InWork::begin(&stem);
        let _also = alive.enter(&send('c'));
        assert_eq!(left_behind(&stem).unwrap(), [], "both are alive");
        // It dies: nothing is cleaned up, and its lock is gone.
        let text = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, text).unwrap();
        assert_eq!(left_behind(&stem).unwrap(), [send('b')]);
        assert_eq!(left_behind(&stem).unwrap(), []);
        drop(in_work);
    }

    #[test]
    fn an_end_in_order_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("shop.db");
        drop(InWork::begin(&stem));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
