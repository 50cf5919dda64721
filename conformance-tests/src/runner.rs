//! Runs the cases on harnesses, as a test target with `harness = false`.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::time::Instant;

use crate::context::Terms;
use crate::plan::{Plan, Ready, Verdict};
use crate::report::{CaseReport, Recorder};
use crate::saboteur::Saboteur;
use crate::stall::StallMeter;
use crate::{Broken, Case, Cluster, Context, Guarantee, Harness, Outcome, Timing, cases, committed};

/// The environment variable with the seed of random cases.
const SEED_VARIABLE: &str = "CONFORMANCE_SEED";

/// Runs every case of the suite on every harness, one harness after the other, and gives the exit code for `main`.
///
/// The arguments of the process are those of `cargo test`: a filter matches against `[harness] group::requirement`.
/// Cases that disturb their servers run after the others, each on a cluster of its own. A report of each harness
/// is written to `target/conformance/`.
#[must_use]
pub fn run(harnesses: Vec<Arc<dyn Harness>>) -> ExitCode {
    log_as_asked();
    let runner = match Runner::new(Arguments::from_args()) {
        Ok(runner) => runner,
        Err(error) => {
            announce(&format!("cannot start a runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut failed = false;
    for harness in harnesses {
        failed |= runner.run(&harness);
    }
    runner.runtime.shutdown_timeout(Duration::from_secs(5));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one case on one cluster, with a saboteur in front of it where one is given.
///
/// # Errors
///
/// What the case says was broken. An error that the case did not expect counts as its first guarantee.
pub async fn run_case(
    case: &Case,
    cluster: Arc<dyn Cluster>,
    terms: Terms,
    seed: u64,
    saboteur: Option<Arc<dyn Saboteur>>,
) -> Outcome {
    let stall = StallMeter::default();
    let metered = stall.clone();
    tokio::select! {
        never = metered.run() => match never {},
        outcome = execute(case, Context::new(cluster, terms, seed, saboteur, stall)) => outcome,
    }
}

async fn execute(case: &Case, context: Context) -> Outcome {
    let Some(body) = case.body() else { return Err(Broken::harness("the case is not written yet")) };
    let limit = context.timing().case_limit;
    let blamed = case.guarantees().first().copied().unwrap_or(Guarantee::G1);
    match tokio::time::timeout(limit, body(context)).await {
        Ok(outcome) => outcome.map_err(|broken| broken.blamed_on(blamed)),
        Err(_elapsed) => Err(Broken::new(blamed, format!("the case did not end within {limit:?}"))),
    }
}

/// Sends log lines to the terminal where `RUST_LOG` asks for them.
fn log_as_asked() {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // A second subscriber is refused: then the first one serves.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
}

#[expect(clippy::print_stdout, reason = "this is the test runner: it talks to the person who runs it")]
pub(crate) fn announce(text: &str) {
    println!("{text}");
}

struct Runner {
    arguments: Arguments,
    runtime: Runtime,
    stall: StallMeter,
    seed: u64,
}

impl Runner {
    fn new(arguments: Arguments) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
        let stall = StallMeter::default();
        runtime.spawn(stall.clone().run());
        let given = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
        Ok(Self { arguments, runtime, stall, seed: given.unwrap_or_else(rand::random) })
    }

    /// Whether anything failed.
    fn run(&self, harness: &Arc<dyn Harness>) -> bool {
        let cases = cases::all();
        if !self.is_asked_for(harness, &cases) {
            return false;
        }
        if self.arguments.list {
            let trials = cases.iter().map(|case| Trial::test(case.name(), || Ok(())).with_kind(harness.name()));
            return libtest_mimic::run(&self.arguments, trials.collect()).has_failed();
        }
        match self.runtime.block_on(Plan::make(Arc::clone(harness), cases)) {
            Ok(plan) => self.carry_out(plan),
            Err(broken) => {
                let start = Trial::test("start", move || Err(Failed::from(broken))).with_kind(harness.name());
                libtest_mimic::run(&Arguments::default(), vec![start]).has_failed()
            }
        }
    }

    fn is_asked_for(&self, harness: &Arc<dyn Harness>, cases: &[Case]) -> bool {
        let mut names = cases.iter().map(Case::name).chain(committed::NAMES.map(str::to_owned));
        names.any(|name| !self.arguments.is_filtered_out(&Trial::test(name, || Ok(())).with_kind(harness.name())))
    }

    fn carry_out(&self, plan: Plan) -> bool {
        announce(&format!("\nharness {}, {SEED_VARIABLE}={}\n{}", plan.harness.name(), self.seed, plan.capabilities));
        let recorder = Recorder::default();
        let (together, alone) = self.trials(&plan, &recorder);
        let Timing { parallel, parallel_apart, .. } = plan.harness.timing();
        let mut failed = self.run_trials(parallel, together).has_failed();
        failed |= self.run_trials(parallel_apart, alone).has_failed();
        if let Err(error) = recorder.write(&plan, self.seed) {
            announce(&format!("cannot write the report: {error}"));
            failed = true;
        }
        let Plan { cluster, .. } = plan;
        self.runtime.block_on(async move { drop(cluster) });
        failed
    }

    fn run_trials(&self, at_once: usize, trials: Vec<Trial>) -> Conclusion {
        let test_threads = self.arguments.test_threads.or(Some(at_once));
        libtest_mimic::run(&Arguments { test_threads, ..self.arguments.clone() }, trials)
    }

    /// The trials that run together, and those that run one by one.
    fn trials(&self, plan: &Plan, recorder: &Recorder) -> (Vec<Trial>, Vec<Trial>) {
        let (mut together, mut alone) = (Vec::from(committed::trials(plan)), Vec::new());
        for ready in &plan.cases {
            let trial = self.trial(plan, ready.clone(), recorder.clone());
            match ready.verdict {
                Verdict::Alone => alone.push(trial),
                Verdict::Together | Verdict::NotHere(_) => together.push(trial),
            }
        }
        (together, alone)
    }

    fn trial(&self, plan: &Plan, ready: Ready, recorder: Recorder) -> Trial {
        let (harness, cluster) = (Arc::clone(&plan.harness), Arc::clone(&plan.cluster));
        let (handle, stall, seed) = (self.runtime.handle().clone(), self.stall.clone(), self.seed);
        let name = ready.case.name();
        let kind = harness.name();
        let body = move || match &ready.verdict {
            Verdict::NotHere(reason) => {
                recorder.note(CaseReport::not_run(&ready.case, reason));
                Ok(Completion::ignored_with(reason))
            }
            Verdict::Together => timed(&handle, &ready.case, &recorder, seed, async {
                execute(&ready.case, Context::new(cluster, Terms::of(&*harness), seed, None, stall)).await
            }),
            Verdict::Alone => timed(&handle, &ready.case, &recorder, seed, async {
                let own = harness.start().await?;
                execute(&ready.case, Context::new(own, Terms::of(&*harness), seed, None, stall)).await
            }),
        };
        Trial::ignorable_test(name, body).with_kind(kind)
    }
}

fn timed(
    handle: &Handle,
    case: &Case,
    recorder: &Recorder,
    seed: u64,
    run: impl Future<Output = Outcome>,
) -> Result<Completion, Failed> {
    let start = Instant::now();
    let outcome = handle.block_on(run);
    recorder.note(CaseReport::run(case, &outcome, start.elapsed()));
    match outcome {
        Ok(()) => Ok(Completion::Completed),
        Err(broken) => Err(Failed::from(format!("{broken}\n({SEED_VARIABLE}={seed})"))),
    }
}
