//! `cargo xtask images`: the servers that tests run, as local Docker images made of Debian's packages.
//!
//! Nothing is pulled. The official images lack what the tests need inside of them (a shell in that of etcd, `ip` in that
//! of ZooKeeper), would have to be built upon, and are not reachable from everywhere; a Debian mirror mostly is. Packages
//! are unpacked, never installed: no root, no chroot, and only what a server needs is in the image.

mod packages;
mod recipe;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use crate::command::{Outcome, say};
use packages::Mirror;
use recipe::Recipe;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The Debian release whose packages are taken: it decides the versions of the servers.
    #[arg(long, default_value = "trixie")]
    release: Release,
    /// Also the image with the programs of others that the interoperation tests run.
    #[arg(long)]
    interop: bool,
}

/// A Debian release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// Debian 13: ZooKeeper 3.9, etcd 3.5.
    Trixie,
    /// Debian 12: ZooKeeper 3.8, etcd 3.4.
    Bookworm,
}

impl Release {
    /// What tells the tests which release their servers come from.
    pub(crate) const VARIABLE: &str = "REGISTRY_TEST_RELEASE";

    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Bookworm => "bookworm",
        }
    }
}

/// Builds the images that are not there.
pub(crate) fn build(options: &Options) -> Outcome {
    let mut recipes = recipe::servers(options.release);
    if options.interop {
        recipes.push(recipe::interop());
    }
    build_missing(&recipes, options.release)
}

/// Builds the images of the servers of a release that are not there.
pub(crate) fn build_servers(release: Release) -> Outcome {
    build_missing(&recipe::servers(release), release)
}

/// Builds the images that the tests of this workspace need and that are not there.
pub(crate) fn build_for_tests() -> Outcome {
    let release = Release::Trixie;
    let mut recipes = recipe::servers(release);
    recipes.push(recipe::interop());
    build_missing(&recipes, release)
}

fn build_missing(recipes: &[Recipe], release: Release) -> Outcome {
    docker_answers()?;
    let missing: Vec<_> = recipes.iter().filter(|recipe| !exists(recipe.tag)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    needed_programs()?;
    let directory = tempfile::Builder::new().prefix("registry-images-").tempdir();
    let directory = directory.map_err(|error| format!("cannot make a temporary directory: {error}"))?;
    let mirror = Mirror::open(&directory.path().join("apt"), release.suite())?;
    for recipe in missing {
        build_one(recipe, &mirror, &directory.path().join(recipe.tag.replace(['/', ':'], "-")))?;
    }
    Ok(())
}

fn build_one(recipe: &Recipe, mirror: &Mirror, directory: &Path) -> Outcome {
    say(&format!("--- image {}", recipe.tag));
    let start = std::time::Instant::now();
    let root = directory.join("root");
    lay_out(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    mirror.unpack(&recipe.packages, &directory.join("packages"), &root)?;
    (recipe.finish)(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    // Another run may have been quicker; the last one wins the name, and both images are the same.
    import(recipe, &root)?;
    say(&format!("--- image {}: {:.1} s", recipe.tag, start.elapsed().as_secs_f64()));
    Ok(())
}

/// The directories that packages expect, with `/usr` merged as in every release.
fn lay_out(root: &Path) -> std::io::Result<()> {
    for directory in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "tmp", "etc", "data", "conf", "root"] {
        fs::create_dir_all(root.join(directory))?;
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), root.join(link))?;
    }
    Ok(())
}

fn import(recipe: &Recipe, root: &Path) -> Outcome {
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--create", "--directory"]).arg(root).arg(".").stdout(Stdio::piped());
    let mut tar = tar.spawn().map_err(|error| format!("cannot start tar: {error}"))?;
    let archive = tar.stdout.take().ok_or("tar has no output")?;
    let entrypoint = format!("ENTRYPOINT [\"{}\"]", recipe.entrypoint);
    let mut docker = Command::new("docker");
    docker.args(["import", "--change", &entrypoint, "-", recipe.tag]).stdin(archive).stdout(Stdio::null());
    let imported = docker.status().map_err(|error| format!("cannot start docker: {error}"));
    let packed = tar.wait().map_err(|error| format!("tar: {error}"))?;
    match imported? {
        status if !status.success() => Err(format!("docker import of {}: {status}", recipe.tag)),
        _ if !packed.success() => Err(format!("tar of {}: {packed}", recipe.tag)),
        _ => Ok(()),
    }
}

fn docker_answers() -> Outcome {
    match quiet("docker", &["version"]) {
        Ok(true) => Ok(()),
        Ok(false) => Err("Docker does not answer: start it".to_owned()),
        Err(error) => Err(format!("there is no docker ({error}): install it")),
    }
}

fn exists(tag: &str) -> bool {
    quiet("docker", &["image", "inspect", tag]).unwrap_or(false)
}

fn needed_programs() -> Outcome {
    for program in ["apt-get", "dpkg-deb", "tar"] {
        quiet(program, &["--version"]).map_err(|error| {
            format!("images are built of Debian's packages: there is no {program} ({error}); on another system, give the addresses of running servers instead (docs/testing.md)")
        })?;
    }
    Ok(())
}

/// Whether a command succeeds, without its output.
fn quiet(program: &str, arguments: &[&str]) -> std::io::Result<bool> {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(status.success())
}
