//! The OpenAPI document at work: it routes, it knows each operation's need, and its schemas are the validators of parameters
//! and bodies. What the document says and what the service accepts cannot differ.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use actix_web::http::Method;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, PatternCache, Registry, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::problem::{ApiError, ApiResult, Code, FieldError, Place};
use crate::access::{self, Need};

/// One operation of the document.
pub struct Operation {
    /// operationId.
    pub id: String,
    /// HTTP method.
    pub method: Method,
    /// Path template.
    pub path: String,
    /// What it asks of its caller.
    pub need: Need,
    /// It needs an `Idempotency-Key`.
    pub needs_key: bool,
    /// It needs an `If-Match`.
    pub needs_version: bool,
    /// What body it takes.
    pub takes: Takes,
    /// It answers with bytes of any type.
    pub answers_bytes: bool,
    /// Rate limit policy.
    pub policy: &'static str,
    parameters: Vec<Parameter>,
    /// Its body's validator.
    body: Option<Arc<Validator>>,
}

/// What body an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// JSON.
    Json,
    /// A form with one file.
    Form,
}

impl Takes {
    /// The media type of the body.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Json => "application/json",
            Self::Form => "multipart/form-data",
        }
    }
}

struct Parameter {
    name: String,
    place: ParameterPlace,
    required: bool,
    shape: Shape,
    validator: Arc<Validator>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ParameterPlace {
    Path,
    Query,
    Header,
}

/// What a parameter's text stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Integer,
    Number,
    Boolean,
    List,
}

/// The document, compiled.
pub struct Document {
    /// The document as it is served and committed.
    pub json: Value,
    /// The same, as bytes.
    pub bytes: actix_web::web::Bytes,
    operations: Vec<Operation>,
    paths: matchit::Router<HashMap<Method, usize>>,
}

/// What a path and method lead to.
pub enum Route<'a> {
    /// An operation, with its path parameters still encoded.
    Found(&'static Operation, Vec<(&'a str, &'a str)>),
    /// The path exists, the method does not: the methods that do.
    OtherMethods(String),
    /// No such path.
    Unknown,
}

/// The document of this program.
pub fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| Document::compile(super::openapi::build()))
}

impl Document {
    fn compile(json: Value) -> Self {
        let mut schemas = Map::new();
        let mut operations = Vec::new();
        let mut by_path: Vec<(String, HashMap<Method, usize>)> = Vec::new();
        if let Some(components) = json["components"]["schemas"].as_object() {
            for (name, schema) in components {
                schemas.insert(name.clone(), rebase(schema));
            }
        }
        let registry = Registry::new().add(SCHEMAS, json!({ "$defs": schemas })).and_then(|all| all.prepare());
        let registry = registry.unwrap_or_else(|fault| panic!("the document's schemas are not whole: {fault}"));
        let mut validators = Validators { registry: &registry, patterns: PatternCache::new(), built: HashMap::new() };
        for (path, item) in json["paths"].as_object().into_iter().flatten() {
            let mut methods = HashMap::new();
            for (method, operation) in item.as_object().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
                methods.insert(method.clone(), operations.len());
                operations.push(Operation::read(&json, path, method, operation, &mut validators));
            }
            by_path.push((path.clone(), methods));
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            paths.insert(path.clone(), methods).unwrap_or_else(|fault| panic!("path {path}: {fault}"));
        }
        let bytes = serde_json::to_vec(&json).expect("a JSON value serializes").into();
        Self { json, bytes, operations, paths }
    }

    /// Every operation.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Looks a path and method up.
    pub fn route<'a>(&'static self, method: &Method, path: &'a str) -> Route<'a> {
        let Ok(found) = self.paths.at(path) else { return Route::Unknown };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        match found.value.get(wanted) {
            Some(index) => Route::Found(&self.operations[*index], found.params.iter().collect()),
            None => Route::OtherMethods(allowed(found.value)),
        }
    }

    /// The methods of a path, for `Allow`.
    pub fn methods(&self, path: &str) -> Option<String> {
        self.paths.at(path).ok().map(|found| allowed(found.value))
    }

    /// Checks a body. Wrong shape: an error with the first pointer (400). Broken rules: every fault, for the right moment (422).
    pub fn check_body(&self, operation: &Operation, body: &Value) -> ApiResult<Vec<FieldError>> {
        let Some(validator) = &operation.body else { return Ok(vec![]) };
        let mut faults = Vec::new();
        for error in validator.iter_errors(body) {
            collect(&error, &mut faults)?;
        }
        Ok(faults)
    }

    /// Checks a response body against the document, for the tests.
    pub fn check_response(&self, operation: &Operation, status: u16, body: &Value) -> Result<(), String> {
        let reference = &self.json["paths"][&operation.path][operation.method.as_str().to_lowercase()]["responses"];
        let mut response =
            reference.get(status.to_string()).ok_or_else(|| format!("{} does not document {status}", operation.id))?;
        if let Some(name) = response["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/responses/")) {
            response = &self.json["components"]["responses"][name];
        }
        let contents = response["content"].as_object();
        let json = contents.and_then(|contents| contents.iter().find(|(media_type, _)| media_type.ends_with("json")));
        let Some((_, content)) = json else { return Ok(()) };
        let schema = json!({ "components": { "schemas": self.json["components"]["schemas"] }, "allOf": [content["schema"]] });
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|fault| fault.to_string())?;
        let faults: Vec<String> =
            validator.iter_errors(body).map(|fault| format!("{}: {fault}", fault.instance_path())).take(5).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    /// Reads and checks path, query and header parameters; the result deserializes into the operation's parameter types.
    pub fn read_parameters<'a>(
        &self,
        operation: &Operation,
        path: &[(&'a str, &'a str)],
        query: &str,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> ApiResult<Map<String, Value>> {
        // The text of each parameter, in the operation's order.
        let mut given: Vec<Option<Cow<'_, str>>> = vec![None; operation.parameters.len()];
        let place_of = |place: ParameterPlace, name: &str| {
            operation.parameters.iter().position(|known| known.place == place && known.name == name)
        };
        for (name, value) in path {
            let value = percent_encoding::percent_decode_str(value).decode_utf8().map_err(|_| bad_parameter(name))?;
            if let Some(index) = place_of(ParameterPlace::Path, name) {
                given[index] = Some(value);
            }
        }
        for (name, value) in parse_query(query)? {
            let Some(index) = place_of(ParameterPlace::Query, &name) else {
                return Err(ApiError::from(Code::UnknownParameter).at(FieldError::parameter(
                    &name,
                    "unknown_parameter",
                    "接口没有这个参数",
                    "the operation does not know this parameter",
                )));
            };
            if given[index].replace(value.into()).is_some() {
                return Err(ApiError::from(Code::InvalidParameter).at(FieldError::parameter(
                    &name,
                    "repeated",
                    "参数重复；多个值请用逗号分隔",
                    "is given twice; separate several values by commas",
                )));
            }
        }
        let mut values = Map::new();
        let mut faults = Vec::new();
        for (parameter, given) in operation.parameters.iter().zip(given) {
            let text = match parameter.place {
                ParameterPlace::Header => header(&parameter.name).map(Cow::Borrowed),
                _ => given,
            };
            let Some(text) = text else {
                // Missing headers have answers of their own, at their own moment.
                if parameter.required && parameter.place == ParameterPlace::Query {
                    faults.push(FieldError::parameter(&parameter.name, "required", "缺少参数", "is missing"));
                }
                continue;
            };
            match self.read_parameter(parameter, &text) {
                Ok(value) => drop(values.insert(parameter.name.clone(), value)),
                Err(fault) => faults.push(*fault),
            }
        }
        if faults.is_empty() {
            return Ok(values);
        }
        Err(faults.into_iter().fold(ApiError::from(Code::InvalidParameter), ApiError::at))
    }

    fn read_parameter(&self, parameter: &Parameter, text: &str) -> Result<Value, Box<FieldError>> {
        let place = |fault: FieldError| {
            Box::new(FieldError {
                place: match parameter.place {
                    ParameterPlace::Header => Place::Header(parameter.name.clone()),
                    _ => Place::Parameter(parameter.name.clone()),
                },
                ..fault
            })
        };
        let wrong = |zh: &'static str, en: &'static str| place(FieldError::at("", "type", zh, en));
        let value = match parameter.shape {
            Shape::Text => Value::String(text.to_owned()),
            Shape::Integer => json!(text.parse::<i64>().map_err(|_| wrong("应为整数", "must be an integer"))?),
            Shape::Number => json!(text.parse::<f64>().map_err(|_| wrong("应为数字", "must be a number"))?),
            Shape::Boolean => match text {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return Err(wrong("应为 true 或 false", "must be true or false")),
            },
            Shape::List => text.split(',').map(Value::from).collect(),
        };
        let first = parameter.validator.iter_errors(&value).next().map(|error| describe(&error));
        match first {
            None => Ok(value),
            Some(fault) => Err(place(fault)),
        }
    }
}

impl Operation {
    fn read(json: &Value, path: &str, method: Method, operation: &Value, validators: &mut Validators) -> Self {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        let need = access::need_of(&id).unwrap_or_else(|| panic!("operation {id} is not in access::OPERATIONS"));
        let mut parameters = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            parameters.push(Parameter {
                place: match parameter["in"].as_str() {
                    Some("path") => ParameterPlace::Path,
                    Some("query") => ParameterPlace::Query,
                    _ => ParameterPlace::Header,
                },
                required: parameter["required"].as_bool().unwrap_or(false),
                shape: shape(json, &parameter["schema"]),
                validator: validators.of(&parameter["schema"]),
                name,
            });
        }
        let content = &operation["requestBody"]["content"];
        let takes = [Takes::Json, Takes::Form].into_iter().find(|takes| content[takes.media_type()].is_object());
        let takes = takes.unwrap_or(Takes::Nothing);
        let schema = &content[takes.media_type()]["schema"];
        let body = schema.is_object().then(|| validators.of(schema));
        let needs = |header: &str| {
            parameters.iter().any(|known| known.required && known.place == ParameterPlace::Header && known.name == header)
        };
        Self {
            needs_key: needs("Idempotency-Key"),
            needs_version: needs("If-Match"),
            takes,
            answers_bytes: operation["responses"]["200"]["content"]["application/octet-stream"].is_object(),
            policy: if path.starts_with("/api/v1/auth/") && need == Need::Public { "sign_in" } else { "principal" },
            path: path.to_owned(),
            id,
            method,
            need,
            parameters,
            body,
        }
    }
}

/// Where the document's schemas are, for one another's references.
const SCHEMAS: &str = "urn:half-sky:schemas";

/// Builds the validators: one for each schema that a parameter or body has, however many have it.
struct Validators<'a> {
    registry: &'a Registry<'a>,
    patterns: PatternCache,
    built: HashMap<String, Arc<Validator>>,
}

impl Validators<'_> {
    fn of(&mut self, schema: &Value) -> Arc<Validator> {
        let schema = rebase(schema);
        let built = self.built.entry(schema.to_string()).or_insert_with(|| {
            let options = jsonschema::options()
                .with_draft(Draft::Draft202012)
                .should_validate_formats(true)
                .with_registry(self.registry)
                .with_pattern_cache(self.patterns.clone());
            Arc::new(options.build(&schema).unwrap_or_else(|fault| panic!("{schema} does not compile: {fault}")))
        });
        Arc::clone(built)
    }
}

fn allowed(methods: &HashMap<Method, usize>) -> String {
    let mut names: Vec<&str> = methods.keys().map(Method::as_str).collect();
    if methods.contains_key(&Method::GET) {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    names.join(", ")
}

/// Parameter schemas may be references.
fn shape(json: &Value, schema: &Value) -> Shape {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/")) {
        return shape(json, &json["components"]["schemas"][name]);
    }
    match schema["type"].as_str() {
        Some("integer") => Shape::Integer,
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Boolean,
        Some("array") => Shape::List,
        _ => Shape::Text,
    }
}

/// Points references at [`SCHEMAS`].
fn rebase(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match (name.as_str(), value.as_str()) {
                ("$ref", Some(target)) => {
                    (name.clone(), json!(target.replace("#/components/schemas/", &format!("{SCHEMAS}#/$defs/"))))
                }
                _ => (name.clone(), rebase(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(rebase).collect(),
        other => other.clone(),
    }
}

fn parse_query(query: &str) -> ApiResult<Vec<(String, String)>> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(&text.replace('+', " "))
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| ApiError::from(Code::InvalidParameter).because("参数不是 UTF-8", "a parameter is not UTF-8"))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if value.contains('\0') { Err(bad_parameter(&name)) } else { Ok((name, value)) }
        })
        .collect()
}

fn bad_parameter(name: &str) -> ApiError {
    ApiError::from(Code::InvalidParameter).at(FieldError::parameter(
        name,
        "encoding",
        "参数含有不允许的字符",
        "holds characters that are not allowed",
    ))
}

/// Sorts one schema error: wrong shape ends the reading (400), broken rules are collected (422).
fn collect(error: &ValidationError<'_>, faults: &mut Vec<FieldError>) -> ApiResult<()> {
    let fault = describe(error);
    let code = match error.kind() {
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => Code::UnknownField,
        Kind::Type { .. } | Kind::Required { .. } | Kind::Enum { .. } | Kind::Constant { .. } => Code::InvalidBody,
        // A nullable object is "one of it and null": what is wrong is wrong inside the object.
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
            let null = |branch: &[ValidationError<'_>]| matches!(branch, [only] if matches!(only.kind(), Kind::Type { .. }) && only.instance_path() == error.instance_path());
            return match context.iter().find(|branch| !null(branch)) {
                Some(branch) => branch.iter().try_for_each(|inner| collect(inner, faults)),
                None => Err(ApiError::from(Code::InvalidBody).at(fault)),
            };
        }
        _ => {
            faults.push(fault);
            return Ok(());
        }
    };
    Err(ApiError::from(code).at(fault))
}

/// A schema error in both languages, with the rule's keyword as its code.
fn describe(error: &ValidationError<'_>) -> FieldError {
    let pointer = error.instance_path().as_str().to_owned();
    let keyword = |zh: String, en: String, code: &'static str, params: Value| FieldError {
        params,
        ..FieldError::at(pointer.clone(), code, zh, en)
    };
    match error.kind() {
        Kind::MaxLength { limit } => keyword(
            format!("不能超过 {limit} 个字"),
            format!("must have at most {limit} characters"),
            "max_length",
            json!({ "maximum": limit }),
        ),
        Kind::MinLength { limit } => keyword(
            format!("不能少于 {limit} 个字"),
            format!("must have at least {limit} characters"),
            "min_length",
            json!({ "minimum": limit }),
        ),
        Kind::Maximum { limit } | Kind::ExclusiveMaximum { limit } => {
            keyword(format!("不能大于 {limit}"), format!("must be at most {limit}"), "maximum", json!({ "maximum": limit }))
        }
        Kind::Minimum { limit } | Kind::ExclusiveMinimum { limit } => {
            keyword(format!("不能小于 {limit}"), format!("must be at least {limit}"), "minimum", json!({ "minimum": limit }))
        }
        Kind::MaxItems { limit } => keyword(
            format!("不能超过 {limit} 项"),
            format!("must have at most {limit} items"),
            "max_items",
            json!({ "maximum": limit }),
        ),
        Kind::MinItems { limit } => keyword(
            format!("不能少于 {limit} 项"),
            format!("must have at least {limit} items"),
            "min_items",
            json!({ "minimum": limit }),
        ),
        Kind::Pattern { pattern } => {
            keyword("格式不正确".to_owned(), format!("must match {pattern}"), "pattern", json!({ "pattern": pattern }))
        }
        Kind::Format { format } => {
            keyword(format!("不是有效的 {format}"), format!("is not a valid {format}"), "format", json!({ "format": format }))
        }
        Kind::Enum { options } => keyword(
            format!("应为其中之一：{options}"),
            format!("must be one of {options}"),
            "enum",
            json!({ "options": **options }),
        ),
        Kind::Required { property } => {
            FieldError::at(format!("{pointer}/{}", property.as_str().unwrap_or_default()), "required", "缺少此字段", "is missing")
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => FieldError::at(
            format!(
                "{pointer}/{}",
                unexpected.first().map(String::as_str).unwrap_or_default().replace('~', "~0").replace('/', "~1")
            ),
            "unknown_field",
            "接口没有这个字段",
            "the operation does not know this field",
        ),
        Kind::UniqueItems => FieldError::at(pointer, "unique_items", "不能有重复项", "must not repeat items"),
        Kind::MultipleOf { multiple_of } => keyword(
            format!("应为 {multiple_of} 的倍数"),
            format!("must be a multiple of {multiple_of}"),
            "multiple_of",
            json!({ "multiple_of": multiple_of }),
        ),
        Kind::Type { .. } => FieldError::at(pointer, "type", "类型不正确", "has the wrong type"),
        _ => FieldError::at(pointer, "invalid", "不正确", "is not valid"),
    }
}
