//! The files of one directory: what a path leads to, what of it is sent, and what is kept between requests.

pub(crate) mod cache;
pub(crate) mod conditional;
pub(crate) mod config;
pub(crate) mod encoding;
pub(crate) mod etag;
pub(crate) mod listing;
pub(crate) mod media;
pub(crate) mod open_files;
pub(crate) mod range;
pub(crate) mod resource;
pub(crate) mod respond;
pub(crate) mod root;
