//! The folder of a preview: only files that we made ourselves are ever replaced, and no link is followed.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest as _;

use super::PreviewError;

use crate::digest::of_parts;

/// Marks a folder as an earlier preview, which may be replaced.
const MARKER: &str = ".bespoke-preview";
const MARKER_TEXT: &str = "made by `bespoke preview`; the next one into this folder replaces it\n";
/// The gallery's page.
pub(super) const PAGE: &str = "index.html";
/// Endings of the files of one mail.
const ENDINGS: [&str; 5] = ["html", "txt", "eml", "json", "dark.html"];

/// A folder that is ours.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, or empties it where it holds nothing but an earlier preview.
    pub(super) fn open(path: &Path) -> Result<Self, PreviewError> {
        let problem = |what: String| PreviewError::Folder(format!("{}: {what}", path.display()));
        let failed = |error: io::Error| problem(format!("cannot be used: {error}"));
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
            Ok(found) if found.is_symlink() => {
                return Err(problem("is a symbolic link; name the folder itself".to_owned()));
            }
            Ok(found) if !found.is_dir() => return Err(problem("is no folder".to_owned())),
            Ok(_) => empty(path, &problem)?,
        }
        let folder = Self { path: path.to_owned() };
        folder.write(MARKER, MARKER_TEXT.as_bytes())?;
        Ok(folder)
    }

    /// Writes a file that must not be there yet.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PreviewError> {
        let path = self.path.join(name);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes));
        written.map_err(|error| PreviewError::Folder(format!("cannot write {}: {error}", path.display())))
    }
}

/// The name of one mail's files: a number, and a hash that says nothing about the person to anybody else.
pub(super) fn stem(number: usize, profile: &str, variant: &str) -> String {
    let hash = of_parts([profile, variant]);
    let digest = hash.finalize();
    let short = u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
    format!("{number:05}-{short:016x}")
}

/// Removes an earlier preview. Whatever else is there stops it before anything is removed.
fn empty(path: &Path, problem: &dyn Fn(String) -> PreviewError) -> Result<(), PreviewError> {
    let failed = |error: io::Error| problem(format!("cannot be read: {error}"));
    let mut ours = Vec::new();
    let mut marked = false;
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().map_err(failed)?.is_file();
        marked |= is_file && name == MARKER;
        if !is_file || !is_ours(&name) {
            return Err(problem(format!(
                "holds {name:?}, which is no part of an earlier preview; name an empty or a new folder"
            )));
        }
        ours.push(entry.path());
    }
    if !ours.is_empty() && !marked {
        return Err(problem("is not empty and no earlier preview; name an empty or a new folder".to_owned()));
    }
    // The marker goes last: what is interrupted here is still known as ours.
    ours.sort_by_key(|file| file.ends_with(MARKER));
    for file in ours {
        fs::remove_file(&file)
            .map_err(|error| problem(format!("cannot remove {}: {error}", file.display())))?;
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    if name == MARKER || name == PAGE {
        return true;
    }
    let Some((stem, ending)) = name.split_once('.') else { return false };
    let Some((number, hash)) = stem.split_once('-') else { return false };
    ENDINGS.contains(&ending)
        && number.len() >= 5
        && number.bytes().all(|b| b.is_ascii_digit())
        && hash.len() == 16
        && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
