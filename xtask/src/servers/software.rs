//! What differs between the servers: images, arguments, how to ask whether they serve.

use super::ask;
use super::place::Place;

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

    pub(crate) fn version(self) -> &'static str {
        self.image().rsplit_once(':').map_or("", |(_, version)| version)
    }

    /// The usual ports, on a network of their own.
    pub(super) fn places(self, members: usize) -> Vec<Place> {
        let [client, peer, election] = match self {
            Self::ZooKeeper => [2181, 2888, 3888],
            Self::Etcd => [2379, 2380, 2380],
        };
        (1..=members).map(|number| Place { host: format!("member-{number}"), client, peer, election }).collect()
    }

    /// The end of a `docker run`: volume, environment, image and command of one member, with the defaults of the servers
    /// where nothing else is said.
    pub(super) fn container(self, index: usize, places: &[Place]) -> Vec<String> {
        // Beside the layers of the image, whose file system may be slow.
        let mut arguments: Vec<String> = ["--volume", "/data"].map(str::to_owned).into();
        match self {
            Self::ZooKeeper => {
                for variable in zookeeper(index, places) {
                    arguments.extend(["--env".to_owned(), variable]);
                }
                arguments.push(self.image().to_owned());
            }
            Self::Etcd => {
                arguments.push(self.image().to_owned());
                arguments.extend(etcd(index, places));
            }
        }
        arguments
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

/// The environment of one server.
fn zookeeper(index: usize, places: &[Place]) -> Vec<String> {
    let server = |(index, place): (usize, &Place)| {
        let Place { host, client, peer, election } = place;
        format!("server.{}={host}:{peer}:{election};{client}", index + 1)
    };
    let servers: Vec<_> = places.iter().enumerate().map(server).collect();
    let own = places.get(index).map(|place| format!("ZOO_CFG_EXTRA=clientPort={}", place.client));
    let id = format!("ZOO_MY_ID={}", index + 1);
    // Every session is a connection of its own, and to a container all come from one address.
    let connections = "ZOO_MAX_CLIENT_CNXNS=0".to_owned();
    // Counts of its own, for those who measure.
    let words = "ZOO_4LW_COMMANDS_WHITELIST=srvr,mntr".to_owned();
    // What its own scripts give it.
    let heap = "JVMFLAGS=-Xmx1000m".to_owned();
    [id, format!("ZOO_SERVERS={}", servers.join(" ")), connections, words, heap].into_iter().chain(own).collect()
}

/// The flags of one member.
fn etcd(index: usize, places: &[Place]) -> Vec<String> {
    let name = |index: usize| format!("member-{}", index + 1);
    let url = |host: &str, port: u16| format!("http://{host}:{port}");
    let peer = |(index, place): (usize, &Place)| format!("{}={}", name(index), url(&place.host, place.peer));
    let cluster: Vec<_> = places.iter().enumerate().map(peer).collect();
    let Some(own) = places.get(index) else { return Vec::new() };
    let flags = [
        ("name", name(index)),
        ("data-dir", "/data/etcd".to_owned()),
        ("listen-client-urls", url("0.0.0.0", own.client)),
        ("advertise-client-urls", url(&own.host, own.client)),
        ("listen-peer-urls", url("0.0.0.0", own.peer)),
        ("initial-advertise-peer-urls", url(&own.host, own.peer)),
        ("initial-cluster", cluster.join(",")),
    ];
    flags.into_iter().map(|(flag, value)| format!("--{flag}={value}")).collect()
}
