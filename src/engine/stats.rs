//! The engine's counters, and their text format for Prometheus. Counting costs an addition or two to an
//! atomic, under no lock.

use crate::Error;
use crate::op::{AnyOperation, Kind};
use crate::ops::{KINDS, Sweep};
use crate::pool::{Pool, Retry};
use std::any::TypeId;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Sample = (String, f64);

pub(crate) struct Family {
    name: String,
    kind: &'static str,
    help: &'static str,
    pub(crate) samples: Vec<Sample>,
}

impl Family {
    /// A family of samples, each named by what follows the family's name.
    fn new(kind: &'static str, name: &str, help: &'static str, mut samples: Vec<Sample>) -> Self {
        let name = format!("resty_session_postgres_{name}");
        for (sample, _) in &mut samples {
            sample.insert_str(0, &name);
        }
        Family { name, kind, help, samples }
    }
}

/// Families in Prometheus' text format.
pub(crate) fn render(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        let (name, kind, help) = (&family.name, family.kind, family.help);
        text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (sample, value) in &family.samples {
            text += &format!("{sample} {value}\n");
        }
    }
    text
}

const OUTCOMES: [&str; 8] =
    ["ok", "backlog_full", "no_connection", "timeout", "lost", "locked", "rejected", "other"];

/// Of calls of the storage that a site is moving in from.
const FALLBACK: [&str; 3] = ["found", "missing", "failed"];

const SPLITS: [&str; 3] = ["rejected", "locked", "lost"];

/// A counter for each of some names, which are values of a label.
struct Counters<const N: usize>(&'static [&'static str; N], [AtomicU64; N]);

impl<const N: usize> Counters<N> {
    fn new(names: &'static [&'static str; N]) -> Self {
        Counters(names, [const { AtomicU64::new(0) }; N])
    }

    fn count(&self, name: &str) {
        if let Some(at) = self.0.iter().position(|known| *known == name) {
            self.1[at].fetch_add(1, Relaxed);
        }
    }

    /// A sample of each; other labels may precede `label`.
    fn samples(&self, label: &str) -> Vec<Sample> {
        let counters = self.0.iter().zip(&self.1);
        let sample = |(name, count): (&&str, &AtomicU64)| {
            let labels = format!("{{{label}=\"{name}\"}}");
            (labels, count.load(Relaxed) as f64)
        };
        counters.map(sample).collect()
    }
}

/// How often what was how large.
pub(super) struct Histogram {
    /// How many of what is noted make one of what is printed.
    unit: f64,
    /// The bound of each bucket, and what it holds without those below it.
    buckets: Vec<(u64, AtomicU64)>,
    /// What is above the last bound.
    beyond: AtomicU64,
    sum: AtomicU64,
}

impl Histogram {
    fn new(unit: f64, bounds: impl IntoIterator<Item = u64>) -> Self {
        let buckets = bounds.into_iter().map(|bound| (bound, AtomicU64::new(0)));
        Histogram {
            unit,
            buckets: buckets.collect(),
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Of times from 0.1 ms to 10 s, noted in microseconds and printed in seconds.
    fn of_times() -> Self {
        let starts = [100, 1_000, 10_000, 100_000, 1_000_000];
        let bounds = starts.map(|start| [start, start * 5 / 2, start * 5]);
        Histogram::new(1e6, bounds.into_iter().flatten().chain([10_000_000]))
    }

    fn note(&self, value: u64) {
        let at = self.buckets.partition_point(|(bound, _)| *bound < value);
        let bucket = self.buckets.get(at).map(|(_, bucket)| bucket);
        bucket.unwrap_or(&self.beyond).fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub(super) fn note_time(&self, time: Duration) {
        self.note(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    fn family(&self, name: &str, help: &'static str) -> Family {
        let mut count = 0;
        let mut samples = Vec::new();
        for (bound, bucket) in &self.buckets {
            count += bucket.load(Relaxed);
            let bound = *bound as f64 / self.unit;
            samples.push((format!("_bucket{{le=\"{bound}\"}}"), count as f64));
        }
        count += self.beyond.load(Relaxed);
        let sum = self.sum.load(Relaxed) as f64 / self.unit;
        samples.push(("_bucket{le=\"+Inf\"}".into(), count as f64));
        samples.push(("_sum".into(), sum));
        samples.push(("_count".into(), count as f64));
        Family::new("histogram", name, help, samples)
    }
}

pub(super) struct Stats {
    /// Outcomes of each type of operations, with its name.
    operations: Vec<(TypeId, &'static str, Counters<{ OUTCOMES.len() }>)>,
    splits: Counters<{ SPLITS.len() }>,
    fallback: Counters<{ FALLBACK.len() }>,
    queued: Histogram,
    pub(super) checkout: Histogram,
    pub(super) statement: Histogram,
    batch: Histogram,
    cleaned: AtomicU64,
    cleaned_at: AtomicU64,
    passed_over: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        let kinds = KINDS.iter().chain([const { &Kind::of::<Sweep>() }]);
        let counters = |kind: &Kind| (kind.id, kind.spec.name, Counters::new(&OUTCOMES));
        Stats {
            operations: kinds.map(counters).collect(),
            splits: Counters::new(&SPLITS),
            fallback: Counters::new(&FALLBACK),
            queued: Histogram::of_times(),
            checkout: Histogram::of_times(),
            statement: Histogram::of_times(),
            batch: Histogram::new(1.0, [1, 2, 4, 8, 16, 32, 64, 128]),
            cleaned: AtomicU64::default(),
            cleaned_at: AtomicU64::default(),
            passed_over: AtomicU64::default(),
        }
    }
}

impl Stats {
    /// A statement begins: how long each of its operations has waited for it.
    pub(super) fn begin(&self, waited: impl ExactSizeIterator<Item = Duration>) {
        self.batch.note(waited.len() as u64);
        waited.for_each(|waited| self.queued.note_time(waited));
    }

    pub(super) fn split(&self, retry: Retry) {
        self.splits.count(match retry {
            Retry::WhenUnlocked => "locked",
            Retry::Split => "rejected",
            Retry::Never | Retry::Separate | Retry::Later | Retry::AtOnce => "lost",
        });
    }

    #[cfg(feature = "lua-module")]
    pub(super) fn fallback(&self, outcome: &str) {
        self.fallback.count(outcome);
    }

    pub(super) fn answered(&self, operation: &dyn AnyOperation, error: Option<&Error>) {
        let outcome = match error {
            None => "ok",
            Some(Error::Backlog { .. }) => "backlog_full",
            Some(Error::NoConnection { .. } | Error::Refused { .. }) => "no_connection",
            Some(Error::Timeout { .. }) => "timeout",
            Some(Error::Lost { .. }) => "lost",
            Some(Error::Locked { .. }) => "locked",
            Some(
                Error::Database { .. }
                | Error::TooManySessions { .. }
                | Error::TooLarge { .. }
                | Error::Ended,
            ) => "rejected",
            Some(_) => "other",
        };
        let id = operation.kind().id;
        if let Some((_, _, counters)) = self.operations.iter().find(|(known, ..)| *known == id) {
            counters.count(outcome);
        }
    }

    /// A clean-up had its turn, and has deleted so many sessions.
    pub(super) fn cleaned(&self, count: u64) {
        self.cleaned.fetch_add(count, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs();
        self.cleaned_at.store(seconds, Relaxed);
    }

    /// A clean-up could not delete so many sessions.
    pub(super) fn passed_over(&self, count: u64) {
        self.passed_over.fetch_add(count, Relaxed);
    }

    /// Everything, with what the pool counts, in the order in which it is printed.
    pub(super) fn families(&self, pool: &Pool, waiting: usize) -> Vec<Family> {
        let counter = |name, help, samples| Family::new("counter", name, help, samples);
        let gauge = |name, help, samples| Family::new("gauge", name, help, samples);
        let one = |value: u64| vec![(String::new(), value as f64)];
        let cleaned_at = self.cleaned_at.load(Relaxed);
        let operations = self.operations.iter().flat_map(|(_, kind, counters)| {
            let label = format!("kind=\"{kind}\",outcome");
            counters.samples(&label)
        });
        let (opened, failed, opening) = pool.status().attempts();
        let (open, idle) = (pool.open(), pool.idle_count());
        let busy = open.saturating_sub(idle);
        let states = [("busy", busy.into()), ("idle", idle.into()), ("opening", opening)];
        let states = states.map(|(state, count)| (format!("{{state=\"{state}\"}}"), count as f64));
        vec![
            counter("operations_total", "Operations by kind and outcome.", operations.collect()),
            counter(
                "batches_split_total",
                "Batches that failed and whose operations were tried again, by the reason.",
                self.splits.samples("reason"),
            ),
            counter(
                "fallback_total",
                "Sessions looked for in the fallback, and failures of it.",
                self.fallback.samples("outcome"),
            ),
            gauge("connections", "Connections by state.", states.into()),
            counter("connections_opened_total", "Connections opened.", one(opened)),
            counter("connections_failed_total", "Attempts to connect that failed.", one(failed)),
            gauge("backlog", "Operations waiting for a connection.", one(waiting as u64)),
            counter(
                "cleaned_sessions_total",
                "Expired sessions deleted by the clean-up.",
                one(self.cleaned.load(Relaxed)),
            ),
            counter(
                "cleanup_passed_over_total",
                "Sessions that the clean-up could not delete, each time that it tried.",
                one(self.passed_over.load(Relaxed)),
            ),
            gauge(
                "cleanup_last_timestamp_seconds",
                "When this process last cleaned up, in seconds since 1970; 0 if never.",
                one(cleaned_at),
            ),
            self.queued.family("queue_seconds", "Time from a call until its statement begins."),
            self.checkout.family("checkout_seconds", "Time until a connection is held."),
            self.statement.family("statement_seconds", "Time of a statement."),
            self.batch.family("batch_operations", "Operations that share a statement."),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::new(1.0, [1, 2, 4, 8, 16, 32, 64, 128]);
        for size in [1, 2, 3, 128, 129] {
            histogram.note(size);
        }
        let samples = histogram.family("x", "").samples;
        let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [1., 2., 3., 3., 3., 3., 3., 4., 5., 263., 5.]);
        let name = "resty_session_postgres_x_bucket";
        assert_eq!(samples[0].0, format!("{name}{{le=\"1\"}}"));
        assert_eq!(samples[8].0, format!("{name}{{le=\"+Inf\"}}"));
    }

    #[test]
    fn times_are_printed_in_seconds() {
        let text = render(&[Histogram::of_times().family("x", "")]);
        let bounds = text.split("le=\"").skip(1);
        let bounds: Vec<&str> = bounds.filter_map(|rest| rest.split('"').next()).collect();
        let expected = "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 \
                        2.5 5 10 +Inf";
        assert_eq!(bounds.join(" "), expected);
    }
}
