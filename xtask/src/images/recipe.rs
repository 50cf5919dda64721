//! What is in each image.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::Release;

/// One image.
pub(super) struct Recipe {
    pub(super) tag: &'static str,
    pub(super) packages: Vec<&'static str>,
    pub(super) entrypoint: &'static str,
    /// Makes the unpacked packages into a system that runs.
    pub(super) finish: fn(&Path) -> std::io::Result<()>,
}

/// What everything else runs on. A shell and small tools come from busybox.
const BASE: [&str; 2] = ["libc6", "busybox-static"];
/// What the JVM itself needs; it is unpacked without the rest that its package asks for.
const JVM: [&str; 3] = ["libgcc-s1", "libstdc++6", "zlib1g"];
/// What ZooKeeper loads at run time.
const ZOOKEEPER: [&str; 9] = [
    "libzookeeper-java",
    "libslf4j-java",
    "libdropwizard-metrics-java",
    "libsnappy-java",
    "libsnappy-jni",
    "libsnappy1v5",
    "libnetty-java",
    "libcommons-io-java",
    "libcommons-cli-java",
];
/// Never read by a server.
const SUPERFLUOUS: [&str; 7] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/maven-repo",
    "usr/share/bug",
    "usr/share/info",
];

/// Both servers of a release.
pub(super) fn servers(release: Release) -> Vec<Recipe> {
    let (zookeeper, etcd, java) = match release {
        Release::Trixie => ("registry-test/zookeeper:3.9.3", "registry-test/etcd:3.5.16", "openjdk-21-jre-headless"),
        Release::Bookworm => ("registry-test/zookeeper:3.8.0", "registry-test/etcd:3.4.23", "openjdk-17-jre-headless"),
    };
    vec![
        Recipe {
            tag: zookeeper,
            packages: [&BASE[..], &JVM, &ZOOKEEPER, &[java]].concat(),
            entrypoint: "/docker-entrypoint.sh",
            finish: |root| {
                finish(root)?;
                find_java(root)?;
                fs::write(root.join("usr/share/zookeeper.classpath"), include_str!("classpath.sh"))?;
                script(root, "docker-entrypoint.sh", include_str!("zookeeper.sh"))?;
                script(root, "usr/bin/zkCli.sh", include_str!("zkcli.sh"))
            },
        },
        Recipe {
            tag: etcd,
            packages: [&BASE[..], &["etcd-server", "etcd-client"]].concat(),
            entrypoint: "/docker-entrypoint.sh",
            finish: |root| {
                finish(root)?;
                script(root, "docker-entrypoint.sh", include_str!("etcd.sh"))
            },
        },
    ]
}

/// The clients that others wrote: kazoo, and Curator; the JVM runs a source file as it is.
pub(super) fn interop() -> Recipe {
    let python = [
        "python3-minimal",
        "python3.13-minimal",
        "libpython3.13-minimal",
        "libpython3.13-stdlib",
        "libexpat1",
        "libffi8",
        "libssl3t64",
        "libzstd1",
        "libbz2-1.0",
        "liblzma5",
        "python3-kazoo",
        "python3-six",
    ];
    let curator = [
        "openjdk-21-jre-headless",
        "libcurator-recipes-java",
        "libcurator-framework-java",
        "libcurator-client-java",
        "libguava-java",
    ];
    Recipe {
        tag: "registry-test/interop:trixie",
        packages: [&BASE[..], &JVM, &ZOOKEEPER, &python, &curator].concat(),
        entrypoint: "/bin/sh",
        finish: |root| {
            finish(root)?;
            fs::write(root.join("usr/share/zookeeper.classpath"), include_str!("classpath.sh"))?;
            find_java(root)
        },
    }
}

fn finish(root: &Path) -> std::io::Result<()> {
    for directory in SUPERFLUOUS {
        let directory = root.join(directory);
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
    }
    for tool in ["sh", "cat", "du", "echo", "env", "find", "grep", "ip", "ls", "mkdir", "mkfifo", "nc", "rm", "sleep"] {
        let link = root.join("usr/bin").join(tool);
        if link.symlink_metadata().is_err() {
            symlink("busybox", link)?;
        }
    }
    Ok(())
}

/// Gives `java` its usual name.
fn find_java(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join("usr/lib/jvm"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.path().join("bin/java").exists() {
            return symlink(
                Path::new("../lib/jvm").join(entry.file_name()).join("bin/java"),
                root.join("usr/bin/java"),
            );
        }
    }
    Err(std::io::Error::other("no JVM was unpacked"))
}

fn script(root: &Path, path: &str, text: &str) -> std::io::Result<()> {
    let path = root.join(path);
    fs::write(&path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
