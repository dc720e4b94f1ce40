//! The page around plots and tables.

use super::svg::escape;

/// A page with this title and content; the content is HTML. It needs no other file and no network.
pub(crate) fn page(title: &str, content: &str) -> String {
    let style = include_str!("page.css");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">\
         <title>{}</title><style>{style}</style></head><body><main>\n{content}</main></body></html>\n",
        escape(title)
    )
}
