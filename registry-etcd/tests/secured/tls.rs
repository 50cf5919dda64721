//! Certificates of servers and of clients.

use std::path::PathBuf;

use conformance_tests::certificates::{Authority, Identity};
use conformance_tests::servers::{Server, Setup, Software};
use conformance_tests::{Outcome, tour};
use registry_api::{ErrorKind, Key};
use registry_etcd::{EtcdSettings, Tls};
use tempfile::TempDir;

use super::{connected, refused, says};

/// Where the server answers with TLS.
const PORT: u16 = 2389;

/// A server with this certificate, which asks clients for one of `clients`, if there are any. Its own authority has to be
/// among them: the part that answers the harness is a client of the rest, and shows the certificate of the server.
async fn server(own: &Identity, clients: &[&Authority]) -> Outcome<Server> {
    let mut setup = Setup::of(Software::Etcd)
        .client_port(PORT)
        .setting(format!("--listen-client-urls=http://0.0.0.0:2379,https://0.0.0.0:{PORT}"))
        .setting("--cert-file=/conf/server.pem")
        .setting("--key-file=/conf/server.key")
        .file("/conf/server.pem", &own.cert)
        .file("/conf/server.key", &own.key);
    if !clients.is_empty() {
        setup = setup
            .setting("--client-cert-auth")
            .setting("--trusted-ca-file=/conf/clients.pem")
            .file("/conf/clients.pem", clients.iter().map(|authority| authority.pem()).collect::<String>());
    }
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
    fn settings(&self, server: &Server, trusted: &Authority, own: Option<&Identity>) -> Outcome<EtcdSettings> {
        let mut tls = Tls { ca: Some(self.write("ca.pem", trusted.pem())?), ..Tls::default() };
        if let Some(own) = own {
            tls.cert = Some(self.write("own.pem", &own.cert)?);
            tls.key = Some(self.write("own.key", &own.key)?);
        }
        let settings = EtcdSettings::new([server.address()?])?;
        Ok(EtcdSettings { endpoints: vec![format!("https://{}", server.address()?)], tls: Some(tls), ..settings })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_a_server_whose_authority_is_trusted() -> Outcome {
    let (authority, files) = (Authority::new("servers")?, Files::new()?);
    let server = server(&authority.server()?, &[]).await?;
    let settings = files.settings(&server, &authority, None)?;
    let (client, other) = (connected(settings.clone()).await?, connected(settings).await?);
    tour(&Key::parse("/app")?, &client, &other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_certificates_serves_those_who_show_one() -> Outcome {
    let (servers, clients, files) = (Authority::new("servers")?, Authority::new("clients")?, Files::new()?);
    let server = server(&servers.server()?, &[&clients, &servers]).await?;
    let error = refused(files.settings(&server, &servers, None)?).await?;
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    says(&error, "certificate");
    let stranger = Authority::new("others")?.client("scheduler")?;
    let error = refused(files.settings(&server, &servers, Some(&stranger))?).await?;
    says(&error, "certificate");
    let settings = files.settings(&server, &servers, Some(&clients.client("scheduler")?))?;
    let (client, other) = (connected(settings.clone()).await?, connected(settings).await?);
    tour(&Key::parse("/app")?, &client, &other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_refused() -> Outcome {
    let (authority, another, files) = (Authority::new("servers")?, Authority::new("others")?, Files::new()?);
    let server = server(&another.server()?, &[]).await?;
    let error = refused(files.settings(&server, &authority, None)?).await?;
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    says(&error, "UnknownIssuer");
    says(&error, &server.address()?);
    connected(files.settings(&server, &another, None)?).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_has_ended_is_refused() -> Outcome {
    let (authority, files) = (Authority::new("servers")?, Files::new()?);
    let server = server(&authority.expired_server()?, &[]).await?;
    let error = refused(files.settings(&server, &authority, None)?).await?;
    says(&error, "certificate expired");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_a_server_that_wants_it_is_refused_and_the_other_way_round() -> Outcome {
    let (authority, files) = (Authority::new("servers")?, Files::new()?);
    let secure = server(&authority.server()?, &[]).await?;
    let error = refused(EtcdSettings::new([secure.address()?])?).await?;
    says(&error, "https://");
    let plain = Server::start(Software::Etcd).await?;
    let error = refused(files.settings(&plain, &authority, None)?).await?;
    says(&error, "http://");
    Ok(())
}
