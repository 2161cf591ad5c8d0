//! The OpenAPI document: what the handlers declare, finished by one pass that adds what all operations share: security,
//! `x-permission`, error responses, headers, bounds.

use serde_json::{Map, Value, json};

use super::lists;
use super::problem::Code;
use crate::access::{self, Need};

/// Tags in the order of the page: name, Chinese and English title.
const TAGS: &[(&str, &str)] = &[
    ("auth", "登录与会话 · Signing in and sessions."),
    ("me", "本人 · The caller herself: profile, password, second factor, what awaits her."),
    ("organizations", "组织 · The federation tree and the public directory."),
    ("people", "人员与职务 · People, the posts they hold and whom they look after."),
    ("sites", "阵地 · Women's Homes and the other places where work happens."),
    ("coverage", "组织覆盖 · Which townships, villages and units have a women's organization or a site."),
    ("files", "文件 · Files: photographs, documents, tables."),
    ("exports", "导出 · Any list as a file for spreadsheets."),
    ("imports", "导入 · Tables of organizations, people, posts, coverage units and accounts, checked and written whole."),
    ("plans", "计划与任务 · Work plans, tasks and indicators."),
    ("accounts", "账号与授权 · Accounts and grants."),
    ("reference", "字典 · Divisions, dictionaries, the working calendar, roles and problems."),
    ("system", "运行 · Audit, long work and jobs."),
    ("health", "健康检查 · Is the service alive and ready."),
];

/// Largest integer that JavaScript holds exactly.
const SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// Builds the finished document.
pub fn build() -> Value {
    let declared = crate::routes::openapi();
    let mut document = serde_json::to_value(&declared).expect("an OpenAPI document serializes");
    document["info"] = json!({
        "title": "半边天 Half the Sky",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "The open backend on which a Chinese city's women's federation runs its year. \
            Sign in with `POST /api/v1/auth/login`; on this page that fills the token by itself.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        "contact": { "name": "Half the Sky" },
    });
    document["servers"] = json!([{ "url": "/", "description": "This server, local or production.", "x-internal": false }]);
    document["tags"] = TAGS.iter().map(|(name, description)| json!({ "name": name, "description": description })).collect();
    document["security"] = json!([{ "bearer": [] }]);
    let components = document["components"].as_object_mut().expect("the document has components");
    components.insert("securitySchemes".into(), security_schemes());
    components.insert("responses".into(), error_responses());
    components.insert("headers".into(), headers());
    if let Some(schemas) = components.get_mut("schemas").and_then(Value::as_object_mut) {
        schemas.iter_mut().for_each(|(_, schema)| bound(schema));
        lists::mark_personal(schemas);
    }
    lists::name_them(&mut document);
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            finish_operation(path, operation);
        }
    }
    document
}

fn security_schemes() -> Value {
    json!({ "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Access token of `POST /api/v1/auth/login` (RFC 9068 profile; handled as RFC8725 demands).",
    }})
}

fn headers() -> Value {
    let text = |description: &str, example: &str| json!({ "description": description, "schema": { "type": "string", "maxLength": 512, "pattern": "^[ -~]*$", "examples": [example] } });
    json!({
        "X-Request-Id": text("Names this request in our logs.", "0199a0c4-5b1e-7000-8000-000000000001"),
        "RateLimit": text("What is left: policy, requests, seconds to a full allowance.", "\"principal\";r=599;t=1"),
        "RateLimit-Policy": text("The policy: requests per window in seconds.", "\"principal\";q=600;w=60"),
        "Access-Control-Allow-Origin": text("Origin that may read this in a browser.", "https://example.org"),
        "Retry-After": { "description": "Seconds to wait.", "schema": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 86400 } },
        "ETag": text("Version of the object; send it back as If-Match.", "\"1.q1w2e3r4t5y6\""),
        "Location": text("Path of what was created.", "/api/v1/organizations/0168028c-2f00-7000-8000-430600000000"),
        "Idempotent-Replayed": text("true: this answers a repeated Idempotency-Key.", "true"),
    })
}

fn shared_headers(more: &[&str]) -> Value {
    ["X-Request-Id", "RateLimit", "RateLimit-Policy", "Access-Control-Allow-Origin"]
        .iter()
        .chain(more)
        .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect::<Map<_, _>>()
        .into()
}

/// One response per status, with an example per code.
fn error_responses() -> Value {
    let mut responses = Map::new();
    for status in [400, 401, 403, 404, 406, 408, 409, 412, 413, 414, 415, 416, 422, 428, 429, 431, 500, 503, 504] {
        let codes: Vec<Code> = Code::ALL.iter().copied().filter(|code| code.status().as_u16() == status).collect();
        let examples: Map<String, Value> = codes
            .iter()
            .map(|code| {
                let mut problem = super::problem::ApiError::from(*code).to_json(super::problem::Language::Chinese);
                problem.insert("instance".into(), json!("/api/v1/organizations"));
                problem.insert("request_id".into(), json!("0199a0c4-5b1e-7000-8000-000000000001"));
                (code.as_str().to_owned(), json!({ "summary": code.title().en, "value": problem }))
            })
            .collect();
        let description =
            codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title().en)).collect::<Vec<_>>().join(" ");
        let more: &[&str] = if matches!(status, 429 | 503) { &["Retry-After"] } else { &[] };
        responses.insert(
            name_of(status),
            json!({
                "description": description,
                "headers": shared_headers(more),
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" }, "examples": examples } },
            }),
        );
    }
    responses.into()
}

fn name_of(status: u16) -> String {
    format!("Problem{status}")
}

fn finish_operation(path: &str, operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let need = access::need_of(&id).unwrap_or_else(|| panic!("operation {id} is not in access::OPERATIONS"));
    operation["x-permission"] = json!(need.as_str());
    operation["security"] = if need == Need::Public { json!([{}]) } else { json!([{ "bearer": [] }]) };
    let has =
        |header: &str| operation["parameters"].as_array().into_iter().flatten().any(|parameter| parameter["name"] == header);
    let (key, version) = (has("Idempotency-Key"), has("If-Match"));
    let body = operation["requestBody"].is_object();
    let health = path.starts_with("/health/");
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        finish_parameter(parameter);
    }
    // 401 on public operations too: a token that is no token is refused everywhere.
    let mut statuses = vec![400, 401, 406, 414, 429, 431, 500, 503, 504];
    if need != Need::Public {
        statuses.push(403);
    }
    if path.contains('{') {
        statuses.push(404);
    } else if path.ends_with("/batch") {
        statuses.extend([404, 412]);
    }
    if key {
        statuses.extend([409, 422]);
    }
    if version {
        statuses.extend([409, 412, 428]);
    }
    if body {
        statuses.extend([408, 413, 415, 422]);
    }
    let responses = operation["responses"].as_object_mut().expect("every operation has responses");
    // A refusal that a handler declares without a body of its own is told as all of its kind are.
    responses.retain(|status, response| {
        let refusal = status.parse::<u16>().ok().filter(|status| *status >= 400 && response.get("content").is_none());
        statuses.extend(refusal);
        refusal.is_none()
    });
    for (status, response) in responses.iter_mut() {
        let mut more = Vec::new();
        if status == "201" {
            more.extend(["Location", "ETag"]);
        } else if status == "200" && (version || operation_is_item(path)) {
            more.push("ETag");
        }
        if key && status.starts_with('2') {
            more.push("Idempotent-Replayed");
        }
        response["headers"] = shared_headers(&more);
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = json!("Done.");
        }
    }
    for status in statuses {
        if !(health && status == 503) {
            responses
                .entry(status.to_string())
                .or_insert_with(|| json!({ "$ref": format!("#/components/responses/{}", name_of(status)) }));
        }
    }
    responses.sort_keys();
}

fn operation_is_item(path: &str) -> bool {
    path.ends_with('}')
}

/// Parameters are absent or have a value, never null; a list is a comma list.
fn finish_parameter(parameter: &mut Value) {
    let schema = &mut parameter["schema"];
    if let Some(kinds) = schema["type"].as_array() {
        schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or(json!("string"));
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        *schema = choices.iter().find(|choice| choice["type"] != "null").cloned().unwrap_or_default();
    }
    if schema["type"] == "array" {
        schema["minItems"] = json!(1);
        schema["maxItems"] = json!(50);
        parameter["style"] = json!("form");
        parameter["explode"] = json!(false);
    }
    bound(&mut parameter["schema"]);
    // Swagger UI fills in the example of a parameter: that of an optional filter would narrow every list to nothing. In the
    // schema it is only shown.
    let optional_filter = parameter["in"] == "query" && parameter["required"] != true;
    if let Some(example) =
        parameter.as_object_mut().filter(|_| optional_filter).and_then(|members| members.shift_remove("example"))
        && parameter["schema"].get("$ref").is_none()
    {
        parameter["schema"]["examples"] = json!([example]);
    }
}

/// Every text and every number has bounds; what a format implies is filled in here.
fn bound(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // "one of it and null" is read by fewer tools than "any of it and null".
            if let Some(choices) = members.remove("oneOf") {
                members.insert("anyOf".into(), choices);
            }
            let (longest, is_text) = match members.get("format").and_then(Value::as_str) {
                Some("uuid") => (Some(36), true),
                Some("date") => (Some(10), true),
                Some("date-time") => (Some(35), true),
                _ => (None, false),
            };
            // Texts in lists, such as names of actions, have no schema of their own to say how long they are.
            if members.get("type").is_some_and(|kind| kind == "string")
                && members.keys().all(|name| name == "type" || name == "examples")
            {
                members.insert("maxLength".into(), json!(200));
                members.insert("pattern".into(), json!("^[^\\x00-\\x1f]*$"));
            }
            if is_text && !members.contains_key("maxLength") {
                members.insert("maxLength".into(), json!(longest));
            }
            let whole = members
                .get("type")
                .is_some_and(|kind| kind == "integer" || kind.as_array().is_some_and(|k| k.contains(&json!("integer"))));
            if whole {
                let (least, most) = match members.get("format").and_then(Value::as_str) {
                    Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
                    _ => (-SAFE_INTEGER, SAFE_INTEGER),
                };
                members.entry("minimum").or_insert(json!(least));
                members.entry("maximum").or_insert(json!(most));
                members.entry("format").or_insert(json!("int64"));
            }
            members
                .iter_mut()
                .filter(|(name, _)| !matches!(name.as_str(), "examples" | "enum"))
                .for_each(|(_, value)| bound(value));
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        _ => {}
    }
}
