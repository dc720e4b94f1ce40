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
pub(crate) struct Identity {
    user: Uid,
    /// The name of the user's entry, if there is one: for its supplementary groups.
    name: Option<CString>,
    group: Gid,
}

/// Why the user or group could not be changed: one line with the remedy.
#[derive(Debug)]
pub(crate) enum IdentityError {
    /// There is no user with this name.
    NoUser(String),
    /// There is no group with this name.
    NoGroup(String),
    /// The number -1 as a user or a group: for setresuid(2) and setresgid(2) it means "no change".
    NoChange(&'static str),
    /// The user number has no entry, so no group is known for it.
    GroupNeeded(String),
    /// A group without a user: nothing would be given up, for root keeps every privilege in any group.
    UserNeeded,
    /// Only root can become another user.
    NotRoot,
    /// It is root: nothing would be given up.
    Root,
    /// The process has supplementary groups to which the user does not belong, and may not drop them.
    GroupsStay,
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
                    "unknown user \"{}\"; use a name or number of /etc/passwd",
                    name.escape_debug()
                )
            }
            IdentityError::NoGroup(name) => {
                write!(
                    f,
                    "unknown group \"{}\"; use a name or number of /etc/group",
                    name.escape_debug()
                )
            }
            IdentityError::NoChange(what) => {
                write!(f, "{UNCHANGED} is not a valid {what}: the system reads it as \"no change\"; use another number")
            }
            IdentityError::GroupNeeded(uid) => {
                write!(f, "user {uid} has no entry in /etc/passwd; name its group with --group")
            }
            IdentityError::UserNeeded => f.write_str(
                "--group alone does not give up privileges: root keeps them in any group; name a user with --user",
            ),
            IdentityError::NotRoot => f.write_str(
                "only root can change user or group; start as root, or leave out --user and --group",
            ),
            IdentityError::Root => f.write_str("--user cannot be root; name another user"),
            IdentityError::GroupsStay => f.write_str(
                "cannot give up privileges: this process has groups that the user does not have, and only root can drop them; \
                 start it without them, or leave --user out",
            ),
            IdentityError::Refused(call, error) => write!(f, "cannot give up privileges: {call}: {error}"),
            IdentityError::NotForGood => {
                f.write_str("cannot give up privileges: the process could regain them; the server does not start")
            }
        }
    }
}

impl std::error::Error for IdentityError {}

impl Identity {
    /// Finds a user and a group by name or number. The default group is the user's primary group; a group
    /// needs a user. The user may already be the user of this process, which may still have groups and
    /// capabilities to give up.
    ///
    /// Called before any listener is bound, so that a mistake is reported at once. `None` if neither is
    /// requested.
    pub(crate) fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, IdentityError> {
        let (user, name, own) = match (user, group) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(IdentityError::UserNeeded),
            (Some(user), _) => find_user(user)?,
        };
        if user.as_raw() == UNCHANGED {
            return Err(IdentityError::NoChange("user"));
        }
        let Some(group) = group.map(find_group).transpose()?.or(own) else {
            return Err(IdentityError::GroupNeeded(user.to_string()));
        };
        if group.as_raw() == UNCHANGED {
            return Err(IdentityError::NoChange("group"));
        }
        if user.is_root() {
            return Err(IdentityError::Root);
        }
        if !Uid::effective().is_root() {
            let same = user == Uid::effective() && group == Gid::effective();
            if !same {
                return Err(IdentityError::NotRoot);
            }
        }
        Ok(Some(Identity { user, name, group }))
    }

    /// The ids of the user and the group.
    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.user.as_raw(), self.group.as_raw())
    }

    /// Becomes that user and group, in the order that works (groups, group, user), and proves that there is
    /// no way back. On Linux it also drops every capability, if allowed from the bounding set too, and keeps
    /// executed programs from gaining privileges (prctl(2), `PR_SET_NO_NEW_PRIVS`). For a process with one
    /// thread.
    pub(crate) fn assume(&self) -> Result<(), IdentityError> {
        let refused = |call| move |error: io::Error| IdentityError::Refused(call, error);
        match set_groups(self.name.as_deref(), self.group) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if !self.has_no_other_groups() {
                    return Err(IdentityError::GroupsStay);
                }
            }
            done => done.map_err(refused("supplementary groups"))?,
        }
        set_group(self.group).map_err(refused("setting the group"))?;
        #[cfg(target_os = "linux")]
        capabilities::drop_bounds();
        set_user(self.user).map_err(refused("setting the user"))?;
        #[cfg(target_os = "linux")]
        {
            // A process that was not root would keep its capabilities, and one started as root would keep
            // some.
            capabilities::drop_all().map_err(refused("capset"))?;
            nix::sys::prctl::set_no_new_privs().map_err(|e| refused("no_new_privs")(e.into()))?;
        }
        let changed = Uid::current() == self.user
            && Uid::effective() == self.user
            && Gid::current() == self.group
            && Gid::effective() == self.group;
        let back = nix::unistd::setuid(Uid::from_raw(0)).is_ok()
            || nix::unistd::seteuid(Uid::from_raw(0)).is_ok()
            || (self.group.as_raw() != 0 && nix::unistd::setegid(Gid::from_raw(0)).is_ok());
        if changed && !back { Ok(()) } else { Err(IdentityError::NotForGood) }
    }

    /// Whether the user has every supplementary group of this process.
    #[cfg(target_os = "linux")]
    fn has_no_other_groups(&self) -> bool {
        let own = match &self.name {
            Some(name) => nix::unistd::getgrouplist(name, self.group),
            None => Ok(vec![self.group]),
        };
        match (own, nix::unistd::getgroups()) {
            (Ok(own), Ok(groups)) => groups.iter().all(|group| own.contains(group)),
            _ => false,
        }
    }

    /// This system looks the groups of a process up in its directory of users.
    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_self)] // It is used on Linux.
    fn has_no_other_groups(&self) -> bool {
        true
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}, group {}", self.user, self.group)
    }
}

type PasswdEntry = (Uid, Option<CString>, Option<Gid>);

fn find_user(user: &str) -> Result<PasswdEntry, IdentityError> {
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

/// The real, effective and saved group.
fn set_group(group: Gid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::unistd::setresgid(group, group, group)?;
    #[cfg(not(target_os = "linux"))]
    nix::unistd::setgid(group)?; // all three, with root's privileges
    Ok(())
}

/// The real, effective and saved user.
fn set_user(user: Uid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::unistd::setresuid(user, user, user)?;
    #[cfg(not(target_os = "linux"))]
    nix::unistd::setuid(user)?; // all three, with root's privileges
    Ok(())
}

/// Capabilities (capabilities(7)).
#[cfg(target_os = "linux")]
mod capabilities {
    use std::io;

    /// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two parts.
    const VERSION: u32 = 0x2008_0522;
    /// More than the 64 that the version can name do not exist.
    const CAPABILITIES_MAX: libc::c_ulong = 64;

    /// `struct __user_cap_header_struct`
    #[repr(C)]
    struct CapabilityHeader {
        version: u32,
        pid: libc::c_int,
    }

    /// `struct __user_cap_data_struct`
    #[repr(C)]
    struct Part {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    /// Clears the permitted, effective and inheritable set of this thread, and with them the ambient set.
    pub(super) fn drop_all() -> io::Result<()> {
        let header = CapabilityHeader { version: VERSION, pid: 0 };
        let none = || Part { effective: 0, permitted: 0, inheritable: 0 };
        let parts = [none(), none()];
        // SAFETY: both are read in the form of the version given, which has two parts, and outlive the call.
        match unsafe { libc::syscall(libc::SYS_capset, &raw const header, parts.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Removes every capability from the bounding set, so that executing a program cannot regain it. Without
    /// `CAP_SETPCAP` this is not allowed, and not needed: `no_new_privs` has the same effect.
    pub(super) fn drop_bounds() {
        for capability in 0..CAPABILITIES_MAX {
            // SAFETY: the call takes a number, and fails for an invalid one.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
                break;
            }
        }
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
        // SAFETY: the call reads one group from the pointer.
        unsafe { libc::setgroups(1, &raw const group) }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
