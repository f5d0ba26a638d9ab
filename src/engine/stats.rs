//! The engine's counters, and their text format for Prometheus. Counting costs an addition or two to an
//! atomic, under no lock.

use crate::Error;
use crate::op::{AnyOperation, Kind};
use crate::ops::{KINDS, Sweep};
use crate::pool::{Pool, Retry};
use std::any::TypeId;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A group of samples.
struct Family {
    /// Without `resty_session_postgres_`, with which all names begin.
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

const fn family(name: &'static str, kind: &'static str, help: &'static str) -> Family {
    Family { name, kind, help }
}

static OPERATIONS: Family = family(
    "operations_total",
    "counter",
    "Operations by kind and outcome.",
);
static SPLIT: Family = family(
    "batches_split_total",
    "counter",
    "Batches that were split and retried one by one, by the reason.",
);
static CONNECTIONS: Family = family("connections", "gauge", "Connections by state.");
static OPENED: Family = family("connections_opened_total", "counter", "Connections opened.");
static FAILED: Family = family(
    "connections_failed_total",
    "counter",
    "Attempts to connect that failed.",
);
static BACKLOG: Family = family("backlog", "gauge", "Operations waiting for a connection.");
static CLEANED: Family = family(
    "cleaned_sessions_total",
    "counter",
    "Expired sessions deleted by the clean-up.",
);
static CLEANED_AT: Family = family(
    "cleanup_last_timestamp_seconds",
    "gauge",
    "When this process last cleaned up, in seconds since 1970; 0 if never.",
);
static QUEUED: Family = family(
    "queue_seconds",
    "histogram",
    "Time from a call until its statement begins.",
);
static CHECKOUT: Family = family(
    "checkout_seconds",
    "histogram",
    "Time until a connection is held.",
);
static STATEMENT: Family = family("statement_seconds", "histogram", "Time of a statement.");
static BATCH: Family = family(
    "batch_operations",
    "histogram",
    "Operations that share a statement.",
);

impl Family {
    /// A sample, by what follows the family's name.
    fn sample(&'static self, rest: impl Display, value: f64) -> Sample {
        let name = format!("resty_session_postgres_{}{rest}", self.name);
        Sample {
            family: self,
            name,
            value,
        }
    }
}

/// A named value.
pub(crate) struct Sample {
    family: &'static Family,
    /// With its labels.
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// Samples in Prometheus' text format; those of a family must follow each other.
pub(crate) fn render(samples: &[Sample]) -> String {
    let mut text = String::new();
    for family in samples.chunk_by(|a, b| a.family.name == b.family.name) {
        let Family { name, kind, help } = family[0].family;
        let name = format!("resty_session_postgres_{name}");
        text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for Sample { name, value, .. } in family {
            text += &format!("{name} {value}\n");
        }
    }
    text
}

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

/// Adds one to the counter of a name.
fn count(name: &str, names: &[&str], counts: &[AtomicU64]) {
    let mut counters = names.iter().zip(counts);
    if let Some((_, count)) = counters.find(|(known, _)| **known == name) {
        count.fetch_add(1, Relaxed);
    }
}

/// How often what was how large.
struct Histogram {
    family: &'static Family,
    /// How many of what is counted are one of the unit of the samples.
    unit: f64,
    /// The bound of each bucket, and what it holds without those below it; the last has no bound.
    buckets: Vec<(u64, AtomicU64)>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(family: &'static Family, unit: f64, bounds: &[u64]) -> Self {
        let bounds = bounds.iter().copied().chain([u64::MAX]);
        Histogram {
            family,
            unit,
            buckets: bounds.map(|bound| (bound, AtomicU64::new(0))).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// A histogram of times, in microseconds. Prometheus wants seconds.
    fn of_times(family: &'static Family) -> Self {
        let ranges = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
        let steps = ranges.map(|range| [range, range * 5 / 2, range * 5]);
        // From 0.1 ms to 10 s.
        Histogram::new(family, 1e6, &steps.as_flattened()[..16])
    }

    fn note(&self, value: u64) {
        let at = self.buckets.partition_point(|(bound, _)| *bound < value);
        if let Some((_, bucket)) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    fn note_time(&self, time: Duration) {
        self.note(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    fn samples(&self, samples: &mut Vec<Sample>) {
        let mut count = 0;
        for (bound, bucket) in &self.buckets {
            count += bucket.load(Relaxed);
            let bound = match *bound {
                u64::MAX => "+Inf".to_owned(),
                bound => (bound as f64 / self.unit).to_string(),
            };
            let rest = format!("_bucket{{le=\"{bound}\"}}");
            samples.push(self.family.sample(rest, count as f64));
        }
        let sum = self.sum.load(Relaxed) as f64 / self.unit;
        samples.push(self.family.sample("_sum", sum));
        samples.push(self.family.sample("_count", count as f64));
    }
}

/// The counters of one engine.
pub(super) struct Stats {
    /// Outcomes of each type of operations, with its name.
    operations: Vec<(TypeId, &'static str, [AtomicU64; OUTCOMES.len()])>,
    splits: [AtomicU64; SPLITS.len()],
    queued: Histogram,
    checkout: Histogram,
    statement: Histogram,
    batch: Histogram,
    cleaned: AtomicU64,
    cleaned_at: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        let kinds = KINDS.iter().chain([const { &Kind::of::<Sweep>() }]);
        let counts = |kind: &Kind| (kind.id, kind.spec.name, Default::default());
        Stats {
            operations: kinds.map(counts).collect(),
            splits: Default::default(),
            queued: Histogram::of_times(&QUEUED),
            checkout: Histogram::of_times(&CHECKOUT),
            statement: Histogram::of_times(&STATEMENT),
            batch: Histogram::new(&BATCH, 1.0, &[1, 2, 4, 8, 16, 32, 64, 128]),
            cleaned: AtomicU64::default(),
            cleaned_at: AtomicU64::default(),
        }
    }
}

impl Stats {
    /// A statement begins: how long each of its operations has waited for it.
    pub(super) fn begin(&self, waited: impl ExactSizeIterator<Item = Duration>) {
        self.batch.note(waited.len() as u64);
        waited.for_each(|waited| self.queued.note_time(waited));
    }

    pub(super) fn checked_out(&self, took: Duration) {
        self.checkout.note_time(took);
    }

    pub(super) fn ended(&self, took: Duration) {
        self.statement.note_time(took);
    }

    /// A batch was split.
    pub(super) fn split(&self, retry: Retry) {
        let why = match retry {
            Retry::WhenUnlocked => "locked",
            Retry::Split => "rejected",
            Retry::Never | Retry::Later | Retry::AtOnce => "lost",
        };
        count(why, &SPLITS, &self.splits);
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
        if let Some((_, _, counts)) = self.operations.iter().find(|(known, ..)| *known == id) {
            count(what, &OUTCOMES, counts);
        }
    }

    /// A clean-up had its turn, and has deleted so many sessions.
    pub(super) fn cleaned(&self, count: u64) {
        self.cleaned.fetch_add(count, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.cleaned_at
            .store(now.unwrap_or_default().as_secs(), Relaxed);
    }

    /// Every sample, with what the pool counts, in the order in which they are printed.
    pub(super) fn samples(&self, pool: &Pool, waiting: usize) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut add = |family: &'static Family, labels: String, value: u64| {
            samples.push(family.sample(labels, value as f64));
        };
        for (_, kind, counts) in &self.operations {
            for (outcome, count) in OUTCOMES.iter().zip(counts) {
                let labels = format!("{{kind=\"{kind}\",outcome=\"{outcome}\"}}");
                add(&OPERATIONS, labels, count.load(Relaxed));
            }
        }
        for (why, count) in SPLITS.iter().zip(&self.splits) {
            let labels = format!("{{reason=\"{why}\"}}");
            add(&SPLIT, labels, count.load(Relaxed));
        }
        let (open, idle) = (pool.open(), pool.idle_count());
        let (opened, failed, opening) = pool.status().attempts();
        let busy = open.saturating_sub(idle);
        let states = [
            ("busy", busy.into()),
            ("idle", idle.into()),
            ("opening", opening),
        ];
        for (state, count) in states {
            add(&CONNECTIONS, format!("{{state=\"{state}\"}}"), count);
        }
        let plain = [
            (&OPENED, opened),
            (&FAILED, failed),
            (&BACKLOG, waiting as u64),
            (&CLEANED, self.cleaned.load(Relaxed)),
            (&CLEANED_AT, self.cleaned_at.load(Relaxed)),
        ];
        for (family, value) in plain {
            add(family, String::new(), value);
        }
        for histogram in [&self.queued, &self.checkout, &self.statement, &self.batch] {
            histogram.samples(&mut samples);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::new(&BATCH, 1.0, &[1, 2, 4, 8, 16, 32, 64, 128]);
        for size in [1, 2, 3, 128, 129] {
            histogram.note(size);
        }
        let mut samples = Vec::new();
        histogram.samples(&mut samples);
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [1., 2., 3., 3., 3., 3., 3., 4., 5., 263., 5.]);
        let name = "resty_session_postgres_batch_operations_bucket";
        assert_eq!(samples[0].name, format!("{name}{{le=\"1\"}}"));
        assert_eq!(samples[8].name, format!("{name}{{le=\"+Inf\"}}"));
    }

    #[test]
    fn the_bounds_of_times_are_seconds() {
        let mut samples = Vec::new();
        Histogram::of_times(&QUEUED).samples(&mut samples);
        let text = render(&samples);
        let bounds = text
            .split("le=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        let bounds: Vec<&str> = bounds.collect();
        let expected = "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 \
                        10 +Inf";
        assert_eq!(bounds.join(" "), expected);
    }
}
