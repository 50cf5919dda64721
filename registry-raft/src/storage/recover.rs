//! Recovery: reads the segments back, cuts a torn tail, and refuses everything else that is not what was written.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Identity, Result, StorageError, StorageOptions,
    engine::{Active, Engine, write_zeros},
    frame::{self, ALIGNMENT, At, Body, FRAME_HEADER, NoFrame},
    head::Head,
    io::{self, LogIo, NamedFile},
    places::{Place, Placed, Places},
    segment::{self, FRESH, SEGMENT_HEADER, SEGMENT_LIMIT, SegmentHeader},
};

/// The log as it was found, ready for writing.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) engine: Engine,
    pub(super) places: Places,
}

/// A segment file with its content.
struct Loaded {
    id: u64,
    file: NamedFile,
    bytes: Vec<u8>,
    header: SegmentHeader,
}

/// Where the frames of a segment end.
struct End {
    /// Offset after the last valid frame.
    offset: usize,
    /// What the last valid frame says was on disk before it.
    durable: u32,
    /// Whether the last valid frame is a mark.
    marked: bool,
}

/// Opens the log in the directory. A directory without any segment gets the first one.
pub(super) fn recover(io: Arc<dyn LogIo>, identity: Identity, options: StorageOptions) -> Result<Recovered> {
    // Names that a crashed predecessor changed, but did not make durable, are relied upon from here on.
    io::sync_dir(&*io)?;
    let mut names = io::list(&*io)?;
    if names.iter().any(|name| name == FRESH) {
        io::remove(&*io, FRESH)?;
        names.retain(|name| name != FRESH);
    }
    let ids: Vec<u64> = names.iter().filter_map(|name| segment::segment_id(name)).collect();
    let mut recovered = match ids.last() {
        None => Recovered { engine: Engine::create(io, identity, options)?, places: Places::default() },
        Some(newest) => replay(io, identity, options, &ids, *newest)?,
    };
    tidy(&mut recovered, &names)?;
    Ok(recovered)
}

/// Removes what a crash kept from being removed: segments without live records and surplus spares.
fn tidy(recovered: &mut Recovered, names: &[String]) -> Result<()> {
    let engine = &mut recovered.engine;
    engine.spares = names.iter().filter(|name| segment::is_spare(name)).cloned().collect();
    while engine.spares.len() > engine.options.spare_segments {
        if let Some(surplus) = engine.spares.pop() {
            io::remove(&*engine.io, &surplus)?;
        }
    }
    engine.retire(recovered.places.oldest_segment().unwrap_or(u64::MAX))
}

fn replay(
    io: Arc<dyn LogIo>,
    identity: Identity,
    options: StorageOptions,
    ids: &[u64],
    newest: u64,
) -> Result<Recovered> {
    let run = consecutive(ids);
    let mut segments = BTreeMap::new();
    for id in ids.iter().filter(|id| !run.contains(id)) {
        // Retired before the crash, but not yet renamed: checked below by what the remaining segments hold.
        segments.insert(*id, NamedFile::open(&*io, &segment::segment_name(*id))?);
    }
    let mut replayed: Option<(Head, Places)> = None;
    let mut newest_read: Option<(Loaded, End)> = None;
    for id in run {
        let sealed = newest_read.take().map(|(loaded, end)| (loaded.file, end));
        let loaded = load(&*io, id, identity)?;
        segments.insert(id, loaded.file.clone());
        if let Some((file, end)) = sealed {
            check_sealed(&file, &end, loaded.header.previous_end)?;
        }
        let (head, places) =
            replayed.get_or_insert_with(|| (loaded.header.head, Places::starting_at(loaded.header.head.next())));
        if *head != loaded.header.head {
            return Err(StorageError::damaged(
                &loaded.file.name,
                0,
                "the header does not follow from the segment before",
            ));
        }
        let end = scan(&loaded, head, places)?;
        newest_read = Some((loaded, end));
    }
    let (Some((head, mut places)), Some((last, end))) = (replayed, newest_read) else {
        return Err(StorageError::damaged(&segment::segment_name(newest), 0, "cannot be found"));
    };
    check_complete(&head, &mut places, &last, segments.keys().next().copied())?;
    let active = settle(last, &end)?;
    let mut engine = Engine::new(io, identity, options, head, active, segments);
    engine.marked = end.marked;
    Ok(Recovered { engine, places })
}

/// The newest ids that follow one another without a gap, ascending.
fn consecutive(ids: &[u64]) -> Vec<u64> {
    let mut run: Vec<u64> = Vec::new();
    for id in ids.iter().rev() {
        if run.last().is_some_and(|newer| newer.checked_sub(1) != Some(*id)) {
            break;
        }
        run.push(*id);
    }
    run.reverse();
    run
}

fn load(io: &dyn LogIo, id: u64, identity: Identity) -> Result<Loaded> {
    let name = segment::segment_name(id);
    let file = NamedFile::open(io, &name)?;
    if file.len()? > SEGMENT_LIMIT {
        return Err(StorageError::damaged(&name, SEGMENT_LIMIT, "the file is longer than a segment can be"));
    }
    let bytes = file.read_up_to(0, usize::MAX)?;
    let header = SegmentHeader::decode(bytes.get(..SEGMENT_HEADER as usize).unwrap_or(&bytes), &name)?;
    if header.identity != identity {
        return Err(StorageError::Refused(format!(
            "{name} belongs to member {} of cluster {:032x}, not to member {} of cluster {:032x}",
            header.identity.node, header.identity.cluster, identity.node, identity.cluster
        )));
    }
    if header.id != id {
        return Err(StorageError::damaged(&name, 0, format!("the header is that of segment {}", header.id)));
    }
    Ok(Loaded { id, file, bytes, header })
}

/// Takes in all frames up to the first that is not valid.
fn scan(loaded: &Loaded, head: &mut Head, places: &mut Places) -> Result<End> {
    let mut end = End { offset: SEGMENT_HEADER as usize, durable: SEGMENT_HEADER, marked: false };
    loop {
        let rest = loaded.bytes.get(end.offset..).unwrap_or_default();
        let offset = u32::try_from(end.offset).unwrap_or(u32::MAX);
        let found = match frame::decode(rest, At { segment: loaded.id, offset }) {
            Ok(found) => found,
            Err(NoFrame::Invalid) => return Ok(end),
            Err(NoFrame::Foreign(what)) => return Err(StorageError::damaged(&loaded.file.name, offset.into(), what)),
        };
        head.apply(&found.body).map_err(|what| StorageError::damaged(&loaded.file.name, offset.into(), what))?;
        let place = Place { segment: loaded.id, offset, length: found.length };
        if let Some(placed) = Placed::of(&found.body, place) {
            places.apply(placed);
        }
        end = End {
            offset: end.offset.saturating_add(found.length as usize),
            durable: found.durable,
            marked: matches!(found.body, Body::Mark),
        };
    }
}

/// A segment that another one follows was on disk completely.
fn check_sealed(file: &NamedFile, end: &End, expected: u32) -> Result<()> {
    if end.offset == expected as usize {
        return Ok(());
    }
    Err(StorageError::damaged(&file.name, end.offset as u64, format!("its records should go on until byte {expected}")))
}

/// Every record that is not purged must be there.
fn check_complete(head: &Head, places: &mut Places, last: &Loaded, oldest: Option<u64>) -> Result<()> {
    if let Some(purged) = head.first().checked_sub(1) {
        places.apply(Placed::Purged(purged));
    }
    if places.front() == head.first() {
        return Ok(());
    }
    let what = format!(
        "records {}..{} are missing: a segment before it was lost (the oldest present is {})",
        head.first(),
        places.front(),
        oldest.map_or_else(|| "none".to_owned(), segment::segment_name),
    );
    Err(StorageError::damaged(&last.file.name, 0, what))
}

/// Makes the newest segment fit for writing: what follows the last valid frame is torn and void, and what may only be in
/// memory is on disk.
fn settle(last: Loaded, end: &End) -> Result<Active> {
    let tail = torn_tail(&last, end.offset)?;
    if let Some(until) = tail {
        // Frames that survived behind the tear must not come back when the space before them is written again.
        write_zeros(&last.file, end.offset as u64, until as u64)?;
    }
    if !end.marked {
        // The last group may be in the page cache only, and there marked clean by a flush that failed: it is written again.
        let group = last.bytes.get(end.durable as usize..end.offset).unwrap_or_default();
        last.file.write_all(end.durable.into(), group)?;
    }
    if tail.is_some() || !end.marked {
        last.file.sync()?;
    }
    let end = u32::try_from(end.offset).unwrap_or(u32::MAX);
    Ok(Active { id: last.id, allocated: last.bytes.len() as u64, file: last.file, end, durable: end })
}

/// Looks behind the last valid frame. What stands there was torn while it was written, and is cut, unless a valid frame
/// behind it knows that it was on disk before: then it is damage.
fn torn_tail(last: &Loaded, cut: usize) -> Result<Option<usize>> {
    let mut until = None;
    let mut offset = cut;
    while let Some(header) = last.bytes.get(offset..offset.saturating_add(FRAME_HEADER)) {
        if frame::names_segment(header, last.id) {
            until = Some(offset.saturating_add(FRAME_HEADER));
            let at = At { segment: last.id, offset: u32::try_from(offset).unwrap_or(u32::MAX) };
            let later = frame::decode(last.bytes.get(offset..).unwrap_or_default(), at);
            if later.is_ok_and(|later| later.durable as usize > cut) {
                let what = format!("a frame that was on disk is unreadable, the one at {offset} after it is whole");
                return Err(StorageError::damaged(&last.file.name, cut as u64, what));
            }
        }
        offset = offset.saturating_add(ALIGNMENT);
    }
    Ok(until)
}
