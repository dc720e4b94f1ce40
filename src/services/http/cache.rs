//! Files kept in memory or open, the least recently used given up first.

use lru::LruCache;
use std::sync::Arc;

use super::bounds::{CACHE_BYTES_MAX, CACHE_ENTRIES_MAX, CACHE_FILES_MAX, DESCRIPTORS_PER_CACHE_FILE};
use super::resource::Resource;
use crate::sys::process::descriptors_max;

/// What was found before, by path. Only what exists is kept, so clients cannot fill it with what they invent.
#[derive(Debug)]
pub(super) struct Cache {
    entries: LruCache<Box<[u8]>, Arc<Resource>>,
    held_bytes: usize,
    open_files: usize,
    open_files_max: usize,
}

/// How many files a service keeps open at most, where a process may have so many descriptors.
pub(super) fn open_files_max(descriptors: u64) -> usize {
    let share = usize::try_from(descriptors / DESCRIPTORS_PER_CACHE_FILE).unwrap_or(CACHE_FILES_MAX);
    share.clamp(1, CACHE_FILES_MAX)
}

impl Cache {
    pub(super) fn new() -> Cache {
        let open_files_max = descriptors_max().map_or(CACHE_FILES_MAX, open_files_max);
        Cache { entries: LruCache::unbounded(), held_bytes: 0, open_files: 0, open_files_max }
    }

    pub(super) fn get(&mut self, path: &[u8]) -> Option<&Arc<Resource>> {
        self.entries.get(path)
    }

    pub(super) fn remove(&mut self, path: &[u8]) {
        if let Some(old) = self.entries.pop(path) {
            self.forget(&old);
        }
    }

    /// Keeps `resource`, and gives up others where a bound demands it.
    pub(super) fn insert(&mut self, path: &[u8], resource: Arc<Resource>) {
        self.remove(path);
        self.held_bytes += resource.held_bytes();
        self.open_files += resource.open_files();
        self.entries.put(path.into(), resource);
        while self.held_bytes > CACHE_BYTES_MAX
            || self.open_files > self.open_files_max
            || self.entries.len() > CACHE_ENTRIES_MAX
        {
            let Some((_, old)) = self.entries.pop_lru() else { break };
            self.forget(&old);
        }
    }

    /// Gives up all that is kept open, because there are no descriptors; says whether there was anything.
    pub(super) fn give_up_files(&mut self) -> bool {
        if self.open_files == 0 {
            return false;
        }
        let open = self.entries.iter().filter(|(_, resource)| resource.open_files() > 0);
        let paths: Vec<_> = open.map(|(path, _)| path.clone()).collect();
        for path in paths {
            self.remove(&path);
        }
        true
    }

    fn forget(&mut self, old: &Resource) {
        self.held_bytes -= old.held_bytes();
        self.open_files -= old.open_files();
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::Config;
    use super::super::config::Site;
    use super::super::resource::{Found, find};
    use super::*;
    use crate::session::Now;

    fn file_of(bytes: usize) -> Arc<Resource> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), vec![b'x'; bytes]).unwrap();
        let site = Site::new(Config::new(dir.path())).unwrap();
        match find(&site, b"file", Now { monotonic_ms: 0, wall: UNIX_EPOCH }) {
            Found::File(resource) => resource,
            _ => panic!("no file"),
        }
    }

    /// Keeps it under so many names.
    fn fill(cache: &mut Cache, names: usize, resource: &Arc<Resource>) {
        for name in 0..names {
            cache.insert(name.to_string().as_bytes(), Arc::clone(resource));
        }
        let kept = || cache.entries.iter().map(|(_, resource)| resource);
        assert_eq!(cache.held_bytes, kept().map(|resource| resource.held_bytes()).sum::<usize>());
        assert_eq!(cache.open_files, kept().map(|resource| resource.open_files()).sum::<usize>());
    }

    #[test]
    fn bytes_paths_and_open_files_are_bounded_and_the_least_recently_used_go_first() {
        let (small, medium, large) = (file_of(1), file_of(8_000), file_of(100_000));
        let mut cache = Cache::new();
        fill(&mut cache, 20_000, &medium);
        assert!(cache.held_bytes <= CACHE_BYTES_MAX && cache.held_bytes > CACHE_BYTES_MAX - 10_000);
        assert!(cache.get(b"0").is_none() && cache.get(b"19999").is_some());
        fill(&mut cache, 20_000, &small);
        assert_eq!(cache.entries.len(), CACHE_ENTRIES_MAX);
        cache.open_files_max = 10;
        assert!(cache.get(b"19000").is_some());
        fill(&mut cache, 20, &large);
        assert_eq!(cache.open_files, 10);
        assert!(cache.get(b"9").is_none() && cache.get(b"10").is_some());
        cache.insert(b"19999", Arc::clone(&small));
        assert!(cache.give_up_files() && !cache.give_up_files());
        assert_eq!(
            (cache.open_files, cache.get(b"10").is_none(), cache.get(b"19999").is_some()),
            (0, true, true)
        );
    }
}
