//! Cached files, in memory or open, evicted in the order of their last use.

use lru::LruCache;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::bounds::{
    CACHE_BYTES_MAX, CACHE_ENTRIES_MAX, CACHE_FILES_MAX, DESCRIPTORS_PER_CACHE_FILE, UNUSED_MS,
};
use super::resource::Resource;
use crate::sys::process::descriptors_max;

/// Results of lookups, by path. Only existing files are cached, so clients cannot fill it with invented
/// paths.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Files in memory: removing one closes no file.
    in_memory: LruCache<Box<[u8]>, CacheEntry>,
    /// Files that are kept open.
    open: LruCache<Box<[u8]>, CacheEntry>,
    uses: u64,
    held_bytes: usize,
    held_bytes_max: usize,
    entries_max: usize,
    open_files: usize,
    open_files_max: usize,
}

#[derive(Debug)]
struct CacheEntry {
    resource: Arc<Resource>,
    /// The number of its last use, to compare entries of the two lists.
    used: u64,
}

/// The most files kept open by a process that may have this many descriptors.
fn open_files_max(descriptors: u64) -> usize {
    let share = usize::try_from(descriptors / DESCRIPTORS_PER_CACHE_FILE).unwrap_or(CACHE_FILES_MAX);
    share.clamp(1, CACHE_FILES_MAX)
}

impl Cache {
    /// A cache for one of `shares` sites of the process, which have equal parts of the bounds.
    pub(crate) fn new(shares: usize) -> Cache {
        let open_files_max = descriptors_max().map_or(CACHE_FILES_MAX, open_files_max);
        Cache {
            in_memory: LruCache::unbounded(),
            open: LruCache::unbounded(),
            uses: 0,
            held_bytes: 0,
            held_bytes_max: CACHE_BYTES_MAX / shares,
            entries_max: (CACHE_ENTRIES_MAX / shares).max(1),
            open_files: 0,
            open_files_max: (open_files_max / shares).max(1),
        }
    }

    pub(crate) fn get(&mut self, path: &[u8]) -> Option<&Arc<Resource>> {
        self.uses += 1;
        let kept = match self.in_memory.get_mut(path) {
            Some(kept) => kept,
            None => self.open.get_mut(path)?,
        };
        kept.used = self.uses;
        Some(&kept.resource)
    }

    pub(crate) fn remove(&mut self, path: &[u8]) {
        if let Some(old) = self.in_memory.pop(path).or_else(|| self.open.pop(path)) {
            self.forget(&old.resource);
        }
    }

    /// Inserts `resource`, and evicts the least recently used entries while a bound is exceeded, one per
    /// round.
    pub(crate) fn insert(&mut self, path: &[u8], resource: Arc<Resource>) {
        self.remove(path);
        self.uses += 1;
        self.held_bytes += resource.held_bytes();
        self.open_files += resource.open_files();
        let list = if resource.open_files() > 0 { &mut self.open } else { &mut self.in_memory };
        list.put(path.into(), CacheEntry { resource, used: self.uses });
        loop {
            let given_up = if self.open_files > self.open_files_max {
                self.open.pop_lru()
            } else if self.held_bytes > self.held_bytes_max || self.len() > self.entries_max {
                self.pop_least_recently_used()
            } else {
                None
            };
            let Some((_, old)) = given_up else { break };
            self.forget(&old.resource);
        }
    }

    /// Closes all open files, because there are no free descriptors. Returns whether there were any.
    pub(crate) fn give_up_files(&mut self) -> bool {
        let any = !self.open.is_empty();
        while let Some((_, old)) = self.open.pop_lru() {
            self.forget(&old.resource);
        }
        any
    }

    /// When the least recently used file may be closed, in ms; `None` if none is open.
    pub(crate) fn close_due_ms(&self) -> Option<u64> {
        self.open.peek_lru().map(|(_, kept)| kept.resource.checked_ms.load(Ordering::Relaxed) + UNUSED_MS)
    }

    /// Removes the least recently used file, if it is to be closed at `now_ms`. It is closed when the last
    /// reference is dropped.
    pub(crate) fn pop_unused(&mut self, now_ms: u64) -> Option<Arc<Resource>> {
        if self.close_due_ms()? > now_ms {
            return None;
        }
        let (_, old) = self.open.pop_lru()?;
        self.forget(&old.resource);
        Some(old.resource)
    }

    fn len(&self) -> usize {
        self.in_memory.len() + self.open.len()
    }

    fn pop_least_recently_used(&mut self) -> Option<(Box<[u8]>, CacheEntry)> {
        let used = |list: &LruCache<_, CacheEntry>| list.peek_lru().map_or(u64::MAX, |(_, kept)| kept.used);
        if used(&self.open) < used(&self.in_memory) { self.open.pop_lru() } else { self.in_memory.pop_lru() }
    }

    fn forget(&mut self, old: &Resource) {
        self.held_bytes -= old.held_bytes();
        self.open_files -= old.open_files();
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::FilesConfig;
    use super::super::config::Site;
    use super::super::resource::{Lookup, find};
    use super::*;
    use crate::session::Now;

    fn file_of(bytes: usize) -> Arc<Resource> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), vec![b'x'; bytes]).unwrap();
        let site = Site::new(FilesConfig::new(dir.path())).unwrap();
        match find(&site, b"file", Now { monotonic_ms: 0, wall: UNIX_EPOCH }) {
            Lookup::File(resource) => resource,
            _ => panic!("no file"),
        }
    }

    /// Inserts it under this many names.
    fn fill(cache: &mut Cache, names: usize, resource: &Arc<Resource>) {
        for name in 0..names {
            cache.insert(name.to_string().as_bytes(), Arc::clone(resource));
        }
        let kept = || cache.in_memory.iter().chain(&cache.open).map(|(_, kept)| &kept.resource);
        assert_eq!(cache.held_bytes, kept().map(|resource| resource.held_bytes()).sum::<usize>());
        assert_eq!(cache.open_files, kept().map(|resource| resource.open_files()).sum::<usize>());
    }

    #[test]
    fn bytes_paths_and_open_files_are_bounded_and_the_least_recently_used_go_first() {
        let (small, medium, large) = (file_of(1), file_of(8_000), file_of(100_000));
        let mut cache = Cache::new(1);
        fill(&mut cache, 20_000, &medium);
        assert!(cache.held_bytes <= CACHE_BYTES_MAX && cache.held_bytes > CACHE_BYTES_MAX - 10_000);
        assert!(cache.get(b"0").is_none() && cache.get(b"19999").is_some());
        fill(&mut cache, 20_000, &small);
        assert_eq!(cache.len(), CACHE_ENTRIES_MAX);
        cache.open_files_max = 10;
        assert!(cache.get(b"19000").is_some());
        fill(&mut cache, 20, &large);
        assert_eq!(cache.open_files, 10);
        assert!(cache.get(b"9").is_none() && cache.get(b"10").is_some());
        assert!(cache.give_up_files() && !cache.give_up_files());
        assert_eq!(
            (cache.open_files, cache.get(b"10").is_none(), cache.get(b"19999").is_some()),
            (0, true, true)
        );
    }

    #[test]
    fn unused_files_are_closed_in_time_and_files_in_memory_stay() {
        let (small, large) = (file_of(1), file_of(100_000));
        let mut cache = Cache::new(1);
        assert_eq!(cache.close_due_ms(), None);
        cache.insert(b"small", small);
        cache.insert(b"large", large);
        assert_eq!(cache.close_due_ms(), Some(UNUSED_MS));
        assert!(cache.pop_unused(UNUSED_MS - 1).is_none() && cache.pop_unused(UNUSED_MS).is_some());
        assert_eq!((cache.open_files, cache.len(), cache.close_due_ms()), (0, 1, None));
    }

    #[test]
    fn too_many_open_files_evict_no_file_in_memory() {
        let (small, large) = (file_of(1), file_of(100_000));
        let mut cache = Cache::new(1);
        cache.open_files_max = 10;
        cache.insert(b"small", small);
        fill(&mut cache, 1_000, &large);
        assert_eq!((cache.open_files, cache.len()), (10, 11));
        assert!(cache.get(b"small").is_some() && cache.get(b"989").is_none() && cache.get(b"990").is_some());
    }

    #[test]
    fn of_all_entries_the_least_recently_used_goes_first_whether_in_memory_or_open() {
        let (small, large) = (file_of(1), file_of(100_000));
        let mut cache = Cache::new(1);
        cache.insert(b"open", Arc::clone(&large));
        cache.insert(b"used", large);
        fill(&mut cache, CACHE_ENTRIES_MAX - 2, &small);
        assert!(cache.get(b"used").is_some() && cache.get(b"0").is_some());
        cache.insert(b"another", Arc::clone(&small));
        cache.insert(b"one more", small);
        assert!(cache.get(b"open").is_none() && cache.get(b"1").is_none(), "in the order of their last uses");
        assert!(cache.get(b"used").is_some() && cache.get(b"0").is_some() && cache.get(b"2").is_some());
    }
}
