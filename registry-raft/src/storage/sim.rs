//! A simulated disk for tests: it loses, tears and reorders what was not flushed, forgets names that were not made durable,
//! fails at a chosen operation, and can stop before any operation as if the power went.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::io::{LogFile, LogIo};

/// What of the unflushed operations survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// The first so many.
    First(usize),
    /// All but this one: what came later got to disk before it.
    AllBut(usize),
    /// Everything, but of the last write only so many bytes.
    LastTorn(usize),
    /// Of each write any 512-byte sectors, of the names any changes, drawn from this seed.
    AnySectors(u64),
}

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails; a failed flush also loses what it should have flushed, without another flush noticing.
    Fails(io::ErrorKind),
    /// A write takes only its first byte.
    Short,
}

/// The disk. Cheap to clone; all clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending: Vec<Pending>,
    /// The most bytes written that waited for a flush at once.
    unflushed_most: usize,
    /// Operations so far that change something or flush.
    operations: u64,
    stop_before: Option<u64>,
    fault: Option<(u64, Fault)>,
    stopped: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    /// What reads see.
    current: Vec<u8>,
    /// What certainly survives.
    durable: Vec<u8>,
}

/// An operation that is not durable yet.
#[derive(Clone, Debug)]
enum Pending {
    /// `clean`: a flush failed, so the page cache believes it to be on disk.
    Write {
        content: usize,
        offset: usize,
        bytes: Vec<u8>,
        clean: bool,
    },
    Name {
        name: String,
        content: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
}

impl Pending {
    fn bytes(&self) -> usize {
        if let Self::Write { bytes, .. } = self { bytes.len() } else { 0 }
    }
}

impl SimDisk {
    /// Operations so far that change something or flush.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Stops before the operation with this number (from 0), as if the power went: it and all later ones fail.
    pub(crate) fn stop_before(&self, operation: u64) {
        self.state().stop_before = Some(operation);
    }

    /// Lets the operation with this number (from 0) go wrong.
    pub(crate) fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().fault = Some((operation, fault));
    }

    /// The power goes now.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
    }

    /// Operations that are not durable.
    pub(crate) fn pending(&self) -> usize {
        self.state().pending.len()
    }

    /// The most bytes written that waited for a flush at once.
    pub(crate) fn unflushed_most(&self) -> usize {
        self.state().unflushed_most
    }

    /// The disk after a power loss.
    pub(crate) fn after_power_loss(&self, survives: Survives) -> Self {
        let mut state = self.state().clone();
        let pending = std::mem::take(&mut state.pending);
        let count = pending.len();
        let last_write = pending.iter().rposition(|operation| matches!(operation, Pending::Write { .. }));
        let mut draw = match survives {
            Survives::AnySectors(seed) => seed.wrapping_mul(2).wrapping_add(1),
            _ => 1,
        };
        for (at, operation) in pending.into_iter().enumerate() {
            match survives {
                Survives::Nothing => {}
                Survives::First(kept) if at >= kept => {}
                Survives::AllBut(lost) if at == lost => {}
                Survives::LastTorn(kept) if Some(at) == last_write => {
                    state.persist_part(&operation, |byte| byte < kept)
                }
                Survives::AnySectors(_) => {
                    let bits = step(&mut draw);
                    state.persist_part(&operation, |byte| bits >> ((byte / 512) % 64) & 1 == 1);
                }
                _ => state.persist_part(&operation, |_byte| true),
            }
        }
        debug_assert!(count == 0 || !state.contents.is_empty());
        for content in &mut state.contents {
            content.current.clone_from(&content.durable);
        }
        state.names.clone_from(&state.durable_names);
        state.restarted()
    }

    /// The disk after the process was killed: what was written is still there, but not durable.
    pub(crate) fn after_process_death(&self) -> Self {
        self.state().clone().restarted()
    }

    /// Inverts one bit of a file, on disk and in memory.
    pub(crate) fn flip(&self, name: &str, byte: usize, bit: u8) {
        let mut state = self.state();
        let content = state.names[name];
        state.contents[content].current[byte] ^= 1 << bit;
        state.contents[content].durable[byte] ^= 1 << bit;
    }

    /// Names and lengths of the files.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let state = self.state();
        state.names.iter().map(|(name, content)| (name.clone(), state.contents[*content].current.len())).collect()
    }

    /// Puts a file in place, durable.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let content = state.contents.len();
        state.contents.push(Content { current: bytes.to_vec(), durable: bytes.to_vec() });
        state.names.insert(name.to_owned(), content);
        state.durable_names.insert(name.to_owned(), content);
    }

    /// What a file holds.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.contents[state.names[name]].current.clone()
    }

    /// Takes a file away, durably.
    pub(crate) fn take(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small generator of pseudo-random bits (Marsaglia, "Xorshift RNGs", 2003).
fn step(draw: &mut u64) -> u64 {
    *draw ^= *draw << 13;
    *draw ^= *draw >> 7;
    *draw ^= *draw << 17;
    draw.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

impl State {
    fn restarted(mut self) -> SimDisk {
        self.operations = 0;
        self.stop_before = None;
        self.fault = None;
        self.stopped = false;
        SimDisk { state: Arc::new(Mutex::new(self)) }
    }

    /// Counts an operation; says what goes wrong with it.
    fn operation(&mut self) -> io::Result<Option<Fault>> {
        let number = self.operations;
        self.operations += 1;
        if self.stopped || self.stop_before.is_some_and(|stop| number >= stop) {
            self.stopped = true;
            return Err(io::Error::other("the power is off"));
        }
        Ok(self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault))
    }

    /// The same for an operation that cannot be done by halves.
    fn whole_operation(&mut self) -> io::Result<()> {
        match self.operation()? {
            Some(Fault::Fails(kind)) => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn persist_part(&mut self, operation: &Pending, kept: impl Fn(usize) -> bool) {
        match operation {
            Pending::Write { content, offset, bytes, .. } => {
                let durable = &mut self.contents[*content].durable;
                for (at, byte) in bytes.iter().enumerate().filter(|(at, _)| kept(offset % 512 + *at)) {
                    let at = offset + at;
                    if durable.len() <= at {
                        durable.resize(at + 1, 0);
                    }
                    durable[at] = *byte;
                }
            }
            _ if !kept(0) => {}
            Pending::Name { name, content } => drop(self.durable_names.insert(name.clone(), *content)),
            Pending::Remove { name } => drop(self.durable_names.remove(name)),
            Pending::Rename { from, to } => {
                // A rename whose file never got its first name durably still gives it the second one.
                let content = self.durable_names.remove(from).or_else(|| self.names.get(to).copied());
                if let Some(content) = content {
                    self.durable_names.insert(to.clone(), content);
                }
            }
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    content: usize,
}

impl LogIo for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state();
        state.whole_operation()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = state.contents.len();
        state.contents.push(Content::default());
        state.names.insert(name.to_owned(), content);
        state.pending.push(Pending::Name { name: name.to_owned(), content });
        Ok(Arc::new(SimFile { disk: self.clone(), content }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let content = *self.state().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.whole_operation()?;
        let content = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), content);
        state.pending.push(Pending::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.whole_operation()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.pending.push(Pending::Remove { name: name.to_owned() });
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.whole_operation()?;
        state.durable_names = state.names.clone();
        state.pending.retain(|operation| matches!(operation, Pending::Write { .. }));
        Ok(())
    }

    fn release(&self) {}
}

impl LogFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let taken = match state.operation()? {
            Some(Fault::Fails(kind)) => return Err(kind.into()),
            Some(Fault::Short) => 1.min(bytes.len()),
            None => bytes.len(),
        };
        let (offset, bytes) = (offset as usize, bytes[..taken].to_vec());
        let current = &mut state.contents[self.content].current;
        if current.len() < offset + taken {
            current.resize(offset + taken, 0);
        }
        current[offset..offset + taken].copy_from_slice(&bytes);
        state.pending.push(Pending::Write { content: self.content, offset, bytes, clean: false });
        let unflushed = state.pending.iter().map(Pending::bytes).sum();
        state.unflushed_most = state.unflushed_most.max(unflushed);
        Ok(taken)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        if state.stopped {
            return Err(io::Error::other("the power is off"));
        }
        let rest = state.contents[self.content].current.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.operation()?;
        let mut kept = Vec::new();
        for mut operation in std::mem::take(&mut state.pending) {
            match &mut operation {
                Pending::Write { content, clean, .. } if *content == self.content && !*clean => match fault {
                    Some(Fault::Fails(_)) => *clean = true,
                    _ => {
                        state.persist_part(&operation, |_byte| true);
                        continue;
                    }
                },
                _ => {}
            }
            kept.push(operation);
        }
        state.pending = kept;
        match fault {
            Some(Fault::Fails(kind)) => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().contents[self.content].current.len() as u64)
    }
}
