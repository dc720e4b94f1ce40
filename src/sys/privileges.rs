//! Giving up privileges for good, after ports were bound.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt;
use std::io;

use nix::unistd::{Gid, Group, Uid, User};

/// A user and a group to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `None`: only the group changes.
    user: Option<(Uid, Option<CString>)>,
    group: Gid,
}

/// Why another user or group could not be taken: one line that says what to do.
#[derive(Debug)]
pub enum IdentityError {
    /// There is no user of that name.
    NoUser(String),
    /// There is no group of that name.
    NoGroup(String),
    /// The user number has no entry, so no group is known for it.
    GroupNeeded(String),
    /// Only root can become another user.
    NotRoot,
    /// It is root: nothing would be given up.
    Root,
    /// The system refused.
    Refused(&'static str, io::Error),
    /// Privileges could be taken back afterwards.
    NotForGood,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::NoUser(name) => {
                write!(
                    f,
                    "there is no user \"{}\"; take a name or number of /etc/passwd",
                    name.escape_debug()
                )
            }
            IdentityError::NoGroup(name) => {
                write!(
                    f,
                    "there is no group \"{}\"; take a name or number of /etc/group",
                    name.escape_debug()
                )
            }
            IdentityError::GroupNeeded(uid) => {
                write!(f, "user {uid} has no entry in /etc/passwd; say its group too, with --group")
            }
            IdentityError::NotRoot => f.write_str(
                "only root can change user or group; start as root, or leave --user and --group out",
            ),
            IdentityError::Root => f.write_str("root cannot be the user to change to; take another"),
            IdentityError::Refused(call, error) => write!(f, "cannot give up privileges: {call}: {error}"),
            IdentityError::NotForGood => {
                f.write_str("cannot give up privileges: they could be taken back; refusing to run so")
            }
        }
    }
}

impl std::error::Error for IdentityError {}

impl Identity {
    /// Finds a user and a group by name or number. Without a group it is the user's own.
    ///
    /// Done before anything is bound, so that a mistake is told at once. `None` if neither is asked for.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, IdentityError> {
        let entry = user.map(find_user).transpose()?;
        let named = group.map(find_group).transpose()?;
        let group = match (named, &entry) {
            (None, None) => return Ok(None),
            (Some(group), _) => group,
            (None, Some((_, _, Some(group)))) => *group,
            (None, Some((uid, _, None))) => return Err(IdentityError::GroupNeeded(uid.to_string())),
        };
        let user = entry.map(|(uid, name, _)| (uid, name));
        if user.as_ref().is_some_and(|(uid, _)| uid.is_root()) {
            return Err(IdentityError::Root);
        }
        if !Uid::effective().is_root() {
            let same =
                user.as_ref().is_none_or(|(uid, _)| *uid == Uid::effective()) && group == Gid::effective();
            return if same { Ok(None) } else { Err(IdentityError::NotRoot) };
        }
        Ok(Some(Identity { user, group }))
    }

    /// Becomes that user and group, in the order that works (groups, group, user), and proves that there is no way
    /// back. For a process with one thread.
    pub fn assume(&self) -> Result<(), IdentityError> {
        let refused = |call| move |error: io::Error| IdentityError::Refused(call, error);
        let name = self.user.as_ref().and_then(|(_, name)| name.as_deref());
        set_groups(name, self.group).map_err(refused("supplementary groups"))?;
        // With root's privileges setgid(2) and setuid(2) set the real, effective and saved id.
        nix::unistd::setgid(self.group).map_err(|e| refused("setgid")(e.into()))?;
        let Some((uid, _)) = &self.user else { return Ok(()) };
        nix::unistd::setuid(*uid).map_err(|e| refused("setuid")(e.into()))?;
        let changed = Uid::current() == *uid
            && Uid::effective() == *uid
            && Gid::current() == self.group
            && Gid::effective() == self.group;
        let back = nix::unistd::setuid(Uid::from_raw(0)).is_ok()
            || nix::unistd::seteuid(Uid::from_raw(0)).is_ok()
            || (self.group.as_raw() != 0 && nix::unistd::setegid(Gid::from_raw(0)).is_ok());
        if changed && !back { Ok(()) } else { Err(IdentityError::NotForGood) }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((uid, _)) = &self.user {
            write!(f, "user {uid}, ")?;
        }
        write!(f, "group {}", self.group)
    }
}

type Entry = (Uid, Option<CString>, Option<Gid>);

fn find_user(user: &str) -> Result<Entry, IdentityError> {
    let lookup = |error: nix::Error| IdentityError::Refused("looking up the user", error.into());
    let known = |user: User| (user.uid, CString::new(user.name).ok(), Some(user.gid));
    if let Some(found) = User::from_name(user).map_err(lookup)? {
        return Ok(known(found));
    }
    let uid = Uid::from_raw(user.parse().map_err(|_| IdentityError::NoUser(user.to_owned()))?);
    Ok(User::from_uid(uid).map_err(lookup)?.map_or((uid, None, None), known))
}

fn find_group(group: &str) -> Result<Gid, IdentityError> {
    let lookup = |error: nix::Error| IdentityError::Refused("looking up the group", error.into());
    match Group::from_name(group).map_err(lookup)? {
        Some(found) => Ok(found.gid),
        None => group.parse().map(Gid::from_raw).map_err(|_| IdentityError::NoGroup(group.to_owned())),
    }
}

/// The groups that the user is a member of, or for a user without a name only `group`.
fn set_groups(name: Option<&std::ffi::CStr>, group: Gid) -> io::Result<()> {
    let group = group.as_raw();
    let result = if let Some(name) = name {
        // The type of a group id is `int` here on macOS.
        #[cfg(target_os = "macos")]
        let group = group.cast_signed();
        // SAFETY: the name is a C string.
        unsafe { libc::initgroups(name.as_ptr(), group) }
    } else {
        // SAFETY: one group is read from where the pointer points.
        unsafe { libc::setgroups(1, &raw const group) }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
