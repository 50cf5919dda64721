//! The one writer of the log: puts groups of frames into the active segment, each group with one flush.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Identity, Position, Result, StorageError, StorageOptions,
    frame::{self, At, Body},
    head::Head,
    io::{self, LogIo, NamedFile},
    places::{Place, Placed},
    segment::{self, FRESH, SEGMENT_HEADER, SegmentHeader},
};

/// Zeros are written in pieces of at most this many bytes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The segment that frames are written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) id: u64,
    pub(super) file: NamedFile,
    /// Length of the file: up to here its blocks exist.
    pub(super) allocated: u64,
    /// Where the next frame goes.
    pub(super) end: u32,
    /// Up to where everything is on disk.
    pub(super) durable: u32,
}

/// The writer's state. After an error it must not be used again: what is on disk is not known.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) io: Arc<dyn LogIo>,
    pub(super) identity: Identity,
    pub(super) options: StorageOptions,
    pub(super) head: Head,
    pub(super) active: Active,
    /// Segments in use, the active one included.
    pub(super) segments: BTreeMap<u64, NamedFile>,
    /// Names of spare segments.
    pub(super) spares: Vec<String>,
    /// Whether the last frame is a mark, so that another one says nothing new.
    pub(super) marked: bool,
    /// Encoded frames that are not written yet.
    buffer: Vec<u8>,
}

impl Engine {
    pub(super) fn new(
        io: Arc<dyn LogIo>,
        identity: Identity,
        options: StorageOptions,
        head: Head,
        active: Active,
        segments: BTreeMap<u64, NamedFile>,
    ) -> Self {
        Self { io, identity, options, head, active, segments, spares: Vec::new(), marked: false, buffer: Vec::new() }
    }

    /// Creates the first segment of an empty log.
    pub(super) fn create(io: Arc<dyn LogIo>, identity: Identity, options: StorageOptions) -> Result<Self> {
        let header = SegmentHeader { identity, id: 1, previous_end: 0, head: Head::default() };
        let active = prepare(&*io, &options, None, &header)?;
        let segments = BTreeMap::from([(1, active.file.clone())]);
        Ok(Self::new(io, identity, options, Head::default(), active, segments))
    }

    /// Writes the bodies as one group, and with it the committed position if the log reaches that far by then; durable
    /// when this returns. Also returns whether the committed position was written.
    pub(super) fn commit<'a>(
        &mut self,
        bodies: impl Iterator<Item = &'a Body>,
        committed: Option<Position>,
    ) -> Result<(Vec<Placed>, Option<Position>)> {
        let mut placed = Vec::new();
        for body in bodies {
            placed.extend(self.put(body)?);
        }
        let committed = committed.filter(|committed| committed.index < self.head.next());
        if let Some(committed) = committed {
            self.put(&Body::Committed(committed))?;
        }
        self.flush()?;
        Ok((placed, committed))
    }

    /// Writes a mark, so that damage of what stands before it can be told from a torn write.
    pub(super) fn mark(&mut self) -> Result<()> {
        if self.marked {
            return Ok(());
        }
        self.put(&Body::Mark)?;
        self.flush()
    }

    /// Gives up segments older than `oldest`, none of which holds a record that is still in the log.
    pub(super) fn retire(&mut self, oldest: u64) -> Result<()> {
        let kept = self.segments.split_off(&oldest.min(self.active.id));
        let retired = std::mem::replace(&mut self.segments, kept);
        for (id, file) in &retired {
            if self.spares.len() < self.options.spare_segments {
                let spare = segment::spare_name(*id);
                io::rename(&*self.io, &file.name, &spare)?;
                self.spares.push(spare);
            } else {
                io::remove(&*self.io, &file.name)?;
            }
        }
        if retired.is_empty() { Ok(()) } else { io::sync_dir(&*self.io) }
    }

    fn put(&mut self, body: &Body) -> Result<Option<Placed>> {
        let length = frame::frame_length(body);
        if self.position().saturating_add(length as u64) > u64::from(self.options.segment_bytes) {
            self.flush()?;
            self.roll()?;
        }
        let offset = u32::try_from(self.position()).unwrap_or(u32::MAX);
        let at = At { segment: self.active.id, offset };
        frame::encode(&mut self.buffer, at, self.active.durable, body);
        self.head.apply(body).map_err(|what| StorageError::damaged(&self.active.file.name, offset.into(), what))?;
        self.marked = matches!(body, Body::Mark);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Ok(Placed::of(body, Place { segment: self.active.id, offset, length }))
    }

    /// Where the next frame will stand.
    fn position(&self) -> u64 {
        u64::from(self.active.end).saturating_add(self.buffer.len() as u64)
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.position();
        while self.active.allocated < end {
            let step = u64::from(self.options.allocation_bytes.max(1));
            let goal = self.active.allocated.saturating_add(step).min(u64::from(self.options.segment_bytes)).max(end);
            write_zeros(&self.active.file, self.active.allocated, goal)?;
            self.active.allocated = goal;
        }
        self.active.file.write_all(self.active.end.into(), &self.buffer)?;
        self.active.file.sync()?;
        self.active.end = u32::try_from(end).unwrap_or(u32::MAX);
        self.active.durable = self.active.end;
        self.buffer.clear();
        Ok(())
    }

    /// Goes on in a new segment. The old one is on disk completely: the new one's header says where it ends.
    fn roll(&mut self) -> Result<()> {
        let header = SegmentHeader {
            identity: self.identity,
            id: self.active.id.saturating_add(1),
            previous_end: self.active.end,
            head: self.head,
        };
        self.active = prepare(&*self.io, &self.options, self.spares.pop(), &header)?;
        self.segments.insert(header.id, self.active.file.clone());
        Ok(())
    }
}

/// Makes a segment with this header, from a spare one if there is one. It gets its name when its header is on disk, so a
/// segment in use with a bad header is always damage.
fn prepare(io: &dyn LogIo, options: &StorageOptions, spare: Option<String>, header: &SegmentHeader) -> Result<Active> {
    let (file, from) = match spare {
        Some(name) => (NamedFile::open(io, &name)?, name),
        None => (NamedFile::create(io, FRESH)?, FRESH.to_owned()),
    };
    file.write_all(0, &header.encode())?;
    let allocated = file.len()?;
    let goal = u64::from(options.allocation_bytes.min(options.segment_bytes)).max(allocated);
    write_zeros(&file, allocated, goal)?;
    file.sync()?;
    let name = segment::segment_name(header.id);
    io::rename(io, &from, &name)?;
    io::sync_dir(io)?;
    Ok(Active {
        id: header.id,
        file: file.renamed(&name),
        allocated: goal,
        end: SEGMENT_HEADER,
        durable: SEGMENT_HEADER,
    })
}

pub(super) fn write_zeros(file: &NamedFile, mut from: u64, to: u64) -> Result<()> {
    while from < to {
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all(from, ZEROS.get(..length).unwrap_or_default())?;
        from = from.saturating_add(length as u64);
    }
    Ok(())
}
