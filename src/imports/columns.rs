//! The columns of a kind: what a header may be called, and how a cell becomes a value.

use chrono::{Datelike, NaiveDate};
use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::http::document::document;
use crate::http::lists::{self, ListName};
use crate::http::{Bilingual, FieldError};
use crate::sheets::labels::label_in;
use crate::sheets::read::Found;

/// Values and labels of an enumeration.
pub type Labels = &'static [(&'static str, &'static str, &'static str)];

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Text.
    Text,
    /// A code of letters and digits: full-width ones are read as they are meant.
    Code,
    /// An id of this service.
    Id,
    /// A civil date.
    Date,
    /// A whole number.
    Integer,
    /// A number with decimals.
    Decimal,
    /// One value of an enumeration, by its code or its label.
    Choice(Labels),
    /// Several texts.
    List,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    /// Its field; a header too.
    pub field: &'static str,
    /// Its title in templates, a header too.
    pub zh: &'static str,
    /// What stands in it.
    pub shape: Shape,
    /// A file without it, or a row without a value in it, is refused.
    pub required: bool,
    /// Values of it are masked wherever they are shown.
    pub personal: bool,
    /// Values of it are shown nowhere, not even masked.
    pub secret: bool,
    /// What the template says of it.
    pub hint: &'static str,
}

impl Column {
    /// A column that may be absent or empty.
    pub const fn new(field: &'static str, zh: &'static str, shape: Shape, hint: &'static str) -> Self {
        Self { field, zh, shape, required: false, personal: false, secret: false, hint }
    }

    /// The same, required.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same, with secrets in it.
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The same, with personal numbers in it.
    pub const fn personal(self) -> Self {
        Self { personal: true, ..self }
    }
}

/// A row by its fields. What the file has no column for is absent, an empty cell is null.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cells(pub Map<String, Value>);

impl Cells {
    /// Whether the file has the column.
    pub fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// Its text, where there is one.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// Its value in another type, where there is one.
    pub fn parsed<T: std::str::FromStr>(&self, field: &str) -> Option<T> {
        self.text(field).and_then(|text| text.parse().ok())
    }

    /// Its number, where there is one.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.0.get(field).and_then(Value::as_f64)
    }

    /// Its texts.
    pub fn list(&self, field: &str) -> Vec<String> {
        let items = self.0.get(field).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Its value as JSON, null where there is none.
    pub fn json(&self, field: &str) -> Value {
        self.0.get(field).cloned().unwrap_or(Value::Null)
    }
}

/// What a header is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Header {
    /// A column of the kind, by its index.
    Column(usize),
    /// A field of the list that cannot be written.
    ReadOnly,
    /// Nothing that is known.
    Unknown,
}

/// Reads a header: the title of the template, the name of the field, or what exports call it. `list` is the path of the list.
pub fn header(columns: &[Column], list: &str, text: &str) -> Header {
    let text: String = text.nfkc().filter(|letter| !letter.is_whitespace() && *letter != '*').collect();
    let same =
        |other: &str| other.nfkc().filter(|letter| !letter.is_whitespace()).collect::<String>().eq_ignore_ascii_case(&text);
    let called = |field: &str| same(field) || label_in(list, field).is_some_and(|label| same(&label.zh) || same(&label.en));
    if let Some(index) = columns.iter().position(|column| same(column.zh) || called(column.field)) {
        return Header::Column(index);
    }
    let mut exported = lists::list(&ListName(list.to_owned())).into_iter().flat_map(|list| &list.columns);
    if exported.any(|column| called(&column.name)) { Header::ReadOnly } else { Header::Unknown }
}

/// A fault of a cell.
pub type CellFault = (&'static str, Bilingual);

fn fault(code: &'static str, zh: impl Into<String>, en: impl Into<String>) -> CellFault {
    (code, Bilingual::new(zh.into(), en.into()))
}

/// The value of a cell.
pub fn typed(column: &Column, found: &Found) -> Result<Value, CellFault> {
    match found {
        Found::Formula => return Err(fault("formula", "单元格含有公式，请粘贴为数值", "holds a formula; paste its value")),
        Found::Error => return Err(fault("cell_error", "单元格是错误值", "holds an error value")),
        Found::Boolean(_) => return Err(fault("type", "不应为是否值", "must not be yes or no")),
        Found::Text(_) | Found::Number(_) | Found::Date(_) => {}
    }
    match column.shape {
        Shape::Text => plain(column, found).map(Value::String),
        Shape::Code => code(&plain(column, found)?).map(Value::String),
        Shape::Id => {
            let text = plain(column, found)?;
            text.parse::<Uuid>().map(|id| json!(id)).map_err(|_| fault("format", "不是有效的 ID", "is no id"))
        }
        Shape::Date => date(found).map(|day| json!(day.to_string())),
        Shape::Integer => whole(found).map(|number| json!(number)),
        Shape::Decimal => decimal(found).map(|number| json!(number)),
        Shape::Choice(labels) => choice(&plain(column, found)?, labels).map(|value| json!(value)),
        Shape::List => {
            let text = plain(column, found)?;
            let items = text.split([',', '，', '、', ';', '；']).map(str::trim).filter(|item| !item.is_empty());
            Ok(items.map(Value::from).collect())
        }
    }
}

/// A cell as text. A spreadsheet keeps fifteen digits of a number: what is longer has lost its end.
fn plain(column: &Column, found: &Found) -> Result<String, CellFault> {
    match found {
        Found::Text(text) => Ok(text.clone()),
        Found::Date(day) => Ok(day.to_string()),
        Found::Number(number) if number.abs() >= 1e15 => Err(lost_digits(column)),
        Found::Number(number) => Ok(number.to_string()),
        _ => Ok(String::new()),
    }
}

fn lost_digits(column: &Column) -> CellFault {
    let what = if column.personal { "证件号" } else { column.zh };
    fault(
        "number_lost_digits",
        format!("Excel 已将{what}变成数字，末位已丢失；请把列设为文本后重新填写"),
        "was turned into a number by the spreadsheet and has lost its last digits; format the column as text and fill it in again",
    )
}

/// A code as it is meant: half-width, without spaces. `4.3E+17` in CSV is what a spreadsheet has made of a number.
fn code(text: &str) -> Result<String, CellFault> {
    let text: String = text.nfkc().filter(|letter| !letter.is_whitespace()).collect();
    let upper = text.to_ascii_uppercase();
    let scientific = upper.split_once("E+").is_some_and(|(head, tail)| {
        head.parse::<f64>().is_ok() && !tail.is_empty() && tail.bytes().all(|digit| digit.is_ascii_digit())
    });
    if scientific {
        return Err(fault(
            "number_lost_digits",
            "Excel 已将证件号变成数字，末位已丢失；请把列设为文本后重新填写",
            "was turned into a number by the spreadsheet and has lost its last digits; format the column as text and fill it in again",
        ));
    }
    Ok(text)
}

fn date(found: &Found) -> Result<NaiveDate, CellFault> {
    let day = match found {
        Found::Date(day) => Some(*day),
        Found::Text(text) => {
            let text: String = text.nfkc().filter(|letter| !letter.is_whitespace()).collect();
            let formats = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%Y%m%d"];
            formats.iter().find_map(|format| NaiveDate::parse_from_str(&text, format).ok())
        }
        Found::Number(number) if number.fract() == 0.0 => NaiveDate::parse_from_str(&number.to_string(), "%Y%m%d").ok(),
        _ => None,
    };
    // Four digits of the year, as everywhere on the wire.
    day.filter(|day| (1000..=9999).contains(&day.year()))
        .ok_or_else(|| fault("date", "不是有效的日期，例如 2019-03-01", "is no date such as 2019-03-01"))
}

fn decimal(found: &Found) -> Result<f64, CellFault> {
    let number = match found {
        Found::Number(number) => Some(*number),
        Found::Text(text) => text.nfkc().collect::<String>().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| fault("number", "应为数字", "must be a number"))
}

fn whole(found: &Found) -> Result<i64, CellFault> {
    let number = decimal(found)?;
    let fits = number.fract() == 0.0 && number.abs() < 1e15;
    if fits { Ok(number as i64) } else { Err(fault("integer", "应为整数", "must be a whole number")) }
}

fn choice(text: &str, labels: Labels) -> Result<&'static str, CellFault> {
    let text = text.nfkc().collect::<String>();
    let same = |(value, zh, en): &&(&str, &str, &str)| *value == text || *zh == text || en.eq_ignore_ascii_case(&text);
    labels.iter().find(same).map(|(value, ..)| *value).ok_or_else(|| {
        let all = |label: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
            labels.iter().map(label).collect::<Vec<_>>().join("、")
        };
        fault("enum", format!("应为其中之一：{}", all(|of| of.1)), format!("must be one of {}", all(|of| of.0)))
    })
}

/// What an operation would say of a body: the bounds of the document, which are the same for a row of a table.
pub fn body_faults(operation: &str, body: &Value) -> Vec<FieldError> {
    let Some(operation) = document().operations().iter().find(|known| known.id == operation) else { return vec![] };
    let shape = |fault: crate::http::ApiError| {
        log::error!(operation = operation.id.as_str(), cause = fault.to_string().as_str(); "a row has another shape than the body of its operation");
        vec![FieldError::at("", "invalid", "无法读取", "cannot be read")]
    };
    document().check_body(operation, body).unwrap_or_else(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEX: Labels = &[("female", "女", "Female"), ("male", "男", "Male")];

    fn value(shape: Shape, found: Found) -> Result<Value, &'static str> {
        typed(&Column::new("x", "某列", shape, ""), &found).map_err(|(code, _)| code)
    }

    fn text(text: &str) -> Found {
        Found::Text(text.to_owned())
    }

    #[test]
    fn a_cell_becomes_the_value_that_was_meant() {
        for (shape, found, expected) in [
            (Shape::Text, text("岳阳　楼"), Ok(json!("岳阳　楼"))),
            (Shape::Text, Found::Number(12.5), Ok(json!("12.5"))),
            (Shape::Code, text("４３０６０２ 001"), Ok(json!("430602001"))),
            (Shape::Code, Found::Number(430_602_001_001.0), Ok(json!("430602001001"))),
            (Shape::Code, Found::Number(4.306_991_988_080_8e17), Err("number_lost_digits")),
            (Shape::Code, text("4.3E+17"), Err("number_lost_digits")),
            (Shape::Code, text("E+17"), Ok(json!("E+17"))),
            (Shape::Date, text("2019/3/1"), Ok(json!("2019-03-01"))),
            (Shape::Date, text("２０１９年3月1日"), Ok(json!("2019-03-01"))),
            (Shape::Date, Found::Number(20_190_301.0), Ok(json!("2019-03-01"))),
            (Shape::Date, text("2019-02-29"), Err("date")),
            (Shape::Date, text("19-3-1"), Err("date")),
            (Shape::Integer, text("1988"), Ok(json!(1988))),
            (Shape::Integer, Found::Number(1988.5), Err("integer")),
            (Shape::Choice(SEX), text("女"), Ok(json!("female"))),
            (Shape::Choice(SEX), text("female"), Ok(json!("female"))),
            (Shape::Choice(SEX), text("妇"), Err("enum")),
            (Shape::List, text("讲师，调解员、"), Ok(json!(["讲师", "调解员"]))),
            (Shape::Id, text("7"), Err("format")),
            (Shape::Text, Found::Formula, Err("formula")),
            (Shape::Text, Found::Error, Err("cell_error")),
        ] {
            assert_eq!(value(shape, found.clone()), expected, "{shape:?} {found:?}");
        }
    }
}
