//! Tables as files, for spreadsheets and for programs: xlsx and CSV. [`Sheet`] writes them row by row in bounded memory; [`labels`]
//! is the one table of what a column is called.

pub mod labels;
pub mod read;
mod write;

use chrono::{DateTime, NaiveDate, Utc};

use crate::text_enum;

pub use write::{Sheet, SheetFault, defused, displayable, undefused};

text_enum! {
    /// Format of a table as a file.
    SheetFormat {
        /// Excel workbook: texts stay texts, dates are dates.
        Xlsx = "xlsx", "Excel 工作簿", "Excel workbook";
        /// RFC 4180 in UTF-8 with a byte order mark.
        Csv = "csv", "CSV 文本", "CSV text";
    }
}

impl SheetFormat {
    /// Media type of such a file.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Csv => "text/csv",
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name on the wire, dotted where it lies in an object: `organization.name`.
    pub name: String,
    /// What stands above it.
    pub label: String,
    /// What stands in it.
    pub kind: Kind,
}

/// What stands in a column. It decides the format of the cells; a text column never turns digits into a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// A number with decimals.
    Number,
    /// Yes or no.
    Boolean,
    /// A civil date.
    Date,
    /// An instant, shown in Asia/Shanghai.
    Instant,
}

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// Text, whatever it looks like.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with decimals.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
    /// A civil date.
    Date(NaiveDate),
    /// An instant.
    Instant(DateTime<Utc>),
}
