//! What differs between the servers: images, arguments, how to ask whether they serve.

use super::ask;

/// Which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    ZooKeeper,
    Etcd,
}

impl Software {
    /// As in the configuration key `backend`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ZooKeeper => "zookeeper",
            Self::Etcd => "etcd",
        }
    }

    fn image(self) -> &'static str {
        match self {
            Self::ZooKeeper => "registry-test/zookeeper:3.9.3",
            Self::Etcd => "registry-test/etcd:3.5.16",
        }
    }

    pub(super) fn client_port(self) -> u16 {
        match self {
            Self::ZooKeeper => 2181,
            Self::Etcd => 2379,
        }
    }

    /// The name of a member among the others.
    pub(super) fn host(number: usize) -> String {
        format!("member-{number}")
    }

    /// The end of a `docker run`: environment, image and command of one member, with the defaults of the servers where
    /// nothing else is said.
    pub(super) fn container(self, number: usize, members: usize) -> Vec<String> {
        let image = self.image().to_owned();
        match self {
            Self::ZooKeeper => {
                let server = |member| format!("server.{member}={}:2888:3888;2181", Self::host(member));
                let servers: Vec<_> = (1..=members).map(server).collect();
                let id = format!("ZOO_MY_ID={number}");
                // Every session is a connection of its own, and to a container all come from one address.
                let connections = "ZOO_MAX_CLIENT_CNXNS=0".to_owned();
                let environment = [id, format!("ZOO_SERVERS={}", servers.join(" ")), connections];
                let environment = environment.into_iter().flat_map(|variable| ["--env".to_owned(), variable]);
                environment.chain([image]).collect()
            }
            Self::Etcd => {
                let peer = |member| format!("http://{}:2380", Self::host(member));
                let cluster: Vec<_> =
                    (1..=members).map(|member| format!("{}={}", Self::host(member), peer(member))).collect();
                let flags = [
                    ("name", Self::host(number)),
                    ("listen-client-urls", "http://0.0.0.0:2379".to_owned()),
                    ("advertise-client-urls", format!("http://{}:2379", Self::host(number))),
                    ("listen-peer-urls", "http://0.0.0.0:2380".to_owned()),
                    ("initial-advertise-peer-urls", peer(number)),
                    ("initial-cluster", cluster.join(",")),
                ];
                let flags = flags.into_iter().map(|(flag, value)| format!("--{flag}={value}"));
                [image].into_iter().chain(flags).collect()
            }
        }
    }

    /// The section of the configuration that connects to members at these addresses.
    pub(super) fn section(self, addresses: &[String]) -> String {
        match self {
            Self::ZooKeeper => format!("[registry.zookeeper]\nconnect = \"{}\"\n", addresses.join(",")),
            Self::Etcd => {
                let endpoints: Vec<_> = addresses.iter().map(|address| format!("\"http://{address}\"")).collect();
                format!("[registry.etcd]\nendpoints = [{}]\n", endpoints.join(", "))
            }
        }
    }

    /// Whether the member at this address is part of a quorum.
    pub(super) fn serves(self, address: &str) -> bool {
        match self {
            Self::ZooKeeper => ask(address, "srvr").is_some_and(|answer| answer.contains("Mode: ")),
            Self::Etcd => {
                let request = "GET /health HTTP/1.0\r\n\r\n";
                ask(address, request).is_some_and(|answer| answer.contains("\"health\":\"true\""))
            }
        }
    }
}
