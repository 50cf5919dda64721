//! Calls from strangers are refused before a body is decoded.

use bytes::{Buf, Bytes};
use tonic::Code;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;

use super::cluster::{Cluster, identity};
use crate::consensus::{ClusterId, Identity};

/// Sends bytes that are no message: whoever decodes them answers otherwise than whoever refuses the caller.
#[derive(Default)]
struct Garbage;

impl Codec for Garbage {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Garbage {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put(buf, item);
        Ok(())
    }
}

impl Decoder for Garbage {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        let len = buf.remaining();
        Ok(Some(buf.copy_to_bytes(len)))
    }
}

/// What member 1 answers to garbage that comes with these identities.
async fn answer_to(cluster: &Cluster, from: Identity, to: u64) -> Code {
    let channel = Channel::from_shared(format!("http://{}", cluster.addresses[&1])).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(Bytes::from_static(&[0xff; 16]));
    let metadata = request.metadata_mut();
    metadata.insert("registry-cluster", from.cluster.to_string().parse().unwrap());
    metadata.insert("registry-from", from.node.into());
    metadata.insert("registry-to", to.into());
    let path = "/registry.v1.Peer/Vote".parse().unwrap();
    client.unary(request, path, Garbage).await.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_cluster_is_refused_before_its_message_is_decoded() {
    let cluster = Cluster::start(1).await;
    let stranger = Identity { cluster: ClusterId::of_name("another"), node: 2 };
    assert_eq!(answer_to(&cluster, stranger, 1).await, Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_another_member_is_refused_before_it_is_decoded() {
    let cluster = Cluster::start(1).await;
    assert_eq!(answer_to(&cluster, identity(2), 3).await, Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_under_the_receivers_own_id_is_refused() {
    let cluster = Cluster::start(1).await;
    assert_eq!(answer_to(&cluster, identity(1), 1).await, Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_a_known_member_is_an_error_of_its_own() {
    let cluster = Cluster::start(1).await;
    assert_eq!(answer_to(&cluster, identity(2), 1).await, Code::Internal);
}

#[test]
fn cluster_ids_follow_from_the_name_alone() {
    assert_eq!(ClusterId::of_name("default"), ClusterId::of_name("default"));
    assert_ne!(ClusterId::of_name("default"), ClusterId::of_name("Default"));
    // The test vector of FNV-1a: the empty text gives the offset.
    assert_eq!(ClusterId::of_name("").to_string(), "6c62272e07bb014262b821756295c58d");
}
