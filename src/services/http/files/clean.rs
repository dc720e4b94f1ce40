//! Clean URLs: pages by their name without `.html`.
//!
//! Each page has one address. `/about` answers with `about.html`, unless there is a file `about`; a directory
//! of that name is at `/about/`. `/about.html` redirects to `/about`, and so does `/about/` if there is no
//! such directory. The page of a directory has the directory's address: `/index.html` and `/index` redirect
//! to `/`. The target of a redirect is never redirected again, so there is no loop.

use super::super::codec::target::encode_segment;
use super::config::Site;
use crate::sys::files::FileKind;

const SUFFIX: &[u8] = b".html";

/// Whether a path may redirect to another although it is the path of a file.
pub(crate) fn is_page(site: &Site, path: &[u8]) -> bool {
    site.clean_urls && path.ends_with(SUFFIX)
}

/// The page of a path at which there is no file.
pub(crate) fn page_of(site: &Site, path: &[u8]) -> Option<Vec<u8>> {
    site.clean_urls.then(|| [path, SUFFIX].concat())
}

/// The address of a page, seen from another path.
#[derive(Debug)]
pub(crate) struct PageAddress {
    /// How many directories further up it is.
    pub(crate) levels_up: usize,
    /// The rest of the relative reference.
    pub(crate) name: String,
}

/// The address of the page that this path should redirect to.
pub(crate) fn moved(site: &Site, path: &[u8]) -> Option<PageAddress> {
    let beside = |name| PageAddress { levels_up: 0, name };
    if !site.clean_urls || path.is_empty() {
        return None;
    }
    let is = |path: &[u8], kind| site.root.stat(path).is_ok_and(|stat| stat.kind == kind);
    let is_file = |path: &[u8]| is(path, FileKind::File);
    if let Some(clean) = path.strip_suffix(b"/") {
        let moves = is_file(&[clean, SUFFIX].concat()) && !is(clean, FileKind::Directory);
        return moves.then(|| PageAddress { levels_up: 1, name: encode_segment(name_of(clean)).to_string() });
    }
    let clean = path.strip_suffix(SUFFIX).unwrap_or(path);
    let (name, page) = (name_of(clean), [clean, SUFFIX].concat());
    let is_index = site.index.iter().any(|index| index.strip_suffix(SUFFIX) == Some(name));
    // `.html`, `..html` and `...html` leave no name.
    if matches!(name, b"" | b"." | b"..") || (path == clean && !is_index) || !is_file(&page) || is_file(clean)
    {
        return None;
    }
    let parent = &clean[..clean.len() - name.len()];
    let first = site.index.iter().map(|index| [parent, index].concat()).find(|index| is_file(index));
    match first {
        Some(first) if first == page => Some(beside("./".to_owned())),
        _ => (path != clean).then(|| beside(encode_segment(name).to_string())),
    }
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}
