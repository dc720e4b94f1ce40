//! The values of variables in requests, from a CSV file.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::load::clients::Rows;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Variables in requests")]
pub(super) struct ValuesArgs {
    /// A CSV file whose first line names its columns: {NAME} in a request is replaced by a value of the
    /// column
    ///
    /// Each request takes the next row; after the last row the first follows. Values are encoded in URLs.
    /// {counter}, {random} and {random:1-1000} exist without this option. Other braces in header fields and
    /// bodies are sent unchanged; in a URL, {NAME} without such a column is a mistake.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
}

impl ValuesArgs {
    pub(super) fn is_given(&self) -> bool {
        self.values.is_some()
    }

    /// The table in the file.
    pub(super) fn rows(&self) -> Result<Rows, Failure> {
        let Some(path) = &self.values else { return Ok(Rows::default()) };
        let name = path.display();
        let cannot = |error: csv::Error| match error.position().map(csv::Position::line) {
            Some(line) => Failure::Usage(format!("--values: {name}:{line}: {}", reason(&error))),
            None => Failure::Usage(format!("--values: cannot read {name}: {}", reason(&error))),
        };
        let mut reader = csv::ReaderBuilder::new().from_path(path).map_err(cannot)?;
        let columns: Vec<String> = reader.headers().map_err(cannot)?.iter().map(str::to_owned).collect();
        if columns.iter().all(String::is_empty) {
            return Err(Failure::Usage(format!("--values: {name} has no line that names its columns")));
        }
        let mut rows = Rows::new(columns);
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(cannot)? {
            rows.push(record.iter().collect::<Vec<_>>().into_iter()).map_err(|error| {
                let line = record.position().map_or(0, csv::Position::line);
                Failure::Usage(format!("--values: {name}:{line}: {error}"))
            })?;
        }
        if rows.is_empty() {
            return Err(Failure::Usage(format!(
                "--values: {name} has no row behind the names of its columns"
            )));
        }
        Ok(rows)
    }
}

/// The mistake that no request has a variable of the table.
pub(super) fn without_column(rows: &Rows, places: &str) -> Failure {
    let names: Vec<String> = rows.columns().iter().map(|column| format!("{{{column}}}")).collect();
    Failure::Usage(format!(
        "--values has no effect, because no request has {} in it; write that into {places}, or leave out --values",
        names.join(" or ")
    ))
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} values, and there are {expected_len} columns")
        }
        csv::ErrorKind::Utf8 { .. } => "the names of the columns are not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}
