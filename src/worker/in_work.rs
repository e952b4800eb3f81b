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
use std::time::Duration;

use crate::send::SendId;

/// An id and a line feed.
const SLOT_BYTES: u64 = 33;
/// Sends in work at once that are written down; more are not.
const SLOTS_MAX: u64 = 1_024;
/// What a dead worker left behind is kept this long for the next worker of its database; then any worker clears it
/// away.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// The end of the name of a file that is not locked yet.
const NOT_BEGUN: &str = ".new";

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

impl Entered<'_> {
    /// Another send is in work instead: one write, where leaving and entering again are two.
    pub fn goes_on_with(&self, send: &SendId) {
        self.0.write(self.1, &format!("{send}\n"));
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
        let parts = path.file_name().and_then(|file| file.to_str()?.rsplit_once(".work."));
        let Some((of, rest)) = parts else { continue };
        let begun = !rest.ends_with(NOT_BEGUN);
        let id = rest.strip_suffix(NOT_BEGUN).unwrap_or(rest);
        let ours = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !ours || !(of == name && begun || is_old(&path)) {
            continue;
        }
        let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if of == name {
            let mut text = vec![0; usize::try_from(SLOT_BYTES * SLOTS_MAX).unwrap_or_default()];
            let length = file.read_at(&mut text, 0)?;
            let text = String::from_utf8_lossy(&text[..length]);
            found.extend(text.lines().filter_map(SendId::parse));
        }
        std::fs::remove_file(&path)?;
    }
    Ok(found)
}

fn is_old(path: &Path) -> bool {
    let age = std::fs::metadata(path).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > KEPT)
}

/// Locked before it has its name, so that nobody takes it for a dead process's.
fn begin(stem: &Path) -> io::Result<(File, PathBuf)> {
    let mut path = stem.as_os_str().to_owned();
    path.push(format!(".work.{}", uuid::Uuid::new_v4().simple()));
    let mut new = path.clone();
    new.push(NOT_BEGUN);
    let (path, new) = (PathBuf::from(path), PathBuf::from(new));
    let file = File::options().create_new(true).read(true).write(true).open(&new)?;
    file.try_lock().map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::rename(&new, &path)?;
    Ok((file, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn send(digit: char) -> SendId {
        SendId::parse(&digit.to_string().repeat(32)).unwrap()
    }

    #[test]
    fn what_was_in_work_at_a_death_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("shop.db");
        let dead = InWork::begin(&stem);
        drop(dead.enter(&send('d')));
        let in_work = dead.enter(&send('a'));
        in_work.goes_on_with(&send('b'));
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
    fn what_nobody_came_back_for_is_cleared_away_after_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let id = "0123456789abcdef0123456789abcdef";
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let [young, old] = [6, 8].map(|days| now.checked_sub(days * DAY).unwrap());
        for (name, age) in [
            (format!("other.db.work.{id}"), young),
            (format!("other.work.db.work.{id}"), old),
            (format!("other.db.work.{id}.new"), old),
            (format!("shop.db.work.{id}.new"), young),
            ("a.work.of.art".to_owned(), old),
        ] {
            let file = File::create(place(&name)).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH + age).unwrap();
        }
        assert_eq!(left_behind(&place("shop.db")).unwrap(), []);
        let left = std::fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let kept = [format!("other.db.work.{id}"), format!("shop.db.work.{id}.new")];
        assert_eq!(left, [vec!["a.work.of.art".to_owned()], kept.to_vec()].concat());
    }

    #[test]
    fn an_end_in_order_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("shop.db");
        drop(InWork::begin(&stem));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
