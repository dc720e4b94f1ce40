//! The threads of a process that serve clients, managed by its first thread: started, counted, and
//! interrupted when their calls have blocked long enough.
//!
//! A thread costs only its stack: there are no system calls and mappings for a message about a stack
//! overflow, as in `std::thread` (here an overflow ends the process by SIGSEGV without a message), and
//! nothing is kept of a thread that has ended.
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::signals::{HeldSignals, INTERRUPT};

/// How often a thread is interrupted from its time on, until it has set another, in ms: it may have been
/// about to block.
const INTERRUPT_EVERY_MS: u64 = 20;

/// The threads that serve clients. Each leaves a `P` when it ends.
#[derive(Debug)]
pub(crate) struct Crew<P> {
    /// Threads that were started and have not left.
    running: AtomicUsize,
    /// When the first thread checks for threads to interrupt; `u64::MAX` for never.
    next_look_ms: AtomicU64,
    members: Mutex<Members<P>>,
    /// Wakes the first thread.
    bell: UnixStream,
    far_end: UnixStream,
}

#[derive(Debug)]
struct Members<P> {
    /// By place; `None` in free places.
    running: Vec<Option<Member>>,
    free: Vec<usize>,
    /// What threads have left that have ended since the last look.
    left: Vec<P>,
    /// Whether the first thread is to be woken by the next that ends.
    rings_at_end: bool,
}

#[derive(Debug)]
struct Member {
    thread: libc::pthread_t,
    due_ms: Arc<AtomicU64>,
}

/// A thread of a crew, as the thread itself uses it.
#[derive(Debug)]
pub(crate) struct CrewMember<P> {
    crew: Arc<Crew<P>>,
    at: usize,
    due_ms: Arc<AtomicU64>,
    /// `None` after it was left.
    parting: Option<P>,
}

/// What a new thread is given.
struct ThreadStart<P, J> {
    crew: Arc<Crew<P>>,
    parting: P,
    job: J,
    work: fn(J, &CrewMember<P>),
}

impl<P: Send + 'static> Crew<P> {
    /// Without a thread.
    pub(crate) fn new() -> io::Result<Self> {
        let (bell, far_end) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        far_end.set_nonblocking(true)?;
        let members =
            Members { running: Vec::new(), free: Vec::new(), left: Vec::new(), rings_at_end: false };
        Ok(Crew {
            running: AtomicUsize::new(0),
            next_look_ms: AtomicU64::new(u64::MAX),
            members: Mutex::new(members),
            bell,
            far_end,
        })
    }

    fn members(&self) -> MutexGuard<'_, Members<P>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread with a stack of this many bytes, in which the handled signals are blocked. When `work`
    /// has done `job`, or panicked, the thread leaves `parting`. If no thread can be started, `job` is given
    /// back.
    pub(crate) fn start<J: Send + 'static>(
        self: &Arc<Self>,
        signals: &HeldSignals,
        stack_bytes: usize,
        parting: P,
        job: J,
        work: fn(J, &CrewMember<P>),
    ) -> Result<(), (io::Error, J)> {
        let _blocked = match signals.block() {
            Ok(blocked) => blocked,
            Err(error) => return Err((error, job)),
        };
        let start = Box::into_raw(Box::new(ThreadStart { crew: Arc::clone(self), parting, job, work }));
        self.running.fetch_add(1, SeqCst);
        // SAFETY: `begin` takes a box of this very type, which is given to it alone if the call succeeds.
        match unsafe { create(stack_bytes, begin::<P, J>, start.cast()) } {
            Ok(()) => Ok(()),
            Err(error) => {
                self.running.fetch_sub(1, SeqCst);
                // SAFETY: there is no thread, so it still belongs to this one.
                let start = unsafe { Box::from_raw(start) };
                Err((error, start.job))
            }
        }
    }

    /// How many threads were started and have not left.
    pub(crate) fn running(&self) -> usize {
        self.running.load(SeqCst)
    }

    /// When [`Crew::interrupt_due`] is to be called, in the time of [`CrewMember::interrupt_at`].
    pub(crate) fn due_ms(&self) -> Option<u64> {
        Some(self.next_look_ms.load(SeqCst)).filter(|&due_ms| due_ms != u64::MAX)
    }

    /// Interrupts the threads whose time has come, if it is time to check: their blocked call fails with
    /// EINTR.
    pub(crate) fn interrupt_due(&self, now_ms: u64) {
        if now_ms < self.next_look_ms.load(SeqCst) {
            return;
        }
        // Before the look: a thread that sets its time meanwhile lowers this again.
        self.next_look_ms.store(u64::MAX, SeqCst);
        let mut next_ms = u64::MAX;
        for member in self.members().running.iter().flatten() {
            let due_ms = member.due_ms.load(SeqCst);
            if due_ms <= now_ms {
                member.interrupt();
                next_ms = next_ms.min(now_ms + INTERRUPT_EVERY_MS);
            } else {
                next_ms = next_ms.min(due_ms);
            }
        }
        self.next_look_ms.fetch_min(next_ms, SeqCst);
    }

    /// Interrupts all threads. A thread that is just about to block misses the interruption, so repeat this
    /// until each thread has reacted.
    pub(crate) fn interrupt_all(&self) {
        self.members().running.iter().flatten().for_each(Member::interrupt);
    }

    /// Resets the notification. Check its causes after this.
    pub(crate) fn silence_bell(&self) {
        let _ = (&self.bell).read(&mut [0; 64]);
    }

    /// What threads have left that have ended since the last call. With `rings`, the next that ends rings the
    /// bell.
    pub(crate) fn take_left(&self, rings: bool) -> Vec<P> {
        let mut members = self.members();
        members.rings_at_end = rings;
        std::mem::take(&mut members.left)
    }
}

impl<P> Crew<P> {
    fn ring(&self) {
        // It fails only when bytes are in it already.
        let _ = (&self.far_end).write(&[0]);
    }
}

/// The bell: readable when [`Crew::interrupt_due`] may be due sooner, or when a thread has ended and the
/// first thread waits for that.
impl<P> AsFd for Crew<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Member {
    /// Called with the members locked.
    fn interrupt(&self) {
        // SAFETY: a member leaves before its thread ends, and it cannot leave while the members are locked:
        // the id is that of a thread that runs (pthread_kill(3)). The call fails for no such thread.
        unsafe { libc::pthread_kill(self.thread, INTERRUPT as libc::c_int) };
    }
}

impl<P> CrewMember<P> {
    fn enter(crew: Arc<Crew<P>>, parting: P) -> Self {
        let due_ms = Arc::new(AtomicU64::new(u64::MAX));
        // SAFETY: it has no conditions.
        let thread = unsafe { libc::pthread_self() };
        let mut members = crew.members.lock().unwrap_or_else(PoisonError::into_inner);
        let member = Some(Member { thread, due_ms: Arc::clone(&due_ms) });
        let at = members.free.pop().unwrap_or(members.running.len());
        if at == members.running.len() {
            members.running.push(None);
        }
        members.running[at] = member;
        drop(members);
        CrewMember { crew, at, due_ms, parting: Some(parting) }
    }

    /// Has calls in which this thread blocks interrupted from this time on, again and again, until another
    /// time is set; `u64::MAX` for never.
    pub(crate) fn interrupt_at(&self, due_ms: u64) {
        self.due_ms.store(due_ms, SeqCst);
        if due_ms < self.crew.next_look_ms.load(SeqCst)
            && due_ms < self.crew.next_look_ms.fetch_min(due_ms, SeqCst)
        {
            self.crew.ring();
        }
    }
}

impl<P> Drop for CrewMember<P> {
    fn drop(&mut self) {
        let mut members = self.crew.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.running[self.at] = None;
        members.free.push(self.at);
        members.left.extend(self.parting.take());
        let rings = std::mem::take(&mut members.rings_at_end);
        self.crew.running.fetch_sub(1, SeqCst);
        drop(members);
        if rings {
            self.crew.ring();
        }
    }
}

/// Names this thread, for ps(1) and its like. A name is cut to 15 bytes (`pthread_setname_np(3)`).
pub(crate) fn name_thread(name: &str) {
    let name: Vec<u8> = name.bytes().take(15).chain([0]).collect();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the name is a C string of at most 16 bytes, and the thread is this one. Nothing depends on it.
    unsafe {
        libc::pthread_setname_np(libc::pthread_self(), name.as_ptr().cast())
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = name;
}

extern "C" fn begin<P: Send + 'static, J: Send + 'static>(start: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `Crew::start` gives this thread a box of this type, and to no other.
    let ThreadStart { crew, parting, job, work } =
        *unsafe { Box::from_raw(start.cast::<ThreadStart<P, J>>()) };
    let member = CrewMember::enter(crew, parting);
    // A panic was reported; it must not unwind into the system's code.
    let _ = panic::catch_unwind(AssertUnwindSafe(|| work(job, &member)));
    drop(member);
    std::ptr::null_mut()
}

/// Starts a detached thread (`pthread_create(3)`).
///
/// # Safety
/// `begin` may be called in another thread with `start`, once.
unsafe fn create(
    stack_bytes: usize,
    begin: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    start: *mut libc::c_void,
) -> io::Result<()> {
    let check = |errno| if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) };
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialized by the first call, used by the others, and destroyed by the
    // last; what `begin` needs the caller promises.
    unsafe {
        check(libc::pthread_attr_init(attributes.as_mut_ptr()))?;
        let created = check(libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack_bytes))
            .and_then(|()| {
                let detached = libc::PTHREAD_CREATE_DETACHED;
                check(libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), detached))
            })
            .and_then(|()| {
                check(libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), begin, start))
            });
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        created
    }
}
