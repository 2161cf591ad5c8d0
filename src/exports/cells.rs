//! From the items of a list to the cells of a table.

use chrono::{DateTime, NaiveDate};
use serde_json::Value;

use super::rules::CellValues;
use crate::http::Language;
use crate::http::lists::{Content, List, ListColumn};
use crate::reference;
use crate::sheets::{Cell, Column, Kind, labels};

/// Between the values of a cell that holds several.
const BETWEEN: &str = "; ";

/// The columns of a table, and how each makes its cells.
pub struct Table(Vec<Maker>);

struct Maker {
    column: &'static ListColumn,
    /// What its values are called; empty: they are written as they are.
    labels: Vec<(String, String)>,
    /// Yes and no, where values are written as people say them.
    said: Option<[&'static str; 2]>,
}

impl Table {
    /// A table of some columns.
    pub fn new(columns: &[&'static ListColumn], values: CellValues, language: Language) -> Self {
        let said = match (values, language) {
            (CellValues::Codes, _) => None,
            (CellValues::Labels, Language::Chinese) => Some(["是", "否"]),
            (CellValues::Labels, Language::English) => Some(["yes", "no"]),
        };
        let maker = |column: &&'static ListColumn| {
            let choices = column.choices.as_ref().filter(|_| values == CellValues::Labels);
            let known = choices.and_then(|(schema, codes)| reference::labels_of(schema, codes)).unwrap_or_default();
            let label = |(code, zh, en): &(&str, &str, &str)| {
                ((*code).to_owned(), if language == Language::Chinese { (*zh).to_owned() } else { (*en).to_owned() })
            };
            Maker { column, labels: known.iter().map(label).collect(), said }
        };
        Self(columns.iter().map(maker).collect())
    }

    /// Its columns as a sheet takes them.
    pub fn columns(&self, list: &List, language: Language) -> Vec<Column> {
        let column = |maker: &Maker| {
            let name = &maker.column.name;
            let label = labels::label_in(&list.name, name).map(|label| label.in_language(language).to_owned());
            let kind = if maker.said.is_some() && maker.column.kind == Kind::Boolean { Kind::Text } else { maker.column.kind };
            Column { name: name.clone(), label: label.unwrap_or_else(|| name.clone()), kind }
        };
        self.0.iter().map(column).collect()
    }

    /// The cells of one item.
    pub fn cells(&self, item: &Value) -> Vec<Cell> {
        self.0.iter().map(|maker| maker.cell(item)).collect()
    }
}

impl Maker {
    fn cell(&self, item: &Value) -> Cell {
        let value = self.column.name.split('.').fold(item, |value, part| &value[part]);
        match (self.column.content, value) {
            (_, Value::Null) => Cell::Empty,
            (Content::Objects, objects) => Cell::Text(objects.to_string()),
            (Content::Several, Value::Array(items)) if items.is_empty() => Cell::Empty,
            (Content::Several, Value::Array(items)) => {
                Cell::Text(items.iter().map(|item| self.text(item)).collect::<Vec<_>>().join(BETWEEN))
            }
            (_, value) => self.one(value),
        }
    }

    /// What has not the form that its column should have is shown as it is.
    fn one(&self, value: &Value) -> Cell {
        let text = value.as_str();
        let cell = match self.column.kind {
            Kind::Integer => value.as_i64().map(Cell::Integer),
            Kind::Number => value.as_f64().map(Cell::Number),
            Kind::Boolean => value.as_bool().map(|yes| match self.said {
                Some([positive, negative]) => Cell::Text(if yes { positive } else { negative }.to_owned()),
                None => Cell::Boolean(yes),
            }),
            Kind::Date => text.and_then(|text| text.parse::<NaiveDate>().ok()).map(Cell::Date),
            Kind::Instant => text.and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|at| Cell::Instant(at.to_utc())),
            Kind::Text => None,
        };
        cell.unwrap_or_else(|| Cell::Text(self.text(value)))
    }

    fn text(&self, value: &Value) -> String {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.labels.iter().find(|(code, _)| *code == text).map_or(text, |(_, label)| label.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::lists::{ListName, list};

    fn table(columns: &[&str], values: CellValues, language: Language) -> Table {
        let people = list(&ListName("people".to_owned())).unwrap();
        let column = |name: &&str| people.columns.iter().find(|column| column.name == *name).unwrap();
        Table::new(&columns.iter().map(column).collect::<Vec<_>>(), values, language)
    }

    #[test]
    fn values_are_written_as_on_the_wire_or_as_people_call_them() {
        let item = json!({ "sex": "female", "tags": ["lecturer", "mediator"], "birth_year": 1988, "posts": [{ "position": "chair" }],
            "phone": "138****5678", "created_at": "2019-04-10T01:00:00Z", "id_number": null });
        let text = |text: &str| Cell::Text(text.to_owned());
        let columns = ["sex", "tags", "birth_year", "posts", "phone", "created_at", "id_number"];
        let at = "2019-04-10T01:00:00Z".parse().unwrap();
        let rest = [
            text("lecturer; mediator"),
            Cell::Integer(1988),
            text(r#"[{"position":"chair"}]"#),
            text("138****5678"),
            Cell::Instant(at),
            Cell::Empty,
        ];
        for (values, language, sex) in [
            (CellValues::Codes, Language::Chinese, "female"),
            (CellValues::Labels, Language::Chinese, "女"),
            (CellValues::Labels, Language::English, "Female"),
        ] {
            assert_eq!(table(&columns, values, language).cells(&item), [&[text(sex)], rest.as_slice()].concat());
        }
    }
}
