//! From the file to staged rows: a thread of its own reads and types, and hands over small batches, so that neither the file's rows
//! nor the runtime's time pile up.

use bytes::Bytes;
use chrono::NaiveDate;
use serde_json::{Map, Value};
use tokio::sync::mpsc::Sender;

use super::columns::{Cells, Header, header, typed};
use super::kinds::Kind;
use super::rules::{ImportFailure, MOST_ROWS, masked};
use super::store::SealedRow;
use super::work::{Fault, PAYLOAD};
use crate::http::Bilingual;
use crate::ids::ImportId;
use crate::sheets::read::{self, Found, Line, Refusal};
use crate::vault::{Purpose, Vault};

/// Rows of one batch.
const BATCH: usize = 500;

/// What the thread hands over.
pub struct Batch {
    /// Rows, sealed.
    pub rows: Vec<SealedRow>,
    /// What is wrong with them by themselves.
    pub faults: Vec<Fault>,
}

/// What was read in all.
#[derive(Debug, Default)]
pub struct Reading {
    /// The sheet.
    pub sheet: Option<String>,
    /// Field of each column, empty where it is ignored.
    pub fields: Vec<String>,
    /// Titles of columns that cannot be written.
    pub ignored: Vec<String>,
    /// How many rows.
    pub rows: i32,
    /// Why it is refused as a whole.
    pub failure: Option<ImportFailure>,
}

/// What the thread needs.
pub struct Source {
    /// The import.
    pub id: ImportId,
    /// Its kind.
    pub kind: &'static Kind,
    /// Type of the file.
    pub media_type: String,
    /// The file.
    pub bytes: Bytes,
    /// Seals the rows.
    pub vault: Vault,
    /// Today.
    pub today: NaiveDate,
}

impl From<Refusal> for ImportFailure {
    fn from(refusal: Refusal) -> Self {
        // The codes of refusals are failures too; a test holds the two against one another.
        refusal.as_str().parse().unwrap_or(Self::Broken)
    }
}

/// Reads everything; ends early when nobody listens any more.
pub fn read_all(source: &Source, out: &Sender<Batch>) -> Reading {
    let mut staging = Staging { source, out, columns: None, reading: Reading::default(), rows: vec![], faults: vec![] };
    let table = read::read(&source.media_type, &source.bytes, |line| staging.take(line));
    staging.flush();
    let mut reading = staging.reading;
    match table {
        Err(refusal) => reading.failure = Some(refusal.into()),
        Ok(table) => {
            reading.sheet = table.sheet;
            if reading.failure.is_none() && reading.rows == 0 {
                reading.failure = Some(ImportFailure::Empty);
            }
        }
    }
    reading
}

struct Staging<'a> {
    source: &'a Source,
    out: &'a Sender<Batch>,
    /// Column of the kind for each column of the file; none before the header was read.
    columns: Option<Vec<Option<usize>>>,
    reading: Reading,
    rows: Vec<SealedRow>,
    faults: Vec<Fault>,
}

impl Staging<'_> {
    fn take(&mut self, line: Line) -> bool {
        let Some(columns) = &self.columns else { return self.header(line) };
        if self.reading.rows as usize == MOST_ROWS {
            self.reading.failure = Some(ImportFailure::TooManyRows);
            return false;
        }
        let row = cells(self.source, columns, &line, &mut self.faults);
        self.reading.rows += 1;
        self.rows.push(row);
        self.rows.len() < BATCH || self.flush()
    }

    fn flush(&mut self) -> bool {
        let batch = Batch { rows: std::mem::take(&mut self.rows), faults: std::mem::take(&mut self.faults) };
        self.out.blocking_send(batch).is_ok()
    }

    /// The first row with something in it. Columns that are unknown, missing or there twice end the reading.
    fn header(&mut self, line: Line) -> bool {
        let kind = self.source.kind;
        let width = line.cells.last().map_or(0, |(column, _)| column + 1);
        let (mut columns, mut fields) = (vec![None; width], vec![String::new(); width]);
        let number = line.number as i32;
        let mut fault = |column: usize, field: Option<&str>, code: &'static str, zh: String, en: String| {
            let column = Some(column);
            self.faults.push(Fault {
                number,
                column,
                field: field.map(str::to_owned),
                code: code.into(),
                message: Bilingual::new(zh, en),
                value: None,
            });
        };
        for (column, found) in &line.cells {
            let Found::Text(title) = found else {
                fault(*column, None, "unknown_column", "表头应为文本".to_owned(), "a header must be text".to_owned());
                continue;
            };
            match header(kind.columns, kind.list, title) {
                Header::Column(index) if columns.contains(&Some(index)) => {
                    let field = kind.columns[index].field;
                    fault(*column, Some(field), "repeated_column", "此列重复".to_owned(), "stands twice".to_owned());
                }
                Header::Column(index) => {
                    columns[*column] = Some(index);
                    fields[*column] = kind.columns[index].field.to_owned();
                }
                Header::ReadOnly => self.reading.ignored.push(shortened(title)),
                Header::Unknown => {
                    let title = if kind.has_secrets() { "…".to_owned() } else { shortened(title) };
                    fault(
                        *column,
                        None,
                        "unknown_column",
                        format!("没有“{title}”这一列，请用模板中的列名"),
                        format!("there is no column {title:?}"),
                    );
                }
            }
        }
        for (index, column) in kind.columns.iter().enumerate().filter(|(_, column)| column.required) {
            if !columns.contains(&Some(index)) {
                let (zh, en) = (format!("缺少“{}”列", column.zh), format!("the column {} is missing", column.field));
                fault(width, Some(column.field), "missing_column", zh, en);
            }
        }
        self.columns = Some(columns);
        self.reading.fields = fields;
        if self.faults.is_empty() {
            return true;
        }
        self.reading.failure = Some(ImportFailure::Columns);
        false
    }
}

/// A row: its cells by field, and what is wrong with them.
fn cells(source: &Source, columns: &[Option<usize>], line: &Line, faults: &mut Vec<Fault>) -> SealedRow {
    let kind = source.kind;
    let number = line.number as i32;
    let before = faults.len();
    let mut row: Map<String, Value> =
        columns.iter().flatten().map(|index| (kind.columns[*index].field.to_owned(), Value::Null)).collect();
    let mut wrong: Vec<&str> = Vec::new();
    for (place, found) in &line.cells {
        let Some(index) = columns.get(*place) else {
            // Once for a row, however wide it is.
            if faults[before..].iter().any(|fault| fault.code == "no_header") {
                continue;
            }
            let message = Bilingual::new("此列没有表头", "this column has no header");
            faults.push(Fault { number, column: Some(*place), field: None, code: "no_header".into(), message, value: None });
            continue;
        };
        let Some(column) = index.map(|index| &kind.columns[index]) else { continue };
        match typed(column, found) {
            Ok(value) => drop(row.insert(column.field.to_owned(), value)),
            Err((code, message)) => {
                wrong.push(column.field);
                let value = shown(found)
                    .filter(|_| !column.secret)
                    .map(|text| if column.personal { masked(&text) } else { shortened(&text) });
                faults.push(Fault {
                    number,
                    column: Some(*place),
                    field: Some(column.field.to_owned()),
                    code: code.into(),
                    message,
                    value,
                });
            }
        }
    }
    for column in kind.columns.iter().filter(|column| column.required) {
        if row.get(column.field).is_none_or(Value::is_null) && !wrong.contains(&column.field) {
            wrong.push(column.field);
            let message = Bilingual::new("缺少内容", "is missing");
            faults.push(Fault {
                number,
                column: None,
                field: Some(column.field.to_owned()),
                code: "required".into(),
                message,
                value: None,
            });
        }
    }
    let row = Cells(row);
    for fault in (kind.check)(&row, source.today) {
        let fault = Fault::of(number, kind, &row, fault);
        // What cannot be read has been told already.
        if !fault.field.as_deref().is_some_and(|field| wrong.contains(&field)) {
            faults.push(fault);
        }
    }
    let payload = serde_json::to_vec(&row.0).unwrap_or_default();
    let payload = source.vault.seal(Purpose::Personal, PAYLOAD, &payload);
    SealedRow { import_id: source.id, number, payload, faulty: faults.len() > before }
}

fn shown(found: &Found) -> Option<String> {
    match found {
        Found::Text(text) => Some(text.clone()),
        Found::Number(number) if number.abs() >= 1e15 => Some(format!("{number:E}")),
        Found::Number(number) => Some(number.to_string()),
        Found::Date(day) => Some(day.to_string()),
        Found::Boolean(value) => Some(value.to_string()),
        Found::Formula | Found::Error => None,
    }
}

/// A value as far as an error shows it.
pub fn shortened(text: &str) -> String {
    cut(text, 100)
}

/// So many letters of a text, without control characters.
pub fn cut(text: &str, longest: usize) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_file_is_a_failure_of_its_import() {
        for refusal in Refusal::ALL {
            assert_eq!(ImportFailure::from(*refusal).as_str(), refusal.as_str());
        }
    }
}
