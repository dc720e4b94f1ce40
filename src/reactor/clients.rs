//! The clients of the loop: a slab of connections, the run queue, and the deadlines.

use std::collections::VecDeque;
use std::sync::Arc;

use mio::Registry;
use mio::event::Event;
use slab::Slab;

use crate::admission::{Admission, IdleOrder, ListenerService, LoopBuffers, Refused};
use crate::connection::{
    Connection, Context, Mode, NEVER_MS, Polled, Pumped, Scratch, TimeSource, TurnBudget,
};
use crate::limits::{Limits, Overflow};
use crate::session::{Now, OffloadSource, OffloadTarget, Peer, Refusal, Service, WakeTarget, Waker};
use crate::telemetry::{Reason, Telemetry};
use crate::time::{Deadlines, Link};

use super::token::{ConnId, Source};
use super::wakes::Wakes;

/// Clients for which the tables have room from the start, so that no turn has to copy a table to grow it.
/// Only the used part of a table is committed memory. With more clients the tables grow.
const RESERVED_MAX: usize = 1 << 20;

/// Idle clients that are checked before one is evicted. Each check is a system call, made for every new
/// client.
const EVICT_LOOKS_MAX: usize = 16;

/// The clients of one loop.
pub(super) struct Clients<S: Service> {
    slots: Slab<Slot<S::Session>>,
    /// The number of the last client.
    generation: u32,
    /// The run queue: clients that have work, in order.
    runnable: VecDeque<ConnId>,
    deadlines: Deadlines,
    /// Slots to be freed.
    ended: Vec<u32>,
    /// Kept where idle clients may be evicted.
    idle: Option<IdleOrder>,
    buffers: LoopBuffers,
    /// By listener. They outlive the listeners, as clients do.
    served: Vec<ListenerService<S>>,
    wakes: Arc<dyn WakeTarget>,
    offload: Arc<dyn OffloadTarget>,
    scratch: Scratch,
}

/// The context of a turn, the same for all clients.
pub(super) struct TurnContext<'a> {
    pub(super) now: Now,
    pub(super) mode: Mode,
    pub(super) limits: &'a Limits,
    pub(super) admission: &'a mut Admission,
    pub(super) telemetry: &'a mut Telemetry,
}

/// One slot of the slab.
struct Slot<S> {
    connection: Connection<S, Polled>,
    generation: u32,
    listener: u16,
    tenant: Tenant,
    run_state: RunState,
}

/// What a slot counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    Client,
    /// A client whose layers have not found its address yet: no address is counted for it.
    Handshaking,
    Refused,
}

/// Where a client is in the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunState {
    /// It waits for an event, a wake or its deadline.
    Waiting,
    /// It is in the run queue.
    Runnable,
    /// It is to be freed.
    Ended(Reason),
}

/// Why a connection is called.
#[derive(Clone, Copy)]
enum Cause {
    Runnable,
    Deadline,
}

/// Whether bytes went in or out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BytesMoved {
    Nothing,
    Something,
}

impl RunState {
    #[inline]
    fn enqueue(&mut self, id: ConnId, runnable: &mut VecDeque<ConnId>) {
        if *self == RunState::Waiting {
            *self = RunState::Runnable;
            runnable.push_back(id);
        }
    }
}

/// The size of a slot of the slab with sessions of type `S`, in bytes, including its links in the timer wheel
/// and its entry among the buffers: the memory of an idle client in this process.
pub const fn slot_bytes<S>() -> usize {
    // A slab entry is a slot, or the number of the next vacant slot.
    size_of::<(Option<Slot<S>>, Link)>() + size_of::<u32>()
}

impl<S: Service> Clients<S> {
    /// With room for `reserved` clients.
    pub(super) fn new(
        limits: &Limits,
        reserved: usize,
        wakes: Arc<Wakes>,
        offload: Arc<dyn OffloadTarget>,
    ) -> Self {
        Clients {
            slots: Slab::with_capacity(reserved),
            generation: 0,
            runnable: VecDeque::with_capacity(reserved),
            deadlines: Deadlines::with_capacity(reserved),
            ended: Vec::with_capacity(reserved),
            idle: (limits.overflow == Overflow::Evict).then(|| IdleOrder::with_capacity(reserved)),
            buffers: LoopBuffers::new(limits.buffers_bytes_max, reserved),
            served: Vec::new(),
            wakes,
            offload,
            scratch: Scratch::new(limits),
        }
    }

    /// The number of clients to make room for from the start: as many as the limits allow, if the system
    /// grants the space.
    pub(super) fn to_reserve(limits: &Limits) -> usize {
        let clients = limits.clients_max.saturating_add(limits.refusals_max) as usize;
        let mut room = clients.min(RESERVED_MAX);
        // Tables would abort the process where this only fails.
        let client_bytes = 2 * slot_bytes::<S::Session>();
        while room > 0 && Vec::<u8>::new().try_reserve_exact(room.saturating_mul(client_bytes)).is_err() {
            room /= 2;
        }
        room
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a client has work without an event.
    pub(super) fn has_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// When the next deadline is to be looked at.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.next_ms()
    }

    /// Adds the service of the next listener.
    pub(super) fn add_listener(&mut self, served: ListenerService<S>) {
        self.served.push(served);
    }

    /// The service of a listener.
    pub(super) fn served(&self, listener: usize) -> &ListenerService<S> {
        &self.served[listener]
    }

    /// Records the readiness from an event and queues the client: no I/O, and nothing is freed here.
    #[inline]
    pub(super) fn latch(&mut self, id: ConnId, event: &Event) {
        if let Some(slot) = self.slots.get_mut(id.slot as usize)
            && slot.generation == id.generation
        {
            slot.connection.transport_mut().latch(event);
            slot.run_state.enqueue(id, &mut self.runnable);
        }
    }

    /// Queues a client whose waker was called.
    pub(super) fn wake(&mut self, id: ConnId) {
        if let Some(slot) = self.slots.get_mut(id.slot as usize)
            && slot.generation == id.generation
        {
            slot.connection.wake();
            slot.run_state.enqueue(id, &mut self.runnable);
        }
    }

    /// Makes every client read once more: a drain answers what has arrived.
    pub(super) fn read_all_once_more(&mut self) {
        for (key, slot) in &mut self.slots {
            slot.connection.transport_mut().look_again();
            slot.run_state
                .enqueue(ConnId { slot: key as u32, generation: slot.generation }, &mut self.runnable);
        }
    }

    /// Gives each runnable client its share. Bound: those that were in the queue before; the rest is for the
    /// next turn.
    pub(super) fn pump(&mut self, turn: &mut TurnContext<'_>) {
        for _ in 0..self.runnable.len() {
            let Some(id) = self.runnable.pop_front() else { break };
            let key = id.slot as usize;
            if let Some(slot) = self.slots.get_mut(key)
                && slot.generation == id.generation
                && slot.run_state == RunState::Runnable
            {
                slot.run_state = RunState::Waiting;
                self.advance(key, id, Cause::Runnable, turn);
            }
        }
    }

    /// Whether a filed deadline has come.
    pub(super) fn has_due(&mut self, now: Now) -> bool {
        self.deadlines.advance(now.monotonic_ms);
        self.deadlines.has_due()
    }

    /// Handles the clients whose filed deadline has come. A client that is queued because it has more to
    /// write is filed again when that is done. Bounded by the clients that are due now.
    pub(super) fn expire(&mut self, turn: &mut TurnContext<'_>) {
        while let Some(key) = self.deadlines.pop_due() {
            let Some(slot) = self.slots.get(key) else { continue };
            let is_judged = match slot.run_state {
                RunState::Waiting => true,
                // Also a client that has more to read.
                RunState::Runnable => {
                    slot.connection.is_reading() && slot.connection.deadline_ms() <= turn.now.monotonic_ms
                }
                RunState::Ended(_) => false,
            };
            if is_judged {
                let id = ConnId { slot: key as u32, generation: slot.generation };
                self.advance(key, id, Cause::Deadline, turn);
            }
        }
    }

    fn advance(&mut self, key: usize, id: ConnId, cause: Cause, turn: &mut TurnContext<'_>) {
        let (slot, mut context) = self.context(key, turn);
        let budget = TurnBudget::of_turn(context.limits);
        let before_bytes = slot.connection.moved_bytes();
        let pumped = match cause {
            Cause::Runnable => slot.connection.pump(&mut context, budget),
            Cause::Deadline => slot.connection.expire(&mut context, budget),
        };
        let pumped = if pumped == Pumped::Established { self.establish(key, id, turn) } else { pumped };
        let is_same = self.slots[key].connection.moved_bytes() == before_bytes;
        let moved = if is_same { BytesMoved::Nothing } else { BytesMoved::Something };
        self.file(key, id, pumped, moved);
        self.bound_buffers(key, turn);
    }

    /// The handshakes of a client are complete: opens its session, unless there are too many clients from its
    /// address.
    fn establish(&mut self, key: usize, id: ConnId, turn: &mut TurnContext<'_>) -> Pumped {
        let slot = &mut self.slots[key];
        let served = &self.served[usize::from(slot.listener)];
        let connection = &mut slot.connection;
        if slot.tenant == Tenant::Handshaking && turn.admission.learn_address(connection.peer()) {
            slot.tenant = Tenant::Client;
        }
        let mut cut = None;
        if slot.tenant == Tenant::Handshaking {
            let why = Refusal::TooManyFromAddress;
            match turn.admission.last_words(&served.service, connection.peer(), why) {
                Refused::LastWords(words, reason) => {
                    turn.admission.leave(Peer::UNIX);
                    slot.tenant = Tenant::Refused;
                    connection.refuse(words, reason, turn.now, turn.limits);
                }
                Refused::Closed(end) => cut = Some(end.reason),
            }
        } else {
            let waker = || Waker::new(Arc::clone(&self.wakes), id.to_u64());
            let waker = served.service.wakes().then(waker);
            let offload = OffloadSource { target: &self.offload, wakes: &self.wakes, client: id.to_u64() };
            if !served.open(connection, waker.as_ref(), Some(offload)) {
                cut = Some(Reason::Panicked);
            }
        }
        let (slot, mut context) = self.context(key, turn);
        if let Some(reason) = cut {
            slot.connection.cut(reason, &mut context);
        }
        let budget = TurnBudget::of_turn(context.limits);
        slot.connection.pump(&mut context, budget)
    }

    /// The slot of a client and what its connection is given.
    #[inline]
    fn context<'a>(
        &'a mut self,
        key: usize,
        turn: &'a mut TurnContext<'_>,
    ) -> (&'a mut Slot<S::Session>, Context<'a>) {
        let slot = &mut self.slots[key];
        let context = Context {
            clock: TimeSource::Turn(turn.now),
            limits: turn.limits,
            timeouts: self.served[usize::from(slot.listener)].timeouts,
            scratch: &mut self.scratch,
            telemetry: turn.telemetry,
            mode: turn.mode,
        };
        (slot, context)
    }

    /// Files a client by how far it got: for an event, in the run queue, or to be freed.
    fn file(&mut self, key: usize, id: ConnId, pumped: Pumped, moved: BytesMoved) {
        let slot = &mut self.slots[key];
        match pumped {
            Pumped::Established | Pumped::Waits => self.deadlines.file(key, slot.connection.deadline_ms()),
            Pumped::More => {
                // A client that never stops sending has its deadline as well.
                if slot.connection.is_reading() {
                    self.deadlines.file(key, slot.connection.deadline_ms());
                }
                slot.run_state.enqueue(id, &mut self.runnable);
            }
            Pumped::Ended(reason) => {
                slot.run_state = RunState::Ended(reason);
                self.ended.push(key as u32);
            }
        }
        if let Some(idle) = &mut self.idle {
            let is_idle =
                slot.tenant == Tenant::Client && pumped == Pumped::Waits && slot.connection.is_idle();
            match (is_idle, moved) {
                (true, BytesMoved::Something) => idle.became_idle(key),
                (true, BytesMoved::Nothing) => idle.remained_idle(key),
                (false, _) => idle.remove(key),
            }
        }
    }

    /// Updates the memory of a client's buffers. If the sum is over the bound, the clients with the largest
    /// buffers are ended.
    fn bound_buffers(&mut self, key: usize, turn: &mut TurnContext<'_>) {
        if !self.buffers.are_bounded() {
            return;
        }
        self.buffers.set(key, self.slots[key].connection.memory_bytes());
        while let Some(key) = self.buffers.next_to_end() {
            if self.buffers.should_warn(turn.now.monotonic_ms) {
                log::warn!(
                    "the buffers of all clients take {} bytes, more than the limit of {}; the clients with the largest are reset",
                    self.buffers.sum_bytes(),
                    self.buffers.bytes_max()
                );
            }
            self.buffers.set(key, 0);
            if let Some(idle) = &mut self.idle {
                idle.remove(key);
            }
            let (slot, mut context) = self.context(key, turn);
            slot.connection.cut(Reason::BuffersFull, &mut context);
            slot.run_state = RunState::Ended(Reason::BuffersFull);
            self.ended.push(key as u32);
        }
    }

    /// Ends a turn: the next one finds the largest buffers again.
    pub(super) fn end_turn(&mut self) {
        self.buffers.forget_candidates();
    }

    /// Frees the slots of clients that ended. Only stale tokens still refer to them, and their generation no
    /// longer matches.
    pub(super) fn reap(&mut self, turn: &mut TurnContext<'_>) {
        while let Some(key) = self.ended.pop() {
            let key = key as usize;
            if let Some(RunState::Ended(reason)) = self.slots.get(key).map(|slot| slot.run_state) {
                self.free(key, reason, turn);
            }
        }
    }

    fn free(&mut self, key: usize, reason: Reason, turn: &mut TurnContext<'_>) {
        self.deadlines.forget(key);
        self.buffers.set(key, 0);
        if let Some(idle) = &mut self.idle {
            idle.remove(key);
        }
        let slot = self.slots.remove(key);
        match slot.tenant {
            Tenant::Refused => turn.admission.refused_left(),
            Tenant::Client => turn.admission.leave(slot.connection.peer()),
            Tenant::Handshaking => turn.admission.leave(Peer::UNIX),
        }
        let end = slot.connection.end(reason, turn.now);
        drop(slot);
        turn.telemetry.ended(&end);
    }

    /// The id of the client that will be added next.
    pub(super) fn next_id(&mut self) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        ConnId { slot: self.slots.vacant_key() as u32, generation: self.generation }
    }

    /// Adds a client that was counted in `admission`, and pumps it at once: the service may speak first, and
    /// first bytes of the client may have arrived. A client that ends at once is never registered. (Bytes
    /// from before the registration cause an event, too.)
    pub(super) fn add(
        &mut self,
        id: ConnId,
        connection: Connection<S::Session, Polled>,
        tenant: Tenant,
        listener: usize,
        registry: &Registry,
        turn: &mut TurnContext<'_>,
    ) {
        let (generation, listener) = (id.generation, listener as u16);
        let key = self.slots.insert(Slot {
            connection,
            generation,
            listener,
            tenant,
            run_state: RunState::Waiting,
        });
        debug_assert_eq!(key, id.slot as usize);
        let (slot, mut context) = self.context(key, turn);
        let budget = TurnBudget::of_turn(context.limits);
        let mut pumped = slot.connection.pump(&mut context, budget);
        if pumped == Pumped::Established {
            pumped = self.establish(key, id, turn);
        }
        if let Pumped::Ended(reason) = pumped {
            return self.free(key, reason, turn);
        }
        let (slot, mut context) = self.context(key, turn);
        if let Err(error) = slot.connection.transport_mut().register(registry, Source::Client(id).token()) {
            log::warn!("{}: cannot be added to the event loop: {error}", slot.connection.peer());
            slot.connection.cut(Reason::Failed, &mut context);
            return self.free(key, Reason::Failed, turn);
        }
        self.file(key, id, pumped, BytesMoved::Something);
        self.bound_buffers(key, turn);
    }

    /// Evicts the client that has been idle longest; among the first few, preferably one that has received
    /// its whole answer. Returns whether there was an idle client.
    pub(super) fn evict(&mut self, turn: &mut TurnContext<'_>) -> bool {
        let Some(idle) = &self.idle else { return false };
        let is_at_rest = |&key: &usize| self.slots[key].connection.is_at_rest();
        let at_rest = idle.oldest_first().take(EVICT_LOOKS_MAX).find(is_at_rest);
        let Some(key) = at_rest.or_else(|| idle.oldest()) else { return false };
        let (slot, mut context) = self.context(key, turn);
        slot.connection.cut(Reason::Evicted, &mut context);
        self.free(key, Reason::Evicted, turn);
        true
    }

    /// Cuts every client. A client that has received all of its bytes and only lingers loses nothing, and
    /// keeps its reason.
    pub(super) fn cut_all(&mut self, turn: &mut TurnContext<'_>) {
        let keys: Vec<usize> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            let (slot, mut context) = self.context(key, turn);
            let reason = match (slot.run_state, slot.connection.lingers_for()) {
                (RunState::Ended(reason), _) | (_, Some(reason)) => reason,
                _ => Reason::DrainCut,
            };
            slot.connection.cut(reason, &mut context);
            debug_assert_eq!(slot.connection.deadline_ms(), NEVER_MS);
            self.free(key, reason, turn);
        }
    }
}

#[cfg(test)]
impl<S: Service> Clients<S> {
    /// What the buffers of all clients take, as counted and as it is.
    pub(super) fn buffers_bytes(&self) -> (u64, u64) {
        let held = self.slots.iter().map(|(_, slot)| slot.connection.memory_bytes() as u64);
        (self.buffers.sum_bytes(), held.sum())
    }
}
