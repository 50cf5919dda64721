//! What a client leaves in metrics, and what it refuses by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{Counter, CounterFn, Gauge, Histogram, HistogramFn, Key as MetricKey, KeyName, Metadata, Recorder};
use metrics::{SharedString, Unit};

use crate::testbed::{Testbed, key};
use crate::{DeleteOptions, Effect, ErrorKind, Precondition, Scope, VALUE_LEN_MAX};

/// What was recorded: the name with its labels in order, and how often.
#[derive(Clone, Debug, Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, u64>>>);

struct One(Recorded, String);

impl Recorded {
    fn one(&self, key: &MetricKey) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(One(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }

    fn count(&self, metric: &str) -> u64 {
        self.0.lock().unwrap().get(metric).copied().unwrap_or_default()
    }
}

impl One {
    fn add(&self, count: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += count;
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, _value: u64) {}
}

impl HistogramFn for One {
    fn record(&self, _value: f64) {
        self.add(1);
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &MetricKey, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, _: &MetricKey, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &MetricKey, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

#[test]
fn every_call_is_counted_by_outcome_and_timed() {
    let recorded = Recorded::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorded, || {
        runtime.block_on(async {
            let bed = Testbed::new();
            bed.client.create(&key("/a"), "").await.unwrap();
            bed.client.create(&key("/a"), "").await.unwrap_err();
            bed.registry.set_reachable(crate::memory::Reachability::Silent);
            let scope = Scope::All;
            let mut given_up = Box::pin(bed.client.list(&scope));
            assert!(futures::poll!(&mut given_up).is_pending());
        });
    });
    let total = |operation: &str, outcome: &str| {
        let labels = format!("operation={operation},backend=memory,outcome={outcome}");
        recorded.count(&format!("registry_operations_total{{{labels}}}"))
    };
    assert_eq!((total("put", "ok"), total("put", "precondition_failed"), total("list", "cancelled")), (1, 1, 1));
    assert_eq!(recorded.count("registry_operation_seconds{operation=put,backend=memory}"), 2);
}

#[tokio::test(start_paused = true)]
async fn wrong_input_is_refused_before_anything_is_sent() {
    let bed = Testbed::new();
    bed.registry.set_reachable(crate::memory::Reachability::AnswersLost);
    let too_long = bed.client.put(&key("/a"), vec![0; VALUE_LEN_MAX + 1]).await.unwrap_err();
    assert_eq!(too_long.key(), Some(&key("/a")));
    let options = DeleteOptions::when(Precondition::Absent);
    let of_many = bed.client.delete_with(&Scope::Tree(key("/a")), options).await.unwrap_err();
    for error in [too_long, of_many] {
        assert_eq!((error.kind(), error.effect()), (&ErrorKind::InvalidArgument, Effect::NotApplied));
    }
}
