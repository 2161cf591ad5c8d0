//! Every list of the document, as a table: its name, its operation, its columns. A list is a GET whose answer is a page. Nobody
//! writes lists down: what the document has, can be exported.

use std::sync::OnceLock;

use actix_web::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::document::{Operation, document};
use crate::sheets::Kind;

/// What stands before the name of a list in its path.
const BASE: &str = "/api/v1/";
/// Objects within objects are columns down to here.
const DEPTH: usize = 4;
/// Parts of an item that are about the caller and not about the item.
const ABOUT_THE_CALLER: &[&str] = &["allowed_actions", "awaiting"];

/// A list by its path without the base, as `organizations` or `organizations/{id}/posts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, examples("organizations"))]
pub struct ListName(pub String);

/// A list of the document.
pub struct List {
    /// Its name.
    pub name: String,
    /// Its operation.
    pub operation: &'static Operation,
    /// What people call it, in Chinese.
    pub title: String,
    /// Names of its path parameters.
    pub parameters: Vec<String>,
    /// What its items tell, in the order of the document.
    pub columns: Vec<ListColumn>,
}

/// A column of a list.
#[derive(Debug, Clone)]
pub struct ListColumn {
    /// Its name, dotted where it lies in an object: `organization.name`.
    pub name: String,
    /// What stands in it.
    pub kind: Kind,
    /// How it stands in the item.
    pub content: Content,
    /// The enumeration of its values: the name of its schema and the values.
    pub choices: Option<(String, Vec<String>)>,
    /// It holds personal data (access::PERSONAL).
    pub personal: bool,
    /// It is exported unless columns are chosen.
    pub standard: bool,
}

/// How the content of a column stands in an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// One value.
    One,
    /// A list of values.
    Several,
    /// Objects, which no cell can hold but as JSON.
    Objects,
}

/// Every list, in the order of the document.
pub fn lists() -> &'static [List] {
    static LISTS: OnceLock<Vec<List>> = OnceLock::new();
    LISTS.get_or_init(|| {
        let json = &document().json;
        let of = |operation: &'static Operation| {
            if operation.method != Method::GET {
                return None;
            }
            let declared = &json["paths"][&operation.path]["get"];
            let item = item_of(json, declared)?;
            let mut columns = Columns { json, found: vec![] };
            columns.read(item, String::new(), false, 0);
            Some(List {
                name: name_of(&operation.path)?.to_owned(),
                title: declared["summary"].as_str()?.split(" · ").next()?.to_owned(),
                parameters: parameters(&operation.path),
                columns: columns.finish(),
                operation,
            })
        };
        document().operations().iter().filter_map(of).collect()
    })
}

/// A list by its name.
pub fn list(name: &ListName) -> Option<&'static List> {
    lists().iter().find(|list| list.name == name.0)
}

/// Writes the names of all lists into the document that is being built.
pub fn name_them(document: &mut Value) {
    let is_list = |path: &String| item_of(document, &document["paths"][path]["get"]).is_some();
    let paths = document["paths"].as_object().into_iter().flatten().map(|(path, _)| path).filter(|path| is_list(path));
    let names: Vec<Value> = paths.filter_map(|path| name_of(path)).map(Value::from).collect();
    if let Some(schema) = document["components"]["schemas"].get_mut("ListName").and_then(Value::as_object_mut) {
        schema.insert("enum".to_owned(), json!(names));
    }
}

/// Marks the fields of a document under way that hold personal data.
pub fn mark_personal(schemas: &mut Map<String, Value>) {
    for (name, fields) in crate::access::PERSONAL {
        for field in *fields {
            let schema = schemas.get_mut(*name).and_then(|schema| schema["properties"].get_mut(*field));
            let schema = schema.and_then(Value::as_object_mut);
            schema.unwrap_or_else(|| panic!("access::PERSONAL: no {name}.{field}")).insert("x-personal-data".into(), json!(true));
        }
    }
}

fn name_of(path: &str) -> Option<&str> {
    path.strip_prefix(BASE)
}

fn parameters(path: &str) -> Vec<String> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(str::to_owned).collect()
}

/// The schema of the items of a page; none: it is no page.
fn item_of<'a>(json: &'a Value, operation: &'a Value) -> Option<&'a Value> {
    let page = resolve(json, &operation["responses"]["200"]["content"]["application/json"]["schema"]);
    page["properties"].get("next_cursor")?;
    page["properties"]["items"].get("items")
}

fn resolve<'a>(json: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/")) {
        Some(name) => &json["components"]["schemas"][name],
        None => schema,
    }
}

struct Columns<'a> {
    json: &'a Value,
    found: Vec<ListColumn>,
}

impl<'a> Columns<'a> {
    fn read(&mut self, schema: &'a Value, name: String, personal: bool, depth: usize) {
        let personal = personal || schema["x-personal-data"] == true;
        // What may be null is what it is otherwise.
        let choices = schema["anyOf"].as_array().into_iter().flatten();
        let schema = choices.clone().find(|choice| choice["type"] != "null").unwrap_or(schema);
        let (named, schema) = (schema["$ref"].as_str(), resolve(self.json, schema));
        let fields = schema["properties"].as_object();
        match (kind(schema), fields) {
            ("object", Some(fields)) if depth < DEPTH => {
                for (field, schema) in fields {
                    let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                    self.read(schema, name, personal, depth + 1);
                }
            }
            ("array", _) => {
                let (named, items) = (schema["items"]["$ref"].as_str(), resolve(self.json, &schema["items"]));
                match kind(items) {
                    "object" | "array" => self.push(name, Kind::Text, Content::Objects, None, personal),
                    _ => self.push(name, Kind::Text, Content::Several, enumeration(named, items), personal),
                }
            }
            ("object", _) => self.push(name, Kind::Text, Content::Objects, None, personal),
            ("integer", _) => self.push(name, Kind::Integer, Content::One, None, personal),
            ("number", _) => self.push(name, Kind::Number, Content::One, None, personal),
            ("boolean", _) => self.push(name, Kind::Boolean, Content::One, None, personal),
            _ => {
                let kind = match schema["format"].as_str() {
                    Some("date") => Kind::Date,
                    Some("date-time") => Kind::Instant,
                    _ => Kind::Text,
                };
                self.push(name, kind, Content::One, enumeration(named, schema), personal);
            }
        }
    }

    fn push(&mut self, name: String, kind: Kind, content: Content, choices: Option<(String, Vec<String>)>, personal: bool) {
        let about_the_caller = ABOUT_THE_CALLER.contains(&name.split('.').next().unwrap_or_default());
        let standard = content != Content::Objects && !about_the_caller;
        // What she may do is not called anything.
        let choices = choices.filter(|_| !about_the_caller);
        self.found.push(ListColumn { name, kind, content, choices, personal, standard });
    }

    /// The id of an object says nothing new beside a field that names it: `organization.id` beside `organization_id`.
    fn finish(mut self) -> Vec<ListColumn> {
        let names: Vec<String> = self.found.iter().map(|column| column.name.clone()).collect();
        for column in &mut self.found {
            let twin = column.name.strip_suffix(".id").map(|object| format!("{object}_id"));
            column.standard &= !twin.is_some_and(|twin| names.contains(&twin));
        }
        self.found
    }
}

/// Its type; of several the first that is not null.
fn kind(schema: &Value) -> &str {
    let kinds = schema["type"].as_array().into_iter().flatten();
    let kind = kinds.clone().find(|kind| *kind != "null").unwrap_or(&schema["type"]);
    kind.as_str().unwrap_or("string")
}

fn enumeration(named: Option<&str>, schema: &Value) -> Option<(String, Vec<String>)> {
    let name = named.and_then(|name| name.rsplit('/').next()).unwrap_or_default();
    // Lists are known by their paths and have no labels.
    if name == "ListName" {
        return None;
    }
    let values = schema["enum"].as_array()?.iter().filter_map(Value::as_str).map(str::to_owned);
    Some((name.to_owned(), values.collect()))
}
