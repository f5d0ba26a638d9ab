//! What of the engine's doings is told to the host's log: one line of a kind in a while.

use super::Shared;
use crate::host::log::{self, Level, Limited};
use crate::pool::Fault;

/// The lines of one engine, by their kinds.
#[derive(Default)]
pub(super) struct Reports {
    lost: Limited,
    silent: Limited,
    apart: Limited,
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
            text += &format!(", which {unanswered} waiting operations were told");
        }
        log::log(Level::Info, text);
    }

    /// A statement of so many operations has failed; `again` of them are tried again.
    pub(super) fn report_fault(&self, fault: &Fault, operations: usize, again: usize) {
        let server = &self.server;
        let apart = |reason: &str| {
            self.reports.apart.log(Level::Info, || {
                format!("a statement of {operations} operations is taken apart: {reason}")
            });
        };
        match fault {
            Fault::Lost(reason) => self.reports.lost.log(Level::Warn, || {
                format!(
                    "connection to {server} lost: {reason}; {again} of {operations} operations \
                     are repeated"
                )
            }),
            Fault::Expired => self.reports.silent.log(Level::Warn, || {
                format!(
                    "no answer from {server} to {operations} operations; their connection is \
                     closed"
                )
            }),
            Fault::ReadOnly { code, message } => self.reports.lost.log(Level::Warn, || {
                format!(
                    "{server} takes no writes: {message} (SQLSTATE {code}); {operations} \
                     operations are repeated on another connection"
                )
            }),
            Fault::Stale { code, message } if operations > 1 => {
                apart(&format!("{message} (SQLSTATE {code})"));
            }
            Fault::Rejected { code, message } if operations > 1 => {
                apart(&format!("{message} (SQLSTATE {code})"));
            }
            Fault::Locked(reason) if operations > 1 => apart(reason),
            Fault::Stale { .. } | Fault::Rejected { .. } | Fault::Locked(_) | Fault::TooMany(_) => {
            }
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
            format!(
                "the backlog of {backlog} operations for {server} is full: more are turned away"
            )
        });
    }
}
