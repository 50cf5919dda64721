//! The stamp of a data directory: whose data it holds and in which format. The layout is documented in `docs/formats/disk.md`.

use super::{
    Identity, Opening, Result, StorageError, StorageOptions,
    io::{self, LogIo, NamedFile},
    segment, snapshot,
};

/// Version of the layout of the directory.
pub(super) const DIRECTORY_FORMAT: u32 = 1;
/// Name of the stamp.
pub(super) const STAMP: &str = "identity";
/// Name of the stamp while the directory is being set up.
pub(super) const STAMP_BEGUN: &str = "identity.new";
/// A stamp is far shorter than this.
const STAMP_LIMIT: usize = 4096;

/// What the stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) identity: Identity,
    pub(super) incarnation: u64,
}

/// Whether a directory is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directory {
    /// It holds data.
    Stamped(Stamp),
    /// It is empty, or was until a first start that did not finish; nothing was ever acknowledged from it.
    Begun(Stamp),
}

/// Examines the directory and refuses one that may not be used; begins to set up an empty one.
pub(super) fn examine(
    io: &dyn LogIo,
    identity: Identity,
    opening: Opening,
    options: &StorageOptions,
) -> Result<Directory> {
    let names = io::list(io)?;
    if names.iter().any(|name| name == STAMP) {
        let stamp = read(io, STAMP)?;
        check(&stamp, identity)?;
        if opening == Opening::CreateNew {
            return Err(StorageError::Refused(
                "the data directory holds data of this member already, but it was to start empty".to_owned(),
            ));
        }
        if !names.iter().any(|name| segment::segment_id(name).is_some()) {
            return Err(StorageError::Refused(
                "the data directory has lost its log: this member must not vote again under its id; replace it by a new \
                 member with a new id"
                    .to_owned(),
            ));
        }
        return Ok(Directory::Stamped(stamp));
    }
    let begun = names.iter().any(|name| name == STAMP_BEGUN);
    if let Some(foreign) = names.iter().find(|name| !(is_tolerated(name) || begun && is_ours(name))) {
        return Err(StorageError::Refused(format!(
            "the data directory is not empty and not a data directory of a registry: it contains {foreign:?}"
        )));
    }
    if opening == Opening::OpenExisting {
        return Err(StorageError::Refused(
            "the data directory is empty, but this member has data; is the right disk mounted?".to_owned(),
        ));
    }
    let stamp = Stamp { identity, incarnation: options.incarnation };
    begin(io, &names, &stamp)?;
    Ok(Directory::Begun(stamp))
}

/// Removes what an unfinished first start left, and writes the stamp under its temporary name.
fn begin(io: &dyn LogIo, names: &[String], stamp: &Stamp) -> Result<()> {
    // The temporary stamp goes last: while anything else is there, it tells that the rest is ours to remove.
    for name in names.iter().filter(|name| !is_tolerated(name) && *name != STAMP_BEGUN) {
        io::remove(io, name)?;
    }
    io::sync_dir(io)?;
    if names.iter().any(|name| name == STAMP_BEGUN) {
        io::remove(io, STAMP_BEGUN)?;
    }
    let file = NamedFile::create(io, STAMP_BEGUN)?;
    file.write_all(0, encode(stamp).as_bytes())?;
    file.sync()?;
    io::sync_dir(io)
}

/// The directory is set up: from now on a missing log is a loss.
pub(super) fn finish(io: &dyn LogIo) -> Result<()> {
    io::rename(io, STAMP_BEGUN, STAMP)?;
    io::sync_dir(io)
}

fn is_tolerated(name: &str) -> bool {
    name == io::LOCK || name == "lost+found"
}

fn is_ours(name: &str) -> bool {
    name == STAMP_BEGUN
        || name == segment::FRESH
        || segment::segment_id(name).is_some()
        || segment::is_spare(name)
        || snapshot::is_snapshot(name)
}

fn check(stamp: &Stamp, identity: Identity) -> Result<()> {
    let Identity { cluster, node } = identity;
    if stamp.identity.cluster != cluster {
        return Err(StorageError::Refused(format!(
            "the data directory belongs to cluster {:032x}, this member to cluster {cluster:032x}",
            stamp.identity.cluster
        )));
    }
    if stamp.identity.node != node {
        return Err(StorageError::Refused(format!(
            "the data directory belongs to member {}, this is member {node}",
            stamp.identity.node
        )));
    }
    Ok(())
}

fn encode(stamp: &Stamp) -> String {
    let text = format!(
        "registry data directory\nformat {DIRECTORY_FORMAT}\ncluster {:032x}\nmember {}\nincarnation {:016x}\n",
        stamp.identity.cluster, stamp.identity.node, stamp.incarnation
    );
    let checksum = crc32c::crc32c(text.as_bytes());
    format!("{text}checksum {checksum:08x}\n")
}

fn read(io: &dyn LogIo, name: &str) -> Result<Stamp> {
    let bytes = NamedFile::open(io, name)?.read_up_to(0, STAMP_LIMIT)?;
    decode(&bytes, name)
}

fn decode(bytes: &[u8], name: &str) -> Result<Stamp> {
    let damaged = |what: &str| StorageError::damaged(name, 0, what);
    let text = std::str::from_utf8(bytes).map_err(|_not_text| damaged("not a text"))?;
    let (content, checksum) = text.rsplit_once("checksum ").ok_or_else(|| damaged("the checksum is missing"))?;
    if checksum != format!("{:08x}\n", crc32c::crc32c(content.as_bytes())) {
        return Err(damaged("the checksum is wrong"));
    }
    let field = |key: &str| {
        let mut values = content.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        values.next_back().ok_or_else(|| damaged(&format!("{key} is missing")))
    };
    let format: u32 = field("format")?.parse().map_err(|_not_a_number| damaged("the format makes no sense"))?;
    if format != DIRECTORY_FORMAT {
        return Err(StorageError::Refused(format!(
            "the data directory has format {format}, this program knows {DIRECTORY_FORMAT}: start the version that wrote it"
        )));
    }
    let senseless = |_error| damaged("a number makes no sense");
    Ok(Stamp {
        identity: Identity {
            cluster: u128::from_str_radix(field("cluster")?, 16).map_err(senseless)?,
            node: field("member")?.parse().map_err(senseless)?,
        },
        incarnation: u64::from_str_radix(field("incarnation")?, 16).map_err(senseless)?,
    })
}
