//! One attempt at a task: accept, run, report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::command::{self, CommandEnd, Reins};
use super::report::{Courier, Offer, report_of};
use crate::state::{Assignment, Outcome, Report};

/// Refuses an offer: nothing runs.
pub(super) async fn decline(courier: Arc<Courier>, offer: Offer, reason: String) {
    let session = offer.assignment.session;
    let report = report_of(&offer, courier.worker(), session, Outcome::Declined { reason }, String::new());
    courier.deliver(&offer, &report).await;
}

/// Accepts an offer and runs it; returns what is to be reported. `None`: the offer was withdrawn, or the attempt is void.
pub(super) async fn attend(
    courier: Arc<Courier>,
    offer: Offer,
    grace: Duration,
    reins: Reins,
) -> Option<(Offer, Report)> {
    let offer = tokio::select! {
        biased;
        () = reins.kill.cancelled() => None,
        accepted = courier.accept(&offer) => accepted,
    }?;
    let Assignment { instance, task, attempt, session, .. } = &offer.assignment;
    tracing::info!(event = "task_started", %instance, task = %task.id, attempt, "started");
    let timeout = task.timeout.map(|timeout| timeout.0);
    let (end, output) = command::run(&task.command, environment(&courier, &offer), timeout, grace, &reins).await;
    let Some(outcome) = outcome(end, timeout) else {
        tracing::info!(event = "task_ended", %instance, task = %task.id, attempt, outcome = "killed", "killed");
        return None;
    };
    tracing::info!(event = "task_ended", %instance, task = %task.id, attempt, outcome = outcome.as_str(), "{outcome}");
    let report = report_of(&offer, courier.worker(), *session, outcome, output);
    Some((offer, report))
}

/// What to report; `None` for an attempt that is void: whoever made it so knows.
fn outcome(end: CommandEnd, timeout: Option<Duration>) -> Option<Outcome> {
    match end {
        CommandEnd::Exited(status) if status.success() => Some(Outcome::Succeeded),
        CommandEnd::Exited(status) => Some(Outcome::Failed { exit_code: status.code(), reason: status.to_string() }),
        CommandEnd::NotStarted(reason) => Some(Outcome::Failed { exit_code: None, reason }),
        CommandEnd::TimedOut => {
            let limit = humantime::format_duration(timeout.unwrap_or_default());
            Some(Outcome::TimedOut { reason: format!("took longer than {limit}") })
        }
        CommandEnd::Stopped => Some(Outcome::Abandoned { reason: "the worker was stopped".to_owned() }),
        CommandEnd::Killed => None,
    }
}

/// The environment of a command, on top of the worker's own.
fn environment(courier: &Courier, offer: &Offer) -> BTreeMap<String, String> {
    let Assignment { instance, workflow, task, attempt, .. } = &offer.assignment;
    let mut env = task.env.clone();
    let binary = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    let own = [
        ("WORKFLOW", workflow.to_string()),
        ("INSTANCE", instance.to_string()),
        ("TASK_ID", task.id.to_string()),
        ("ATTEMPT", attempt.to_string()),
        ("FENCING_TOKEN", offer.token.to_string()),
        ("WORKER", courier.worker().to_string()),
        ("SCHEDULER", binary),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env
}
