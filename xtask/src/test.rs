//! `cargo xtask test` and `cargo xtask fix`.

use crate::command::{Outcome, cargo, run};
use crate::{demo, images, tidy};

/// Everything a change must pass, cheapest first.
pub(crate) fn run_all() -> Outcome {
    run("format", &mut cargo(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    run("lints", &mut cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    images::build_for_tests()?;
    run("tests", &mut cargo(["test", "--workspace", "--locked", "--no-fail-fast"]))?;
    run("docs", cargo(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    demo::show(&demo::Options::default())
}

/// Formats, writes what is generated, and applies what clippy can fix by itself.
pub(crate) fn fix() -> Outcome {
    tidy::rewrite_capabilities()?;
    run("format", &mut cargo(["fmt", "--all"]))?;
    run("lints", &mut cargo(["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"]))
}
