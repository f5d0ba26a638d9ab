//! The engine's counters. Counting costs an addition or two to an atomic, under no lock. `prometheus`
//! prints them.

use super::prometheus::*;
use crate::Error;
use crate::op::{AnyOperation, Kind};
use crate::ops::{KINDS, Sweep};
use crate::pool::Retry;
use std::any::TypeId;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The outcomes of operations.
const OUTCOMES: [&str; 8] = [
    "ok",
    "backlog_full",
    "no_connection",
    "timeout",
    "lost",
    "locked",
    "rejected",
    "other",
];

/// Why batches are split.
const SPLITS: [&str; 3] = ["rejected", "locked", "lost"];

/// The bounds of the buckets of times, in microseconds, and as Prometheus wants them, in seconds.
const TIMES: [(u64, &str); 16] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// The same for the sizes of batches.
const SIZES: [(u64, &str); 8] = [
    (1, "1"),
    (2, "2"),
    (4, "4"),
    (8, "8"),
    (16, "16"),
    (32, "32"),
    (64, "64"),
    (128, "128"),
];

/// How often what was how large.
pub(crate) struct Histogram<const N: usize> {
    /// Each bucket without those below it; what is beyond the last bound is only in the count.
    buckets: [AtomicU64; N],
    beyond: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Histogram {
            buckets: [const { AtomicU64::new(0) }; N],
            beyond: AtomicU64::default(),
            sum: AtomicU64::default(),
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn note(&self, bounds: &[(u64, &str); N], value: u64) {
        let at = bounds.partition_point(|(bound, _)| *bound < value);
        self.buckets
            .get(at)
            .unwrap_or(&self.beyond)
            .fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn samples(&self, name: &str, bounds: &[(u64, &str); N], unit: f64, samples: &mut Vec<Sample>) {
        let mut count = 0;
        for (bucket, (_, bound)) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Relaxed);
            samples.push((format!("{name}_bucket{{le=\"{bound}\"}}"), count as f64));
        }
        count += self.beyond.load(Relaxed);
        samples.push((format!("{name}_bucket{{le=\"+Inf\"}}"), count as f64));
        samples.push((format!("{name}_sum"), self.sum.load(Relaxed) as f64 * unit));
        samples.push((format!("{name}_count"), count as f64));
    }
}

pub(crate) struct Stats {
    /// Outcomes of each type of operations, with its name.
    operations: Vec<(TypeId, &'static str, [AtomicU64; OUTCOMES.len()])>,
    splits: [AtomicU64; SPLITS.len()],
    queued: Histogram<{ TIMES.len() }>,
    checkout: Histogram<{ TIMES.len() }>,
    statement: Histogram<{ TIMES.len() }>,
    batch: Histogram<{ SIZES.len() }>,
    cleaned: AtomicU64,
    cleaned_at: AtomicI64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Default for Stats {
    fn default() -> Self {
        let kinds = KINDS.iter().chain([const { &Kind::of::<Sweep>() }]);
        let counts = |kind: &Kind| (kind.id, kind.spec.name, Default::default());
        Stats {
            operations: kinds.map(counts).collect(),
            splits: Default::default(),
            queued: Histogram::default(),
            checkout: Histogram::default(),
            statement: Histogram::default(),
            batch: Histogram::default(),
            cleaned: AtomicU64::default(),
            cleaned_at: AtomicI64::default(),
        }
    }
}

impl Stats {
    /// A statement begins: how long each of its operations has waited for it.
    pub(super) fn begin(&self, waited: impl ExactSizeIterator<Item = Duration>) {
        self.batch.note(&SIZES, waited.len() as u64);
        waited.for_each(|waited| self.queued.note(&TIMES, micros(waited)));
    }

    pub(super) fn checked_out(&self, took: Duration) {
        self.checkout.note(&TIMES, micros(took));
    }

    pub(super) fn ended(&self, took: Duration) {
        self.statement.note(&TIMES, micros(took));
    }

    /// A batch was split.
    pub(super) fn split(&self, retry: Retry) {
        let why = match retry {
            Retry::WhenUnlocked => "locked",
            Retry::Split => "rejected",
            Retry::Never | Retry::Later | Retry::AtOnce => "lost",
        };
        if let Some(at) = SPLITS.iter().position(|split| *split == why) {
            self.splits[at].fetch_add(1, Relaxed);
        }
    }

    /// An operation is answered.
    pub(super) fn answered(&self, operation: &dyn AnyOperation, error: Option<&Error>) {
        let what = match error {
            None => "ok",
            Some(Error::Backlog { .. }) => "backlog_full",
            Some(Error::NoConnection { .. } | Error::Refused { .. }) => "no_connection",
            Some(Error::Timeout { .. }) => "timeout",
            Some(Error::Lost { .. }) => "lost",
            Some(Error::Locked { .. }) => "locked",
            Some(Error::Database { .. } | Error::TooManySessions { .. }) => "rejected",
            Some(_) => "other",
        };
        let id = operation.kind().id;
        let kind = self.operations.iter().find(|(known, _, _)| *known == id);
        let outcome = OUTCOMES.iter().position(|outcome| *outcome == what);
        if let (Some((_, _, counts)), Some(outcome)) = (kind, outcome) {
            counts[outcome].fetch_add(1, Relaxed);
        }
    }

    /// A clean-up had its turn, and has deleted so many sessions.
    pub(super) fn cleaned(&self, count: u64) {
        self.cleaned.fetch_add(count, Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.cleaned_at.store(now.as_secs().cast_signed(), Relaxed);
    }

    /// Every sample, with the gauges, in the order in which they are printed.
    pub(super) fn samples(&self, gauges: &Gauges) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut add = |name: String, value: f64| samples.push((name, value));
        for (_, kind, outcomes) in &self.operations {
            for (outcome, count) in OUTCOMES.iter().zip(outcomes) {
                let labels = format!("{{kind=\"{kind}\",outcome=\"{outcome}\"}}");
                add(format!("{OPERATIONS}{labels}"), count.load(Relaxed) as f64);
            }
        }
        for (why, count) in SPLITS.iter().zip(&self.splits) {
            add(
                format!("{SPLIT}{{reason=\"{why}\"}}"),
                count.load(Relaxed) as f64,
            );
        }
        for (state, count) in gauges.connections {
            add(format!("{CONNECTIONS}{{state=\"{state}\"}}"), count as f64);
        }
        add(OPENED.into(), gauges.opened as f64);
        add(FAILED.into(), gauges.failed as f64);
        add(BACKLOG.into(), gauges.waiting as f64);
        add(CLEANED.into(), self.cleaned.load(Relaxed) as f64);
        add(CLEANED_AT.into(), self.cleaned_at.load(Relaxed) as f64);
        self.queued.samples(QUEUED, &TIMES, 1e-6, &mut samples);
        self.checkout.samples(CHECKOUT, &TIMES, 1e-6, &mut samples);
        self.statement
            .samples(STATEMENT, &TIMES, 1e-6, &mut samples);
        self.batch.samples(BATCH, &SIZES, 1.0, &mut samples);
        samples
    }
}

/// What is counted elsewhere.
pub(super) struct Gauges {
    pub(super) connections: [(&'static str, u64); 3],
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) waiting: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::default();
        for size in [1, 2, 3, 128, 129] {
            histogram.note(&SIZES, size);
        }
        let mut samples = Vec::new();
        histogram.samples("x", &SIZES, 1.0, &mut samples);
        let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [1., 2., 3., 3., 3., 3., 3., 4., 5., 263., 5.]);
        assert_eq!(samples[0].0, "x_bucket{le=\"1\"}");
        assert_eq!(samples[8].0, "x_bucket{le=\"+Inf\"}");
    }
}
