//! Living in somebody else's process: what its forks, signals, exit and log ask of a library.

pub(crate) mod exit;
pub(crate) mod fork;
pub mod log;
pub(crate) mod seat;
pub(crate) mod sink;
pub(crate) mod thread;
