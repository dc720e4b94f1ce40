//! Where a reply of raw TCP ends, found in pieces of any size without keeping them.

use std::fmt;

use regex_automata::MatchKind;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::nfa::thompson::NFA;
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};

/// Where a reply of raw TCP ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyEnd {
    /// After this many bytes; 0 means that there is no reply.
    Bytes(u64),
    /// As soon as it contains this pattern.
    Pattern(BytePattern),
    /// When the server closes the connection.
    Close,
}

/// What to look for in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BytePattern {
    /// These bytes.
    Text(Vec<u8>),
    /// A regular expression over bytes, in the syntax of the crate regex. `^` matches the start of the reply,
    /// `(?m:^)` the start of a line; `$` and `\b` depend on what follows, and cannot be used.
    Regex(String),
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It is not a regular expression.
    Syntax(String),
    /// It needs more than 1 MiB.
    TooMuch,
    /// It depends on what follows it, as `$` and `\b` do.
    LooksAhead(String),
    /// It is found in a reply without bytes.
    Empty(String),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Syntax(why) => f.write_str(why),
            PatternError::TooMuch => f.write_str("the pattern needs more than 1 MiB; write a shorter one"),
            PatternError::LooksAhead(pattern) => write!(
                f,
                "\"{}\" depends on what follows it; write the end of a line as \\r\\n, not as $ or \\b",
                pattern.escape_debug()
            ),
            PatternError::Empty(pattern) => {
                write!(f, "\"{}\" is found in a reply without bytes", pattern.escape_debug())
            }
        }
    }
}

impl std::error::Error for PatternError {}

/// Memory for the automaton of one reply, in bytes. Patterns of protocols need a few KiB, and an expression
/// such as `a.{20}b` hundreds of MiB.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

impl BytePattern {
    /// Whether it can be used by itself.
    #[cfg(feature = "cli")]
    pub(crate) fn check(&self) -> Result<(), PatternError> {
        ReplyScanner::new(None, Some(self)).map(drop)
    }

    /// The same as a regular expression.
    fn regex(&self) -> String {
        use fmt::Write;
        match self {
            BytePattern::Regex(regex) => regex.clone(),
            BytePattern::Text(text) => text.iter().fold(String::new(), |mut regex, byte| {
                let _ = write!(regex, "\\x{byte:02X}");
                regex
            }),
        }
    }

    /// As the user wrote it.
    fn shown(&self) -> String {
        match self {
            BytePattern::Regex(regex) => regex.clone(),
            BytePattern::Text(text) => text.escape_ascii().to_string(),
        }
    }
}

/// Finds the first match of two patterns in a reply: the end, and bytes that make it an error.
///
/// An automaton over bytes: its state is one number, so that a reply needs no buffer.
#[derive(Debug)]
pub(super) struct ReplyScanner {
    automaton: dense::DFA<Vec<u32>>,
    start: StateID,
    /// Patterns from this number on end the reply; before it are those that are wrong.
    end_from: usize,
}

/// What a scanner has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanOutcome {
    Nothing,
    /// The end of the reply, after this many bytes of the piece.
    End(usize),
    Wrong,
}

impl ReplyScanner {
    pub(super) fn new(
        wrong: Option<&BytePattern>,
        end: Option<&BytePattern>,
    ) -> Result<ReplyScanner, PatternError> {
        let patterns: Vec<&BytePattern> = wrong.into_iter().chain(end).collect();
        let regexes: Vec<String> = patterns.iter().map(|pattern| pattern.regex()).collect();
        for (pattern, regex) in patterns.iter().zip(&regexes) {
            let nfa = compile(&[regex])?;
            if !nfa.look_set_any().remove(Look::Start).remove(Look::StartLF).is_empty() {
                return Err(PatternError::LooksAhead(pattern.shown()));
            }
            if nfa.has_empty() {
                return Err(PatternError::Empty(pattern.shown()));
            }
        }
        let automaton = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
                    .determinize_size_limit(Some(AUTOMATON_BYTES_MAX)),
            )
            .build_from_nfa(&compile(&regexes)?)
            .map_err(|_| PatternError::TooMuch)?;
        let start = automaton
            .start_state(&start::Config::new())
            .map_err(|error| PatternError::Syntax(error.to_string()))?;
        Ok(ReplyScanner { automaton, start, end_from: usize::from(wrong.is_some()) })
    }

    /// The state at the begin of a reply.
    pub(super) fn start(&self) -> StateID {
        self.start
    }

    /// Reads a piece of a reply.
    pub(super) fn scan(&self, state: &mut StateID, bytes: &[u8]) -> ScanOutcome {
        for (at, &byte) in bytes.iter().enumerate() {
            *state = self.automaton.next_state(*state, byte);
            // The automaton reports a match one byte late, so ask it whether there is a match if nothing
            // follows.
            let here = self.automaton.next_eoi_state(*state);
            if self.automaton.is_match_state(here) {
                let mut found = (0..self.automaton.match_len(here))
                    .map(|index| self.automaton.match_pattern(here, index).as_usize());
                let is_end = found.all(|pattern| pattern >= self.end_from);
                return if is_end { ScanOutcome::End(at + 1) } else { ScanOutcome::Wrong };
            }
        }
        ScanOutcome::Nothing
    }
}

fn compile<P: AsRef<str>>(regexes: &[P]) -> Result<NFA, PatternError> {
    NFA::compiler()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(
            regex_automata::nfa::thompson::Config::new()
                .utf8(false)
                .nfa_size_limit(Some(AUTOMATON_BYTES_MAX)),
        )
        .build_many(regexes)
        .map_err(|error| {
            if error.size_limit().is_some() {
                return PatternError::TooMuch;
            }
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let text = source.unwrap_or_else(|| error.to_string());
            // The parser draws the expression with a caret below; its last line has the mistake.
            let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(&text);
            PatternError::Syntax(line.trim_start_matches("error: ").trim().to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> BytePattern {
        BytePattern::Text(text.as_bytes().to_vec())
    }

    fn regex(text: &str) -> BytePattern {
        BytePattern::Regex(text.to_owned())
    }

    /// Where the reply ends when it comes in pieces of `step`; `None` if it does not, or is wrong.
    fn end(scanner: &ReplyScanner, reply: &[u8], step: usize) -> Result<Option<usize>, &'static str> {
        let (mut state, mut before) = (scanner.start(), 0);
        for piece in reply.chunks(step) {
            match scanner.scan(&mut state, piece) {
                ScanOutcome::Nothing => before += piece.len(),
                ScanOutcome::End(len) => return Ok(Some(before + len)),
                ScanOutcome::Wrong => return Err("wrong"),
            }
        }
        Ok(None)
    }

    #[test]
    fn an_end_is_found_however_the_reply_is_split() {
        for (pattern, reply, expected) in [
            (text("+PONG\r\n"), &b"+PONG\r\nrest"[..], Some(7)),
            (text("aab"), b"aaab", Some(4)),
            (text("\r\n\r\n"), b"a\r\n\r\r\n\r\nb", Some(8)),
            (text("END\r\n"), b"VALUE a 0 3\r\nEND\r\n", Some(18)),
            (text("x"), b"\xff\x00", None),
            (BytePattern::Text(vec![0, 0xff]), b"\x00\x00\xff\x01", Some(3)),
            (regex(r"^220 [^\r]*\r\n"), b"220 mail\r\n", Some(10)),
            (regex(r"^220 [^\r]*\r\n"), b"x220 mail\r\n", None),
            (regex(r"(?m:^)250 [^\r\n]*\r\n"), b"250-SIZE 250 1\r\n250 HELP\r\n", Some(26)),
            (regex(r"a|ab"), b"ab", Some(1)),
            (regex(r"\d{3}"), b"ab12345", Some(5)),
            (regex(r".\xff"), b"\xfe\xff", Some(2)),
        ] {
            let scanner = ReplyScanner::new(None, Some(&pattern)).unwrap();
            for step in 1..=reply.len() {
                assert_eq!(end(&scanner, reply, step), Ok(expected), "{pattern:?} by {step}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_found_before_the_end() {
        let scanner = ReplyScanner::new(Some(&regex("^-")), Some(&text("\r\n"))).unwrap();
        for step in [1, 3, 100] {
            assert_eq!(end(&scanner, b"+OK\r\n", step), Ok(Some(5)));
            assert_eq!(end(&scanner, b"-ERR unknown\r\n", step), Err("wrong"));
            assert_eq!(end(&scanner, b"+a-b\r\n", step), Ok(Some(6)), "^ is the begin");
        }
        let both = ReplyScanner::new(Some(&text("b\r\n")), Some(&text("\r\n"))).unwrap();
        assert_eq!(end(&both, b"b\r\n", 1), Err("wrong"), "with the same byte");
        let alone = ReplyScanner::new(Some(&text("no")), None).unwrap();
        assert_eq!((end(&alone, b"yes", 2), end(&alone, b"nno", 2)), (Ok(None), Err("wrong")));
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_reported() {
        for (pattern, part) in [
            (regex("a("), "unclosed group"),
            (regex("a$"), "depends on what follows it"),
            (regex(r"\bword\b"), "depends on what follows it"),
            (regex("a*"), "is found in a reply without bytes"),
            (text(""), "is found in a reply without bytes"),
            (regex("a.{20}b"), "needs more than 1 MiB"),
        ] {
            let error = ReplyScanner::new(None, Some(&pattern)).unwrap_err();
            assert!(error.to_string().contains(part), "{pattern:?}: {error}");
        }
    }
}
