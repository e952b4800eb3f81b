//! The transport that sends nothing: one .eml file a mail.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use crate::send::SendId;

/// A folder of .eml files, named by send, never by address.
#[derive(Debug, Clone)]
pub struct Directory {
    folder: PathBuf,
}

impl Directory {
    /// Opens the folder; makes it where it is missing.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes the mail whole or not at all: beside its name first, made durable, then renamed. The same send
    /// twice is one file.
    pub fn write(&self, send: &SendId, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{send}.eml"));
        let beside = self.folder.join(format!(".{send}.eml.part"));
        let written = (|| {
            let mut file = File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            std::fs::rename(&beside, &path)
        })();
        if written.is_err() {
            // What is left half written must not be taken for a mail; a failure to remove it changes nothing.
            let _ = std::fs::remove_file(&beside);
        }
        written.map(|()| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_one_file_named_by_its_send() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(&folder.path().join("out")).unwrap();
        let send = SendId::parse("0193f0a1b2c3d4e5f60718293a4b5c6d").unwrap();
        let path = directory.write(&send, b"one").unwrap();
        directory.write(&send, b"one").unwrap();
        let names: Vec<_> =
            std::fs::read_dir(folder.path().join("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["0193f0a1b2c3d4e5f60718293a4b5c6d.eml"]);
        assert_eq!(std::fs::read(path).unwrap(), b"one");
    }
}
