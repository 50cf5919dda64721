//! Timing profiles: every duration of consensus in one place, each with the reason for its value.

use std::time::Duration;

/// Durations that consensus runs by. All of them are measured on monotonic clocks.
///
/// They decide how fast things happen, never whether they are safe; the one exception is the leader's lease, which
/// equals `election_timeout_max` and relies on clocks that run at nearly the same rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How often the leader says that it lives. The time limit of one heartbeat is the same.
    pub(crate) heartbeat: Duration,
    /// A follower that heard nothing for the leader's lease and then between this ..
    pub(crate) election_timeout_min: Duration,
    /// .. and this, stands for election. Also the length of the leader's lease.
    pub(crate) election_timeout_max: Duration,
    /// How long a connection may take to come up.
    pub(crate) connect_timeout: Duration,
    /// How long an append, a vote or a transfer may stay unanswered.
    pub(crate) answer_timeout: Duration,
    /// An idle connection is asked for a sign of life this often, and closed when the sign does not come in as long.
    pub(crate) keepalive: Duration,
    /// The first pause before a lost peer is dialled again; it doubles up to `redial_max`.
    pub(crate) redial_min: Duration,
    /// The longest pause before a lost peer is dialled again.
    pub(crate) redial_max: Duration,
    /// After the leader's process was found gone: how long the first candidate waits, so that the others find it too.
    pub(crate) succession_settle: Duration,
    /// After that, how long each further candidate waits for the one before it.
    pub(crate) succession_stagger: Duration,
    /// How long a whole snapshot may take to be sent and installed.
    pub(crate) snapshot_timeout: Duration,
    /// How often the size of the log is looked at.
    pub(crate) compaction_check: Duration,
    /// A leader whose disk has not finished a write for so long lets another one lead.
    pub(crate) disk_stall: Duration,
    /// How long a member without a past waits for peers to answer before it goes on with those that did.
    pub(crate) formation_grace: Duration,
}

impl Timing {
    /// Members in one data centre: the default.
    ///
    /// - `heartbeat` 200 ms: a follower misses five before it doubts. The core of consensus looks at its timers five times in
    ///   each, on every member, which is most of what an idle group costs.
    /// - `election_timeout` 500..1000 ms: longer than the stalls of a disk flush or of a machine that is out of CPU; the
    ///   death of a process is noticed by its connections, not by this.
    /// - `answer_timeout` 1 s: an append waits for an fsync on the other side; slow disks take hundreds of milliseconds.
    /// - `keepalive` 1 s: a silent host costs no more than its lease plus one election anyway.
    /// - `redial` 10..500 ms: a restarted peer is found quickly, a dead one costs two dials a second.
    /// - `succession_settle` 10 ms: a broken connection and a refused dial take about 1 ms on each survivor.
    /// - `succession_stagger` 60 ms: several rounds of votes with an fsync each.
    /// - `snapshot_timeout` 60 s: 500 MB at 100 Mbit/s, with room.
    /// - `compaction_check` 1 s: at 100 MB/s the limit of 64 MiB is overrun by no more than once its size.
    /// - `disk_stall` 2 s: far longer than a flush takes on a disk that works, and with an election well within 5 s.
    /// - `formation_grace` 3 s: members of a new group are started within seconds of each other.
    pub(crate) const fn lan() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(1000),
            connect_timeout: Duration::from_millis(500),
            answer_timeout: Duration::from_secs(1),
            keepalive: Duration::from_secs(1),
            redial_min: Duration::from_millis(10),
            redial_max: Duration::from_millis(500),
            succession_settle: Duration::from_millis(10),
            succession_stagger: Duration::from_millis(60),
            snapshot_timeout: Duration::from_secs(60),
            compaction_check: Duration::from_secs(1),
            disk_stall: Duration::from_secs(2),
            formation_grace: Duration::from_secs(3),
        }
    }

    /// Members far apart, or on slow disks: round trips of up to 300 ms.
    ///
    /// Each value of [`Timing::lan`] that spans a round trip grows with it: a heartbeat must be answered within its own
    /// interval, an election takes two round trips, and candidates must not overtake each other.
    pub(crate) const fn wan() -> Self {
        Self {
            heartbeat: Duration::from_millis(500),
            election_timeout_min: Duration::from_millis(2500),
            election_timeout_max: Duration::from_millis(5000),
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(5),
            redial_min: Duration::from_millis(50),
            redial_max: Duration::from_secs(2),
            succession_settle: Duration::from_millis(300),
            succession_stagger: Duration::from_millis(1000),
            snapshot_timeout: Duration::from_secs(600),
            compaction_check: Duration::from_secs(1),
            disk_stall: Duration::from_secs(10),
            formation_grace: Duration::from_secs(10),
        }
    }

    /// Tests on one machine: as fast as a loaded machine with two cores allows without false elections.
    pub(crate) const fn test() -> Self {
        Self {
            heartbeat: Duration::from_millis(60),
            election_timeout_min: Duration::from_millis(300),
            election_timeout_max: Duration::from_millis(600),
            formation_grace: Duration::from_millis(500),
            compaction_check: Duration::from_millis(50),
            ..Self::lan()
        }
    }

    /// For how long after a quorum has answered it may the leader act as one: the promise of the followers not to elect
    /// another lasts `election_timeout_max`; a tenth is kept back for clocks that run at different rates.
    pub(crate) const fn lease(&self) -> Duration {
        self.election_timeout_max
            .saturating_sub(Duration::from_millis(self.election_timeout_max.as_millis() as u64 / 10))
    }
}
