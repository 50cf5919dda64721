//! Parents that are no keys: the servers remove them after their last child, and never a key. Needs Docker.

use std::sync::Arc;

use conformance_tests::servers::{Server, Software};
use conformance_tests::{Broken, Outcome};
use registry_api::{DeleteOptions, Key, RegistryClient, Scope};
use registry_zookeeper::{ZooKeeperRegistry, ZooKeeperSettings};

/// How often it is looked whether a parent is gone.
const LOOKS_MAX: usize = 60;

async fn world() -> Outcome<(Server, RegistryClient)> {
    let server = Server::start(Software::ZooKeeper).await?;
    let registry = ZooKeeperRegistry::connect(ZooKeeperSettings::at(&server.address()?)?).await?;
    Ok((server, RegistryClient::new(Arc::new(registry))))
}

/// Creates a parent with a child that goes again, and waits until the server has removed the parent: by then it has also
/// looked at every other parent that was left before.
async fn a_round_of_the_server(server: &Server, client: &RegistryClient, name: &str) -> Outcome {
    let child: Key = format!("/{name}/child").parse()?;
    client.put(&child, "here").await?;
    client.delete(&child).await?;
    // The server's shell takes longer to start than the server to look again.
    for _ in 0..LOOKS_MAX {
        if !nodes(server).await?.iter().any(|node| node == name) {
            return Ok(());
        }
    }
    Err(Broken::harness(format!("the server does not remove /{name}")))
}

/// The nodes at the top.
async fn nodes(server: &Server) -> Outcome<Vec<String>> {
    let told = server.run(&["zkCli.sh", "-server", "127.0.0.1:2181", "ls", "/"]).await?;
    let list = told.lines().rev().find_map(|line| line.trim().strip_prefix('[')?.strip_suffix(']'));
    Ok(list.unwrap_or_default().split(", ").map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_only_a_parent_stays_without_children() -> Outcome {
    let (server, client) = world().await?;
    let values = [("/valued", "value"), ("/empty", "")];
    for (text, value) in values {
        let (key, child): (Key, Key) = (text.parse()?, format!("{text}/child").parse()?);
        client.put(&child, "first").await?;
        client.put(&key, value).await?;
        client.put(&key, value).await?;
        client.delete(&child).await?;
    }
    // Twice: the first round may have begun before.
    a_round_of_the_server(&server, &client, "first").await?;
    a_round_of_the_server(&server, &client, "second").await?;
    for (text, value) in values {
        let found = client.get(&text.parse()?).await?.map(|entry| entry.value);
        assert_eq!(found.as_deref(), Some(value.as_bytes()), "{text}");
        client.delete(&text.parse()?).await?;
    }
    let left = nodes(&server).await?;
    assert!(!left.iter().any(|name| name == "valued" || name == "empty"), "nodes that nobody needs: {left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_deleted_before_its_children_leaves_nothing_behind() -> Outcome {
    let (server, client) = world().await?;
    for (text, put_first) in [("/key", true), ("/parent", false)] {
        let (key, child): (Key, Key) = (text.parse()?, format!("{text}/child").parse()?);
        if put_first {
            client.put(&key, "value").await?;
        }
        client.put(&child, "here").await?;
        client.put(&key, "value").await?;
        client.delete(&key).await?;
        assert_eq!(client.get(&key).await?, None, "{text} was deleted");
        assert!(client.get(&child).await?.is_some(), "{text}/child was not");
        client.delete(&child).await?;
    }
    for text in ["/tree", "/children"] {
        let (key, child): (Key, Key) = (text.parse()?, format!("{text}/child").parse()?);
        client.put(&key, "value").await?;
        client.put(&child, "here").await?;
        client.delete(&key).await?;
    }
    client.delete_tree(&"/tree/child".parse()?).await?;
    client.delete_with(&Scope::Children("/children".parse()?), DeleteOptions::default()).await?;
    let left = nodes(&server).await?;
    let unneeded = |name: &String| ["key", "tree", "children"].contains(&name.as_str());
    assert!(!left.iter().any(unneeded), "nodes that nobody needs: {left:?}");
    a_round_of_the_server(&server, &client, "round").await?;
    a_round_of_the_server(&server, &client, "round").await?;
    let left = nodes(&server).await?;
    assert!(!left.iter().any(|name| name == "parent"), "nodes that nobody needs: {left:?}");
    Ok(())
}
