//! Writing: one row after the other into an unnamed temporary file, which nobody else can open and which a crash does not leave
//! behind. Of a workbook only the row at hand is in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use chrono::{DateTime, NaiveDate, Timelike, Utc};
use rust_xlsxwriter::{Color, Format, Workbook, Worksheet, XlsxError};

use super::{Cell, Column, Kind, SheetFormat};
use crate::clock::shanghai;

/// Most rows of one file, those of an Excel sheet without its header.
const MOST_ROWS: u32 = 1_048_575;
/// Longest text of an Excel cell, in UTF-16 units.
const LONGEST_TEXT: usize = 32_767;
/// Widest column, in digits.
const WIDEST: usize = 60;
/// What makes a spreadsheet program read a CSV field as a formula (OWASP, CSV injection), the full-width forms too.
const FORMULA: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SheetFault {
    /// More rows than a sheet holds.
    #[error("more than {MOST_ROWS} rows")]
    TooManyRows,
    /// The disk.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// CSV.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// The workbook.
    #[error("{0}")]
    Workbook(#[from] XlsxError),
}

/// A table that is being written: `new`, a `row` for each line, `finish`.
pub struct Sheet {
    columns: Vec<Column>,
    rows: u32,
    out: Out,
    file: File,
}

enum Out {
    Csv(Box<csv::Writer<BufWriter<File>>>),
    Xlsx(Box<Book>),
}

/// A workbook under way.
struct Book {
    workbook: Workbook,
    sheet: Worksheet,
    formats: Formats,
    /// Width of what stands in each column, in digits.
    widths: Vec<usize>,
}

struct Formats {
    header: Format,
    text: Format,
    integer: Format,
    number: Format,
    date: Format,
    instant: Format,
}

impl Sheet {
    /// Begins a table: the header row is written at once. Temporary files lie in `folder`; `title` names the sheet of a workbook.
    pub fn new(format: SheetFormat, title: &str, columns: &[Column], folder: &Path) -> Result<Self, SheetFault> {
        let file = tempfile::tempfile_in(folder)?;
        let out = match format {
            SheetFormat::Csv => {
                let mut start = BufWriter::new(file.try_clone()?);
                // Without the mark Excel takes the file for the local encoding.
                start.write_all("\u{feff}".as_bytes())?;
                let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(start);
                writer.write_record(columns.iter().map(|column| defused(&column.label).into_owned()))?;
                Out::Csv(Box::new(writer))
            }
            SheetFormat::Xlsx => Out::Xlsx(Box::new(Book::new(title, columns, folder)?)),
        };
        Ok(Self { columns: columns.to_vec(), rows: 0, out, file })
    }

    /// Writes one row: a cell for each column.
    pub fn row(&mut self, cells: &[Cell]) -> Result<(), SheetFault> {
        if self.rows == MOST_ROWS {
            return Err(SheetFault::TooManyRows);
        }
        self.rows += 1;
        match &mut self.out {
            Out::Csv(writer) => writer.write_record(cells.iter().map(field))?,
            Out::Xlsx(book) => book.row(self.rows, cells)?,
        }
        Ok(())
    }

    /// How many rows have been written.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Ends the table. `notes` are names and texts of a second sheet with a title, where the format has sheets. The file stands at
    /// its beginning.
    pub fn finish(self, notes_title: &str, notes: &[(String, String)]) -> Result<File, SheetFault> {
        let Self { columns, rows, out, mut file } = self;
        match out {
            Out::Csv(writer) => {
                let mut rest = writer.into_inner().map_err(|fault| fault.into_error())?;
                rest.flush()?;
            }
            Out::Xlsx(book) => book.finish(&columns, rows, notes_title, notes, &mut file)?,
        }
        file.rewind()?;
        Ok(file)
    }
}

impl Book {
    fn new(title: &str, columns: &[Column], folder: &Path) -> Result<Self, SheetFault> {
        let mut workbook = Workbook::new();
        workbook.set_tempdir(folder)?;
        let mut sheet = workbook.new_worksheet_with_constant_memory();
        sheet.set_name(title)?;
        let formats = Formats {
            header: Format::new().set_bold().set_background_color(Color::RGB(0xE7_E6_E6)).set_num_format("@"),
            text: Format::new().set_num_format("@"),
            integer: Format::new().set_num_format("0"),
            number: Format::new().set_num_format("General"),
            date: Format::new().set_num_format("yyyy-mm-dd"),
            instant: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
        };
        for (index, column) in columns.iter().enumerate() {
            // The whole column: what somebody types below the last row is read the same way.
            sheet.set_column_format(index as u16, formats.of(column.kind))?;
            sheet.write_string_with_format(0, index as u16, column.label.as_str(), &formats.header)?;
        }
        sheet.set_freeze_panes(1, 0)?;
        // A header has room for the button of the filter.
        let widths = columns.iter().map(|column| width(&column.label) + 3).collect();
        Ok(Self { workbook, sheet, formats, widths })
    }

    fn row(&mut self, row: u32, cells: &[Cell]) -> Result<(), SheetFault> {
        let Self { sheet, formats, widths, .. } = self;
        for (index, cell) in cells.iter().enumerate() {
            let column = index as u16;
            let wide = match cell {
                Cell::Empty => 0,
                Cell::Text(text) => {
                    let text = displayable(text);
                    sheet.write_string_with_format(row, column, text.as_ref(), &formats.text)?;
                    width(&text)
                }
                Cell::Integer(number) if number.unsigned_abs() < 1 << 53 => {
                    sheet.write_number_with_format(row, column, *number as f64, &formats.integer)?;
                    10
                }
                // Beyond what a cell holds exactly.
                Cell::Integer(number) => {
                    sheet.write_string_with_format(row, column, number.to_string(), &formats.text)?;
                    20
                }
                Cell::Number(number) => {
                    sheet.write_number_with_format(row, column, *number, &formats.number)?;
                    12
                }
                Cell::Boolean(value) => {
                    sheet.write_boolean(row, column, *value)?;
                    6
                }
                Cell::Date(day) => {
                    match serial_day(*day) {
                        Some(serial) => sheet.write_number_with_format(row, column, serial, &formats.date)?,
                        None => sheet.write_string_with_format(row, column, day.to_string(), &formats.text)?,
                    };
                    11
                }
                Cell::Instant(at) => {
                    match serial_instant(*at) {
                        Some(serial) => sheet.write_number_with_format(row, column, serial, &formats.instant)?,
                        None => sheet.write_string_with_format(row, column, local(*at), &formats.text)?,
                    };
                    19
                }
            };
            if let Some(widest) = widths.get_mut(index) {
                *widest = (*widest).max(wide);
            }
        }
        Ok(())
    }

    fn finish(
        self,
        columns: &[Column],
        rows: u32,
        notes_title: &str,
        notes: &[(String, String)],
        file: &mut File,
    ) -> Result<(), SheetFault> {
        let Self { mut workbook, mut sheet, formats, widths } = self;
        if let Some(last) = columns.len().checked_sub(1) {
            sheet.autofilter(0, 0, rows, last as u16)?;
        }
        for (index, wide) in widths.into_iter().enumerate() {
            sheet.set_column_width(index as u16, wide.min(WIDEST) as f64 + 1.0)?;
        }
        workbook.push_worksheet(sheet);
        if !notes.is_empty() {
            let sheet = workbook.add_worksheet();
            sheet.set_name(notes_title)?;
            sheet.set_column_width(0, 16.0)?;
            sheet.set_column_width(1, 100.0)?;
            let wrapped = formats.text.clone().set_text_wrap();
            for (row, (name, text)) in (0..).zip(notes) {
                sheet.write_string_with_format(row, 0, name, &formats.header)?;
                sheet.write_string_with_format(row, 1, displayable(text).as_ref(), &wrapped)?;
            }
        }
        Ok(workbook.save_to_writer(BufWriter::new(file))?)
    }
}

impl Formats {
    fn of(&self, kind: Kind) -> &Format {
        match kind {
            Kind::Text | Kind::Boolean => &self.text,
            Kind::Integer => &self.integer,
            Kind::Number => &self.number,
            Kind::Date => &self.date,
            Kind::Instant => &self.instant,
        }
    }
}

/// A cell as a field of CSV.
fn field(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => defused(text).into_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Number(number) => number.to_string(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Date(day) => day.to_string(),
        Cell::Instant(at) => local(*at),
    }
}

/// A text that no spreadsheet program takes for a formula: what begins like one gets an apostrophe in front. [`undefused`] is the
/// way back, also for texts that had apostrophes of their own.
pub fn defused(text: &str) -> Cow<'_, str> {
    if text.trim_start_matches('\'').starts_with(FORMULA) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// What a field said before it was defused.
pub fn undefused(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.trim_start_matches('\'').starts_with(FORMULA) => rest,
        _ => text,
    }
}

/// A text that an Excel cell can hold: without what XML cannot say, and not longer than a cell.
pub fn displayable(text: &str) -> Cow<'_, str> {
    let unsayable =
        |letter: char| (letter.is_ascii_control() && !matches!(letter, '\t' | '\n')) || matches!(letter, '\u{fffe}' | '\u{ffff}');
    let text = match text.contains(unsayable) {
        true => Cow::Owned(text.replace("\r\n", "\n").replace(unsayable, "\u{fffd}")),
        false => Cow::Borrowed(text),
    };
    let mut units = 0;
    let end = text.char_indices().find(|(_, letter)| {
        units += letter.len_utf16();
        units >= LONGEST_TEXT
    });
    match end {
        Some((end, letter)) if units > LONGEST_TEXT || end + letter.len_utf8() < text.len() => {
            Cow::Owned(format!("{}…", &text[..end]))
        }
        _ => text,
    }
}

/// How wide a text is, in digits: a Chinese character takes two.
fn width(text: &str) -> usize {
    text.chars().take(WIDEST).map(|letter| if letter < '\u{1100}' { 1 } else { 2 }).sum()
}

/// An instant as people here read it.
fn local(at: DateTime<Utc>) -> String {
    at.with_timezone(&shanghai()).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Excel's number of a day; none before March 1900, where it is wrong.
fn serial_day(day: NaiveDate) -> Option<f64> {
    let zero = NaiveDate::from_ymd_opt(1899, 12, 30)?;
    let first = NaiveDate::from_ymd_opt(1900, 3, 1)?;
    let last = NaiveDate::from_ymd_opt(9999, 12, 31)?;
    (first..=last).contains(&day).then(|| (day - zero).num_days() as f64)
}

/// Excel's number of an instant, in Asia/Shanghai, to the second.
fn serial_instant(at: DateTime<Utc>) -> Option<f64> {
    let local = at.with_timezone(&shanghai()).naive_local();
    Some(serial_day(local.date())? + f64::from(local.time().num_seconds_from_midnight()) / 86_400.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_like_a_formula_is_defused_and_comes_back() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("+8613800005678", "'+8613800005678"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("'quoted'", "'quoted'"),
            ("岳阳楼区妇联", "岳阳楼区妇联"),
            ("430602000000", "430602000000"),
            ("", ""),
        ] {
            assert_eq!(defused(text), expected);
            assert_eq!(undefused(expected), text);
        }
    }

    #[test]
    fn a_row_too_many_is_refused() {
        let columns = [Column { name: "name".to_owned(), label: "名称".to_owned(), kind: Kind::Text }];
        let mut sheet = Sheet::new(SheetFormat::Csv, "数据", &columns, &std::env::temp_dir()).unwrap();
        sheet.rows = MOST_ROWS - 1;
        sheet.row(&[Cell::Empty]).unwrap();
        assert!(matches!(sheet.row(&[Cell::Empty]), Err(SheetFault::TooManyRows)));
    }

    #[test]
    fn days_and_instants_are_excels_numbers() {
        let day = |text: &str| serial_day(text.parse().unwrap());
        assert_eq!(day("1900-03-01"), Some(61.0));
        assert_eq!(day("2019-04-10"), Some(43565.0));
        assert_eq!(day("1900-02-28"), None);
        assert_eq!(serial_instant("2019-04-10T16:00:00Z".parse().unwrap()), Some(43566.0));
        assert_eq!(serial_instant("2019-04-10T04:00:00Z".parse().unwrap()), Some(43565.5));
    }

    #[test]
    fn a_cell_holds_what_xml_can_say_and_excel_can_show() {
        assert_eq!(displayable("a\u{0}b\u{1b}c\r\nd\te"), "a\u{fffd}b\u{fffd}c\nd\te");
        assert_eq!(displayable(&"长".repeat(LONGEST_TEXT)), "长".repeat(LONGEST_TEXT));
        let long = displayable(&"长".repeat(LONGEST_TEXT + 1)).into_owned();
        assert_eq!((long.chars().count(), long.ends_with("长…")), (LONGEST_TEXT, true));
        for many in [16_384, 20_000] {
            let faces = displayable(&"😀".repeat(many)).into_owned();
            assert_eq!(faces.encode_utf16().count(), LONGEST_TEXT, "{many}");
        }
        assert_eq!((width("岳阳a"), width(&"岳".repeat(1000))), (5, 2 * WIDEST));
    }
}
