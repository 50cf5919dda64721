//! What differs between ZooKeeper and etcd: images, settings, and how one asks a server for its part in the ensemble.

use serde_json::{Value, json};
use testcontainers::core::IntoContainerPort as _;
use testcontainers::{ContainerRequest, GenericImage, ImageExt as _};

use super::release::Release;
use super::{docker, probe};
use crate::{Broken, Fault, Outcome};

/// What runs on the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Software {
    /// Apache ZooKeeper.
    ZooKeeper,
    /// etcd.
    Etcd,
}

/// The part that a member plays. Only one that serves plays any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Leads,
    Follows,
}

/// Where a status of etcd names the member that gives it.
const OWN_ID: &str = "/header/member_id";

/// What can be done to any ensemble, and these.
macro_rules! faults {
    ($($more:expr),*) => {
        &[
            Fault::Kill(0),
            Fault::Start(0),
            Fault::Restart(0),
            Fault::RestartAll,
            Fault::Pause(0),
            Fault::Resume(0),
            Fault::CutClients(0),
            Fault::ResetClients(0),
            Fault::HoldClients(0),
            Fault::HoldAnswers(0),
            Fault::DelayClients(0),
            Fault::MendClients,
            $($more),*
        ]
    };
}

/// Small and quick to start: the servers share the machine with the tests. Names are looked up again on every dial, as
/// members get new addresses when they start again. What is flushed to the disk is not what these tests show: no case
/// takes the power away, and many servers share one slow disk. Files of the log grow by 4 MiB, which is more than any
/// record: where a record is longer, ZooKeeper's padding overwrites a byte of it, and the server does not start again.
/// Empty containers are removed soon, not after a minute: nothing may depend on that they stay.
const JVM: &str = "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dsun.net.inetaddr.ttl=0 \
    -Dsun.net.inetaddr.negative.ttl=0 -Dzookeeper.extendedTypesEnabled=true -Dzookeeper.forceSync=no \
    -Dzookeeper.preAllocSize=4096 -Dznode.container.checkIntervalMs=200 -Dzookeeper.cnxTimeout=1000 \
    -Dzookeeper.fastleader.maxNotificationInterval=1000";

/// Lines of ZooKeeper's configuration that the image has no variable for.
const ZOOKEEPER_LINES: &str = "minSessionTimeout=500 maxSessionTimeout=600000 quorumListenOnAllIPs=true";

impl Software {
    /// The environment variable that gives the addresses of running servers, `host:port`, separated by commas.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::ZooKeeper => "REGISTRY_TEST_ZOOKEEPER",
            Self::Etcd => "REGISTRY_TEST_ETCD",
        }
    }

    /// The addresses that the environment gives.
    pub(super) fn given(self) -> Option<Vec<String>> {
        let text = std::env::var(self.variable()).ok()?;
        let addresses: Vec<_> = text.split(',').map(|address| address.trim().to_owned()).collect();
        Some(addresses.into_iter().filter(|address| !address.is_empty()).collect())
            .filter(|all: &Vec<_>| !all.is_empty())
    }

    pub(super) fn faults(self, members: usize) -> &'static [Fault] {
        match (self, members) {
            (Self::ZooKeeper, 1) => faults![],
            // Nothing hands the leadership of ZooKeeper over.
            (Self::ZooKeeper, _) => faults![Fault::Isolate(0), Fault::Heal],
            (Self::Etcd, 1) => faults![Fault::Compact],
            (Self::Etcd, _) => faults![Fault::Compact, Fault::ChangeLeader, Fault::Isolate(0), Fault::Heal],
        }
    }

    /// Name and tag of the image.
    pub(super) fn image(self) -> Outcome<(&'static str, &'static str)> {
        Ok(match (self, Release::chosen()?) {
            (Self::ZooKeeper, Release::Trixie) => ("registry-test/zookeeper", "3.9.3"),
            (Self::ZooKeeper, Release::Bookworm) => ("registry-test/zookeeper", "3.8.0"),
            (Self::Etcd, Release::Trixie) => ("registry-test/etcd", "3.5.16"),
            (Self::Etcd, Release::Bookworm) => ("registry-test/etcd", "3.4.23"),
        })
    }

    /// The port that every server of these tests answers at, without any protection.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::ZooKeeper => 2181,
            Self::Etcd => 2379,
        }
    }

    /// Member `number` of an ensemble of containers with these names, reached at `port` of this machine.
    pub(super) fn request(
        self,
        settings: &[String],
        names: &[String],
        number: usize,
        port: u16,
    ) -> Outcome<ContainerRequest<GenericImage>> {
        let name = names.get(number).ok_or_else(|| Broken::harness(format!("there is no member {number}")))?;
        let (image, tag) = self.image()?;
        let request = GenericImage::new(image, tag)
            .with_container_name(name)
            .with_label(docker::LABEL, docker::owner())
            .with_mapped_port(port, self.port().tcp())
            // A member that is cut off from the others gets routes that lead nowhere.
            .with_cap_add("NET_ADMIN");
        Ok(match self {
            Self::ZooKeeper => zookeeper(request, settings, names, number),
            Self::Etcd => request.with_cmd(etcd_flags(settings, names, name)),
        })
    }

    /// The part that the member at `address` plays; an error while it does not serve.
    pub(super) async fn role(self, address: &str) -> Outcome<Role> {
        match self {
            Self::ZooKeeper => {
                let answer = probe::four_letters(address, "srvr").await?;
                match answer.lines().find_map(|line| line.strip_prefix("Mode: ")) {
                    Some("leader" | "standalone") => Ok(Role::Leads),
                    Some("follower") => Ok(Role::Follows),
                    _ => Err(Broken::harness(format!("ZooKeeper does not serve: {answer}"))),
                }
            }
            Self::Etcd => {
                // A range is answered only with the majority.
                probe::json(address, "/v3/kv/range", &json!({ "key": "AA==", "limit": 1 })).await?;
                let status = probe::json(address, "/v3/maintenance/status", &json!({})).await?;
                let (leader, own) = (status.get("leader"), status.pointer(OWN_ID));
                let leads = leader.is_some() && leader == own;
                Ok(if leads { Role::Leads } else { Role::Follows })
            }
        }
    }

    /// How many requests of clients the member at `address` has taken since it runs.
    pub(super) async fn requests(self, address: &str) -> Outcome<u64> {
        match self {
            Self::ZooKeeper => probe::requests_of_zookeeper(address).await,
            Self::Etcd => probe::requests_of_etcd(address).await,
        }
    }

    /// Has the member at `address` forget the history before now.
    pub(super) async fn compact(self, address: &str) -> Outcome {
        match self {
            Self::ZooKeeper => Err(Broken::harness("ZooKeeper keeps no history")),
            Self::Etcd => {
                let range = probe::json(address, "/v3/kv/range", &json!({ "key": "AA==", "limit": 1 })).await?;
                let revision = range.pointer("/header/revision");
                probe::json(address, "/v3/kv/compaction", &json!({ "revision": revision })).await.map(drop)
            }
        }
    }

    /// Hands the leadership from the member at `leader` to the one at `next`.
    pub(super) async fn transfer_leadership(self, leader: &str, next: &str) -> Outcome {
        match self {
            Self::ZooKeeper => Err(Broken::harness("ZooKeeper: nothing hands the leadership over")),
            Self::Etcd => {
                let status: Value = probe::json(next, "/v3/maintenance/status", &json!({})).await?;
                let target = status.pointer(OWN_ID);
                let path = "/v3/maintenance/transfer-leadership";
                probe::json(leader, path, &json!({ "targetID": target })).await.map(drop)
            }
        }
    }
}

fn zookeeper(
    request: ContainerRequest<GenericImage>,
    settings: &[String],
    names: &[String],
    number: usize,
) -> ContainerRequest<GenericImage> {
    let settings = settings.join(" ");
    let own = (1..).zip(names).map(|(id, name)| format!("server.{id}={name}:2888:3888;2181"));
    let servers = if names.len() > 1 { own.collect::<Vec<_>>().join(" ") } else { String::new() };
    request
        .with_env_var("ZOO_MY_ID", (number + 1).to_string())
        .with_env_var("ZOO_SERVERS", servers)
        .with_env_var("ZOO_TICK_TIME", "250")
        .with_env_var("ZOO_INIT_LIMIT", "40")
        .with_env_var("ZOO_SYNC_LIMIT", "12")
        .with_env_var("ZOO_MAX_CLIENT_CNXNS", "0")
        .with_env_var("ZOO_ADMINSERVER_ENABLED", "false")
        .with_env_var("ZOO_4LW_COMMANDS_WHITELIST", "*")
        .with_env_var("ZOO_CFG_EXTRA", format!("{ZOOKEEPER_LINES} {settings}"))
        .with_env_var("JVMFLAGS", JVM)
}

fn etcd_flags(settings: &[String], names: &[String], name: &str) -> Vec<String> {
    let peers: Vec<_> = names.iter().map(|name| format!("{name}=http://{name}:2380")).collect();
    let flags = [
        "--data-dir=/data",
        "--listen-client-urls=http://0.0.0.0:2379",
        "--listen-peer-urls=http://0.0.0.0:2380",
        "--initial-cluster-state=new",
        "--heartbeat-interval=100",
        "--election-timeout=1000",
        "--unsafe-no-fsync",
        // On by itself from 3.5 on: without it a member that returns deposes the leader.
        "--pre-vote",
        "--log-level=warn",
    ];
    let own = [
        format!("--name={name}"),
        format!("--advertise-client-urls=http://{name}:2379"),
        format!("--initial-advertise-peer-urls=http://{name}:2380"),
        format!("--initial-cluster={}", peers.join(",")),
    ];
    flags.into_iter().map(str::to_owned).chain(own).chain(settings.iter().cloned()).collect()
}
