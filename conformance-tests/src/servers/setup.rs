//! What a server is given beyond what every server of these tests has: files, settings, a port of its own for clients.

use testcontainers::{ContainerRequest, GenericImage, ImageExt as _};

use super::software::Software;

/// How servers are set up. Every setting comes after those of the harness: where one may be given twice, it wins.
#[derive(Clone, Debug)]
pub struct Setup {
    software: Software,
    client_port: u16,
    files: Vec<(String, String)>,
    settings: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Setup {
    /// As every server of these tests.
    #[must_use]
    pub fn of(software: Software) -> Self {
        let client_port = software.port();
        Self { software, client_port, files: Vec::new(), settings: Vec::new(), variables: Vec::new() }
    }

    /// Puts a file into the container before the server starts.
    #[must_use]
    pub fn file(mut self, path: &str, text: impl Into<String>) -> Self {
        self.files.push((path.to_owned(), text.into()));
        self
    }

    /// A flag of etcd, or a line of ZooKeeper's configuration, without blanks.
    #[must_use]
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// A variable of the server's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The port of the container that clients are brought to. At its usual port the server goes on to answer the harness,
    /// which brings no certificate.
    #[must_use]
    pub fn client_port(mut self, port: u16) -> Self {
        self.client_port = port;
        self
    }

    pub(super) fn software(&self) -> Software {
        self.software
    }

    /// The port for clients where it is another than the harness asks at.
    pub(super) fn own_client_port(&self) -> Option<u16> {
        (self.client_port != self.software.port()).then_some(self.client_port)
    }

    pub(super) fn settings(&self) -> &[String] {
        &self.settings
    }

    /// Adds what is no setting.
    pub(super) fn equip(&self, mut request: ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage> {
        for (path, text) in &self.files {
            request = request.with_copy_to(path.clone(), text.clone().into_bytes());
        }
        for (name, value) in &self.variables {
            request = request.with_env_var(name, value);
        }
        request
    }
}
