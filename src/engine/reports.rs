//! The engine's lines for the host's log: one of a kind in ten seconds.

use super::Shared;
use crate::Error;
use crate::host::log::{self, Level, Limited};
use crate::pool::{Fault, Retry};

/// The lines of one engine, by their kinds.
#[derive(Default)]
pub(super) struct Reports {
    lost: Limited,
    silent: Limited,
    split: Limited,
    busy: Limited,
    backlog: Limited,
}

impl Shared {
    pub(super) fn report_start(&self) {
        let (server, most) = (&self.server, self.most_threads);
        let text = format!("engine for {server} started, with {most} connections at most");
        log::log(Level::Info, text);
    }

    pub(super) fn report_stop(&self, unanswered: usize) {
        let server = &self.server;
        let mut text = format!("engine for {server} stopped");
        if unanswered > 0 {
            text += &format!("; {unanswered} pending operations failed");
        }
        log::log(Level::Info, text);
    }

    /// A statement of so many operations has failed; `again` of them are tried again.
    pub(super) fn report_fault(&self, fault: &Fault, operations: usize, again: usize) {
        let (server, error) = (&self.server, &fault.error);
        match (fault.retry, error) {
            (_, Error::Timeout { .. }) => self.reports.silent.log(Level::Warn, || {
                format!(
                    "no answer from {server} to {operations} operations; their connection is \
                     closed"
                )
            }),
            (_, Error::Lost { .. }) => self.reports.lost.log(Level::Warn, || {
                format!("{error}; {again} of {operations} operations are repeated")
            }),
            (Retry::Later, _) => self.reports.lost.log(Level::Warn, || {
                format!(
                    "{server} takes no writes: {error}; {operations} operations are repeated on \
                     another connection"
                )
            }),
            (Retry::Never, _) => {}
            _ if operations > 1 => self.reports.split.log(Level::Info, || {
                format!("a batch of {operations} operations is split and retried: {error}")
            }),
            _ => {}
        }
    }

    /// So many operations found no free connection in their time.
    pub(super) fn report_busy(&self, operations: usize) {
        let (server, most) = (&self.server, self.most_threads);
        self.reports.busy.log(Level::Warn, || {
            format!(
                "all connections to {server} (of {most} at most) are busy: {operations} \
                 operations got none in their time"
            )
        });
    }

    pub(super) fn report_backlog(&self) {
        let (server, backlog) = (&self.server, self.backlog);
        self.reports.backlog.log(Level::Warn, || {
            format!("the backlog of {backlog} operations for {server} is full: more are refused")
        });
    }
}
