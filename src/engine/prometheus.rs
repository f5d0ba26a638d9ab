//! The engine's counters in Prometheus' text format.

pub(super) const OPERATIONS: &str = "resty_session_postgres_operations_total";
pub(super) const SPLIT: &str = "resty_session_postgres_batches_split_total";
pub(super) const CONNECTIONS: &str = "resty_session_postgres_connections";
pub(super) const OPENED: &str = "resty_session_postgres_connections_opened_total";
pub(super) const FAILED: &str = "resty_session_postgres_connections_failed_total";
pub(super) const BACKLOG: &str = "resty_session_postgres_backlog";
pub(super) const CLEANED: &str = "resty_session_postgres_cleaned_sessions_total";
pub(super) const CLEANED_AT: &str = "resty_session_postgres_cleanup_last_timestamp_seconds";
pub(super) const QUEUED: &str = "resty_session_postgres_queue_seconds";
pub(super) const CHECKOUT: &str = "resty_session_postgres_checkout_seconds";
pub(super) const STATEMENT: &str = "resty_session_postgres_statement_seconds";
pub(super) const BATCH: &str = "resty_session_postgres_batch_operations";

/// A sample's name with its labels, and its value.
pub(crate) type Sample = (String, f64);

/// A group of samples: name, type, what it is.
type Family = (&'static str, &'static str, &'static str);

const FAMILIES: [Family; 12] = [
    (OPERATIONS, "counter", "Operations by kind and outcome."),
    (
        SPLIT,
        "counter",
        "Batches that were split and retried one by one, by the reason.",
    ),
    (CONNECTIONS, "gauge", "Connections by state."),
    (OPENED, "counter", "Connections opened."),
    (FAILED, "counter", "Attempts to connect that failed."),
    (BACKLOG, "gauge", "Operations waiting for a connection."),
    (
        CLEANED,
        "counter",
        "Expired sessions deleted by the clean-up.",
    ),
    (
        CLEANED_AT,
        "gauge",
        "When this process last cleaned up, in seconds since 1970; 0 if never.",
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

/// Samples in Prometheus' text format.
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
    use super::super::stats::{Gauges, Stats};
    use super::*;

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
