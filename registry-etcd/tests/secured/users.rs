//! Users, passwords, and the tokens that servers give for them.

use std::time::Duration;

use conformance_tests::servers::{Server, Setup, Software};
use conformance_tests::{Broken, Outcome, tour};
use registry_api::{Effect, ErrorKind, Key, LockName, LockWait, Scope, SessionOptions, SubscribeFrom};
use registry_etcd::{EtcdSettings, User};
use tokio::time::Instant;

use super::{connected, refused, says};

/// What root is asked for.
const ROOT: &str = "--user=root:root";
/// Longer than a token lives in these tests.
const LONGER_THAN_A_TOKEN: Duration = Duration::from_secs(4);

/// A server with the users `root`, and `scheduler` who may use `/app` and locks.
async fn server(setup: Setup) -> Outcome<Server> {
    let server = Server::start_with(&setup).await?;
    for command in [
        "user add root:root",
        "user add scheduler:secret",
        "role add scheduler",
        "role grant-permission --prefix=true scheduler readwrite /app",
        "role grant-permission --prefix=true scheduler readwrite /locks/",
        "user grant-role scheduler scheduler",
        "user grant-role root root",
        "auth enable",
    ] {
        etcdctl(&server, command).await?;
    }
    Ok(server)
}

async fn etcdctl(server: &Server, command: &str) -> Outcome<String> {
    server.run(&[&["etcdctl"], &*command.split(' ').collect::<Vec<_>>()].concat()).await
}

fn settings(server: &Server, password: &str) -> Outcome<EtcdSettings> {
    let user = Some(User { name: "scheduler".to_owned(), password: password.to_owned() });
    Ok(EtcdSettings { user, ..EtcdSettings::new([server.address()?])? })
}

/// Simple tokens live as long as they are used, and a second longer.
fn short_simple_tokens() -> Setup {
    Setup::of(Software::Etcd).setting("--auth-token=simple").setting("--auth-token-ttl=1")
}

/// These end a second after they were given, used or not.
fn short_signed_tokens() -> Setup {
    Setup::of(Software::Etcd)
        .setting("--auth-token=jwt,sign-method=HS256,priv-key=/conf/secret,ttl=1s")
        .file("/conf/secret", "the secret that signs the tokens of this test")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_can_do_what_its_role_may() -> Outcome {
    let server = server(Setup::of(Software::Etcd)).await?;
    let settings = settings(&server, "secret")?;
    let (client, other) = (connected(settings.clone()).await?, connected(settings).await?);
    tour(&Key::parse("/app")?, &client, &other).await?;
    let Err(error) = client.put(&Key::parse("/elsewhere")?, "").await else {
        return Err(Broken::harness("a user wrote where its role may not"));
    };
    assert_eq!((error.kind(), error.effect()), (&ErrorKind::PermissionDenied, Effect::NotApplied), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_at_once() -> Outcome {
    let server = server(Setup::of(Software::Etcd)).await?;
    let start = Instant::now();
    let error = refused(settings(&server, "wrong")?).await?;
    assert_eq!(error.kind(), &ErrorKind::PermissionDenied, "{error}");
    says(&error, "invalid user ID or password");
    let took = start.elapsed();
    assert!(took < super::CONNECT_TIMEOUT, "a wrong password was tried for {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_particular_is_told_so() -> Outcome {
    let server = server(Setup::of(Software::Etcd)).await?;
    let client = connected(EtcdSettings::new([server.address()?])?).await?;
    let Err(error) = client.get(&Key::parse("/app/a")?).await else {
        return Err(Broken::harness("a client without a user reads"));
    };
    assert_eq!(error.kind(), &ErrorKind::PermissionDenied, "{error}");
    says(&error, "user name is empty");
    Ok(())
}

/// Works on, and begins subscriptions and waits for locks all the time, while tokens run out.
async fn tokens_run_out(setup: Setup) -> Outcome {
    let server = server(setup).await?;
    let (client, other) =
        (connected(settings(&server, "secret")?).await?, connected(settings(&server, "secret")?).await?);
    let session = client.open_session(SessionOptions::with_ttl(Duration::from_secs(2))).await?;
    let (key, name) = (Key::parse("/app/a")?, LockName::parse("/app/l")?);
    session.put(&Key::parse("/app/kept")?, "").await?;
    let start = Instant::now();
    let mut rounds = 0_u32;
    while start.elapsed() < LONGER_THAN_A_TOKEN {
        client.put(&key, rounds.to_string()).await?;
        let mut subscription = other.subscribe(&Scope::Tree(Key::parse("/app")?)).await?;
        client.put(&key, "again").await?;
        let mut told = 0;
        while told < 2 {
            let event = tokio::time::timeout(Duration::from_secs(30), subscription.next()).await?;
            event.transpose()?.ok_or_else(|| Broken::harness("the subscription ended"))?;
            told += 1;
        }
        let guard = session.lock(&name, LockWait::Try).await?;
        let rival = other.open_session(SessionOptions::default()).await?;
        let (waited, released) = tokio::join!(rival.lock(&name, LockWait::Forever), guard.release());
        released?;
        waited?.release().await?;
        rival.close().await?;
        rounds += 1;
    }
    assert!(client.get(&Key::parse("/app/kept")?).await?.is_some(), "the session ended meanwhile");
    tour(&Key::parse("/app")?, &client, &other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_tokens_that_run_out_are_renewed() -> Outcome {
    tokens_run_out(short_simple_tokens()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_tokens_that_run_out_are_renewed() -> Outcome {
    tokens_run_out(short_signed_tokens()).await
}

/// A subscription that begins in the history reads nothing before it watches: it is the first to meet an old token.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_may_begin_with_an_old_token() -> Outcome {
    let server = server(short_signed_tokens()).await?;
    let (client, quiet) =
        (connected(settings(&server, "secret")?).await?, connected(settings(&server, "secret")?).await?);
    let (key, scope) = (Key::parse("/app/a")?, Scope::Tree(Key::parse("/app")?));
    let start = Instant::now();
    while start.elapsed() < LONGER_THAN_A_TOKEN {
        let before = client.put(&key, "before").await?;
        let mut subscription = quiet.registry().subscribe(&scope, SubscribeFrom::After(before)).await?;
        client.put(&key, "after").await?;
        let told = tokio::time::timeout(Duration::from_secs(30), subscription.next()).await?;
        told.transpose()?.ok_or_else(|| Broken::harness("the subscription ended"))?;
    }
    Ok(())
}

/// A token names the state of users and roles for which it was signed: it ends with every change of any of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_other_users_is_not_noticed() -> Outcome {
    let setup = Setup::of(Software::Etcd)
        .setting("--auth-token=jwt,sign-method=HS256,priv-key=/conf/secret,ttl=10m")
        .file("/conf/secret", "the secret that signs the tokens of this test");
    let server = server(setup).await?;
    let (client, other) =
        (connected(settings(&server, "secret")?).await?, connected(settings(&server, "secret")?).await?);
    for number in 0..3 {
        etcdctl(&server, &format!("{ROOT} user add other-{number}:secret")).await?;
        client.put(&Key::parse("/app/a")?, "").await?;
        etcdctl(&server, &format!("{ROOT} user delete other-{number}")).await?;
        tour(&Key::parse("/app")?, &client, &other).await?;
    }
    Ok(())
}
