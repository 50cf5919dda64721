//! W16: what the machine itself gives: append and flush on this disk, and a round trip on loopback.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::VALUE_LEN;
use crate::load::{Scene, histogram, record, with_latencies};
use crate::row::Figures;
use crate::usage::as_float;
use crate::{Outcome, line};

/// More than is appended while it is measured.
const PREALLOCATED_LEN: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    AppendPreallocated,
    AppendGrowing,
    RoundTrip,
}

impl What {
    pub(super) const ALL: [Self; 3] = [Self::AppendPreallocated, Self::AppendGrowing, Self::RoundTrip];
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AppendPreallocated => "append + fdatasync, preallocated",
            Self::AppendGrowing => "append + fdatasync, growing",
            Self::RoundTrip => "loopback round trip",
        })
    }
}

pub(super) async fn measure(scene: &Scene<'_>, what: What) -> Outcome<Figures> {
    let (path, span, before) = (scene.directory.join("append"), scene.span.measured, scene.look());
    let measured = tokio::task::spawn_blocking(move || match what {
        What::AppendPreallocated => append(&path, span, PREALLOCATED_LEN),
        What::AppendGrowing => append(&path, span, 0),
        What::RoundTrip => round_trips(span),
    });
    let latencies = measured.await.map_err(line)?.map_err(line)?;
    let spent = before.until(&scene.look());
    let ops_per_s = Some(as_float(latencies.len()) / spent.seconds);
    Ok(Figures { ops_per_s, foreign_cpu: Some(spent.foreign_share()), ..with_latencies(&latencies) })
}

fn append(path: &PathBuf, span: Duration, preallocated: u64) -> std::io::Result<Histogram<u64>> {
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
    let latencies = append_to(&file, span, preallocated);
    drop(file);
    remove(path);
    latencies
}

fn append_to(file: &File, span: Duration, preallocated: u64) -> std::io::Result<Histogram<u64>> {
    let mut latencies = histogram().map_err(std::io::Error::other)?;
    // Written, not only reserved: the first write to reserved blocks changes the file system's own records.
    let zeros = vec![0; 1 << 20];
    for offset in (0..preallocated).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()?;
    let (start, mut offset) = (Instant::now(), 0);
    while start.elapsed() < span {
        let asked = Instant::now();
        file.write_all_at(&[b'v'; VALUE_LEN], offset)?;
        file.sync_data()?;
        record(&mut latencies, asked.elapsed());
        offset += VALUE_LEN as u64;
    }
    Ok(latencies)
}

fn remove(path: &Path) {
    // A file that stays is in a directory that goes.
    let _ = std::fs::remove_file(path);
}

fn round_trips(span: Duration) -> std::io::Result<Histogram<u64>> {
    let mut latencies = histogram().map_err(std::io::Error::other)?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = [0; VALUE_LEN];
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (start, mut message) = (Instant::now(), [b'v'; VALUE_LEN]);
    while start.elapsed() < span {
        let asked = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        record(&mut latencies, asked.elapsed());
    }
    drop(stream);
    let _ = echo.join();
    Ok(latencies)
}
