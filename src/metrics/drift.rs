//! The drift series: made at scrape from what each source holds, so that nothing is looked up per increment.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use super::served::pair;

/// One window's statistics of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSample {
    /// The window, for example `1h` or `rows:1000`.
    pub window: String,
    /// Population stability index.
    pub psi: f64,
    /// The same without the bias that the finite windows bring.
    pub psi_corrected: f64,
    /// Two-sample chi-square p-value.
    pub chi2_pvalue: f64,
    /// The corrected index from which the column is a warning, and from which it is critical.
    pub thresholds: [(&'static str, f64); 2],
    /// Rows in the window.
    pub rows: u64,
    /// -1 insufficient data, 0 ok, 1 warn, 2 critical.
    pub status: i8,
}

/// One column's counters and statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSample {
    /// The feature, or `__prediction__`.
    pub feature: String,
    /// Counts by bin since load; empty where the column is beyond the columns that bin series are kept for.
    pub bins: Vec<u64>,
    /// Counts by state since load: `ok`, `missing`, `invalid`, `below_min`, `above_max`, `unseen`.
    pub states: Vec<(&'static str, u64)>,
    /// Smoothed share of each bin in the reference.
    pub reference_shares: Vec<f64>,
    /// Reference rows by bin.
    pub reference_counts: Vec<u64>,
    /// Statistics by window.
    pub windows: Vec<WindowSample>,
}

/// What a version's drift monitor gives at a scrape.
pub trait DriftSource: Send + Sync {
    /// The model's name.
    fn model(&self) -> &str;
    /// The version's number.
    fn version(&self) -> u64;
    /// The digest of the reference profile.
    fn profile_digest(&self) -> String;
    /// Rows of the reference.
    fn reference_rows(&self) -> u64;
    /// Columns left out of the bin series because there are too many.
    fn dropped_columns(&self) -> u64;
    /// Every monitored column.
    fn columns(&self) -> Vec<ColumnSample>;
}

/// Name, help and labels of every drift series.
pub const DECLARED: &[(&str, &str, &[&str])] = &[
    (
        "gudgeon_drift_bin_total",
        "Values by bin of the reference profile (not cumulative).",
        &["model", "version", "feature", "bin"],
    ),
    (
        "gudgeon_drift_values_total",
        "Values by state: ok, missing, invalid, below_min, above_max, unseen.",
        &["model", "version", "feature", "state"],
    ),
    (
        "gudgeon_drift_reference_share",
        "Share of the bin in the reference, smoothed by half a row a bin.",
        &["model", "version", "feature", "bin"],
    ),
    ("gudgeon_drift_reference_bin_rows", "Reference rows in the bin.", &["model", "version", "feature", "bin"]),
    ("gudgeon_drift_reference_rows", "Rows of the reference profile.", &["model", "version"]),
    (
        "gudgeon_drift_psi",
        "Population stability index of the window against the reference.",
        &["model", "version", "feature", "window"],
    ),
    (
        "gudgeon_drift_psi_corrected",
        "The index less its expectation without drift.",
        &["model", "version", "feature", "window"],
    ),
    (
        "gudgeon_drift_threshold",
        "Corrected index from which this window is a warning or critical, by level: warn, critical.",
        &["model", "version", "feature", "window", "level"],
    ),
    (
        "gudgeon_drift_chi2_pvalue",
        "Two-sample chi-square p-value on the same bins.",
        &["model", "version", "feature", "window"],
    ),
    ("gudgeon_drift_window_rows", "Rows in the window.", &["model", "version", "feature", "window"]),
    (
        "gudgeon_drift_status",
        "Verdict: -1 insufficient data, 0 ok, 1 warn, 2 critical.",
        &["model", "version", "feature", "window"],
    ),
    ("gudgeon_drift_profile_info", "Always 1; the label names the reference profile.", &["model", "version", "digest"]),
    ("gudgeon_drift_dropped_columns", "Columns left out of the bin series.", &["model", "version"]),
];

/// Collects from the sources that are still alive.
#[derive(Clone)]
pub(super) struct DriftCollector {
    sources: Arc<Mutex<Vec<Weak<dyn DriftSource>>>>,
    descs: Vec<Desc>,
}

impl fmt::Debug for DriftCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriftCollector").finish_non_exhaustive()
    }
}

impl DriftCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let desc = |&(name, help, labels): &(&str, &str, &[&str])| {
            let labels = labels.iter().map(ToString::to_string).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        };
        Ok(Self { sources: Arc::default(), descs: DECLARED.iter().map(desc).collect::<Result<_, _>>()? })
    }

    pub(super) fn add(&self, source: &Arc<dyn DriftSource>) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| source.strong_count() > 0);
        sources.push(Arc::downgrade(source));
    }

    fn alive(&self) -> Vec<Arc<dyn DriftSource>> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Collector for DriftCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A version that was loaded again while its old servable drains is there twice: the newer one counts, because
        // Prometheus takes each series once.
        let mut seen = HashSet::new();
        let mut families = Families::default();
        for source in self.alive().iter().rev() {
            if seen.insert((source.model().to_owned(), source.version())) {
                collect_source(source.as_ref(), &mut families);
            }
        }
        families.into_protos()
    }
}

/// The series gathered so far, by the place of their metric in [`DECLARED`].
#[derive(Default)]
struct Families {
    metrics: HashMap<&'static str, Vec<Metric>>,
}

impl Families {
    fn push(&mut self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        let mut metric = Metric::default();
        metric.set_label(labels.iter().map(|(name, value)| pair(name, value)).collect());
        if name.ends_with("_total") {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.entry(name).or_default().push(metric);
    }

    fn into_protos(mut self) -> Vec<MetricFamily> {
        let family = |&(name, help, _): &(&'static str, &str, &[&str])| {
            let metrics = self.metrics.remove(name)?;
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(if name.ends_with("_total") { MetricType::COUNTER } else { MetricType::GAUGE });
            family.set_metric(metrics);
            Some(family)
        };
        DECLARED.iter().filter_map(family).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
fn collect_source(source: &dyn DriftSource, families: &mut Families) {
    let version = source.version().to_string();
    let base = [("model", source.model()), ("version", version.as_str())];
    let with = |extra: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        base.iter().chain(extra).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let mut push = |name: &'static str, extra: &[(&'static str, &str)], value: f64| {
        let labels = with(extra);
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        families.push(name, &labels, value);
    };
    push("gudgeon_drift_reference_rows", &[], source.reference_rows() as f64);
    push("gudgeon_drift_dropped_columns", &[], source.dropped_columns() as f64);
    push("gudgeon_drift_profile_info", &[("digest", &source.profile_digest())], 1.0);
    for column in source.columns() {
        let feature = ("feature", column.feature.as_str());
        for (state, count) in &column.states {
            push("gudgeon_drift_values_total", &[feature, ("state", state)], *count as f64);
        }
        for (index, count) in column.bins.iter().enumerate() {
            let bin = format!("{index:02}");
            let labels = [feature, ("bin", bin.as_str())];
            push("gudgeon_drift_bin_total", &labels, *count as f64);
            push("gudgeon_drift_reference_share", &labels, column.reference_shares.get(index).copied().unwrap_or(0.0));
            push(
                "gudgeon_drift_reference_bin_rows",
                &labels,
                column.reference_counts.get(index).copied().unwrap_or(0) as f64,
            );
        }
        for window in &column.windows {
            let labels = [feature, ("window", window.window.as_str())];
            push("gudgeon_drift_psi", &labels, window.psi);
            push("gudgeon_drift_psi_corrected", &labels, window.psi_corrected);
            for (level, threshold) in window.thresholds {
                push("gudgeon_drift_threshold", &[labels[0], labels[1], ("level", level)], threshold);
            }
            push("gudgeon_drift_chi2_pvalue", &labels, window.chi2_pvalue);
            push("gudgeon_drift_window_rows", &labels, window.rows as f64);
            push("gudgeon_drift_status", &labels, f64::from(window.status));
        }
    }
}
