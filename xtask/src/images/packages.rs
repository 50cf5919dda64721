//! Debian's packages: found, fetched and verified by `apt-get` with a state of its own, and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Outcome, say};

/// Where Debian is, if this system does not take it from a mirror.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian/";
/// What Debian signs its releases with; the package `debian-archive-keyring` brings it.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The packages of one release. The proxies that apt is told of on this system apply here, too.
pub(super) struct Mirror {
    config: PathBuf,
}

impl Mirror {
    /// Fetches the list of packages; the state is kept in `directory`.
    pub(super) fn open(directory: &Path, suite: &str) -> Result<Self, String> {
        if !Path::new(KEYRING).exists() {
            return Err(format!("{KEYRING} is missing: install the package debian-archive-keyring"));
        }
        let mirror = Self { config: directory.join("apt.conf") };
        let url = mirror_of_this_system().unwrap_or_else(|| DEFAULT_MIRROR.to_owned());
        mirror.configure(directory, &url, suite).map_err(|error| format!("{}: {error}", directory.display()))?;
        say(&format!("--- packages of {suite} from {url}"));
        mirror.apt_get(directory, &["update"])?;
        Ok(mirror)
    }

    fn configure(&self, directory: &Path, url: &str, suite: &str) -> std::io::Result<()> {
        for state in ["lists/partial", "archives/partial", "none"] {
            fs::create_dir_all(directory.join(state))?;
        }
        fs::write(directory.join("status"), "")?;
        fs::write(directory.join("sources.list"), format!("deb [signed-by={KEYRING}] {url} {suite} main\n"))?;
        let at = directory.display();
        let config = format!(
            "Dir::State \"{at}\";\nDir::State::status \"{at}/status\";\nDir::State::lists \"{at}/lists\";\n\
             Dir::Cache \"{at}\";\nDir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"{at}/none\";\n\
             Dir::Etc::preferencesparts \"{at}/none\";\nDebug::NoLocking \"true\";\nAPT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"3\";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
        );
        fs::write(&self.config, config)
    }

    /// Fetches the newest versions of these packages, nothing else, and unpacks them into `root`.
    pub(super) fn unpack(&self, names: &[&str], directory: &Path, root: &Path) -> Outcome {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let arguments: Vec<_> = ["download"].iter().chain(names).copied().collect();
        self.apt_get(directory, &arguments)?;
        let archives = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for archive in archives {
            let archive = archive.map_err(|error| error.to_string())?.path();
            unpack(&archive, root)?;
        }
        Ok(())
    }

    fn apt_get(&self, directory: &Path, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("apt-get");
        command.arg("--quiet=2").args(arguments).env("APT_CONFIG", &self.config).current_dir(directory);
        let status = command.status().map_err(|error| format!("cannot start apt-get: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("apt-get {}: {status}", arguments.join(" "))) }
    }
}

/// The mirror that this system takes Debian from, if it does.
fn mirror_of_this_system() -> Option<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)", "Identifier: Packages"]);
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("Debian Debian main ")).map(str::to_owned)
}

/// Unpacks one package. Links for directories stay links: `/lib` is one.
fn unpack(archive: &Path, root: &Path) -> Outcome {
    let shown = archive.display();
    let mut reader = Command::new("dpkg-deb");
    reader.arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped());
    let mut reader = reader.spawn().map_err(|error| format!("cannot start dpkg-deb: {error}"))?;
    let files = reader.stdout.take().ok_or("dpkg-deb has no output")?;
    let mut writer = Command::new("tar");
    writer.args(["--extract", "--keep-directory-symlink", "--no-same-owner", "--directory"]).arg(root).stdin(files);
    let written = writer.status().map_err(|error| format!("cannot start tar: {error}"));
    let read = reader.wait().map_err(|error| format!("dpkg-deb: {error}"))?;
    if written?.success() && read.success() { Ok(()) } else { Err(format!("{shown} cannot be unpacked")) }
}
