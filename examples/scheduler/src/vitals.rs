//! Measures the machine: processor, memory, load, and who this process is.

use std::net::{Ipv4Addr, UdpSocket};

use sysinfo::System;

use crate::clock::wall_ms;
use crate::state::{Status, Vitals};

/// Measures again and again; the processor's share is that of the time since the measurement before.
#[derive(Debug)]
pub struct Gauge {
    system: System,
    host: String,
    ip: String,
    cores: usize,
    started_at: u64,
}

impl Gauge {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Self {
            system,
            host: System::host_name().unwrap_or_else(|| "localhost".to_owned()),
            ip: own_ip(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            started_at: wall_ms(),
        }
    }

    /// Load average of the last minute, per core.
    #[must_use]
    pub fn load(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no machine has so many cores")]
        let cores = self.cores as f64;
        System::load_average().one / cores
    }

    /// Measures; reads a few small files of the kernel.
    pub fn measure(&mut self, status: Status) -> Vitals {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        Vitals {
            host: self.host.clone(),
            ip: self.ip.clone(),
            pid: std::process::id(),
            cpu: self.system.global_cpu_usage(),
            memory_used: self.system.used_memory(),
            memory_total: self.system.total_memory(),
            load: self.load(),
            status,
            started_at: self.started_at,
            reported_at: wall_ms(),
        }
    }
}

/// The address that this machine would send from. Connecting a datagram socket sends nothing; the address is one that is
/// reserved for documentation (RFC 5737).
fn own_ip() -> String {
    let route = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    route.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip()).to_string()
}
