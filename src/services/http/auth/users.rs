//! The users that may log in: those given at the start, and those of a file in the format of `htpasswd -B`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::credentials::Credentials;
use super::digest::{Digest, DigestKey};
use super::hashed::{Hashed, PasswordCheck};
use crate::session::Now;

/// The most bytes of a file: some ten thousand users.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest name, in bytes, as `htpasswd` has it.
const NAME_BYTES_MAX: usize = 255;
/// How often the file is checked for a change, in ms: a request costs no system call for it.
const LOOKED_AT_MS: u64 = 1_000;
/// A file that changed within this time may still be written to.
const SETTLED: Duration = Duration::from_secs(1);

/// A user's password, in a form that it can be compared with.
#[derive(Debug)]
pub(super) enum User {
    /// It was given at the start.
    OfStart(Digest),
    OfFile(Hashed),
}

impl User {
    /// Bytes that identify this password; they change when it changes.
    pub(super) fn identity(&self) -> [u8; 40] {
        match self {
            User::OfFile(hashed) => hashed.identity(),
            User::OfStart(digest) => {
                let mut identity = [0; 40];
                identity[..8].copy_from_slice(&digest.halves[0].to_le_bytes());
                identity[8..16].copy_from_slice(&digest.halves[1].to_le_bytes());
                identity
            }
        }
    }
}

/// Whether this is the password that was given at the start for this user. It takes as long for other users.
pub(super) fn is_password_of_start(key: &DigestKey, user: Option<&User>, credentials: &Credentials) -> bool {
    let digest = key.of_password(credentials);
    match user {
        Some(User::OfStart(expected)) => expected.is(digest.halves),
        Some(User::OfFile(_)) | None => false,
    }
}

/// All users, by the digests of their names.
#[derive(Debug, Default)]
pub(super) struct Users {
    users: HashMap<Digest, User>,
    /// The highest cost of their hashes; `None` if there are none.
    cost_max: Option<u32>,
}

impl Users {
    pub(super) fn find(&self, key: &DigestKey, name: &[u8]) -> Option<&User> {
        self.users.get(&key.of_name(name))
    }

    /// The check of a password against a hash of the file; `None` if there are no hashes.
    pub(super) fn work_of_wrong(&self, user: Option<&User>) -> Option<PasswordCheck> {
        let hashed = match user {
            Some(User::OfFile(hashed)) => Some(*hashed),
            Some(User::OfStart(_)) | None => None,
        };
        self.cost_max.map(|cost_max| PasswordCheck { hashed, cost_max })
    }

    fn add(&mut self, key: &DigestKey, name: &str, user: User) -> Result<(), String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("the name of a user has from 1 to {NAME_BYTES_MAX} bytes: {name:?}"));
        }
        if name.contains(|c: char| c.is_control() || c == ':') {
            return Err(format!("the name of a user has no colon and no control characters: {name:?}"));
        }
        let cost = match &user {
            User::OfFile(hashed) => Some(hashed.cost()),
            User::OfStart(_) => None,
        };
        match self.users.entry(key.of_name(name.as_bytes())) {
            Entry::Occupied(_) => Err(format!("the user {name:?} is there twice")),
            Entry::Vacant(place) => {
                place.insert(user);
                self.cost_max = self.cost_max.max(cost);
                Ok(())
            }
        }
    }

    /// The users that were given at the start, and those of `file`.
    fn of(key: &DigestKey, of_start: &[(String, Digest)], file: &str) -> Result<Users, String> {
        let mut users = Users::default();
        for (name, digest) in of_start {
            users.add(key, name, User::OfStart(*digest))?;
        }
        for (at, line) in file.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            users.add_line(key, line).map_err(|error| format!("line {}: {error}", at + 1))?;
        }
        Ok(users)
    }

    /// Adds the user of a line `name:hash`; text after another colon is ignored.
    fn add_line(&mut self, key: &DigestKey, line: &str) -> Result<(), String> {
        let mut parts = line.split(':');
        let (Some(name), Some(hash)) = (parts.next(), parts.next()) else {
            return Err("write each user as NAME:HASH, as htpasswd -B does".to_owned());
        };
        let advice =
            |error| format!("the password of {name:?} {error}; hash it again: htpasswd -B FILE {name}");
        self.add(key, name, User::OfFile(Hashed::parse(hash).map_err(advice)?))
    }
}

/// The users, and a file of users that is read again when it has changed.
#[derive(Debug)]
pub(super) struct UserFile {
    of_start: Vec<(String, Digest)>,
    path: Option<PathBuf>,
    /// When it was last checked, in ms of [`Now::monotonic_ms`].
    looked_at_ms: AtomicU64,
    state: Mutex<FileState>,
}

#[derive(Debug)]
struct FileState {
    users: Arc<Users>,
    /// The state of the file when it was last read; `None` for a file that can be read only once.
    seen: Option<Stamp>,
    /// What was wrong with it, as logged last.
    fault: Option<String>,
}

/// Identity, size and times of a file: another stamp means another content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl UserFile {
    /// Reads the file. The error is for the operator.
    pub(super) fn open(
        of_start: &[(String, String)],
        path: Option<PathBuf>,
        key: &DigestKey,
    ) -> Result<UserFile, String> {
        let digest = |(name, password): &(String, String)| {
            if password.is_empty() || password.contains(char::is_control) {
                return Err(format!("the password of {name:?} is empty or has control characters"));
            }
            let (user, password) = (name.clone().into_bytes(), password.clone().into_bytes());
            Ok((name.clone(), key.of_password(&Credentials { user, password })))
        };
        let of_start = of_start.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
        let (text, seen) = match &path {
            Some(path) => read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?,
            None => (String::new(), None),
        };
        let of_path = |error| match &path {
            Some(path) => format!("{}: {error}", path.display()),
            None => error,
        };
        let users = Users::of(key, &of_start, &text).map_err(of_path)?;
        if users.users.is_empty() {
            return Err(of_path("it has no users, so no client could log in".to_owned()));
        }
        let state = FileState { users: Arc::new(users), seen, fault: None };
        Ok(UserFile { of_start, path, looked_at_ms: AtomicU64::new(0), state: Mutex::new(state) })
    }

    /// The current users. If the file can no longer be used, that is logged, and the previous users remain.
    pub(super) fn current(&self, key: &DigestKey, now: Now) -> Arc<Users> {
        if let Some(path) = &self.path
            && self.is_due(now)
        {
            self.look(path, key, now.wall);
        }
        Arc::clone(&self.state().users)
    }

    /// Whether it is time to check the file; true for one of several threads.
    fn is_due(&self, now: Now) -> bool {
        let (now_ms, at_ms) = (now.monotonic_ms, self.looked_at_ms.load(Ordering::Relaxed));
        // The time of a process that was forked later may be less.
        let is_due = now_ms < at_ms || now_ms - at_ms >= LOOKED_AT_MS;
        let taken =
            || self.looked_at_ms.compare_exchange(at_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        is_due && taken().is_ok()
    }

    fn look(&self, path: &Path, key: &DigestKey, wall: SystemTime) {
        let Some(seen) = self.state().seen else { return };
        let read = match std::fs::metadata(path) {
            Ok(found) if Stamp::of(&found) == seen => {
                self.state().fault = None; // the file was missing for a moment
                return;
            }
            Ok(found) => {
                // `None` for a time in the future: such a file counts as settled.
                let age = found.modified().ok().and_then(|modified| wall.duration_since(modified).ok());
                if age.is_some_and(|age| age < SETTLED) {
                    return; // checked again in a moment
                }
                read(path)
            }
            Err(error) => Err(error),
        };
        let (users, seen) = match read {
            Ok((text, seen)) => (Users::of(key, &self.of_start, &text), seen),
            Err(error) => (Err(error.to_string()), Some(seen)),
        };
        let mut state = self.state();
        state.seen = seen;
        match users {
            Ok(users) => {
                let (number, path) = (users.users.len(), path.display());
                log::info!("{path}: read again, {number} {}", if number == 1 { "user" } else { "users" });
                (state.users, state.fault) = (Arc::new(users), None);
            }
            Err(error) if state.fault.as_ref() != Some(&error) => {
                log::error!("{}: {error}; the users stay as they were", path.display());
                state.fault = Some(error);
            }
            Err(_) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of a file, and its stamp; `None` for a pipe, which is read once.
fn read(path: &Path) -> io::Result<(String, Option<Stamp>)> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    Ok((text, found.is_file().then(|| Stamp::of(&found))))
}

impl Stamp {
    fn of(found: &Metadata) -> Stamp {
        Stamp {
            file: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}
