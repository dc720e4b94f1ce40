//! The bytes of a client that its session has not consumed. Exists only while there are any.

/// Unconsumed bytes, from the first one.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// Those before it have been consumed.
    start: usize,
    /// When the first of the unconsumed bytes arrived, and when the last did, in ms.
    first_ms: u64,
    last_ms: u64,
}

impl Inbox {
    /// Keeps `bytes`, which arrived at `now_ms`.
    pub(super) fn of(bytes: &[u8], now_ms: u64) -> Self {
        Inbox { bytes: bytes.to_vec(), start: 0, first_ms: now_ms, last_ms: now_ms }
    }

    /// When the first unconsumed byte arrived ([`crate::session::Input::arrived_ms`]), and when the last did.
    pub(super) fn arrived_ms(&self) -> (u64, u64) {
        (self.first_ms, self.last_ms)
    }

    /// What is unconsumed; never empty between calls.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Memory that its bytes take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Adds what arrived. Consumed bytes are dropped when they are most of the buffer, so each byte moves a
    /// bounded number of times, however few arrive or are consumed at once.
    pub(super) fn append(&mut self, bytes: &[u8], now_ms: u64) {
        if !bytes.is_empty() {
            self.last_ms = now_ms;
        }
        if self.start > self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops the first `len` bytes.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
        if len > 0 {
            self.first_ms = self.last_ms;
        }
        debug_assert!(self.start <= self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_in_order_and_memory_follows_what_is_kept() {
        let mut inbox = Inbox::of(b"", 0);
        let (mut put, mut taken) = (0u32, 0u32);
        for round in 0..1000usize {
            for _ in 0..(round % 7) {
                inbox.append(&put.to_be_bytes(), 0);
                put += 1;
            }
            while inbox.len() > 40 {
                assert_eq!(inbox.bytes()[..4], taken.to_be_bytes());
                inbox.consume(4);
                taken += 1;
            }
        }
        assert!(put > 2000 && put - taken <= 10);
        assert!(inbox.bytes.capacity() < 512, "{}", inbox.bytes.capacity());
    }

    #[test]
    fn the_rest_of_partly_consumed_bytes_arrived_with_the_last_of_them() {
        let mut inbox = Inbox::of(b"one", 10);
        inbox.append(b"two", 20);
        inbox.append(b"", 25);
        inbox.consume(0);
        assert_eq!(inbox.arrived_ms(), (10, 20));
        inbox.consume(3);
        inbox.append(b"three", 30);
        assert_eq!(inbox.arrived_ms(), (20, 30));
    }
}
