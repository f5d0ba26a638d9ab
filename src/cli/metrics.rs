//! The figures of a site's metrics address, and how they change.

use crate::Failure;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use ureq::Agent;

/// What the samples' names begin with.
const PREFIX: &str = "resty_session_postgres_";

/// How long an answer may take, and how large it may be.
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: u64 = 4 << 20;

/// Workers tell their figures every ten seconds (examples/metrics), so what happened in less is not known.
pub const WINDOW: Duration = Duration::from_secs(20);

struct Sample {
    at: Instant,
    /// By the name without the prefix.
    values: BTreeMap<String, f64>,
}

pub struct Metrics {
    agent: Agent,
    address: String,
    /// Of the last [`WINDOW`], the oldest first.
    samples: VecDeque<Sample>,
}

impl Metrics {
    pub fn of(address: &str) -> Self {
        // Requests go to this address and nowhere else.
        let agent =
            Agent::config_builder().proxy(None).max_redirects(0).timeout_global(Some(TIMEOUT));
        let address = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        Metrics { agent: agent.build().into(), address, samples: VecDeque::new() }
    }

    /// Asks for the figures of now.
    pub fn ask(&mut self) -> Result<(), Failure> {
        let address = &self.address;
        let failed = |error: ureq::Error| format!("{address}: {error}");
        let mut answer = self.agent.get(address).call().map_err(failed)?;
        let body = answer.body_mut().with_config().limit(MOST_BYTES);
        let text = body.read_to_string().map_err(failed)?;
        let values: BTreeMap<_, _> = text.lines().filter_map(sample).collect();
        if values.is_empty() {
            return Err(format!("{address}: no figures of resty.session.postgres").into());
        }
        self.samples.push_back(Sample { at: Instant::now(), values });
        while self.samples.get(1).is_some_and(|second| second.at.elapsed() > WINDOW) {
            self.samples.pop_front();
        }
        Ok(())
    }

    /// The names that begin so, and what follows there.
    pub fn names<'a>(&'a self, begin: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let names = self.samples.back().into_iter().flat_map(|sample| sample.values.keys());
        names.filter_map(move |name| Some((&**name, name.strip_prefix(begin)?)))
    }

    /// What it is now.
    pub fn now(&self, name: &str) -> f64 {
        let value = self.samples.back().and_then(|sample| sample.values.get(name));
        value.copied().unwrap_or_default()
    }

    /// By how much a counter has grown, if that is known yet. One that has become smaller began anew.
    fn growth(&self, name: &str) -> Option<f64> {
        let first = self.samples.front().filter(|_| self.samples.len() > 1)?;
        let (before, now) = (first.values.get(name).copied().unwrap_or_default(), self.now(name));
        Some(if now < before { now } else { now - before })
    }

    /// The same a second.
    pub fn rate(&self, name: &str) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        Some(self.growth(name)? / (last.at - first.at).as_secs_f64())
    }

    /// The average of what a histogram has noted, if it has noted anything.
    pub fn average(&self, histogram: &str) -> Option<f64> {
        let count = self.growth(&format!("{histogram}_count")).filter(|count| *count > 0.0)?;
        Some(self.growth(&format!("{histogram}_sum"))? / count)
    }

    /// What a part of that is at most: within a bucket, as Prometheus' histogram_quantile estimates it.
    pub fn quantile(&self, histogram: &str, part: f64) -> Option<f64> {
        let begin = format!("{histogram}_bucket{{le=\"");
        let bucket = |(name, bound): (&str, &str)| {
            let bound: f64 = bound.strip_suffix("\"}")?.parse().ok()?;
            Some((bound, self.growth(name)?))
        };
        let mut buckets: Vec<(f64, f64)> = self.names(&begin).filter_map(bucket).collect();
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (_, total) = buckets.last().filter(|(_, total)| *total > 0.0)?;
        let wanted = total * part;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                // Beyond the last bound, nothing is known but that.
                let width = if bound.is_finite() { bound - below.0 } else { 0.0 };
                let share = (wanted - below.1) / (count - below.1).max(f64::MIN_POSITIVE);
                return Some(below.0 + width * share);
            }
            below = (bound, count);
        }
        None
    }
}

/// A sample of ours in a line.
fn sample(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.strip_prefix(PREFIX)?.rsplit_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}
