//! Sites with users and passwords: HTTP Basic (RFC 7617).
//!
//! ```text
//! request ─ credentials ─ users (file or start) ─ remembered? ────────────────────────────── in
//!                                                  └ attempts (per address) ─ check ─ remember ─ in
//!                                                     └ 429                    └ 401
//! ```
//!
//! A password is compared with a bcrypt hash beside the loop, which takes tens of milliseconds. A right
//! password is remembered as a keyed digest, for the address that it came from, so that further requests cost
//! a microsecond. These digests, and the attempts of each address, are in memory that the processes of a
//! server share. A wrong password takes the same time whether or not its user exists.

mod attempts;
mod credentials;
mod digest;
mod gate;
mod hashed;
mod remembered;
mod users;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::codec::status::Status;
use super::config::ConfigError;
use super::deferred::Notes;
use super::handler::Request;
use super::response::Response;
use crate::session::{Lane, Now};
use attempts::{Allowance, Attempts};
use credentials::Credentials;
use digest::{Digest, DigestKey};
use gate::Gate;
use remembered::RememberedDigests;
use users::{User, UserFile, is_password_of_start};

/// How often failures are logged, in ms: many failures must not fill the disk.
const LOG_EVERY_MS: u64 = 1_000;
/// A user's name in the log is cut to this many characters.
const LOGGED_NAME_CHARS_MAX: usize = 64;

/// The users that may access a site, by HTTP Basic (RFC 7617).
///
/// Passwords cross the network in the clear, so use this in a trusted network, or behind a proxy that speaks
/// TLS.
///
/// ```
/// use oneloop::services::http::{AuthConfig, FilesConfig};
///
/// let mut config = FilesConfig::new("public");
/// config.auth = Some(AuthConfig::new().with_user("alice", "wonderland"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AuthConfig {
    users: Vec<(String, String)>,
    /// A file of users as `htpasswd -B` writes it: a line for each, with a bcrypt hash. It is looked at
    /// again, at most once a second; a change holds about two seconds later.
    pub file: Option<PathBuf>,
    /// What the site is called where a browser asks for the password.
    pub realm: String,
    /// Failed passwords per minute from one address (IPv6: from one /64); `0` means no limit. Beyond the
    /// limit that address gets 429, except for passwords that were accepted from it before; at three times
    /// the limit, all of its requests get 429.
    pub failures_per_minute_max: u32,
}

impl AuthConfig {
    /// The default limit of failures: a person mistypes a few times, a program that guesses needs millions of
    /// attempts.
    pub(crate) const FAILURES_PER_MINUTE: u32 = 10;

    /// No users yet, ten failures per minute.
    pub fn new() -> AuthConfig {
        AuthConfig {
            users: Vec::new(),
            file: None,
            realm: "files".to_owned(),
            failures_per_minute_max: AuthConfig::FAILURES_PER_MINUTE,
        }
    }

    /// Adds a user. The password is kept as a digest only.
    #[must_use]
    pub fn with_user(mut self, name: &str, password: &str) -> AuthConfig {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }
}

impl Default for AuthConfig {
    fn default() -> AuthConfig {
        AuthConfig::new()
    }
}

/// Without passwords.
impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.users.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("AuthConfig")
            .field("users", &names)
            .field("file", &self.file)
            .field("realm", &self.realm)
            .field("failures_per_minute_max", &self.failures_per_minute_max)
            .finish()
    }
}

/// Decides whether a request is let in.
#[derive(Debug)]
pub(crate) struct Auth {
    key: DigestKey,
    /// The value of `WWW-Authenticate`.
    challenge: String,
    users: UserFile,
    remembered: Arc<RememberedDigests>,
    gate: Arc<Gate>,
    /// `None` where failures are not limited.
    attempts: Option<Arc<Attempts>>,
    failures: FailureLog,
}

/// The result of the check of a password.
struct PasswordOutcome {
    /// The digest of user, hash, password and address.
    digest: Digest,
    /// `None` if too many are checked already.
    is_right: Option<bool>,
    charge: Option<Charge>,
}

/// A failure that was counted in advance. Dropping this removes it, unless the check has failed.
struct Charge {
    attempts: Arc<Attempts>,
    network: u64,
    wall: SystemTime,
    is_spent: bool,
}

impl Drop for Charge {
    fn drop(&mut self) {
        if !self.is_spent {
            self.attempts.refund(self.network, self.wall);
        }
    }
}

/// It was a failure.
fn spent(mut charge: Option<Charge>) -> Option<Charge> {
    if let Some(charge) = &mut charge {
        charge.is_spent = true;
    }
    charge
}

/// The log of failures: one line per period, with the number of failures that were not logged.
#[derive(Debug, Default)]
struct FailureLog {
    next_ms: AtomicU64,
    unlogged: AtomicU64,
}

impl Auth {
    pub(crate) fn new(config: AuthConfig) -> Result<Auth, ConfigError> {
        let unable =
            |error: io::Error| ConfigError::Auth(format!("cannot prepare to check passwords: {error}"));
        let AuthConfig { users, file, realm, failures_per_minute_max } = config;
        if realm.bytes().any(|byte| matches!(byte, b'"' | b'\\') || !matches!(byte, b' '..=b'~')) {
            return Err(ConfigError::Auth(format!("{realm:?} is not the name of a realm: use plain ASCII")));
        }
        let key = DigestKey::random().map_err(unable)?;
        let users = UserFile::open(&users, file, &key).map_err(ConfigError::Auth)?;
        let attempts = (failures_per_minute_max > 0).then(|| Attempts::new(failures_per_minute_max));
        Ok(Auth {
            challenge: format!("Basic realm=\"{realm}\", charset=\"UTF-8\""),
            users,
            gate: Arc::new(Gate::new().map_err(unable)?),
            remembered: Arc::new(RememberedDigests::new().map_err(unable)?),
            attempts: attempts.transpose().map_err(unable)?.map(Arc::new),
            failures: FailureLog::default(),
            key,
        })
    }

    /// Admits a request. The error is the response: 401, 429, or a deferred one that checks the password,
    /// after which this is called again.
    pub(crate) fn admit(&self, request: &Request<'_>) -> Result<(), Response> {
        let credentials = match Credentials::of(request) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Err(self.challenge()),
            Err(status) => return Err(Response::error(status)),
        };
        let users = self.users.current(&self.key, request.now());
        let user = users.find(&self.key, &credentials.user);
        let network = request.peer().and_then(|peer| peer.network());
        let digest = self.key.of_attempt(network, &credentials, user.map(User::identity).as_ref());
        let attempt = Attempt { request, credentials: &credentials, network, digest };
        // If the user was removed or the password changed meanwhile, the digest differs.
        if let Some(checked) = request.notes.and_then(Notes::take_result::<PasswordOutcome>)
            && checked.digest == digest
        {
            return match checked.is_right {
                Some(is_right) => self.decide(&attempt, user.is_some() && is_right, checked.charge),
                None => Err(Response::error(Status::Unavailable)),
            };
        }
        let is_remembered = user.is_some() && self.remembered.contains(digest);
        let charge = self.allow(&attempt, is_remembered)?;
        if is_remembered {
            attempt.let_in();
            return Ok(());
        }
        let is_right = is_password_of_start(&self.key, user, &credentials);
        let Some(work) = users.work_of_wrong(user).filter(|_| !is_right) else {
            return self.decide(&attempt, is_right, charge);
        };
        let password = credentials.password.clone();
        if request.notes.is_none() {
            // A handler between the session and this one does not ask for the client, so the check runs here
            // and the loop waits.
            return self.decide(&attempt, work.is_match(&password), charge);
        }
        let (remembered, gate) = (Arc::clone(&self.remembered), Arc::clone(&self.gate));
        let is_alone = request.client.is_some_and(|client| client.offload.is_inline());
        let now = request.now().wall;
        Err(Response::deferred(Lane::Compute, move || {
            // The same password may have been checked for another connection while this one waited.
            let check = || remembered.contains(digest) || work.is_match(&password);
            let is_right = if is_alone { gate.pass_alone(now, check) } else { gate.pass(check) };
            let charge = if is_right == Some(false) { spent(charge) } else { charge };
            PasswordOutcome { digest, is_right, charge }
        }))
    }

    /// Whether the address may try. An attempt counts as a failure until it has succeeded, so that concurrent
    /// attempts cannot exceed the limit.
    fn allow(&self, attempt: &Attempt<'_>, is_remembered: bool) -> Result<Option<Charge>, Response> {
        let (Some(attempts), Some(network)) = (&self.attempts, attempt.network) else { return Ok(None) };
        let (network, now) = (self.key.of_network(network), attempt.request.now());
        if is_remembered && attempts.look(network, now.wall) != Allowance::Nothing {
            return Ok(None);
        }
        match attempts.charge(network, now.wall) {
            Ok(()) => {
                let attempts = Arc::clone(attempts);
                Ok(Some(Charge { attempts, network, wall: now.wall, is_spent: false }))
            }
            Err(retry_s) => {
                self.failures.log(attempt, now, "too many failed passwords; the last was");
                let response = Response::error(Status::TooManyRequests);
                Err(response.with_field("Retry-After", retry_s.to_string()))
            }
        }
    }

    /// Admits a request with the right password.
    fn decide(&self, attempt: &Attempt<'_>, is_right: bool, charge: Option<Charge>) -> Result<(), Response> {
        if !is_right {
            drop(spent(charge));
            self.failures.log(attempt, attempt.request.now(), "wrong password");
            return Err(self.challenge());
        }
        self.remembered.add(attempt.digest);
        attempt.let_in();
        Ok(())
    }

    fn challenge(&self) -> Response {
        Response::error(Status::Unauthorized).with_field("WWW-Authenticate", &self.challenge)
    }
}

/// A request with a password.
struct Attempt<'a> {
    request: &'a Request<'a>,
    credentials: &'a Credentials,
    /// Where failures are counted.
    network: Option<[u8; 9]>,
    digest: Digest,
}

impl Attempt<'_> {
    fn let_in(&self) {
        if let Some(notes) = self.request.notes {
            notes.set_user(&String::from_utf8_lossy(&self.credentials.user));
        }
    }
}

impl FailureLog {
    fn log(&self, attempt: &Attempt<'_>, now: Now, what: &str) {
        let due_ms = self.next_ms.load(Ordering::Relaxed);
        // The time of a process that was forked later may be less.
        let is_due = due_ms <= now.monotonic_ms || due_ms > now.monotonic_ms + LOG_EVERY_MS;
        let next_ms = now.monotonic_ms + LOG_EVERY_MS;
        if !is_due
            || self.next_ms.compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let name = String::from_utf8_lossy(&attempt.credentials.user);
        let name: String = name.chars().take(LOGGED_NAME_CHARS_MAX).collect();
        let peer = attempt.request.peer().map_or_else(|| "a client".to_owned(), |peer| peer.to_string());
        let more = match self.unlogged.swap(0, Ordering::Relaxed) {
            0 => String::new(),
            more => format!("; {more} more failed since the last line"),
        };
        log::warn!("http: {peer}: {what} for user \"{}\"{more}", name.escape_debug());
    }
}
