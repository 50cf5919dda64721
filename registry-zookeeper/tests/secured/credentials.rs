//! Credentials: ZooKeeper's `digest` scheme, and SASL.

use conformance_tests::servers::{Server, Setup, Software};
use conformance_tests::{Broken, Outcome, tour};
use registry_api::{Effect, Error, ErrorKind, Key, RegistryClient};
use registry_zookeeper::{Access, Credentials, Scheme, Secret, ZooKeeperSettings};

use super::{connected, refused};

/// Who may log in by SASL.
const JAAS: &str = "Server {
  org.apache.zookeeper.server.auth.DigestLoginModule required
  user_scheduler=\"secret\" user_stranger=\"other\";
};
";

/// A server that takes users of [`JAAS`] by SASL, and nobody else.
async fn sasl_server() -> Outcome<Server> {
    let setup = Setup::of(Software::ZooKeeper)
        .setting("authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
        .setting("sessionRequireClientSASLAuth=true")
        .variable("JAVA_TOOL_OPTIONS", "-Djava.security.auth.login.config=/conf/jaas.conf")
        .file("/conf/jaas.conf", JAAS);
    Server::start_with(&setup).await
}

/// The settings of somebody whose nodes are their own.
fn settings(server: &Server, scheme: Scheme, user: &str, password: &str) -> Outcome<ZooKeeperSettings> {
    let credentials = Credentials { scheme, user: user.to_owned(), password: Secret::new(password) };
    let anybody = ZooKeeperSettings::at(&server.address()?)?;
    Ok(ZooKeeperSettings { access: Access::Creator, credentials: Some(credentials), ..anybody })
}

/// That this was refused for want of a right.
fn denied<T>(what: &str, result: Result<T, Error>) -> Outcome {
    let Err(error) = result else { return Err(Broken::harness(format!("{what} was let through"))) };
    let seen = (error.kind(), error.effect(), error.to_string().lines().count());
    assert_eq!(seen, (&ErrorKind::PermissionDenied, Effect::NotApplied, 1), "{what}: {error}");
    Ok(())
}

/// That somebody else can neither read nor write nor delete what the owner keeps at `key`.
async fn is_kept_from(key: &Key, stranger: &RegistryClient) -> Outcome {
    denied("a get", stranger.get(key).await)?;
    denied("a put", stranger.put(key, "").await)?;
    denied("a delete", stranger.delete(key).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_creates_is_kept_from_those_with_other_credentials() -> Outcome {
    let server = Server::start(Software::ZooKeeper).await?;
    let owner = settings(&server, Scheme::Digest, "scheduler", "secret")?;
    let (client, other) = (connected(owner.clone()).await?, connected(owner).await?);
    tour(&Key::parse("/app")?, &client, &other).await?;
    let key = Key::parse("/app/a")?;
    is_kept_from(&key, &connected(ZooKeeperSettings::at(&server.address()?)?).await?).await?;
    is_kept_from(&key, &connected(settings(&server, Scheme::Digest, "scheduler", "wrong")?).await?).await?;
    is_kept_from(&key, &connected(settings(&server, Scheme::Digest, "stranger", "secret")?).await?).await?;
    client.get(&key).await?.map(drop).ok_or_else(|| Broken::harness("the owner's key is gone"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_sasl_can_do_everything_and_others_cannot() -> Outcome {
    let server = sasl_server().await?;
    let owner = settings(&server, Scheme::Sasl, "scheduler", "secret")?;
    let (client, other) = (connected(owner.clone()).await?, connected(owner).await?);
    tour(&Key::parse("/app")?, &client, &other).await?;
    let key = Key::parse("/app/a")?;
    is_kept_from(&key, &connected(settings(&server, Scheme::Sasl, "stranger", "other")?).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_sasl_is_refused() -> Outcome {
    let server = sasl_server().await?;
    let error = refused(settings(&server, Scheme::Sasl, "scheduler", "wrong")?).await?;
    assert_eq!(error.kind(), &ErrorKind::PermissionDenied, "{error}");
    let error = refused(settings(&server, Scheme::Sasl, "nobody", "secret")?).await?;
    assert_eq!(error.kind(), &ErrorKind::PermissionDenied, "{error}");
    let error = refused(ZooKeeperSettings::at(&server.address()?)?).await?;
    assert_eq!(error.kind(), &ErrorKind::PermissionDenied, "{error}");
    Ok(())
}
