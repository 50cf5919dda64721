//! What processes and the machine used, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

/// A look at some processes, and at the machine.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    at: Instant,
    /// CPU time of each process and of its children that ended, in ticks.
    ticks: BTreeMap<u32, u64>,
    written: BTreeMap<u32, u64>,
    disk_sectors: Option<u64>,
    busy: u64,
}

/// What was used between two looks.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    ticks: BTreeMap<u32, u64>,
    written: BTreeMap<u32, u64>,
    /// What the disk took, from whomever.
    pub(crate) disk_bytes: Option<f64>,
    busy: u64,
}

impl Usage {
    /// Looks at these processes now, and at the disk of this directory.
    pub(crate) fn of(processes: &[u32], directory: &Path) -> Self {
        let read = |of: fn(u32) -> Option<u64>| processes.iter().filter_map(|id| Some((*id, of(*id)?))).collect();
        Self {
            at: Instant::now(),
            ticks: read(cpu_ticks),
            written: read(written_bytes),
            disk_sectors: written_sectors(directory),
            busy: busy_ticks(),
        }
    }

    /// What was used from `self` to `later`. A process that is not there any more counts for nothing.
    pub(crate) fn until(&self, later: &Self) -> Spent {
        Spent {
            seconds: later.at.duration_since(self.at).as_secs_f64(),
            ticks: differences(&self.ticks, &later.ticks),
            written: differences(&self.written, &later.written),
            disk_bytes: later
                .disk_sectors
                .zip(self.disk_sectors)
                .map(|(after, before)| as_float(after.saturating_sub(before).saturating_mul(SECTOR))),
            busy: later.busy.saturating_sub(self.busy),
        }
    }
}

impl Spent {
    /// CPU time of these processes, in microseconds.
    pub(crate) fn cpu_us(&self, processes: &[u32]) -> f64 {
        as_float(sum(&self.ticks, processes)) * 1e6 / ticks_per_second()
    }

    /// Bytes of the pages that these processes changed in their files: what reaches the disk may be less, where only a part
    /// of a large page is written, and more, by what the file system notes in its journal.
    pub(crate) fn written_bytes(&self, processes: &[u32]) -> f64 {
        as_float(sum(&self.written, processes))
    }

    /// The share of the machine that processes other than those looked at took, 0 to 1.
    pub(crate) fn foreign_share(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| as_float(cores.get() as u64));
        foreign_share(self.busy, self.ticks.values().sum(), self.seconds * cores * ticks_per_second())
    }
}

/// Above this share of the machine, a repeat counts as disturbed.
pub(crate) const FOREIGN_SHARE_MAX: f64 = 0.1;

fn foreign_share(busy: u64, own: u64, capacity: f64) -> f64 {
    if capacity > 0.0 { as_float(busy.saturating_sub(own)) / capacity } else { 0.0 }
}

fn differences(before: &BTreeMap<u32, u64>, after: &BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
    let difference = |(id, now): (&u32, &u64)| (*id, now.saturating_sub(before.get(id).copied().unwrap_or_default()));
    after.iter().map(difference).collect()
}

fn sum(of: &BTreeMap<u32, u64>, processes: &[u32]) -> u64 {
    processes.iter().filter_map(|id| of.get(id)).sum()
}

/// The resident memory of a process in megabytes.
pub(crate) fn resident_mb(process: u32) -> Option<f64> {
    Some(as_float(kilobytes(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)?) / 1000.0)
}

fn kilobytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn cpu_ticks(process: u32) -> Option<u64> {
    process_ticks(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// `utime`, `stime`, `cutime` and `cstime`: the 14th to 17th field, where the second may hold spaces.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    (fields.len() == 4).then(|| fields.iter().sum())
}

/// What the kernel counts a disk in, whatever the disk is made of.
const SECTOR: u64 = 512;

/// Sectors written to the disk of this directory; `None` where its file system has no disk of its own.
fn written_sectors(directory: &Path) -> Option<u64> {
    let device = fs::metadata(directory).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    sectors(&fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?)
}

/// The 7th field.
fn sectors(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse().ok()
}

fn written_bytes(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}

fn busy_ticks() -> u64 {
    fs::read_to_string("/proc/stat").ok().and_then(|text| machine_ticks(&text)).unwrap_or_default()
}

/// User, nice, system and steal: work of processes of this machine or of its neighbours, without idling and interrupts.
fn machine_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    Some([0, 1, 2, 7].iter().filter_map(|index| fields.get(*index)).sum())
}

fn ticks_per_second() -> f64 {
    as_float(rustix::param::clock_ticks_per_second())
}

/// The load average, as the kernel tells it.
pub(crate) fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Processor, cores, memory and kernel in one line.
pub(crate) fn machine() -> String {
    let first = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (processor, memory) = (first("/proc/cpuinfo", "model name"), first("/proc/meminfo", "MemTotal"));
    format!("{cores} cores of {processor}, memory {memory}, Linux {}", kernel.trim())
}

/// A count as a float: counts here are far below where that loses anything.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub(crate) fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_whatever_the_name_of_the_program() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0";
        assert_eq!(process_ticks(stat), Some(127));
        assert_eq!(process_ticks("42 (short) S 1"), None);
    }

    #[test]
    fn the_machine_is_busy_without_idling_and_interrupts() {
        assert_eq!(machine_ticks("cpu  10 20 30 1000 500 7 8 40 0 0\ncpu0 1 2"), Some(100));
    }

    #[test]
    fn sectors_are_those_that_were_written() {
        assert_eq!(sectors("  10 11 12 13 20 21 22 23 0 30 31\n"), Some(22));
        assert_eq!(sectors("1 2 3"), None);
    }

    #[test]
    fn what_is_not_ours_is_foreign() {
        assert!((foreign_share(150, 100, 400.0) - 0.125).abs() < 1e-9);
        assert!(foreign_share(90, 100, 400.0).abs() < 1e-9, "ours may be counted a tick later");
        assert!(foreign_share(100, 0, 0.0).abs() < 1e-9);
    }

    #[test]
    fn memory_is_what_is_resident() {
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmRSS:\t   12345 kB\n"), Some(12_345));
    }

    #[test]
    fn a_process_that_came_later_counts_whole() {
        let before = BTreeMap::from([(1, 5), (2, 7)]);
        let after = BTreeMap::from([(1, 8), (3, 4)]);
        assert_eq!(differences(&before, &after), BTreeMap::from([(1, 3), (3, 4)]));
    }
}
