//! The line that a user sees for each mistake in the settings.
#![expect(clippy::result_large_err, reason = "the closures of figment's jail return figment's error")]

use std::path::Path;
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::{Figment, Jail};

use super::{RegistrySettings, extract, layered, nearest};
use crate::memory::MemoryPlugin;
use crate::{ErrorKind, Plugins};

fn read(toml: &str) -> crate::Result<RegistrySettings> {
    RegistrySettings::read(&Figment::from(Toml::string(toml)), &["raft", "etcd"])
}

fn refused(toml: &str) -> String {
    let error = read(toml).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Configuration);
    error.to_string()
}

#[track_caller]
fn assert_names(message: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(message.contains(text), "{text:?} is missing in: {message}");
    }
}

#[test]
fn only_the_backend_has_to_be_named() {
    let settings = read("backend = \"raft\"").unwrap();
    assert_eq!(settings.session_ttl, Duration::from_secs(10));
    assert_eq!(settings.request_timeout, Duration::from_secs(5));
    assert_eq!((settings.namespace, settings.heartbeat_interval), (None, None));
    assert_names(&refused(""), &["backend"]);
}

#[test]
fn durations_need_a_unit() {
    assert_eq!(read("backend = \"raft\"\nsession_ttl = \"1m 30s\"").unwrap().session_ttl, Duration::from_secs(90));
    assert_names(&refused("backend = \"raft\"\nsession_ttl = 10"), &["session_ttl", "\"10s\""]);
    assert_names(&refused("backend = \"raft\"\nsession_ttl = \"ten\""), &["session_ttl", "ten"]);
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    assert_names(&refused("backend = \"raft\"\nsession_ttl = \"1ms\""), &["session_ttl", "1ms", "500ms", "10m"]);
    assert_names(&refused("backend = \"raft\"\nrequest_timeout = \"0s\""), &["request_timeout", "0s", "10ms"]);
}

#[test]
fn three_heartbeats_must_fit_into_the_ttl_and_both_are_named() {
    let settings = "backend = \"raft\"\nsession_ttl = \"3s\"\nheartbeat_interval = ";
    assert!(read(&format!("{settings}\"1s\"")).is_ok());
    assert_names(&refused(&format!("{settings}\"1001ms\"")), &["heartbeat_interval", "1s 1ms", "session_ttl", "3s"]);
    assert_names(&refused(&format!("{settings}\"0s\"")), &["heartbeat_interval"]);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    assert_names(
        &refused("backend = \"raft\"\nsesion_ttl = \"10s\""),
        &["\"sesion_ttl\"", "did you mean \"session_ttl\"?"],
    );
    assert_names(&refused("backend = \"raft\"\n[rafft]\nnode = 1"), &["\"rafft\"", "did you mean \"raft\"?"]);
    assert_names(&refused("backend = \"raft\"\nxyzzy_plugh_frob = 1"), &["known keys: backend"]);
}

#[test]
fn a_backend_is_configured_by_a_section_and_not_by_a_value() {
    assert_names(&refused("backend = \"raft\"\nraft = 3"), &["raft", "has to be a section: [registry.raft]"]);
}

#[test]
fn sections_of_other_backends_may_stay_where_they_are() {
    assert!(read("backend = \"raft\"\n[etcd]\nendpoints = []").is_ok());
}

#[test]
fn a_namespace_has_to_be_a_key() {
    assert_eq!(read("backend = \"raft\"\nnamespace = \"/\"").unwrap().namespace, None);
    assert_names(&refused("backend = \"raft\"\nnamespace = \"a\""), &["namespace", "begin with '/'"]);
}

#[test]
fn a_known_path_lets_the_rest_of_its_table_be_checked() {
    #[derive(Debug, serde::Deserialize)]
    struct Any {}
    let figment = Figment::from(Toml::string("[tls]\ncertificate = \"a\"\nkee = \"b\""));
    let error = extract::<Any>(&figment, "registry.raft", &["tls.certificate", "tls.key"]).unwrap_err();
    assert_names(&error.to_string(), &["\"tls.kee\"", "did you mean \"tls.key\"?", "[registry.raft]"]);
    assert!(extract::<Any>(&figment, "registry.raft", &["tls"]).is_ok());
}

#[test]
fn a_name_that_is_near_nothing_has_no_suggestion() {
    assert_eq!(nearest("etdc", ["raft", "etcd"].into_iter()), Some("etcd"));
    assert_eq!(nearest("something", ["raft", "etcd"].into_iter()), None);
}

#[test]
fn the_environment_lies_above_the_file_and_the_source_is_named() {
    Jail::expect_with(|jail| {
        jail.create_file(
            "registry.toml",
            "[registry]\nbackend = \"raft\"\nsession_ttl = \"20s\"\n[registry.raft]\nnode = 1",
        )?;
        jail.set_env("REGISTRY_SESSION_TTL", "30s");
        jail.set_env("REGISTRY_RAFT__NODE", "2");
        jail.set_env("REGISTRY_TEST_ETCD", "127.0.0.1:2379");
        let section = layered(Some(Path::new("registry.toml"))).unwrap().focus("registry");
        let settings = RegistrySettings::read(&section, &["raft"]).unwrap();
        assert_eq!(settings.session_ttl, Duration::from_secs(30));
        assert_eq!(section.extract_inner::<u64>("raft.node").unwrap(), 2);

        jail.set_env("REGISTRY_SESION_TTL", "30s");
        let section = layered(Some(Path::new("registry.toml"))).unwrap().focus("registry");
        let error = RegistrySettings::read(&section, &["raft"]).unwrap_err().to_string();
        assert_names(&error, &["environment variable REGISTRY_SESION_TTL", "did you mean \"session_ttl\"?"]);
        Ok(())
    });
}

#[test]
fn a_wrong_value_names_its_source() {
    Jail::expect_with(|jail| {
        jail.create_file("registry.toml", "[registry]\nbackend = \"raft\"\nsession_ttl = 7")?;
        let section = layered(Some(Path::new("registry.toml"))).unwrap().focus("registry");
        let error = RegistrySettings::read(&section, &["raft"]).unwrap_err().to_string();
        assert_names(&error, &["session_ttl", "registry.toml", "needs a unit"]);

        jail.set_env("REGISTRY_SESSION_TTL", "soon");
        let section = layered(Some(Path::new("registry.toml"))).unwrap().focus("registry");
        let error = RegistrySettings::read(&section, &["raft"]).unwrap_err().to_string();
        assert_names(&error, &["environment variable REGISTRY_SESSION_TTL", "soon"]);
        Ok(())
    });
}

#[test]
fn a_missing_file_and_a_file_that_is_not_toml_are_refused() {
    Jail::expect_with(|jail| {
        let error = layered(Some(Path::new("absent.toml"))).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Configuration);
        assert_names(&error.to_string(), &["absent.toml", "cannot be read"]);
        jail.create_file("bad.toml", "[registry\nbackend = 1")?;
        assert_names(&layered(Some(Path::new("bad.toml"))).unwrap_err().to_string(), &["bad.toml"]);
        Ok(())
    });
}

#[tokio::test]
async fn an_unknown_backend_is_refused_with_the_known_ones() {
    let settings = Figment::from(Toml::string("backend = \"memroy\""));
    let error = Plugins::new().with(MemoryPlugin).connect(settings).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Configuration);
    assert_names(&error.to_string(), &["\"memroy\"", "did you mean \"memory\"?", "the known ones are: memory"]);
}

#[tokio::test]
async fn the_section_of_a_backend_is_read_strictly_too_and_inherits_the_request_timeout() {
    let connect = |toml: &str| {
        let settings = Figment::from(Toml::string(toml));
        async move { Plugins::new().with(MemoryPlugin).connect(settings).await }
    };
    let client = connect("backend = \"memory\"\nrequest_timeout = \"2s\"\nsession_ttl = \"7s\"").await.unwrap();
    assert_eq!(client.options().request_timeout, Duration::from_secs(2));
    assert_eq!(client.session_options().ttl, Duration::from_secs(7));
    let error = connect("backend = \"memory\"\n[memory]\nrequest_timeot = \"2s\"").await.unwrap_err();
    assert_names(&error.to_string(), &["[registry.memory]", "did you mean \"request_timeout\"?"]);
}
