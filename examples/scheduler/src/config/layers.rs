//! The layers of the configuration, and how a mistake in one of them is told.

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;

use super::Process;
use crate::cli::Connect;
use crate::exit::Failure;

/// Stacks the layers.
pub(super) fn figment(process: Process, connect: &Connect) -> Result<Figment, Failure> {
    let mut figment = Figment::new();
    if let Some(path) = &connect.config {
        // Figment takes a missing file for an empty one.
        if !path.is_file() {
            return Err(Failure::configuration(format!("there is no configuration file {}", path.display())));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(environment("REGISTRY_", "registry")).merge(environment("SCHEDULER_", "scheduler"));
    for assignment in &connect.set {
        let (key, value) = parse_assignment(assignment)?;
        figment = figment.merge(Layer { source: "flag --set", key: &key, value });
    }
    if let Some(name) = &connect.name {
        figment = figment.merge(Layer { source: "flag --name", key: "scheduler.name", value: name });
    }
    Ok(with_defaults(process, figment))
}

/// Defaults that depend on the role, below everything else.
fn with_defaults(process: Process, figment: Figment) -> Figment {
    let default = |key, value| Layer { source: "default of the scheduler", key, value };
    let figment = figment.join(default("registry.backend", "raft")).join(default("registry.namespace", "/scheduler"));
    let backend = figment.extract_inner::<String>("registry.backend");
    if backend.as_deref() != Ok("raft") {
        return figment;
    }
    match process {
        Process::Master => figment.join(default("registry.raft.role", "member")),
        Process::Worker | Process::Api | Process::Command => figment
            .join(default("registry.raft.role", "client"))
            .join(default("registry.raft.members", "1@127.0.0.1:7001")),
    }
}

/// What members call this process in their logs, where nothing else is configured.
pub(super) fn with_label(figment: Figment, label: &str) -> Figment {
    match figment.extract_inner::<String>("registry.backend").as_deref() {
        Ok("raft") => {
            figment.join(Layer { source: "default of the scheduler", key: "registry.raft.label", value: label })
        }
        _ => figment,
    }
}

/// One key, with where it comes from for messages.
struct Layer<'a, T> {
    source: &'static str,
    key: &'a str,
    value: T,
}

impl<T: Serialize> Provider for Layer<'_, T> {
    fn metadata(&self) -> Metadata {
        let source = self.source;
        Metadata::named(source).interpolater(move |_profile, _keys| source.to_owned())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Serialized::default(self.key, &self.value).data()
    }
}

fn environment(prefix: &str, section: &'static str) -> Env {
    // `SCHEDULER_LOG` is an option of the command line, and `REGISTRY_TEST_*` are addresses for tests.
    let is_setting = |key: &figment::value::UncasedStr| key != "log" && !key.starts_with("test_");
    Env::prefixed(prefix).filter(is_setting).map(move |key| format!("{section}.{key}").into()).split("__")
}

fn parse_assignment(assignment: &str) -> Result<(String, toml::Value), Failure> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(Failure::configuration(format!("--set {assignment}: write KEY=VALUE")));
    };
    let wrapped = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let parsed = wrapped.ok().and_then(|mut table| table.remove("value"));
    Ok((key.trim().to_owned(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()))))
}

/// One line for an error of figment, with the nearest known key for an unknown one.
pub(super) fn explain(error: &figment::Error) -> Failure {
    let mut line = error.clone().into_iter().next().unwrap_or_else(|| error.clone()).to_string();
    if let Kind::UnknownField(unknown, known) = &error.kind {
        let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(name, unknown), name)).min();
        if let Some((_, name)) = nearest.filter(|(distance, _)| *distance <= 3) {
            line.push_str(&format!("; did you mean `{name}`?"));
        }
    }
    Failure::configuration(line.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, OnRegistryLost};
    use crate::exit::Code;

    fn connect(set: &[&str]) -> Connect {
        Connect { set: set.iter().map(|&text| text.to_owned()).collect(), ..Connect::default() }
    }

    fn load(file: &str, set: &[&str]) -> Result<Config, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scheduler.toml");
        std::fs::write(&path, file).unwrap();
        Config::load(Process::Worker, &Connect { config: Some(path), ..connect(set) })
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = "[scheduler]\non_registry_lost = 'stop'\n[scheduler.worker]\ncapacity = 3\ngroup = 'gpu'";
        let config = load(file, &["scheduler.worker.capacity=7", "scheduler.worker.group=cpu"]).unwrap();
        assert_eq!(config.scheduler.on_registry_lost, OnRegistryLost::Stop);
        assert_eq!(config.scheduler.worker.capacity, 7);
        assert_eq!(config.scheduler.worker.group.as_str(), "cpu");
        assert_eq!(config.registry.extract_inner::<String>("backend").unwrap(), "raft");
    }

    #[test]
    fn a_client_is_a_client_and_a_master_is_a_member() {
        let role = |process| {
            let config = Config::load(process, &Connect::default()).unwrap();
            config.registry.extract_inner::<String>("raft.role").unwrap()
        };
        assert_eq!(role(Process::Master), "member");
        assert_eq!(role(Process::Api), "client");
    }

    #[test]
    fn every_wrong_configuration_has_one_line() {
        let table = [
            ("[scheduler.worker]\ncapcity = 3", "did you mean `capacity`?"),
            ("[schedular]\nname = 'x'", "did you mean `scheduler`?"),
            ("[scheduler.worker]\ncapacity = 0", "scheduler.worker.capacity is 0"),
            ("[scheduler.worker]\ncapacity = 'many'", "scheduler.worker.capacity"),
            ("[scheduler]\non_registry_lost = 'panic'", "`stop` or `wait`"),
            ("[scheduler]\nreport_interval = '3'", "is not a duration"),
            ("[scheduler.api]\nlisten = '0.0.0.0:80'", "scheduler.api.insecure = true"),
            ("[scheduler\n", "scheduler.toml"),
        ];
        for (file, expected) in table {
            let failure = load(file, &[]).unwrap_err();
            assert_eq!(failure.code(), Code::Configuration);
            let line = failure.to_string();
            assert!(line.contains(expected), "{line:?} for {file:?}");
            assert!(!line.contains('\n'), "{line:?}");
        }
    }

    #[test]
    fn every_shipped_configuration_is_valid_for_every_backend() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let config = Config::load(Process::Master, &Connect { config: Some(path.clone()), ..connect(&[]) });
            let registry = config.unwrap().registry;
            let raft = registry_raft::RaftSettings::read(&registry.focus("raft"));
            assert_eq!(raft.unwrap().members.len(), 3, "{}", path.display());
            registry_zookeeper::ZooKeeperSettings::read(&registry.focus("zookeeper")).unwrap();
            registry_etcd::EtcdSettings::read(&registry.focus("etcd")).unwrap();
        }
    }

    #[test]
    fn a_missing_file_is_refused() {
        let missing = Connect { config: Some("/nowhere/x.toml".into()), ..Connect::default() };
        let line = Config::load(Process::Api, &missing).unwrap_err().to_string();
        assert_eq!(line, "there is no configuration file /nowhere/x.toml");
    }
}
