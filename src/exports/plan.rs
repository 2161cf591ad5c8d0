//! What is wanted, checked against the document: the list, its parameters and filters as its own operation reads them, its columns.

use serde_json::{Map, Value, json};

use crate::http::inside::Question;
use crate::http::lists::{List, ListColumn};
use crate::http::problem::Place;
use crate::http::{ApiError, FieldError};

/// An export walks all pages itself.
const PAGING: &[&str] = &["limit", "cursor", "include_total"];
/// Rows of a page.
const LIMIT: &str = "100";

/// An export that can be made.
pub struct Plan {
    /// Which columns, in which order.
    pub columns: Vec<&'static ListColumn>,
    /// Its first page.
    pub question: Question,
}

impl Plan {
    /// Checks everything and tells every fault; columns that do not exist are left out.
    pub fn check(
        list: &'static List,
        parameters: &Map<String, Value>,
        filters: &Map<String, Value>,
        columns: Option<&[String]>,
    ) -> (Self, Vec<FieldError>) {
        let mut faults = Vec::new();
        for name in &list.parameters {
            if !parameters.contains_key(name) {
                faults.push(FieldError::at(pointer("parameters", name), "required", "缺少此参数", "is missing"));
            }
        }
        for name in parameters.keys().filter(|name| !list.parameters.contains(name)) {
            faults.push(unknown(pointer("parameters", name)));
        }
        for name in PAGING.iter().filter(|name| filters.contains_key(**name)) {
            let zh = "导出包含全部各页，不能分页";
            faults.push(FieldError::at(pointer("filters", name), "paging", zh, "an export takes all pages"));
        }
        if filters.get("sort").and_then(Value::as_str).is_some_and(|sort| sort.ends_with("updated_at")) {
            let zh = "按更新时间排序时同一行可能重复出现，请按 ID 排序";
            let en = "by the last change a row could come twice; sort by id";
            faults.push(FieldError::at("/filters/sort", "unstable_order", zh, en));
        }
        let question = Question::new(list.operation, parameters, filters).with("limit", LIMIT);
        if faults.is_empty()
            && let Err(refused) = question.parameters()
        {
            faults = in_the_body(&refused, list);
        }
        let columns = match columns {
            Some(names) => chosen(list, names, &mut faults),
            None => list.columns.iter().filter(|column| column.standard).collect(),
        };
        (Self { columns, question }, faults)
    }

    /// Whether it shows personal data.
    pub fn is_personal(&self) -> bool {
        self.columns.iter().any(|column| column.personal)
    }
}

fn chosen(list: &'static List, names: &[String], faults: &mut Vec<FieldError>) -> Vec<&'static ListColumn> {
    let mut columns: Vec<&'static ListColumn> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let at = format!("/columns/{index}");
        match list.columns.iter().find(|column| column.name == *name) {
            Some(column) if columns.iter().any(|before| before.name == column.name) => {
                faults.push(FieldError::at(at, "repeated", "列重复", "stands twice"));
            }
            Some(column) => columns.push(column),
            None => {
                let known: Vec<&str> = list.columns.iter().map(|column| column.name.as_str()).collect();
                let (zh, en) = ("列表没有这一列，可用的列见 params.known", "is no column of the list; params.known has them all");
                faults.push(FieldError::at(at, "unknown_column", zh, en).with_params(json!({ "known": known })));
            }
        }
    }
    columns
}

/// What the list says of its parameters, said of the body.
fn in_the_body(refused: &ApiError, list: &List) -> Vec<FieldError> {
    let of = |fault: &FieldError| {
        let at = match &fault.place {
            Place::Parameter(name) if list.parameters.contains(name) => pointer("parameters", name),
            Place::Parameter(name) => pointer("filters", name),
            _ => "/filters".to_owned(),
        };
        FieldError { place: Place::Pointer(at), ..fault.clone() }
    };
    let faults: Vec<FieldError> = refused.faults().iter().map(of).collect();
    if faults.is_empty() { vec![FieldError::at("/filters", "invalid", "筛选条件不正确", "are not valid")] } else { faults }
}

fn unknown(pointer: String) -> FieldError {
    FieldError::at(pointer, "unknown_parameter", "列表没有这个参数", "the list does not know this parameter")
}

fn pointer(object: &str, name: &str) -> String {
    format!("/{object}/{}", name.replace('~', "~0").replace('/', "~1"))
}
