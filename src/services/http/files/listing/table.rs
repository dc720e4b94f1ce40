//! The entries of a directory, compact, within a budget for all listings, and their order.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use super::super::super::bounds::{
    ENTRIES_PER_CALL_MAX, ENTRIES_PER_CALL_MIN, ENTRIES_PER_TURN_MAX, LISTINGS_BYTES_MAX,
};
use crate::sys::files::{FileKind, Stat};

/// Entries that are sorted at once. A longer run would delay other clients; more runs cost more when they are
/// merged.
const RUN_ENTRIES: usize = 64;
/// Entries for which room is reserved at once, but for the first: with fewer, the table would be moved too
/// often.
const ROOM_ENTRIES: usize = 256;
/// The memory reserved for the name of an entry that was not read yet: `NAME_MAX`, the longest name on most
/// file systems. The excess of a longer name is accounted for with the next entry.
const NAME_BYTES_MAX: usize = 255;

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) column: Column,
    pub(crate) direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Name,
    Size,
    Modified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Order {
    /// The order of a query such as `sort=-size`; by name if the query has none.
    pub(crate) fn asked(query: &[u8]) -> Order {
        let mut settings = query.split(|&byte| byte == b'&');
        let asked = settings.find_map(|setting| setting.strip_prefix(b"sort=")).unwrap_or_default();
        let (direction, column) = match asked.strip_prefix(b"-") {
            Some(column) => (Direction::Down, column),
            None => (Direction::Up, asked),
        };
        let column = match column {
            b"size" => Column::Size,
            b"modified" => Column::Modified,
            _ => Column::Name,
        };
        Order { column, direction }
    }

    /// As [`Order::asked`] reads it.
    pub(crate) fn name(self) -> String {
        let sign = if self.direction == Direction::Down { "-" } else { "" };
        let column = match self.column {
            Column::Name => "name",
            Column::Size => "size",
            Column::Modified => "modified",
        };
        format!("{sign}{column}")
    }

    /// The query of a link to a listing in this order; empty for the default order.
    pub(crate) fn query(self) -> String {
        if self == Order::asked(b"") { String::new() } else { format!("?sort={}", self.name()) }
    }

    /// Directories first; what is equal is sorted by name.
    fn compare(self, a: &Item<'_>, b: &Item<'_>) -> Ordering {
        let by_name = || compare_names(a.name, b.name);
        let key = match self.column {
            Column::Name => by_name(),
            // The size of a directory's own entry on the disk is of no use to a reader.
            Column::Size if a.is_directory => Ordering::Equal,
            Column::Size => a.size_bytes.cmp(&b.size_bytes),
            Column::Modified => (a.modified_s, a.modified_ns).cmp(&(b.modified_s, b.modified_ns)),
        };
        let key = if self.direction == Direction::Down { key.reverse() } else { key };
        b.is_directory.cmp(&a.is_directory).then(key).then_with(by_name)
    }
}

/// As people sort: digits count as numbers (`file9` before `file10`), and the case of letters does not.
fn compare_names(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.chunks_exact(16).zip(b.chunks_exact(16)).take_while(|(a, b)| a == b);
    let same = same.count() * 16; // passed over quickly: names often begin alike
    // A number that begins in what is the same counts as a whole.
    let same = a[..same].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    natural(&a[same..], &b[same..]).then_with(|| a.cmp(b))
}

fn natural(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while let ([first_a, rest_a @ ..], [first_b, rest_b @ ..]) = (a, b) {
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, number_b);
            (number_a, a) = split_number(a);
            (number_b, b) = split_number(b);
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            (a, b) = (rest_a, rest_b);
            first_a.to_ascii_lowercase().cmp(&first_b.to_ascii_lowercase())
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// The digits at the beginning, without leading zeros, and what follows.
fn split_number(name: &[u8]) -> (&[u8], &[u8]) {
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zeros = name[..digits].iter().take_while(|byte| **byte == b'0').count();
    (&name[zeros..digits], &name[digits..])
}

/// What all listings may take together: bytes of memory, and of each turn.
#[derive(Debug)]
pub(crate) struct ListingBudget {
    taken_bytes: AtomicUsize,
    bytes_max: usize,
    entries_per_turn_max: usize,
    /// Listings under way.
    listings: AtomicUsize,
}

impl ListingBudget {
    /// The budget of one of `shares` sites of the process, which have equal parts.
    pub(crate) fn one_of(shares: usize) -> ListingBudget {
        ListingBudget {
            entries_per_turn_max: ENTRIES_PER_TURN_MAX / shares,
            ..ListingBudget::new(LISTINGS_BYTES_MAX / shares)
        }
    }

    pub(crate) fn new(bytes_max: usize) -> ListingBudget {
        ListingBudget {
            taken_bytes: AtomicUsize::new(0),
            bytes_max,
            entries_per_turn_max: ENTRIES_PER_TURN_MAX,
            listings: AtomicUsize::new(0),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.taken_bytes.fetch_update(atomic::Ordering::Relaxed, atomic::Ordering::Relaxed, taken).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.taken_bytes.fetch_sub(bytes, atomic::Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn taken_bytes(&self) -> usize {
        self.taken_bytes.load(atomic::Ordering::Relaxed)
    }
}

/// An entry as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) is_directory: bool,
    pub(crate) size_bytes: u64,
    pub(crate) modified_s: i64,
    pub(crate) modified_ns: u32,
}

/// An entry as it is kept.
#[derive(Debug)]
struct Entry {
    size_bytes: u64,
    modified_s: i64,
    modified_ns: u32,
    name_at: u32,
    name_len: u16,
    is_directory: bool,
}

/// The entries read so far, in the order of the directory.
#[derive(Debug)]
pub(crate) struct Table {
    budget: Arc<ListingBudget>,
    /// Of the budget: given back at the end of the table, whatever that is.
    taken_bytes: usize,
    /// Calls so far. If listings take turns, it decides which they are; those that began together begin with
    /// different numbers.
    calls: usize,
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// Numbers of entries: runs of `RUN_ENTRIES`, each sorted.
    sorted: Vec<u16>,
}

impl Table {
    pub(crate) fn new(budget: Arc<ListingBudget>) -> Table {
        let calls = budget.listings.fetch_add(1, atomic::Ordering::Relaxed);
        Table { budget, taken_bytes: 0, calls, names: Vec::new(), entries: Vec::new(), sorted: Vec::new() }
    }

    /// Whether this listing works in this call. One more call has been made.
    pub(crate) fn takes_turn(&mut self) -> bool {
        let listings = self.budget.listings.load(atomic::Ordering::Relaxed);
        let at_once = (self.budget.entries_per_turn_max / ENTRIES_PER_CALL_MIN).max(1);
        self.calls = self.calls.wrapping_add(1);
        self.calls.is_multiple_of(listings.div_ceil(at_once).max(1))
    }

    /// Whether other listings are under way.
    pub(crate) fn has_company(&self) -> bool {
        self.budget.listings.load(atomic::Ordering::Relaxed) > 1
    }

    /// The share of `most`, the work of a call, for this listing: concurrent listings share a turn.
    pub(crate) fn share(&self, most: usize) -> usize {
        let listings = self.budget.listings.load(atomic::Ordering::Relaxed).max(1);
        let entries =
            (self.budget.entries_per_turn_max / listings).clamp(ENTRIES_PER_CALL_MIN, ENTRIES_PER_CALL_MAX);
        most * entries / ENTRIES_PER_CALL_MAX
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn memory_bytes(&self) -> usize {
        self.names.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.sorted.capacity() * size_of::<u16>()
    }

    /// Memory that it takes and that was not taken from the budget.
    pub(crate) fn unbudgeted_bytes(&self) -> usize {
        self.memory_bytes().saturating_sub(self.taken_bytes)
    }

    #[cfg(test)]
    pub(crate) fn sorted_len(&self) -> usize {
        self.sorted.len()
    }

    /// Reserves room for this many further entries, at most [`ROOM_ENTRIES`], if the budget allows it. A
    /// table doubles until it has that many: room for all at once, in as many tables as clients ask for at
    /// the same time, takes as long as reading the entries.
    pub(crate) fn make_room(&mut self, entries: usize) -> bool {
        let has_room = self.names.capacity() - self.names.len() >= entries * NAME_BYTES_MAX
            && self.entries.capacity() - self.entries.len() >= entries;
        has_room || self.grow(self.len().clamp(entries, ROOM_ENTRIES))
    }

    /// Makes room for so many entries more.
    fn grow(&mut self, more: usize) -> bool {
        let names_bytes = self.names.len() + more * NAME_BYTES_MAX;
        let entries = self.entries.len() + more;
        if !self.hold(names_bytes + entries * (size_of::<Entry>() + size_of::<u16>())) {
            return false;
        }
        // No more than is needed: what a vector adds by itself would not be accounted for.
        self.names.reserve_exact(names_bytes - self.names.len());
        self.entries.reserve_exact(entries - self.entries.len());
        self.sorted.reserve_exact(entries - self.sorted.len());
        true
    }

    /// Returns unused room to the budget.
    pub(crate) fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.sorted.shrink_to_fit();
        let held = self.hold(self.memory_bytes());
        debug_assert!(held, "there is less of everything than before");
    }

    /// Takes from the budget, or gives back, so that `bytes` are held.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.taken_bytes);
        if more > 0 && !self.budget.take(more) {
            return false;
        }
        self.budget.give_back(self.taken_bytes.saturating_sub(bytes));
        self.taken_bytes = bytes;
        true
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        (self.names, self.entries, self.sorted) = Default::default();
        self.hold(0);
    }

    /// Keeps an entry, a regular file or a directory.
    pub(crate) fn push(&mut self, name: &[u8], stat: &Stat) {
        let name = &name[..name.len().min(u16::MAX.into())];
        self.entries.push(Entry {
            size_bytes: stat.identity.size_bytes,
            modified_s: stat.identity.modified_s,
            modified_ns: stat.identity.modified_ns,
            name_at: self.names.len() as u32,
            name_len: name.len() as u16,
            is_directory: stat.kind == FileKind::Directory,
        });
        self.names.extend_from_slice(name);
    }

    pub(crate) fn item(&self, number: usize) -> Option<Item<'_>> {
        let entry = self.entries.get(number)?;
        let Entry { size_bytes, modified_s, modified_ns, is_directory, .. } = *entry;
        let name = &self.names[entry.name_at as usize..][..usize::from(entry.name_len)];
        Some(Item { name, is_directory, size_bytes, modified_s, modified_ns })
    }

    /// Sorts the next run if there are enough entries for it, or if these are the `last`. Call it at least
    /// once per `RUN_ENTRIES` entries, at most 65,536, so that an index within a run fits 16 bits.
    pub(crate) fn sort_run(&mut self, order: Order, last: bool) {
        let start = self.sorted.len();
        let end = self.entries.len().min(start + RUN_ENTRIES);
        if end - start == RUN_ENTRIES || last {
            let mut sorted = std::mem::take(&mut self.sorted);
            sorted.extend((start..end).map(|number| number as u16));
            sorted[start..].sort_unstable_by(|a, b| self.compare(order, *a, *b));
            self.sorted = sorted;
        }
    }

    fn compare(&self, order: Order, a: u16, b: u16) -> Ordering {
        match (self.item(a.into()), self.item(b.into())) {
            (Some(a), Some(b)) => order.compare(&a, &b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.hold(0);
        self.budget.listings.fetch_sub(1, atomic::Ordering::Relaxed);
    }
}

/// Merges the sorted runs of a table.
#[derive(Debug)]
pub(crate) struct Merge {
    order: Order,
    /// The rest of each unfinished run, ordered so that the next entry is the first of the last run.
    runs: Vec<Range<u16>>,
}

impl Merge {
    pub(crate) fn new(table: &Table, order: Order) -> Merge {
        let starts = (0..table.sorted.len()).step_by(RUN_ENTRIES);
        let end = |start: usize| table.sorted.len().min(start + RUN_ENTRIES);
        let mut merge = Merge { order, runs: Vec::new() };
        for run in starts.map(|start| start as u16..end(start) as u16) {
            merge.insert(run, table);
        }
        merge
    }

    /// Whether all entries were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The next entry, at the cost of one comparison per binary digit of the number of runs.
    pub(crate) fn next<'a>(&mut self, table: &'a Table) -> Option<Item<'a>> {
        let mut run = self.runs.pop()?;
        let number = table.sorted[usize::from(run.next()?)];
        self.insert(run, table);
        table.item(number.into())
    }

    fn insert(&mut self, run: Range<u16>, table: &Table) {
        if !run.is_empty() {
            let first = |run: &Range<u16>| table.sorted[usize::from(run.start)];
            let behind = |other: &Range<u16>| table.compare(self.order, first(other), first(&run)).is_gt();
            let at = self.runs.partition_point(behind);
            self.runs.insert(at, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sys::files::FileIdentity;

    fn stat(kind: FileKind, size_bytes: u64, modified_s: i64) -> Stat {
        let identity = FileIdentity { device: 0, inode: 0, size_bytes, modified_s, modified_ns: 0 };
        Stat { kind, identity, changed_s: modified_s, changed_ns: 0 }
    }

    /// The names in the order in which a table of them is merged.
    fn sorted(entries: &[(Vec<u8>, Stat)], query: &str) -> Vec<Vec<u8>> {
        let order = Order::asked(query.as_bytes());
        let mut table = Table::new(Arc::new(ListingBudget::new(1 << 20)));
        for (name, stat) in entries {
            assert!(table.make_room(1));
            table.push(name, stat);
            table.sort_run(order, false);
        }
        table.sort_run(order, true);
        let mut merge = Merge::new(&table, order);
        std::iter::from_fn(|| merge.next(&table).map(|item| item.name.to_vec())).collect()
    }

    #[test]
    fn directories_come_first_and_the_rest_as_asked() {
        let entries = [
            (b"b".to_vec(), stat(FileKind::File, 10, 3)),
            (b"A".to_vec(), stat(FileKind::File, 30, 1)),
            (b"c".to_vec(), stat(FileKind::File, 20, 2)),
            (b"y".to_vec(), stat(FileKind::Directory, 1, 9)),
            (b"x".to_vec(), stat(FileKind::Directory, 2, 8)),
        ];
        for (query, expected) in [
            ("", "x y A b c"),
            ("sort=-name", "y x c b A"),
            ("a=b&sort=size", "x y b c A"),
            ("sort=-size", "x y A c b"),
            ("sort=modified", "x y A c b"),
            ("sort=nonsense", "x y A b c"),
        ] {
            assert_eq!(sorted(&entries, query).join(&b' '), expected.as_bytes(), "{query}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Sorted by keys that are made once, whole, by the standard library.
        #[test]
        fn runs_that_are_merged_are_in_the_same_order_as_all_sorted_at_once(
            kinds in prop::collection::vec((any::<bool>(), 0u64..9, 0i64..9), 0..1_000),
            query in prop::sample::select(&["", "sort=-name", "sort=size", "sort=-size", "sort=modified", "sort=-modified"][..]),
            seed in any::<u32>(),
        ) {
            let name = |number: usize| {
                let mixed = (number as u32).wrapping_mul(2_654_435_761) ^ seed;
                format!("{}{number:0width$}", if mixed & 1 == 0 { "a" } else { "B" }, width = (mixed >> 1) as usize % 4)
                    .into_bytes()
            };
            let kind = |is_directory| if is_directory { FileKind::Directory } else { FileKind::File };
            let entries: Vec<_> = kinds.iter().enumerate()
                .map(|(number, (is_directory, size, modified))| (name(number), stat(kind(*is_directory), *size, *modified)))
                .collect();
            let mut expected = entries.clone();
            let by_name = |(name, _): &(Vec<u8>, Stat)| {
                let number: usize = std::str::from_utf8(&name[1..]).unwrap().parse().unwrap();
                (name[0].to_ascii_lowercase(), number, name.clone())
            };
            expected.sort_by_key(by_name);
            let value = |(_, stat): &(Vec<u8>, Stat)| match (query.trim_start_matches("sort=").trim_start_matches('-'), stat.kind) {
                ("size", FileKind::Directory) | ("" | "name", _) => 0,
                ("size", _) => stat.identity.size_bytes.cast_signed(),
                _ => stat.identity.modified_s,
            };
            let down = query.contains('-');
            if query == "sort=-name" {
                expected.reverse();
            }
            expected.sort_by_key(|entry| if down { -value(entry) } else { value(entry) });
            expected.sort_by_key(|(_, stat)| stat.kind != FileKind::Directory);
            let expected: Vec<Vec<u8>> = expected.into_iter().map(|(name, _)| name).collect();
            prop_assert_eq!(sorted(&entries, query), expected);
        }
    }

    #[test]
    fn digits_in_names_count_as_numbers() {
        let in_order = [
            "",
            " 2",
            "01",
            "1",
            "1.",
            "1.9",
            "1.10",
            "2",
            "10",
            "A",
            "a",
            "a1b2",
            "a1b10",
            "a2b1",
            "file9",
            "file010",
            "file10",
            "file99999999999999999999999999999999",
            "file100000000000000000000000000000000",
            "long-common-name-12345678901",
            "long-common-name-123456789010",
            "photo 2 of 10",
            "photo 10 of 10",
            "\u{e9}",
        ];
        for (at, a) in in_order.iter().enumerate() {
            for (other, b) in in_order.iter().enumerate() {
                assert_eq!(compare_names(a.as_bytes(), b.as_bytes()), at.cmp(&other), "{a:?} {b:?}");
            }
        }
    }

    proptest! {
        /// Compared by keys, which cannot contradict each other.
        #[test]
        fn the_order_of_names_is_that_of_their_letters_and_numbers(
            a in "[aB0-2 .]{0,20}", b in "[aB0-2 .]{0,20}", begin in "[a-c0-9]{0,40}",
        ) {
            /// Compares letters, or numbers without leading zeros, of which the longer is larger.
            fn key(name: &str) -> Vec<(u8, usize, &str)> {
                let (mut key, mut rest) = (Vec::new(), name);
                while let Some(first) = rest.bytes().next() {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let number = rest[..digits].trim_start_matches('0');
                    let first = if digits > 0 { b'0' } else { first.to_ascii_lowercase() };
                    key.push((first, number.len(), number));
                    rest = &rest[digits.max(1)..];
                }
                key
            }
            let (a, b) = (format!("{begin}{a}"), format!("{begin}{b}"));
            let expected = key(&a).cmp(&key(&b)).then_with(|| a.cmp(&b));
            prop_assert_eq!(compare_names(a.as_bytes(), b.as_bytes()), expected);
        }
    }

    #[test]
    fn entries_take_from_one_budget_and_give_back() {
        let budget = Arc::new(ListingBudget::new(30_000));
        let mut one = Table::new(Arc::clone(&budget));
        let mut other = Table::new(Arc::clone(&budget));
        assert!(one.make_room(60) && !other.make_room(60), "{budget:?}");
        one.push(b"name", &stat(FileKind::File, 1, 1));
        one.sort_run(Order::asked(b""), true);
        one.shrink();
        assert_eq!(budget.taken_bytes(), 4 + size_of::<Entry>() + 2);
        assert!(other.make_room(60));
        other.clear();
        drop(one);
        assert_eq!(budget.taken_bytes(), 0);
        assert!(other.make_room(60));
        drop(other);
        assert_eq!(budget.taken_bytes(), 0);
    }

    #[test]
    fn the_more_listings_there_are_the_less_each_does_in_a_call() {
        let budget = Arc::new(ListingBudget::new(1 << 20));
        let mut tables = Vec::new();
        for listings in 1..=1_000 {
            tables.push(Table::new(Arc::clone(&budget)));
            let each = tables[0].share(ENTRIES_PER_CALL_MAX);
            assert!((ENTRIES_PER_CALL_MIN..=ENTRIES_PER_CALL_MAX).contains(&each));
            assert!(each == ENTRIES_PER_CALL_MIN || each * listings <= ENTRIES_PER_TURN_MAX, "{listings}");
        }
        let at_once = ENTRIES_PER_TURN_MAX / ENTRIES_PER_CALL_MIN;
        let mut worked = vec![0; tables.len()];
        let turns = 2 * tables.len().div_ceil(at_once);
        for _ in 0..turns {
            let mut together = 0;
            for (table, worked) in tables.iter_mut().zip(&mut worked) {
                let works = table.takes_turn();
                *worked += u32::from(works);
                together += usize::from(works);
            }
            assert!(together <= at_once + 1, "{together}");
        }
        assert!(worked.iter().all(|worked| *worked == 2), "each has its turn: {worked:?}");
        tables.truncate(1);
        assert!(tables[0].takes_turn() && tables[0].takes_turn());
        assert_eq!(tables[0].share(ENTRIES_PER_CALL_MAX), ENTRIES_PER_CALL_MAX);
    }
}
