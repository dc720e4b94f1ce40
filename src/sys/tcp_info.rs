//! What the kernel knows of a connection (tcp(7), `TCP_INFO`).
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;

/// How many segments of this connection were retransmitted, including its SYN. `None` if the system does not
/// report it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn sent_again(fd: BorrowedFd<'_>) -> Option<u32> {
    use std::os::fd::AsRawFd;
    // SAFETY: all bytes 0 are a valid value: it has numbers only.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the value has the given length; a kernel with a shorter one writes less.
    let result = unsafe {
        let value = (&raw mut info).cast();
        libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, value, &raw mut len)
    };
    (result == 0).then_some(info.tcpi_total_retrans)
}

/// How many segments of this connection were sent again: not known on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn sent_again(_fd: BorrowedFd<'_>) -> Option<u32> {
    None
}
