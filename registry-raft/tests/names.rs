//! A remote client resolves the names of members again on every dial. Needs a mount namespace (see
//! `conformance_tests::names`).

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Outcome, names};
use registry_api::RegistryClient;
use registry_raft::{MemberAddress, RaftRegistry, RaftSettings, Role};
use tokio::sync::Mutex;

/// What members and clients are told.
const NAME: &str = "member.registry.test";
/// How long one request may take: the one that finds nobody takes all of it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A group of one that is known by its name.
struct Group<'a> {
    data: &'a Path,
    port: u16,
}

impl Group<'_> {
    fn members(&self) -> Vec<MemberAddress> {
        vec![MemberAddress::new(1, format!("{NAME}:{}", self.port))]
    }

    /// Its member, at this address.
    async fn member(&self, host: Ipv4Addr) -> Outcome<RaftRegistry> {
        let settings = RaftSettings {
            listen: SocketAddr::from((host, self.port)).to_string(),
            advertise: Some(format!("{NAME}:{}", self.port)),
            members: self.members(),
            data_dir: Some(self.data.to_owned()),
            ..RaftSettings::default()
        };
        Ok(RaftRegistry::connect(settings).await?)
    }

    async fn client(&self) -> Outcome<RegistryClient> {
        let (role, members) = (Role::Client, self.members());
        let settings = RaftSettings { role, members, request_timeout: REQUEST_TIMEOUT, ..RaftSettings::default() };
        Ok(RegistryClient::new(Arc::new(RaftRegistry::connect(settings).await?)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_client_follows_the_name_of_its_member() -> Outcome {
    names::of_its_own("a_remote_client_follows_the_name_of_its_member", |names| async move {
        let (data, first, second) = (tempfile::tempdir()?, Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
        let port = TcpListener::bind((first, 0))?.local_addr()?.port();
        names.set(NAME, first)?;
        let group = Group { data: data.path(), port };
        let member = group.member(first).await?;
        let client = group.client().await?;
        let moved = Mutex::new(None);
        let away = || async {
            member.shutdown().await;
            *moved.lock().await = Some(group.member(second).await?);
            Ok(())
        };
        names::a_client_follows(&client, away, || names.set(NAME, second)).await
    })
    .await
}
