//! Bytes with variables in them, which differ from request to request.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::load::random::Random;

/// Bytes to send, with variables in braces: `{counter}`, `{random}`, `{random:1-1000}`, and the name of a
/// column of [`Rows`]. Other braces are sent as they are.
///
/// ```
/// use oneloop::load::clients::{Rows, Template};
///
/// let template = Template::parse(b"SET key:{random:1-1000} {counter}\r\n", &Rows::default())?;
/// assert!(!template.is_fixed());
/// # Ok::<(), oneloop::load::clients::TemplateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(Vec<u8>),
    Counter,
    /// From the first to the last number.
    Random(u64, u64),
    /// The column with this number and name.
    Column(usize, String),
}

/// Why bytes are not a valid template.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// The text after `{random:` is not a range such as `1-1000`.
    Range(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TemplateError::Range(range) = self;
        write!(f, "{{random:{}}}: write a range as {{random:1-1000}}", range.escape_debug())
    }
}

impl std::error::Error for TemplateError {}

/// How the values of columns are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Raw,
    /// For a URL: bytes that could end a part of the URL become %XX.
    Url,
}

/// A longer text in braces is not a variable.
const NAME_BYTES_MAX: usize = 64;

impl Template {
    /// Finds the variables.
    pub fn parse(text: &[u8], rows: &Rows) -> Result<Self, TemplateError> {
        let (mut parts, mut fixed, mut rest) = (Vec::new(), Vec::new(), text);
        // Bounded: each pass takes a byte at least.
        while let Some(at) = rest.iter().position(|&byte| byte == b'{') {
            let (before, braced) = rest.split_at(at);
            fixed.extend_from_slice(before);
            let end = braced.iter().take(NAME_BYTES_MAX + 2).position(|&byte| byte == b'}');
            if let Some(end) = end
                && let Some(part) = variable(&braced[1..end], rows)?
            {
                if !fixed.is_empty() {
                    parts.push(TemplatePart::Text(std::mem::take(&mut fixed)));
                }
                parts.push(part);
                rest = &braced[end + 1..];
            } else {
                fixed.push(b'{');
                rest = &braced[1..];
            }
        }
        fixed.extend_from_slice(rest);
        if !fixed.is_empty() {
            parts.push(TemplatePart::Text(fixed));
        }
        Ok(Template { parts })
    }

    /// These bytes, whatever they contain.
    pub fn fixed(text: &[u8]) -> Self {
        let parts = if text.is_empty() { Vec::new() } else { vec![TemplatePart::Text(text.to_vec())] };
        Template { parts }
    }

    /// Whether it has no variables.
    pub fn is_fixed(&self) -> bool {
        self.as_fixed().is_some()
    }

    /// Its bytes, if it has no variables.
    pub(super) fn as_fixed(&self) -> Option<&[u8]> {
        match &self.parts[..] {
            [] => Some(&[]),
            [TemplatePart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it has a column of the rows.
    #[cfg(feature = "cli")]
    pub(crate) fn has_column(&self) -> bool {
        self.columns().next().is_some()
    }

    /// The numbers of the columns in it.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Column(column, _) => Some(*column),
            _ => None,
        })
    }

    /// As it was written, with bytes that are not printable escaped.
    pub(super) fn shown(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            TemplatePart::Text(text) => text.escape_ascii().to_string(),
            TemplatePart::Counter => "{counter}".to_owned(),
            TemplatePart::Random(0, u64::MAX) => "{random}".to_owned(),
            TemplatePart::Random(min, max) => format!("{{random:{min}-{max}}}"),
            TemplatePart::Column(_, name) => format!("{{{name}}}"),
        });
        parts.collect()
    }

    /// Appends the bytes of one request.
    pub(super) fn render(&self, draw: &mut Draw<'_>, encoding: Encoding, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => out.extend_from_slice(text),
                TemplatePart::Counter => append(out, draw.counter()),
                TemplatePart::Random(min, max) => append(out, draw.random(*min, *max)),
                TemplatePart::Column(column, _) => match (encoding, draw.column(*column)) {
                    (Encoding::Raw, value) => out.extend_from_slice(value),
                    (Encoding::Url, value) => append_encoded(out, value),
                },
            }
        }
    }
}

/// The variable with this name.
fn variable(name: &[u8], rows: &Rows) -> Result<Option<TemplatePart>, TemplateError> {
    let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
    if let Some(column) = rows.columns.iter().position(|column| column == name) {
        return Ok(Some(TemplatePart::Column(column, name.to_owned())));
    }
    Ok(match name {
        "counter" => Some(TemplatePart::Counter),
        "random" => Some(TemplatePart::Random(0, u64::MAX)),
        _ => match name.strip_prefix("random:") {
            Some(range) => {
                let numbers = range.split_once('-').and_then(|(min, max)| {
                    Some((min.parse().ok()?, max.parse().ok()?)).filter(|(min, max): &(u64, u64)| min <= max)
                });
                let (min, max) = numbers.ok_or_else(|| TemplateError::Range(range.to_owned()))?;
                Some(TemplatePart::Random(min, max))
            }
            None => None,
        },
    })
}

/// Appends a number in decimal digits.
fn append(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    // Bounded by the digits of 64 bits.
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// Appends a value with all but unreserved characters (RFC 3986, section 2.3) as %XX.
fn append_encoded(out: &mut Vec<u8>, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
            out.extend_from_slice(&[b'%', digits[0], digits[1]]);
        }
    }
}

/// A table of values, whose columns have names. Each request takes the next row; after the last row the first
/// follows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    columns: Vec<String>,
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`, row by row.
    ends: Vec<u32>,
}

/// Why a row cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowError {
    /// It has more or fewer values than there are columns.
    Length {
        /// Values of the row.
        values: usize,
        /// Columns of the table.
        columns: usize,
    },
    /// The table would have more than 1 GiB.
    TooMuch,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowError::Length { values, columns } => {
                write!(f, "the row has {values} values, and there are {columns} columns")
            }
            RowError::TooMuch => f.write_str("the values have more than 1 GiB"),
        }
    }
}

impl std::error::Error for RowError {}

/// The bytes of all values.
const ROWS_BYTES_MAX: usize = 1 << 30;

impl Rows {
    /// A table without rows.
    pub fn new(columns: Vec<String>) -> Self {
        Rows { columns, ..Rows::default() }
    }

    /// Appends a row.
    pub fn push<'a>(&mut self, values: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<(), RowError> {
        if values.len() != self.columns.len() {
            return Err(RowError::Length { values: values.len(), columns: self.columns.len() });
        }
        for value in values {
            if self.bytes.len() + value.len() > ROWS_BYTES_MAX {
                return Err(RowError::TooMuch);
            }
            self.bytes.extend_from_slice(value);
            self.ends.push(self.bytes.len() as u32);
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len().checked_div(self.columns.len()).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether a value of this column has control characters.
    pub(super) fn has_controls(&self, column: usize) -> bool {
        (0..self.len()).any(|row| self.value(row, column).iter().any(u8::is_ascii_control))
    }

    fn value(&self, row: usize, column: usize) -> &[u8] {
        let at = row * self.columns.len() + column;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(at).map_or(&[], |&end| &self.bytes[start as usize..end as usize])
    }
}

/// What the variables of all requests of a run share.
#[derive(Debug, Default)]
pub(super) struct Variables {
    rows: Rows,
    seed: u64,
    counter: AtomicU64,
    next_row: AtomicU64,
    connections: AtomicU64,
}

impl Variables {
    pub(super) fn new(rows: Rows, seed: u64) -> Self {
        Variables { rows, seed, ..Variables::default() }
    }

    /// The random numbers of one connection.
    pub(super) fn random(&self) -> Random {
        let number = self.connections.fetch_add(1, Relaxed);
        Random::new(Random::new(self.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d)).next())
    }

    /// The values of one request.
    pub(super) fn draw<'a>(&'a self, random: &'a mut Random) -> Draw<'a> {
        Draw { variables: self, random, counter: None, row: None }
    }
}

/// The values of one request: within it, all uses of the counter and of the row have the same value.
pub(super) struct Draw<'a> {
    variables: &'a Variables,
    random: &'a mut Random,
    counter: Option<u64>,
    row: Option<usize>,
}

impl<'a> Draw<'a> {
    fn counter(&mut self) -> u64 {
        *self.counter.get_or_insert_with(|| self.variables.counter.fetch_add(1, Relaxed))
    }

    fn random(&mut self, min: u64, max: u64) -> u64 {
        let number = self.random.next();
        match (max - min).checked_add(1) {
            Some(span) => min + ((u128::from(number) * u128::from(span)) >> 64) as u64,
            None => number,
        }
    }

    fn column(&mut self, column: usize) -> &'a [u8] {
        let variables = self.variables;
        let row = *self.row.get_or_insert_with(|| {
            let number = variables.next_row.fetch_add(1, Relaxed);
            (number % variables.rows.len().max(1) as u64) as usize
        });
        variables.rows.value(row, column)
    }
}

/// Requests of one connection that were begun and not yet sent, at most as many as it may have in flight.
#[derive(Debug, Default)]
pub(super) struct RenderedRequests {
    queue: VecDeque<Vec<u8>>,
    /// The number of the first.
    first: u64,
    /// The buffer of the last sent request, for the next one, which then needs no allocation.
    spare: Vec<u8>,
}

impl RenderedRequests {
    /// A buffer for request `number`, which follows those that were begun before.
    pub(super) fn begin(&mut self, number: u64) -> &mut Vec<u8> {
        if self.queue.is_empty() {
            self.first = number;
        }
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.clear();
        self.queue.push_back(buffer);
        let last = self.queue.len() - 1;
        &mut self.queue[last]
    }

    /// The bytes of request `number`; `None` if it was not begun.
    pub(super) fn get(&self, number: u64) -> Option<&[u8]> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.queue.get(at).map(Vec::as_slice)
    }

    /// Request `number`, the oldest, was sent.
    pub(super) fn sent(&mut self, number: u64) {
        if number == self.first
            && let Some(buffer) = self.queue.pop_front()
        {
            self.first += 1;
            self.spare = buffer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::new(vec!["user".to_owned(), "city".to_owned()]);
        rows.push([&b"ann"[..], b"Z\xc3\xbcrich"].into_iter()).unwrap();
        rows.push([&b"bob"[..], b"a&b c"].into_iter()).unwrap();
        rows
    }

    fn render(text: &str, variables: &Variables, encoding: Encoding) -> String {
        let template = Template::parse(text.as_bytes(), &variables.rows).unwrap();
        let (mut out, mut random) = (Vec::new(), variables.random());
        template.render(&mut variables.draw(&mut random), encoding, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn variables_are_replaced_and_other_braces_are_not() {
        let variables = Variables::new(rows(), 7);
        assert_eq!(
            render("a{counter}b{counter}", &variables, Encoding::Raw),
            "a0b0",
            "one value per request"
        );
        assert_eq!(render("{counter}", &variables, Encoding::Raw), "1");
        assert_eq!(render("{user}/{city}", &variables, Encoding::Raw), "ann/Zürich");
        assert_eq!(render("/{user}?c={city}", &variables, Encoding::Url), "/bob?c=a%26b%20c");
        assert_eq!(render("{user}", &variables, Encoding::Raw), "ann", "the first row follows the last");
        let json = "{\"a\": {\"b\": [{}]}, \"c\": \"{other}\", {counter";
        assert_eq!(render(json, &variables, Encoding::Raw), json);
        assert!(Template::parse(json.as_bytes(), &rows()).unwrap().is_fixed());
        for _ in 0..1000 {
            let number: u64 = render("{random:3-5}", &variables, Encoding::Raw).parse().unwrap();
            assert!((3..=5).contains(&number));
        }
        assert_eq!(render("{random:9-9}", &variables, Encoding::Raw), "9");
        let (a, b) =
            (render("{random}", &variables, Encoding::Raw), render("{random}", &variables, Encoding::Raw));
        assert_ne!(a, b, "each connection has its own");
        for wrong in ["{random:}", "{random:5-3}", "{random:a-b}", "{random:1-99999999999999999999}"] {
            let error = Template::parse(wrong.as_bytes(), &Rows::default()).unwrap_err();
            assert!(error.to_string().contains("write a range as {random:1-1000}"), "{error}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let all = |seed| {
            let variables = Variables::new(Rows::default(), seed);
            (0..4).map(|_| render("{random}", &variables, Encoding::Raw)).collect::<Vec<_>>()
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
    }

    #[test]
    fn a_row_has_a_value_for_each_column() {
        let mut rows = rows();
        let error = rows.push([&b"x"[..]].into_iter()).unwrap_err();
        assert_eq!(error.to_string(), "the row has 1 values, and there are 2 columns");
        assert_eq!((rows.len(), rows.is_empty(), Rows::default().len()), (2, false, 0));
    }

    #[test]
    fn requests_are_kept_until_they_are_sent() {
        let mut outgoing = RenderedRequests::default();
        for number in 5..8 {
            outgoing.begin(number).extend_from_slice(number.to_string().as_bytes());
        }
        assert_eq!(outgoing.get(6), Some(&b"6"[..]));
        outgoing.sent(5);
        assert_eq!((outgoing.get(5), outgoing.get(7), outgoing.get(8)), (None, Some(&b"7"[..]), None));
        outgoing.sent(6);
        outgoing.sent(7);
        assert!(outgoing.begin(8).is_empty(), "a buffer that was used before is empty");
        assert_eq!(outgoing.get(8), Some(&b""[..]));
    }
}
