//! Members as separate processes that are killed, frozen and restarted: what only real processes can show.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test: failing loudly is its purpose")]

mod cases;
#[expect(dead_code, reason = "shared with the figures, which need more of it")]
mod fleet;
mod member;

use libtest_mimic::{Arguments, Trial};

fn main() {
    if let Some(config) = std::env::var_os(member::CONFIG_VARIABLE) {
        return member::run(&config);
    }
    let mut arguments = Arguments::from_args();
    // Each case has processes and deadlines of its own; side by side they would only disturb each other.
    arguments.test_threads = Some(1);
    let trials = cases::all().into_iter().map(|(name, case)| {
        Trial::test(name, move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(case());
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
