//! Waiting for file descriptors that the runtime does not know by itself: timers, pidfds, inotify.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the current runtime, to wait until it is readable.
///
/// # Errors
/// If the runtime cannot watch it.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        unsafe_code,
        reason = "the runtime offers no safe way to register a descriptor"
    )]
    // SAFETY: an OwnedFd names the same open descriptor for as long as it lives, and AsyncFd
    // deregisters it before dropping it.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}
