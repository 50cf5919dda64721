//! Certificates of servers and of clients.

use std::path::PathBuf;

use conformance_tests::certificates::{Authority, Identity};
use conformance_tests::servers::{Server, Setup, Software};
use conformance_tests::{Outcome, tour};
use registry_api::{ErrorKind, Key};
use registry_zookeeper::{TlsFiles, ZooKeeperSettings};
use tempfile::TempDir;

use super::{connected, refused, says};

/// Where the server answers with TLS.
const PORT: u16 = 2281;

/// A server with this certificate, which asks clients for one of `clients`, if any.
async fn server(own: &Identity, clients: Option<&Authority>) -> Outcome<Server> {
    let mut setup = Setup::of(Software::ZooKeeper)
        .client_port(PORT)
        .setting(format!("secureClientPort={PORT}"))
        .setting("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory")
        .setting("ssl.keyStore.type=PEM")
        .setting("ssl.keyStore.location=/conf/server.pem")
        .file("/conf/server.pem", format!("{}{}", own.key, own.cert));
    setup = match clients {
        None => setup.setting("ssl.clientAuth=none"),
        Some(clients) => setup
            .setting("ssl.clientAuth=need")
            .setting("ssl.trustStore.type=PEM")
            .setting("ssl.trustStore.location=/conf/clients.pem")
            .file("/conf/clients.pem", clients.pem()),
    };
    Server::start_with(&setup).await
}

/// The files of a client.
struct Files(TempDir);

impl Files {
    fn new() -> Outcome<Self> {
        Ok(Self(TempDir::new()?))
    }

    fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.0.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The settings of a client that trusts `trusted`, and shows `own`.
    fn settings(&self, server: &Server, trusted: &Authority, own: Option<&Identity>) -> Outcome<ZooKeeperSettings> {
        let ca = self.write("ca.pem", trusted.pem())?;
        let identity = match own {
            None => None,
            Some(own) => Some((self.write("own.pem", &own.cert)?, self.write("own.key", &own.key)?)),
        };
        let tls = Some(TlsFiles { ca, identity });
        Ok(ZooKeeperSettings { tls, ..ZooKeeperSettings::at(&server.address()?)? })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_a_server_whose_authority_is_trusted() -> Outcome {
    let (authority, files) = (Authority::new("servers")?, Files::new()?);
    let server = server(&authority.server()?, None).await?;
    let settings = files.settings(&server, &authority, None)?;
    let (client, other) = (connected(settings.clone()).await?, connected(settings).await?);
    tour(&Key::parse("/app")?, &client, &other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_certificates_serves_those_who_show_one() -> Outcome {
    let (servers, clients, files) = (Authority::new("servers")?, Authority::new("clients")?, Files::new()?);
    let server = server(&servers.server()?, Some(&clients)).await?;
    let error = refused(files.settings(&server, &servers, None)?).await?;
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    says(&error, "certificate");
    let error = refused(files.settings(&server, &servers, Some(&servers.client("stranger")?))?).await?;
    says(&error, "certificate");
    let settings = files.settings(&server, &servers, Some(&clients.client("scheduler")?))?;
    let (client, other) = (connected(settings.clone()).await?, connected(settings).await?);
    tour(&Key::parse("/app")?, &client, &other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_refused() -> Outcome {
    let (authority, another, files) = (Authority::new("servers")?, Authority::new("others")?, Files::new()?);
    let server = server(&another.server()?, None).await?;
    let error = refused(files.settings(&server, &authority, None)?).await?;
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    says(&error, "UnknownIssuer");
    says(&error, &server.address()?);
    connected(files.settings(&server, &another, None)?).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_has_ended_is_refused() -> Outcome {
    let (authority, files) = (Authority::new("servers")?, Files::new()?);
    let server = server(&authority.expired_server()?, None).await?;
    let error = refused(files.settings(&server, &authority, None)?).await?;
    says(&error, "certificate expired");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_a_server_that_wants_it_is_refused_and_the_other_way_round() -> Outcome {
    let (authority, files) = (Authority::new("servers")?, Files::new()?);
    let secure = server(&authority.server()?, None).await?;
    let error = refused(ZooKeeperSettings::at(&secure.address()?)?).await?;
    says(&error, "TLS");
    let plain = Server::start(Software::ZooKeeper).await?;
    let error = refused(files.settings(&plain, &authority, None)?).await?;
    says(&error, "TLS");
    Ok(())
}
