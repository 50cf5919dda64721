//! Every saboteur on the in-memory reference: the case named for it must fail, and must pass without it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::saboteur::{self, Suspect};
use conformance_tests::{Broken, Case, Cluster, Fault, Outcome, Saboteur, Terms, Timing};
use libtest_mimic::{Arguments, Failed, Trial};
use registry_api::Registry;
use registry_api::memory::MemoryStore;
use tokio::runtime::{Handle, Runtime};

/// Saboteurs that keep something back let a case wait for it: not longer than this.
const PATIENCE: Duration = Duration::from_secs(6);
const SEED: u64 = 7;

struct Store(MemoryStore);

#[async_trait]
impl Cluster for Store {
    async fn connect(&self) -> Outcome<Arc<dyn Registry>> {
        Ok(self.0.client())
    }

    async fn connect_to(&self, _member: usize) -> Outcome<Arc<dyn Registry>> {
        self.connect().await
    }

    async fn inject(&self, fault: Fault) -> Outcome {
        Err(Broken::harness(format!("there is no server to {fault}")))
    }

    async fn leader(&self) -> Outcome<usize> {
        Ok(0)
    }

    async fn disk_usage(&self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}

fn run(handle: &Handle, case: &Case, saboteur: Option<Arc<dyn Saboteur>>) -> Outcome {
    let timing = Timing { patience: PATIENCE, request_timeout: Duration::from_secs(1), ..Timing::default() };
    let terms = Terms { timing, members: 1 };
    let cluster: Arc<dyn Cluster> = Arc::new(Store(MemoryStore::new()));
    handle.block_on(conformance_tests::run_case(case, cluster, terms, SEED, saboteur))
}

fn catch(handle: &Handle, case: &Case, suspect: Suspect) -> Result<(), Failed> {
    run(handle, case, None).map_err(|broken| Failed::from(format!("fails without a saboteur: {broken}")))?;
    match run(handle, case, Some((suspect.make)())) {
        Ok(()) => Err(Failed::from(format!("{} does not notice {}", suspect.case, suspect.name))),
        Err(broken) if broken.guarantee() == Some(suspect.guarantee) => Ok(()),
        Err(broken) => {
            Err(Failed::from(format!("caught for another reason than {}, with: {broken}", suspect.guarantee)))
        }
    }
}

fn trial(handle: &Handle, cases: &[Case], suspect: Suspect) -> Trial {
    let (case, handle) = (cases.iter().find(|case| case.name() == suspect.case).cloned(), handle.clone());
    Trial::test(format!("{}_is_caught_by_{}", suspect.name, suspect.case), move || match case {
        Some(case) => catch(&handle, &case, suspect),
        None => Err(Failed::from(format!("there is no case {}", suspect.case))),
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(16);
    let Ok(runtime) = Runtime::new() else { return ExitCode::FAILURE };
    let cases = conformance_tests::all_cases();
    let trials = saboteur::all().into_iter().map(|suspect| trial(runtime.handle(), &cases, suspect)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    runtime.shutdown_timeout(Duration::from_secs(5));
    conclusion.exit_code()
}
