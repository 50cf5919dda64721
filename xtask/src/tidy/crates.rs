//! Who may depend on whom.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Finding;
use crate::command::cargo;

/// The contract names no backend and no wire library.
const WIRE_LIBRARIES: [&str; 6] = ["tonic", "prost", "openraft", "etcd-client", "zookeeper-client", "axum"];
/// The only packages that may name several backends.
const COMPOSITION_ROOTS: [&str; 3] = ["registry-bench", "registry-cli", "scheduler"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

pub(super) fn check() -> Result<Vec<Finding>, String> {
    let output = cargo(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata.packages.iter().flat_map(check_package).collect())
}

fn check_package(package: &Package) -> Vec<Finding> {
    let ours: BTreeSet<&str> = of_kind(package, None).filter(|d| d.path.is_some()).map(|d| d.name.as_str()).collect();
    let mut findings = Vec::new();
    let allowed: &[&str] = match package.name.as_str() {
        "registry-api" | "xtask" => &[],
        name if COMPOSITION_ROOTS.contains(&name) => return findings,
        _ => &["registry-api"],
    };
    for name in ours.iter().filter(|name| !allowed.contains(name)) {
        findings.push(format!("{} depends on {name}; dependencies point to registry-api only", package.name));
    }
    if package.name == "registry-api" || package.name == "conformance-tests" {
        for dependency in of_kind(package, None).filter(|d| WIRE_LIBRARIES.contains(&d.name.as_str())) {
            findings.push(format!("{} depends on {}, a wire library", package.name, dependency.name));
        }
    }
    findings
}

fn of_kind<'a>(package: &'a Package, kind: Option<&'a str>) -> impl Iterator<Item = &'a Dependency> {
    package.dependencies.iter().filter(move |dependency| dependency.kind.as_deref() == kind)
}
