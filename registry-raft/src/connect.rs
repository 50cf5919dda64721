//! From settings to a registry that serves: as a client of members elsewhere, or around a member in this process.

use std::sync::Arc;

use registry_api::{Effect, Error, ErrorKind, Operation, Result};
use tokio::time::Instant;

use crate::client::{Caller, Group, Links};
use crate::config::{self, CLUSTER_DEFAULT, CompactionSettings, Role, StorageKind, TimingProfile};
use crate::consensus::CompactionPolicy;
use crate::convert::BACKEND;
use crate::member::{DataPlace, Exposure, Member, MemberSettings};
use crate::registry::Foundation;
use crate::timing::Timing;
use crate::{RaftRegistry, RaftSettings};

impl RaftRegistry {
    /// Connects, or starts a member and connects to it.
    ///
    /// A client returns when the first member has answered. A member returns when it serves, whether the group has a
    /// leader yet or not: members of one group may be started in any order, and operations wait for a leader within
    /// their timeout.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): settings that cannot work.
    /// [`Unavailable`](ErrorKind::Unavailable): no member answered within `connect_timeout`; the last reason is named.
    /// For a member also what its data directory or its port met.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends what it had begun.
    pub async fn connect(settings: RaftSettings) -> Result<Self> {
        settings.check()?;
        match settings.role {
            Role::Client => connect_client(&settings).await,
            Role::Member => connect_member(&settings).await,
        }
    }
}

/// Starts a member and puts a registry around it.
async fn connect_member(settings: &RaftSettings) -> Result<RaftRegistry> {
    let member = Member::start(member_settings(settings)).await?;
    let label = settings.label.clone().unwrap_or_else(|| format!("member {}", settings.node));
    let foundation = Foundation::on(&member, settings.timing.client(), label, settings.request_timeout);
    Ok(RaftRegistry::start(foundation).owning(member))
}

fn member_settings(settings: &RaftSettings) -> MemberSettings {
    let members = settings.targets().into_iter().map(|target| (target.id, target.address)).collect();
    let CompactionSettings { bytes, entries, age } = settings.compaction;
    MemberSettings {
        cluster: settings.cluster.clone().unwrap_or_else(|| CLUSTER_DEFAULT.to_owned()),
        node: settings.node,
        listen: settings.listen.clone(),
        exposure: match settings.exposure {
            config::Exposure::Loopback => Exposure::Loopback,
            config::Exposure::Insecure => Exposure::Insecure,
        },
        members,
        data: match settings.storage {
            StorageKind::Disk => DataPlace::Directory(settings.data_dir()),
            StorageKind::Memory => DataPlace::Memory,
        },
        timing: match settings.timing {
            TimingProfile::Lan => Timing::lan(),
            TimingProfile::Wan => Timing::wan(),
            TimingProfile::Test => Timing::test(),
        },
        compaction: CompactionPolicy { bytes, entries, age, ..CompactionPolicy::default() },
    }
}

async fn connect_client(settings: &RaftSettings) -> Result<RaftRegistry> {
    let group = Arc::new(Group::new(settings.cluster.clone().unwrap_or_default(), settings.targets()));
    let timing = settings.timing.client();
    let label = settings.client_label();
    let registry = RaftRegistry::start(Foundation {
        links: Links::new(Arc::clone(&group), Caller::client(&label), timing),
        group,
        timing,
        label,
        request_timeout: settings.request_timeout,
        local: None,
    });
    match registry.reached(Instant::now() + settings.connect_timeout).await {
        Ok(()) => Ok(registry),
        Err(reason) => {
            let limit = humantime::format_duration(settings.connect_timeout);
            let message = match reason.as_str() {
                "" => format!("no member answered within {limit}"),
                reason => format!("no member answered within {limit}; last: {reason}"),
            };
            Err(Error::new(ErrorKind::Unavailable, Effect::NotApplied, Operation::Connect, BACKEND, message))
        }
    }
}
