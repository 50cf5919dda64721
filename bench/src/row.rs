//! One row: what one run of one workload on one system gave.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a run gave. What is not known is `None`, never a guess.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    /// All servers together.
    pub(crate) server_cpu_us_per_op: Option<f64>,
    pub(crate) client_cpu_us_per_op: Option<f64>,
    /// The largest server.
    pub(crate) server_rss_mb: Option<f64>,
    /// All servers together.
    pub(crate) fsyncs_per_op: Option<f64>,
    /// What only some workloads measure, by name.
    pub(crate) others: BTreeMap<&'static str, f64>,
    /// The share of the machine that foreign processes took, 0 to 1; `None` where it was not watched.
    pub(crate) foreign_cpu: Option<f64>,
}

/// A run, and what it gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) system: String,
    pub(crate) version: String,
    pub(crate) parameters: String,
    pub(crate) repeat: usize,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// Operations per second of ours, to those of the better peer in the same repeat.
    pub(crate) ratio: Option<f64>,
    /// A short run: good for a look, not for a judgement.
    pub(crate) quick: bool,
    /// Foreign processes took more than a tenth of the machine meanwhile.
    pub(crate) disturbed: bool,
    /// Why there are no figures.
    pub(crate) error: Option<String>,
}

impl Figures {
    /// A figure by its name in the JSON.
    pub(crate) fn named(&self, name: &str) -> Option<f64> {
        match name {
            "ops_per_s" => self.ops_per_s,
            "p50_us" => self.p50_us,
            "p99_us" => self.p99_us,
            "p999_us" => self.p999_us,
            "server_cpu_us_per_op" => self.server_cpu_us_per_op,
            "client_cpu_us_per_op" => self.client_cpu_us_per_op,
            "server_rss_mb" => self.server_rss_mb,
            "fsyncs_per_op" => self.fsyncs_per_op,
            other => self.others.get(other).copied(),
        }
    }

    /// The same with one more figure.
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.others.insert(name, value);
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of so many operations per second.
    pub(crate) fn row(system: &str, repeat: usize, ops_per_s: f64) -> Row {
        Row {
            workload: "W1",
            system: system.to_owned(),
            version: "1".to_owned(),
            parameters: "1 caller".to_owned(),
            repeat,
            figures: Figures { ops_per_s: Some(ops_per_s), ..Figures::default() },
            ratio: None,
            quick: false,
            disturbed: false,
            error: None,
        }
    }

    #[test]
    fn the_json_of_a_row_is_flat_and_says_what_is_unknown() {
        let mut row = row("etcd", 2, 10.0);
        row.figures = row.figures.with("open_s", 1.5);
        let json = serde_json::to_value(&row).unwrap();
        for name in ["workload", "system", "parameters", "repeat", "ops_per_s", "p50_us", "p99_us", "p999_us"] {
            assert!(json.get(name).is_some(), "{name}");
        }
        let unknown = ["server_cpu_us_per_op", "client_cpu_us_per_op", "server_rss_mb", "fsyncs_per_op", "ratio"];
        for name in unknown {
            assert!(json.get(name).is_some_and(serde_json::Value::is_null), "{name}");
        }
        assert_eq!(json.pointer("/others/open_s"), Some(&serde_json::json!(1.5)));
    }

    #[test]
    fn every_figure_has_its_name() {
        let figures = Figures { p99_us: Some(3.0), ..Figures::default() }.with("gap_ms", 4.0);
        assert_eq!(figures.named("p99_us"), Some(3.0));
        assert_eq!(figures.named("gap_ms"), Some(4.0));
        assert_eq!(figures.named("nothing"), None);
    }
}
