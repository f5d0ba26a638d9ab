//! What the engine counts, for people who watch it. Counting costs an addition or two to an atomic,
//! under no lock.

use crate::Error;
use crate::op::{Operation, Output};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The kinds of operations, by their names.
const KINDS: [&str; 13] = [
    "get",
    "set",
    "delete",
    "read_metadata",
    "revoke",
    "list",
    "count",
    "touch",
    "cleanup",
    "sweep",
    "migrate",
    "check",
    "health",
];

/// What becomes of them.
const OUTCOMES: [&str; 7] = [
    "ok",
    "no_connection",
    "timeout",
    "lost",
    "locked",
    "rejected",
    "other",
];

/// Why batches are taken apart.
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

/// A sample's name with its labels, and its value.
pub(crate) type Sample = (String, f64);

/// A group of samples: name, type, what it is.
type Family = (&'static str, &'static str, &'static str);

#[derive(Default)]
pub(crate) struct Stats {
    operations: [[AtomicU64; OUTCOMES.len()]; KINDS.len()],
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

    /// A batch was taken apart.
    pub(super) fn split(&self, why: &str) {
        if let Some(at) = SPLITS.iter().position(|split| *split == why) {
            self.splits[at].fetch_add(1, Relaxed);
        }
    }

    /// An operation is answered.
    pub(super) fn answered(&self, operation: &Operation, outcome: Result<&Output, &Error>) {
        let name = match operation {
            Operation::Get(_) => "get",
            Operation::Set(_) => "set",
            Operation::Delete { .. } => "delete",
            Operation::ReadMetadata(_) => "read_metadata",
            Operation::Manage(operation) => operation.0.name(),
        };
        let what = match outcome {
            Ok(output) => {
                self.note_cleaned(name, output);
                "ok"
            }
            Err(Error::NoConnection { .. } | Error::Refused { .. }) => "no_connection",
            Err(Error::Timeout { .. }) => "timeout",
            Err(Error::Lost { .. }) => "lost",
            Err(Error::Locked { .. }) => "locked",
            Err(Error::Database { .. } | Error::TooManySessions { .. }) => "rejected",
            Err(_) => "other",
        };
        let kind = KINDS.iter().position(|kind| *kind == name);
        let outcome = OUTCOMES.iter().position(|outcome| *outcome == what);
        if let (Some(kind), Some(outcome)) = (kind, outcome) {
            self.operations[kind][outcome].fetch_add(1, Relaxed);
        }
    }

    fn note_cleaned(&self, name: &str, output: &Output) {
        let removed = match output {
            Output::Swept(swept) if swept.ours => u64::from(swept.removed),
            Output::Count(removed) if name == "cleanup" => *removed,
            _ => return,
        };
        self.cleaned.fetch_add(removed, Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.cleaned_at.store(now.as_secs().cast_signed(), Relaxed);
    }

    /// Everything, with what others know: in the order in which it is printed.
    pub(super) fn samples(&self, gauges: &Gauges) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut add = |name: String, value: f64| samples.push((name, value));
        for (kind, outcomes) in KINDS.iter().zip(&self.operations) {
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

const OPERATIONS: &str = "resty_session_postgres_operations_total";
const SPLIT: &str = "resty_session_postgres_batches_split_total";
const CONNECTIONS: &str = "resty_session_postgres_connections";
const OPENED: &str = "resty_session_postgres_connections_opened_total";
const FAILED: &str = "resty_session_postgres_connections_failed_total";
const BACKLOG: &str = "resty_session_postgres_backlog";
const CLEANED: &str = "resty_session_postgres_cleaned_sessions_total";
const CLEANED_AT: &str = "resty_session_postgres_cleanup_last_timestamp_seconds";
const QUEUED: &str = "resty_session_postgres_queue_seconds";
const CHECKOUT: &str = "resty_session_postgres_checkout_seconds";
const STATEMENT: &str = "resty_session_postgres_statement_seconds";
const BATCH: &str = "resty_session_postgres_batch_operations";

const FAMILIES: [Family; 12] = [
    (OPERATIONS, "counter", "Operations by kind and outcome."),
    (
        SPLIT,
        "counter",
        "Batches whose operations were tried again one by one, by the reason.",
    ),
    (CONNECTIONS, "gauge", "Connections by state."),
    (OPENED, "counter", "Connections opened."),
    (FAILED, "counter", "Attempts to connect that failed."),
    (BACKLOG, "gauge", "Operations that wait."),
    (
        CLEANED,
        "counter",
        "Ended sessions deleted by the clean-up.",
    ),
    (
        CLEANED_AT,
        "gauge",
        "When the clean-up last had its turn here; 0 if never.",
    ),
    (
        QUEUED,
        "histogram",
        "Time from a call until its statement begins.",
    ),
    (CHECKOUT, "histogram", "Time until a connection is held."),
    (STATEMENT, "histogram", "Time of a statement."),
    (BATCH, "histogram", "Operations that share a statement."),
];

/// Samples as Prometheus reads them.
pub(crate) fn render(samples: &[Sample]) -> String {
    let mut text = String::new();
    for (name, kind, help) in FAMILIES {
        text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        let of_family = |sample: &&Sample| {
            let bare = sample.0.split('{').next().unwrap_or_default();
            let rest = bare.strip_prefix(name);
            rest.is_some_and(|rest| {
                rest.is_empty()
                    || kind == "histogram" && ["_bucket", "_sum", "_count"].contains(&rest)
            })
        };
        for (sample, value) in samples.iter().filter(of_family) {
            text += &format!("{sample} {value}\n");
        }
    }
    text
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

    #[test]
    fn every_sample_is_of_one_family() {
        let gauges = Gauges {
            connections: [("busy", 1), ("idle", 2), ("opening", 0)],
            opened: 3,
            failed: 1,
            waiting: 0,
        };
        let samples = Stats::default().samples(&gauges);
        let text = render(&samples);
        let printed = text.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(printed.count(), samples.len());
    }
}
