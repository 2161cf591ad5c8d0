//! Reading: the rows of a workbook or of CSV, one after the other, as typed cells. A workbook is an archive from somebody else, so
//! before it is read it is walked through ([`check_archive`]): what it really inflates to, and what it must not hold.

use std::collections::HashSet;
use std::io::{Cursor, Read};

use bytes::Bytes;
use calamine::{DataRef, ExcelDateTime, Reader, SheetType, SheetVisible, Xlsx};
use chrono::NaiveDate;
use encoding_rs::GB18030;
use zip::ZipArchive;

use super::undefused;
use crate::text_enum;

/// Most columns of a table.
pub const MOST_COLUMNS: usize = 200;
/// Most rows of a table, blank ones included: those of an Excel sheet.
pub const MOST_LINES: u32 = 1_048_576;
/// Most bytes that a workbook may inflate to: 50,000 rows of twenty columns take a third of it.
const INFLATED: u64 = 160 << 20;
/// A part beyond this size may not be smaller than a 300th of what it inflates to: sheets are a tenth to a fiftieth.
const SUSPICIOUS: u64 = 8 << 20;
const RATIO: u64 = 300;
/// Most parts of an archive.
const PARTS: usize = 1000;

text_enum! {
    /// Why a table is not read at all.
    Refusal {
        /// Neither a workbook nor CSV.
        Format = "format", "不是 xlsx 或 CSV 文件", "is neither xlsx nor CSV";
        /// An archive that cannot be read.
        Broken = "broken", "文件已损坏，无法读取", "is broken and cannot be read";
        /// With a password.
        Encrypted = "encrypted", "文件已加密，请取消密码后重新上传", "is encrypted; take the password away";
        /// It inflates to too much.
        Bomb = "bomb", "文件解压后过大", "inflates to far too much";
        /// With macros.
        Macros = "macros", "文件含有宏，请另存为不含宏的 xlsx", "has macros; save it as xlsx without";
        /// It refers to other workbooks or sources of data.
        ExternalLinks = "external_links", "文件引用了其他工作簿或外部数据，请粘贴为数值", "refers to other workbooks or outside data; paste values";
        /// It declares a document type or entities.
        DocumentType = "document_type", "文件声明了 XML 实体", "declares XML entities";
        /// CSV neither in UTF-8 nor in GB18030.
        Encoding = "encoding", "CSV 既不是 UTF-8 也不是 GB18030 编码", "is CSV in neither UTF-8 nor GB18030";
        /// No visible sheet, or no row at all.
        Empty = "empty", "没有可读取的工作表或数据", "has no visible sheet, or no rows";
        /// More columns than [`MOST_COLUMNS`].
        TooManyColumns = "too_many_columns", "列数超过 200", "has more than 200 columns";
        /// More rows than [`MOST_LINES`], blank ones included.
        TooManyRows = "too_many_rows", "行数超过一张工作表的上限，请拆分文件", "has more rows than a sheet holds; split the file";
    }
}

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Text, without spaces around it.
    Text(String),
    /// A number; a spreadsheet keeps fifteen digits of it.
    Number(f64),
    /// A date, without its time.
    Date(NaiveDate),
    /// Yes or no.
    Boolean(bool),
    /// A formula: its value is somebody else's.
    Formula,
    /// `#REF!` and its like.
    Error,
}

/// A row: its number in the file, from 1 to [`MOST_LINES`], and its cells by column, from 0. Empty cells and empty rows are not there.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number.
    pub number: u32,
    /// What stands in it.
    pub cells: Vec<(usize, Found)>,
}

/// What was read beside the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The sheet, of a workbook: the first that is visible.
    pub sheet: Option<String>,
}

/// Reads a table; `each` gets every row with something in it and says whether to go on.
pub fn read(media_type: &str, bytes: &Bytes, mut each: impl FnMut(Line) -> bool) -> Result<Table, Refusal> {
    match media_type {
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => workbook(bytes, &mut each),
        "text/csv" | "text/plain" => csv_text(bytes, &mut each).map(|()| Table::default()),
        _ => Err(Refusal::Format),
    }
}

/// Text of CSV: UTF-8, with a mark or without, else GB18030, which Excel writes in China.
pub fn decoded(bytes: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.into()),
        Err(_) => GB18030.decode_without_bom_handling_and_without_replacement(bytes),
    }
}

fn csv_text(bytes: &[u8], each: &mut impl FnMut(Line) -> bool) -> Result<(), Refusal> {
    // One kind of line end, the last line included: then the reader's count of lines is that of the rows.
    let text = decoded(bytes).ok_or(Refusal::Encoding)?.replace("\r\n", "\n").replace('\r', "\n") + "\n";
    let mut records = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    while records.read_record(&mut record).map_err(|_| Refusal::Broken)? {
        if record.len() > MOST_COLUMNS {
            return Err(Refusal::TooManyColumns);
        }
        let within: usize = record.iter().map(|field| field.matches('\n').count()).sum();
        let number = (records.position().line() as u32).saturating_sub(1 + within as u32);
        let filled = record.iter().enumerate().filter_map(|(column, field)| Some((column, Found::Text(tidy(undefused(field))?))));
        let cells: Vec<_> = filled.collect();
        if number > MOST_LINES {
            return Err(Refusal::TooManyRows);
        }
        if !cells.is_empty() && !each(Line { number, cells }) {
            break;
        }
    }
    Ok(())
}

fn workbook(bytes: &Bytes, each: &mut impl FnMut(Line) -> bool) -> Result<Table, Refusal> {
    check_archive(bytes)?;
    let mut book = Xlsx::new(Cursor::new(bytes.clone())).map_err(|_| Refusal::Broken)?;
    let shown = |sheet: &&calamine::Sheet| sheet.visible == SheetVisible::Visible && sheet.typ == SheetType::WorkSheet;
    let name = book.sheets_metadata().iter().find(shown).map(|sheet| sheet.name.clone()).ok_or(Refusal::Empty)?;
    let mut cells = book.worksheet_cells_reader(&name).map_err(|_| Refusal::Broken)?;
    let mut line = Line { number: 0, cells: vec![] };
    while let Some(cell) = cells.next_cell_with_formula_metadata().map_err(|_| Refusal::Broken)? {
        let (row, column) = (cell.pos.0.saturating_add(1), cell.pos.1 as usize);
        if row < line.number || row > MOST_LINES {
            return Err(Refusal::Broken);
        }
        let found = if cell.formula.is_some() { Some(Found::Formula) } else { found(&cell.value) };
        let Some(found) = found else { continue };
        if column >= MOST_COLUMNS {
            return Err(Refusal::TooManyColumns);
        }
        if row > MOST_LINES {
            return Err(Refusal::TooManyRows);
        }
        if row != line.number {
            if !line.cells.is_empty() && !each(std::mem::replace(&mut line, Line { number: row, cells: vec![] })) {
                return Ok(Table { sheet: Some(name) });
            }
            line.number = row;
        }
        line.cells.push((column, found));
    }
    if !line.cells.is_empty() {
        each(line);
    }
    Ok(Table { sheet: Some(name) })
}

fn found(value: &DataRef<'_>) -> Option<Found> {
    match value {
        DataRef::Empty => None,
        DataRef::String(text) => tidy(text).map(Found::Text),
        DataRef::SharedString(text) => tidy(text).map(Found::Text),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => tidy(text).map(Found::Text),
        DataRef::Int(number) => Some(Found::Number(*number as f64)),
        DataRef::Float(number) => Some(Found::Number(*number)),
        DataRef::Bool(value) => Some(Found::Boolean(*value)),
        DataRef::DateTime(at) => Some(day(at).map_or(Found::Number(at.as_f64()), Found::Date)),
        _ => Some(Found::Error),
    }
}

/// The day of Excel's number; none before March 1900, where it is wrong, and for a time without a day.
fn day(at: &ExcelDateTime) -> Option<NaiveDate> {
    let (year, month, day, ..) = at.to_ymd_hms_milli();
    let read = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into())?;
    (at.is_datetime() && read >= NaiveDate::from_ymd_opt(1900, 3, 1)?).then_some(read)
}

/// A text without spaces around it, full-width ones and invisible marks included; none where nothing is left.
fn tidy(text: &str) -> Option<String> {
    let around = |letter: char| letter.is_whitespace() || matches!(letter, '\u{feff}' | '\u{200b}' | '\u{200e}' | '\u{200f}');
    let text = text.trim_matches(around);
    (!text.is_empty()).then(|| text.to_owned())
}

/// Walks through an archive: counts what it really inflates to and looks for what must not be there.
pub fn check_archive(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        // A workbook with a password is packed into the older format.
        return Err(Refusal::Encrypted);
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| Refusal::Broken)?;
    if archive.len() > PARTS {
        return Err(Refusal::Bomb);
    }
    let (mut names, mut total) = (HashSet::new(), 0);
    for index in 0..archive.len() {
        if archive.by_index_raw(index).map_err(|_| Refusal::Broken)?.encrypted() {
            return Err(Refusal::Encrypted);
        }
        let mut part = archive.by_index(index).map_err(|_| Refusal::Broken)?;
        let name = part.name().to_ascii_lowercase();
        if name.contains("vbaproject") || name.contains("/macrosheets/") {
            return Err(Refusal::Macros);
        }
        if name.contains("externallinks/") || name.contains("/querytables/") || name.ends_with("/connections.xml") {
            return Err(Refusal::ExternalLinks);
        }
        let packed = part.compressed_size();
        total = inflate(&mut part, &name, packed, total)?;
        if !names.insert(name) {
            // Two readers could see two different workbooks.
            return Err(Refusal::Broken);
        }
    }
    Ok(())
}

/// Reads one part to its end in small pieces; returns the bytes of all parts so far.
fn inflate(part: &mut impl Read, name: &str, packed: u64, mut total: u64) -> Result<u64, Refusal> {
    let is_xml = name.ends_with(".xml") || name.ends_with(".rels");
    let describes = name.ends_with(".rels") || name == "[content_types].xml";
    let mut piece = vec![0; 64 << 10];
    // The end of the piece before: what is looked for may lie across two.
    let mut seen: Vec<u8> = Vec::new();
    let mut inflated = 0_u64;
    loop {
        let count = part.read(&mut piece).map_err(|_| Refusal::Broken)?;
        if count == 0 {
            return Ok(total);
        }
        if is_xml && inflated == 0 && (piece.starts_with(b"\xff\xfe") || piece.starts_with(b"\xfe\xff")) {
            // In another encoding than UTF-8 nothing would be found below.
            return Err(Refusal::Broken);
        }
        inflated += count as u64;
        total += count as u64;
        if total > INFLATED || (inflated > SUSPICIOUS && inflated > packed.saturating_mul(RATIO)) {
            return Err(Refusal::Bomb);
        }
        if is_xml {
            seen.extend_from_slice(&piece[..count]);
            let holds = |wanted: &[u8]| memchr::memmem::find(&seen, wanted).is_some();
            if holds(b"<!DOCTYPE") || holds(b"<!ENTITY") {
                return Err(Refusal::DocumentType);
            }
            if describes && (holds(b"macroEnabled") || holds(b"vbaProject")) {
                return Err(Refusal::Macros);
            }
            if describes && (holds(b"/externalLink") || holds(b"externalLink+xml")) {
                return Err(Refusal::ExternalLinks);
            }
            seen.drain(..seen.len().saturating_sub(32));
        }
    }
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType;

    use super::*;

    fn rows(media_type: &str, bytes: &[u8]) -> Vec<(u32, Vec<(usize, Found)>)> {
        let mut rows = Vec::new();
        read(media_type, &Bytes::copy_from_slice(bytes), |line| {
            rows.push((line.number, line.cells));
            true
        })
        .unwrap();
        rows
    }

    #[test]
    fn csv_is_read_in_both_encodings_and_rows_keep_their_numbers() {
        let text = "名称,电话\r\n\r\n 岳阳楼区妇联\u{3000},'+8613800005678\r\n,\r\n\"云溪\"\"区\n\",\r\n临湘市,";
        let gb = GB18030.encode(text).0.into_owned();
        let expected = vec![
            (1, vec![(0, Found::Text("名称".to_owned())), (1, Found::Text("电话".to_owned()))]),
            (3, vec![(0, Found::Text("岳阳楼区妇联".to_owned())), (1, Found::Text("+8613800005678".to_owned()))]),
            (5, vec![(0, Found::Text("云溪\"区".to_owned()))]),
            (7, vec![(0, Found::Text("临湘市".to_owned()))]),
        ];
        assert_eq!(rows("text/csv", text.as_bytes()), expected);
        assert_eq!(rows("text/csv", &[b"\xef\xbb\xbf", text.as_bytes()].concat()), expected);
        assert_eq!(rows("text/csv", &gb), expected);
        assert_eq!(read("text/csv", &Bytes::from_static(b"\xff\xff\xff"), |_| true), Err(Refusal::Encoding));
        assert_eq!(read("image/png", &Bytes::new(), |_| true), Err(Refusal::Format));
    }

    #[test]
    fn days_are_read_from_the_first_of_march_1900() {
        let at = |serial| day(&ExcelDateTime::new(serial, ExcelDateTimeType::DateTime, false));
        assert_eq!(at(43565.7), NaiveDate::from_ymd_opt(2019, 4, 10));
        assert_eq!((at(30.0), at(0.5)), (None, None));
        assert_eq!(day(&ExcelDateTime::new(43565.7, ExcelDateTimeType::TimeDelta, false)), None);
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert_eq!(check_archive(b"PK\x03\x04nothing"), Err(Refusal::Broken));
        assert_eq!(check_archive(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...."), Err(Refusal::Encrypted));
    }
}
