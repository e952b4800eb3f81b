//! The files of a template folder: read once, with limits, and never from outside the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest;

use crate::digest::hex;
use crate::digest::of_parts;
use crate::fault::Fault;
use crate::fault::SourceFile;

/// Largest file, in bytes (1 MB).
pub const FILE_BYTES_MAX: u64 = 1_000_000;
/// Files in one folder of templates, at most.
pub const FILES_MAX: usize = 5_000;
/// Folders inside folders, at most.
const FOLDER_LEVELS_MAX: usize = 8;

/// All files of a template folder, by path relative to it, with `/` between names.
#[derive(Debug, Clone, Default)]
pub struct Files {
    files: BTreeMap<String, SourceFile>,
}

impl Files {
    /// Reads every file under `folder`. Hidden files, editors' backups and `*.md` are left alone. Symbolic links
    /// are faults: what is read must lie in the folder.
    pub fn read(folder: &Path) -> Result<Self, Vec<Fault>> {
        let mut files = Self::default();
        let mut faults = Vec::new();
        if !folder.is_dir() {
            let message = format!("there is no folder of templates at {}", folder.display());
            let help = "name it in bespoke.toml ([templates] folder) or with --templates; `bespoke init DIR` makes one";
            return Err(vec![Fault::general(message).with_help(help)]);
        }
        files.read_folder(folder, &mut Vec::new(), &mut faults);
        if faults.is_empty() { Ok(files) } else { Err(faults) }
    }

    /// Files that are in memory already (those inside the binary, those of a test).
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let files = pairs.into_iter().map(|(path, text)| {
            let file = source(&path, &text);
            (path, file)
        });
        Self { files: files.collect() }
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.get(path)
    }

    /// Every file, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SourceFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Names this content: the first 32 hex digits of SHA-256 over all paths and texts.
    pub fn version(&self) -> String {
        let parts = self.files.iter().flat_map(|(path, file)| [path.as_bytes(), file.text.as_bytes()]);
        let hash = of_parts(parts);
        hex(&hash.finalize()[..16])
    }

    fn read_folder(&mut self, folder: &Path, names: &mut Vec<String>, faults: &mut Vec<Fault>) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                faults.push(Fault::general(format!("cannot read the folder {}: {error}", folder.display())));
                return;
            }
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_ignored(&name) {
                continue;
            }
            names.push(name);
            self.read_entry(&path, names, faults);
            names.pop();
        }
    }

    fn read_entry(&mut self, path: &Path, names: &mut Vec<String>, faults: &mut Vec<Fault>) {
        let relative = names.join("/");
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => {
                faults.push(Fault::general(format!("cannot read {relative}: {error}")));
                return;
            }
        };
        let fault = if metadata.is_symlink() {
            Fault::general(format!("{relative} is a symbolic link"))
                .with_help("copy the file into the folder")
        } else if metadata.is_dir() {
            if names.len() < FOLDER_LEVELS_MAX {
                return self.read_folder(path, names, faults);
            }
            Fault::general(format!("{relative} lies more than {FOLDER_LEVELS_MAX} folders deep"))
        } else if metadata.len() > FILE_BYTES_MAX {
            let message =
                format!("{relative} has {} bytes; at most {FILE_BYTES_MAX} are allowed", metadata.len());
            Fault::general(message).with_help("split it into blocks")
        } else if self.files.len() >= FILES_MAX {
            Fault::general(format!("the folder holds more than {FILES_MAX} files"))
        } else {
            match fs::read(path).map(String::from_utf8) {
                Ok(Ok(text)) => {
                    let file = source(&relative, &text);
                    self.files.insert(relative, file);
                    return;
                }
                Ok(Err(error)) => {
                    let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                    let line = String::from_utf8_lossy(sound).matches('\n').count() + 1;
                    Fault::general(format!("{relative} is not UTF-8 (line {line})"))
                        .with_help("save it as UTF-8")
                }
                Err(error) => Fault::general(format!("cannot read {relative}: {error}")),
            }
        };
        faults.push(fault);
    }
}

/// A file without the byte-order mark that some editors write in front.
fn source(path: &str, text: &str) -> SourceFile {
    SourceFile { path: PathBuf::from(path), text: text.strip_prefix('\u{feff}').unwrap_or(text).into() }
}

fn is_ignored(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    name.starts_with('.') || name.ends_with('~') || matches!(extension, "md" | "orig" | "bak" | "swp")
}
