//! The terms of the field, each explained where it first stands in a report.

/// A term and its explanation.
pub(super) type Term = (&'static str, &'static str);

/// The terms, each with the words that it stands as.
const TERMS: [(Term, &[&str]); 8] = [
    (
        (
            "Interval",
            "the confidence interval of a median: if the whole comparison were made many times, this share of the \
             intervals would contain the true median. Two servers differ clearly if their intervals do not overlap",
        ),
        &["interval"],
    ),
    (
        (
            "PSS",
            "proportional set size, the memory of a process: a page that several processes share counts for each of them in \
             equal parts, so that the sum over a tree of processes counts it once",
        ),
        &["PSS"],
    ),
    (
        (
            "Kernel memory",
            "what the kernel holds (slab, stacks, page tables, socket buffers) beyond what it held before the server \
             started",
        ),
        &["kernel memory", "Kernel memory"],
    ),
    (
        (
            "p50, p99, p99.9",
            "of 100 requests 50, or 99, were answered within this time, and of 1000 requests 999: p50 is the median, and the \
             others show the slow ones",
        ),
        &["latency p", "Latency p"],
    ),
    (
        (
            "Closed loop",
            "a client sends its next request when it has the reply: a server that is slow gets fewer requests. It shows capacity",
        ),
        &["closed loop"],
    ),
    (
        (
            "Open loop",
            "requests fall due at times that no reply changes: behind a slow reply they queue, and their wait counts. It shows \
             what users would experience",
        ),
        &["open loop"],
    ),
    (
        (
            "Little's law",
            "requests in flight = requests per second \u{d7} mean latency. The ratio of the two sides checks the measurement: \
             if it is far from 1, one of these numbers is wrong",
        ),
        &["Little's law"],
    ),
    (
        (
            "Process control",
            "what it costs to create and end what serves a client (Stevens): a process, a thread, a slot",
        ),
        &["process control", "Process control"],
    ),
];

/// The terms that are explained so far. The parts of the page are searched for them, so that none stands in
/// a part above its explanation.
#[derive(Default)]
pub(super) struct Explained(Vec<&'static str>);

impl Explained {
    /// The terms that stand in this part of the page, and in no part before it.
    pub(super) fn first_in(&mut self, html: &str) -> Vec<Term> {
        let text = shown(html);
        let stands = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let new = TERMS.iter().filter(|((term, _), words)| !self.0.contains(term) && stands(words));
        let new: Vec<Term> = new.map(|(term, _)| *term).collect();
        self.0.extend(new.iter().map(|(term, _)| *term));
        new
    }
}

/// The text between the tags.
fn shown(html: &str) -> String {
    html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_explained_in_the_first_part_that_shows_it() {
        let mut explained = Explained::default();
        let mut names = |html| explained.first_in(html).into_iter().map(|(term, _)| term).collect::<Vec<_>>();
        assert_eq!(names("<p class=\"interval\">Five clients</p>"), [""; 0], "no reader sees a class");
        assert_eq!(names("<td>by memory (PSS)</td>"), ["PSS"]);
        assert_eq!(names("<td>memory (PSS)</td><th>latency p99</th>"), ["p50, p99, p99.9"]);
        assert_eq!(names("<p>latency p50, PSS</p>"), [""; 0]);
    }
}
