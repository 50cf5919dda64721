//! Who a member is, and the check of every call from a peer before its body is decoded.

use std::fmt;

use metrics::counter;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

const CLUSTER: &str = "registry-cluster";
const FROM: &str = "registry-from";
const TO: &str = "registry-to";

/// Tells clusters apart, so that members that meet by mistake (a copied configuration, a reused address) refuse each
/// other. No secret: it keeps accidents out, not attackers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClusterId(u128);

impl ClusterId {
    /// Derived from the configured name of the cluster: FNV-1a, 128 bits.
    ///
    /// A name gives the same id on every member without asking anybody, so that a member without data cannot be talked
    /// into another cluster.
    pub(crate) fn of_name(name: &str) -> Self {
        const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        Self(name.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
    }

    /// As storage stamps it into the data directory.
    pub(crate) fn to_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// Who a member is: never its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster that it belongs to.
    pub(crate) cluster: ClusterId,
    /// Its id in the cluster; never used again for another member.
    pub(crate) node: u64,
}

/// The member that sent a request, put into the request's extensions by [`PeerGate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender(pub(crate) u64);

/// Puts the identity of the sender, and of the receiver that it means, on every call to a peer.
#[derive(Clone, Debug)]
pub(crate) struct PeerStamp {
    cluster: MetadataValue<Ascii>,
    from: MetadataValue<Ascii>,
    to: MetadataValue<Ascii>,
}

impl PeerStamp {
    pub(crate) fn new(identity: Identity, to: u64) -> Self {
        let text = |text: String| {
            // Digits are always valid in metadata; an empty value would be refused by the receiver.
            MetadataValue::try_from(text).unwrap_or_else(|_| MetadataValue::from_static(""))
        };
        Self { cluster: text(identity.cluster.to_string()), from: identity.node.into(), to: to.into() }
    }
}

impl Interceptor for PeerStamp {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, self.cluster.clone());
        metadata.insert(FROM, self.from.clone());
        metadata.insert(TO, self.to.clone());
        Ok(request)
    }
}

/// Refuses calls that are not from a member of this cluster, or are meant for another member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerGate {
    identity: Identity,
}

impl PeerGate {
    pub(crate) fn new(identity: Identity) -> Self {
        Self { identity }
    }

    fn check(&self, metadata: &MetadataMap) -> Result<Sender, Refused> {
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        let number = |name| text(name).and_then(|value| value.parse::<u64>().ok());
        if text(CLUSTER) != Some(self.identity.cluster.to_string().as_str()) {
            return Err(Refused::Cluster);
        }
        if number(TO) != Some(self.identity.node) {
            return Err(Refused::Receiver);
        }
        match number(FROM) {
            Some(from) if from != self.identity.node => Ok(Sender(from)),
            _ => Err(Refused::Sender),
        }
    }
}

impl Interceptor for PeerGate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match self.check(request.metadata()) {
            Ok(sender) => {
                request.extensions_mut().insert(sender);
                Ok(request)
            }
            Err(refused) => {
                counter!("registry_raft_peer_refused_total", "reason" => refused.label()).increment(1);
                Err(Status::permission_denied(format!("{} (this is member {})", refused.text(), self.identity.node)))
            }
        }
    }
}

/// Why a call from a peer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Cluster,
    Receiver,
    Sender,
}

impl Refused {
    fn label(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Receiver => "receiver",
            Self::Sender => "sender",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Cluster => "the call is not from a member of this cluster",
            Self::Receiver => "the call is meant for another member",
            Self::Sender => "the call comes from no other member",
        }
    }
}
