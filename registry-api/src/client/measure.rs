//! Metrics of one call: counted by outcome, timed, also when the caller gives up.

use std::time::Instant;

use crate::{Operation, Result};

/// Records a call when it ends; a call that is dropped before counts as cancelled.
#[derive(Debug)]
pub(crate) struct Measurement {
    operation: Operation,
    backend: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl Measurement {
    pub(crate) fn begin(operation: Operation, backend: &'static str) -> Self {
        Self { operation, backend, begun: Instant::now(), outcome: "cancelled" }
    }

    pub(crate) fn end<T>(mut self, result: &Result<T>) {
        self.outcome = match result {
            Ok(_) => "ok",
            Err(error) => error.kind().as_str(),
        };
        if let Err(error) = result {
            tracing::debug!(%error, "registry operation failed");
        }
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        let (operation, backend) = (self.operation.as_str(), self.backend);
        metrics::counter!(
            "registry_operations_total", "operation" => operation, "backend" => backend, "outcome" => self.outcome
        )
        .increment(1);
        metrics::histogram!("registry_operation_seconds", "operation" => operation, "backend" => backend)
            .record(self.begun.elapsed().as_secs_f64());
    }
}
