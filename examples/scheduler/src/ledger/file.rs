//! The file of a ledger, read and extended under an exclusive lock of the operating system.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Kind, Line, decide};

/// A ledger file that is locked for as long as this lives; the operating system frees the lock of a process that dies.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    lines: Vec<Line>,
}

/// A ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The operating system refused.
    #[error("the ledger {path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// A line that is none.
    #[error("the ledger {path}, line {number}: {source}")]
    Line {
        /// Which file.
        path: String,
        /// Which line, from 1.
        number: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Ledger {
    /// Opens a ledger, creating the file where there is none, and waits for the lock.
    ///
    /// A last line without its end was being written when its writer died: it was never acknowledged, and is cut off.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { path: path.display().to_string(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        file.lock().map_err(io)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(io)?;
            text.truncate(whole);
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let lines = parse(path, &text)?;
        Ok(Self { path: path.to_owned(), file, lines })
    }

    /// Reads the lines of a ledger without changing it.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], also when there is no such file.
    pub fn read(path: &Path) -> Result<Vec<Line>, LedgerError> {
        let io = |source| LedgerError::Io { path: path.display().to_string(), source };
        let mut file = File::open(path).map_err(io)?;
        file.lock_shared().map_err(io)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        parse(path, &text)
    }

    /// Records an attempt's effect as the rule says ([`decide`]), durably; returns what was done. The kind of `line` is
    /// overwritten.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Io`]: whether the line is there is not known; recording it again is safe.
    pub fn append(&mut self, line: Line) -> Result<Kind, LedgerError> {
        let kind = decide(&self.lines, &line.resource, line.token);
        let line = Line { kind, ..line };
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|source| LedgerError::Io { path: self.path.display().to_string(), source })?;
        self.lines.push(line);
        Ok(kind)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Line>, LedgerError> {
    let lines = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line).map_err(|source| LedgerError::Line {
            path: path.display().to_string(),
            number: index + 1,
            source,
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(resource: &str, token: &str) -> Line {
        Line {
            kind: Kind::Effect,
            resource: resource.into(),
            token: token.parse().unwrap(),
            attempt: None,
            worker: None,
        }
    }

    #[test]
    fn an_effect_is_had_once_and_a_replaced_attempt_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let append = |resource, token| Ledger::open(&path).unwrap().append(line(resource, token)).unwrap();

        assert_eq!(append("i/a", "1.9"), Kind::Effect);
        assert_eq!(append("i/a", "1.10"), Kind::Confirmed);
        assert_eq!(append("i/a", "1.9"), Kind::Refused);
        assert_eq!(append("i/b", "1.9"), Kind::Effect);

        let kinds: Vec<Kind> = Ledger::read(&path).unwrap().iter().map(|line| line.kind).collect();
        assert_eq!(kinds, [Kind::Effect, Kind::Confirmed, Kind::Refused, Kind::Effect]);
    }

    #[test]
    fn a_refused_token_fences_nobody() {
        let lines = [line("i/a", "1.9"), Line { kind: Kind::Refused, ..line("i/a", "1.5") }];
        assert_eq!(decide(&lines, "i/a", "1.9".parse().unwrap()), Kind::Confirmed);
    }

    #[test]
    fn a_line_whose_writer_died_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        Ledger::open(&path).unwrap().append(line("i/a", "1.1")).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"kind\":\"effect\",\"resou").unwrap();
        drop(file);

        Ledger::open(&path).unwrap().append(line("i/b", "1.2")).unwrap();

        assert_eq!(Ledger::read(&path).unwrap(), [line("i/a", "1.1"), line("i/b", "1.2")]);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        std::fs::write(&path, "nonsense\n").unwrap();
        let error = Ledger::open(&path).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
