//! Living in somebody else's process: what its forks, signals, exit and log ask of a library.

pub(crate) mod exit;
pub(crate) mod fork;
pub mod log;
pub(crate) mod sink;
pub(crate) mod thread;

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    /// An allocator of its own would keep memory that the host's could use, and hide from its tools.
    #[test]
    #[allow(unsafe_code)]
    fn memory_is_the_systems() {
        const BYTES: usize = 64 << 20;
        // SAFETY: only reads.
        let mapped = || unsafe { libc::mallinfo2() }.hblkhd;
        let before = mapped();
        let block = vec![0_u8; BYTES];
        assert!(mapped() >= before + BYTES);
        drop(block);
    }
}
