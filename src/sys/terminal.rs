//! The controlling terminal: whether it exists, and a prompt without echo.
#![allow(unsafe_code)]

#[cfg(feature = "cli")]
use std::fs::{File, OpenOptions};
#[cfg(feature = "cli")]
use std::io::{self, Read as _, Write as _};

use nix::errno::Errno;
#[cfg(feature = "cli")]
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// Whether this process has a controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal {
    Open,
    /// There is no terminal: there never was, or it was closed.
    Gone,
    /// It could not be opened for another reason, such as a lack of descriptors.
    Unknown,
}

/// Looks for it. open(2) and close(2) are async-signal-safe, so a handler may.
pub(super) fn terminal() -> Terminal {
    let flags = libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    match unsafe { libc::open(c"/dev/tty".as_ptr(), flags) } {
        -1 if matches!(Errno::last_raw(), libc::ENXIO | libc::EIO) => Terminal::Gone,
        -1 => Terminal::Unknown,
        fd => {
            // SAFETY: the descriptor was opened above and has no other owner.
            unsafe { libc::close(fd) };
            Terminal::Open
        }
    }
}

/// Prompts at the controlling terminal for a line that is not echoed, of at most this many bytes.
///
/// # Errors
/// `Interrupted` by a signal, and at the end of input; `InvalidData` if the line is longer or is not UTF-8;
/// otherwise there is no terminal.
#[cfg(feature = "cli")]
pub(crate) fn ask_blind(prompt: &str, bytes_max: usize) -> io::Result<String> {
    let mut tty = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&tty)?;
    let mut blind = before.clone();
    blind.local_flags.remove(LocalFlags::ECHO);
    blind.local_flags.insert(LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG);
    // Before the prompt: text typed ahead was echoed, and is dropped; text after the prompt is not echoed.
    tcsetattr(&tty, SetArg::TCSAFLUSH, &blind)?;
    let line = tty.write_all(prompt.as_bytes()).and_then(|()| read_line(&mut tty, bytes_max));
    tcsetattr(&tty, SetArg::TCSAFLUSH, &before)?;
    if line.is_err() {
        tty.write_all(b"\n")?;
    }
    String::from_utf8(line?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads up to the end of a line, which is left out.
#[cfg(feature = "cli")]
fn read_line(tty: &mut File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        // A terminal gives whole lines: what is too long is read and dropped, not left for a shell.
        match tty.read(&mut byte)? {
            0 => return Err(io::ErrorKind::Interrupted.into()),
            _ if byte == *b"\n" && line.len() > bytes_max => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it is longer than {bytes_max} bytes"),
                ));
            }
            _ if byte == *b"\n" => return Ok(line),
            _ if line.len() <= bytes_max => line.push(byte[0]),
            _ => {}
        }
    }
}

/// A terminal that does not show what is typed: a drawing is repainted in place, and a line that is typed
/// into it would move it. Dropped, it shows it again.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(crate) struct UnechoedInput {
    tty: File,
    before: nix::sys::termios::Termios,
}

#[cfg(feature = "cli")]
impl UnechoedInput {
    /// The controlling terminal; an error if there is none.
    pub(crate) fn begin() -> io::Result<UnechoedInput> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&tty)?;
        let mut unechoed = before.clone();
        unechoed.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL);
        tcsetattr(&tty, SetArg::TCSANOW, &unechoed)?;
        Ok(UnechoedInput { tty, before })
    }

    /// Drops unread input.
    pub(crate) fn discard_typed(&self) {
        // An error means that the terminal is gone, and its input with it.
        let _ = nix::sys::termios::tcflush(&self.tty, nix::sys::termios::FlushArg::TCIFLUSH);
    }
}

#[cfg(feature = "cli")]
impl Drop for UnechoedInput {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.tty, SetArg::TCSANOW, &self.before);
    }
}
