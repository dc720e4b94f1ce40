//! Words of the command line: quoting for a shell, and suggestions for misspelt names.

/// Characters without a special meaning in bash and zsh.
fn is_plain(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-_=,./:@%+".contains(char)
}

/// The word, quoted if bash, zsh or another POSIX shell needs it.
pub(super) fn quoted(word: &str) -> String {
    // zsh expands a leading `=` to the path of a command.
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whether a word has the form of a URL with its scheme.
pub(super) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// The words of a command as a shell splits them.
pub(super) fn split(command: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted, mut chars) = (Vec::new(), String::new(), false, command.chars());
    while let Some(char) = chars.next() {
        match char {
            '\'' => is_quoted = !is_quoted,
            '\\' if !is_quoted => word.extend(chars.next()),
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            char => word.push(char),
        }
    }
    words.push(word);
    words
}

/// The command `oneloop` with these arguments, quoted for a shell.
pub(super) fn command(arguments: &[&str]) -> String {
    let words = arguments.iter().map(|word| quoted(word));
    std::iter::once("oneloop".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The command of this process, quoted for a shell.
pub(super) fn typed() -> String {
    let words = std::env::args().skip(1).map(|word| quoted(&word));
    std::iter::once("oneloop".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Words longer than this are not compared: the work grows with the square.
const COMPARED_CHARS_MAX: usize = 40;

/// The name that `word` probably means: at most a third of its letters (one letter in a short word) are
/// wrong, missing, superfluous or swapped with their neighbour.
pub(super) fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(COMPARED_CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
    if word.len() > COMPARED_CHARS_MAX {
        return None;
    }
    let distances = names.into_iter().map(|name| (distance(&word, &name.chars().collect::<Vec<_>>()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    let letters = word.len().max(name.chars().count());
    (distance <= (letters / 3).max(1) && distance < word.len()).then_some(name)
}

/// How many letters must be replaced, removed, inserted or swapped with their neighbour to turn one word into
/// the other (optimal string alignment distance).
fn distance(from: &[char], to: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (row, a) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let replaced = rows[row][column] + usize::from(a != b);
            let mut least = replaced.min(rows[row][column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b {
                least = least.min(rows[row - 1][column - 1] + 1);
            }
            next.push(least);
        }
        rows.push(next);
    }
    rows[from.len()][to.len()]
}

/// `; did you mean NAME?`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, names).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_change_are_quoted() {
        for (word, shown) in [
            ("echo@127.0.0.1:7007", "echo@127.0.0.1:7007"),
            ("http=site@*:80", "'http=site@*:80'"),
            ("echo@[::1]:7", "'echo@[::1]:7'"),
            ("p99<5ms", "'p99<5ms'"),
            ("it's", r"'it'\''s'"),
            ("~/site", "'~/site'"),
            ("=x", "'=x'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
        assert_eq!(command(&["serve", "echo@*:7"]), "oneloop serve 'echo@*:7'");
        assert_eq!(command(&["serve", "--charset", ""]), "oneloop serve --charset ''");
    }

    #[test]
    fn a_misspelt_name_is_found_and_another_word_is_not() {
        let names = ["message", "echo", "discard", "daytime", "chargen", "http", "time"];
        for (word, name) in [
            ("ecko", Some("echo")),
            ("eco", Some("echo")),
            ("ehco", Some("echo")),
            ("Echo", Some("echo")),
            ("htttp", Some("http")),
            ("https", Some("http")),
            ("mesage", Some("message")),
            ("chargin", Some("chargen")),
            ("site", None),
            ("x", None),
            ("", None),
            ("nginx", None),
        ] {
            assert_eq!(closest(word, names), name, "{word}");
        }
        assert_eq!(closest(&"e".repeat(10_000), names), None);
    }
}
