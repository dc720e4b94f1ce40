//! Giving up privileges for good, after ports were bound.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt;
use std::io;

use nix::unistd::{Gid, Group, Uid, User};

/// `(uid_t) -1`, and the same of a group.
const UNCHANGED: u32 = u32::MAX;

/// A user and a group to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Uid,
    /// Of the user's entry, if it has one: for its supplementary groups.
    name: Option<CString>,
    group: Gid,
}

/// Why another user or group could not be taken: one line that says what to do.
#[derive(Debug)]
pub enum IdentityError {
    /// There is no user of that name.
    NoUser(String),
    /// There is no group of that name.
    NoGroup(String),
    /// The number that tells setresuid(2) and its like to change nothing, as that of a user or a group.
    Nobodys(&'static str),
    /// The user number has no entry, so no group is known for it.
    GroupNeeded(String),
    /// A group without a user: nothing would be given up, for root keeps every privilege in any group.
    UserNeeded,
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
            IdentityError::Nobodys(what) => {
                write!(f, "{UNCHANGED} cannot be a {what}: to the system it means \"no change\"; take another number")
            }
            IdentityError::GroupNeeded(uid) => {
                write!(f, "user {uid} has no entry in /etc/passwd; say its group too, with --group")
            }
            IdentityError::UserNeeded => f.write_str(
                "--group alone gives no privileges up, root keeps them in any group; say the user to become too, with --user",
            ),
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
    /// Finds a user and a group by name or number. Without a group it is the user's own; a group needs a user.
    ///
    /// Done before anything is bound, so that a mistake is told at once. `None` if neither is asked for.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, IdentityError> {
        let (user, name, own) = match (user, group) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(IdentityError::UserNeeded),
            (Some(user), _) => find_user(user)?,
        };
        if user.as_raw() == UNCHANGED {
            return Err(IdentityError::Nobodys("user"));
        }
        let Some(group) = group.map(find_group).transpose()?.or(own) else {
            return Err(IdentityError::GroupNeeded(user.to_string()));
        };
        if group.as_raw() == UNCHANGED {
            return Err(IdentityError::Nobodys("group"));
        }
        if user.is_root() {
            return Err(IdentityError::Root);
        }
        if !Uid::effective().is_root() {
            let same = user == Uid::effective() && group == Gid::effective();
            return if same { Ok(None) } else { Err(IdentityError::NotRoot) };
        }
        Ok(Some(Identity { user, name, group }))
    }

    /// Becomes that user and group, in the order that works (groups, group, user), and proves that there is no way
    /// back. For a process with one thread.
    pub fn assume(&self) -> Result<(), IdentityError> {
        let refused = |call| move |error: io::Error| IdentityError::Refused(call, error);
        set_groups(self.name.as_deref(), self.group).map_err(refused("supplementary groups"))?;
        // With root's privileges setgid(2) and setuid(2) set the real, effective and saved id.
        nix::unistd::setgid(self.group).map_err(|e| refused("setgid")(e.into()))?;
        nix::unistd::setuid(self.user).map_err(|e| refused("setuid")(e.into()))?;
        let changed = Uid::current() == self.user
            && Uid::effective() == self.user
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
        write!(f, "user {}, group {}", self.user, self.group)
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
