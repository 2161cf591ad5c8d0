//! Every operation as every role, from inside, above, beside and outside of the demo objects that the document's examples name.
//! Commands roll back, so each cell sees the same world. The committed snapshot states each cell; an operation without a cell
//! that answers 2xx with a real body fails.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use half_sky::access::{Need, Role};
use half_sky::http::document::{Operation, Takes, document};
use half_sky::jobs::run_due;
use serde_json::{Value, json};

use crate::support::{CITY, COUNTY, Client, NEIGHBOUR, TestApp, assert_snapshot};

/// Roles of the federation's staff; callers of other kinds come with their issue.
const ROLES: &[Role] =
    &[Role::PlatformAdmin, Role::OrgAdmin, Role::Manager, Role::Officer, Role::Reviewer, Role::Auditor, Role::Viewer];

struct Actor {
    name: String,
    client: Client,
    password: &'static str,
}

/// A request as the document's examples spell it.
fn example_target(operation: &Operation, declared: &Value) -> String {
    let mut path = operation.path.clone();
    let mut query = Vec::new();
    for parameter in declared["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let example = example_of(parameter);
        match parameter["in"].as_str() {
            Some("path") => {
                let example = example.unwrap_or_else(|| panic!("{}: the path parameter {name} has no example", operation.id));
                path = path.replace(&format!("{{{name}}}"), &example);
            }
            Some("query") if parameter["required"] == true => {
                query.push(format!("{name}={}", example.unwrap_or_else(|| panic!("{}: {name} has no example", operation.id))));
            }
            _ => {}
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn example_of(parameter: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let schema = resolve(&parameter["schema"]);
    let first_choice = schema["enum"].get(0);
    [parameter.get("example"), parameter["schema"]["examples"].get(0), schema["examples"].get(0), first_choice]
        .into_iter()
        .flatten()
        .map(text)
        .next()
}

fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/")) {
        Some(name) => &document().json["components"]["schemas"][name],
        None => schema,
    }
}

/// The body: the example of its schema, except where it holds a secret.
fn example_body(operation: &Operation, declared: &Value, actor: &Actor, secrets: &Secrets) -> Option<Value> {
    let schema = resolve(&declared["requestBody"]["content"]["application/json"]["schema"]);
    if !schema.is_object() {
        return None;
    }
    Some(match operation.id.as_str() {
        "login" => json!({ "username": actor.name, "password": actor.password }),
        "refresh" => json!({ "refresh_token": secrets.refresh[&actor.name] }),
        "step_up" => json!({ "password": actor.password }),
        "change_password" => json!({ "old_password": actor.password, "new_password": "a-heron-over-the-lake-7" }),
        "confirm_totp" => json!({ "code": secrets.totp[&actor.name] }),
        // A table is imported by who has uploaded it.
        "start_import" => {
            let mut body = schema["examples"][0].clone();
            if let Some(file) = &secrets.file {
                body["file_id"] = json!(file);
            }
            body
        }
        _ if schema["examples"][0].is_object() => schema["examples"][0].clone(),
        _ => assembled(schema),
    })
}

/// The example of a body whose fields each have one.
fn assembled(schema: &Value) -> Value {
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields.map(|(name, field)| (name.clone(), resolve(field)["examples"].get(0).cloned().unwrap_or(Value::Null))).collect()
}

#[derive(Default)]
struct Secrets {
    refresh: BTreeMap<String, String>,
    totp: BTreeMap<String, String>,
    /// An object of her own, where the example is somebody else's.
    target: Option<String>,
    /// A table that she has uploaded.
    file: Option<String>,
}

const PASSWORD: &str = "dr4gonfly-teapot-92";

async fn actors(app: &TestApp) -> Vec<Actor> {
    let mut actors = Vec::new();
    for role in ROLES {
        for (place, organization) in [("inside", COUNTY), ("above", CITY), ("beside", NEIGHBOUR)] {
            let name = format!("{role}.{place}").replace('_', "-");
            let (_, client) = app.db_account(&name, Some(*role), organization).await;
            actors.push(Actor { name, client, password: PASSWORD });
        }
    }
    let (_, client) = app.db_account("nobody.outside", None, COUNTY).await;
    actors.push(Actor { name: "nobody.outside".to_owned(), client, password: PASSWORD });
    actors
}

#[actix_web::test]
async fn every_cell_of_the_matrix_is_as_committed() {
    let writing = TestApp::new().await;
    let actors = actors(&writing).await;
    let app = TestApp::on(writing.database.clone(), crate::support::config(), true).await;
    let mut text = String::from("# operation: the actors by status and code of their answer\n");
    let mut without_success = Vec::new();
    for operation in document().operations() {
        let declared = &document().json["paths"][&operation.path][operation.method.as_str().to_lowercase()];
        let target = example_target(operation, declared);
        let mut cells: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for actor in &actors {
            let secrets = secrets_for(operation, &writing, actor).await;
            let client = app.with_token(actor.client.token());
            let target = secrets.target.clone().unwrap_or_else(|| target.clone());
            let mut request = client.request(operation.method.clone(), &target);
            if operation.needs_version {
                request = request.if_match("\"1\"");
            }
            if operation.takes == Takes::Form {
                request = request.form(&[("purpose", "other")], "list.csv", "姓名,电话\n".as_bytes());
            } else if let Some(body) = example_body(operation, declared, actor, &secrets) {
                request = request.json(&body);
            }
            let answer = request.await;
            let code = answer.json["code"].as_str().filter(|_| !answer.status.is_success()).unwrap_or_default();
            let real_body = answer.status == StatusCode::NO_CONTENT || answer.json.is_object() || operation.answers_bytes;
            assert!(real_body, "{} answered {} without a body", operation.id, answer.status);
            cells.entry(format!("{} {code}", answer.status.as_u16()).trim().to_owned()).or_default().push(&actor.name);
        }
        if !cells.keys().any(|cell| cell.starts_with('2')) {
            without_success.push(format!("{} {cells:?}", operation.id));
        }
        text += &format!("\n{} ({})\n", operation.id, operation.need.as_str());
        for (cell, names) in cells {
            text +=
                &format!("  {cell}: {}\n", if names.len() == actors.len() { "everybody".to_owned() } else { names.join(" ") });
        }
    }
    assert!(without_success.is_empty(), "nobody can call with the document's example:\n{}", without_success.join("\n"));
    assert_snapshot("tests/api/snapshots/matrix.txt", &text);
}

/// Secrets that an example cannot hold.
async fn secrets_for(operation: &Operation, app: &TestApp, actor: &Actor) -> Secrets {
    let mut secrets = Secrets::default();
    match operation.id.as_str() {
        "refresh" => {
            let body = json!({ "username": actor.name, "password": actor.password });
            let answer = app.anonymous().post("/api/v1/auth/login").json(&body).await.expect(200);
            secrets.refresh.insert(actor.name.clone(), answer.text("/refresh_token"));
        }
        "confirm_totp" | "remove_totp" => {
            let answer = app.with_token(actor.client.token()).post("/api/v1/me/totp").await.expect(200);
            let code = crate::accounts::totp_code(&answer.text("/secret"), crate::support::now());
            secrets.totp.insert(actor.name.clone(), code);
        }
        "end_session" => {
            let sessions = app.with_token(actor.client.token()).get("/api/v1/auth/sessions").await.expect(200);
            secrets.target = sessions.items()[0]["id"].as_str().map(|id| format!("/api/v1/auth/sessions/{id}"));
        }
        "start_import" => {
            let upload = app.with_token(actor.client.token()).post("/api/v1/files");
            let uploaded = upload.form(&[("purpose", "import")], "list.csv", "类别,名称\n".as_bytes()).await;
            secrets.file = uploaded.json["id"].as_str().map(str::to_owned);
        }
        "delete_file" => {
            let upload = app.with_token(actor.client.token()).post("/api/v1/files");
            let uploaded = upload.form(&[("purpose", "other")], "list.csv", "姓名,电话\n".as_bytes()).await;
            secrets.target = uploaded.json["id"].as_str().map(|id| format!("/api/v1/files/{id}"));
        }
        "get_export" | "cancel_export" | "download_export" => {
            let body = json!({ "source": "sites", "format": "csv" });
            let asked = app.with_token(actor.client.token()).post("/api/v1/exports").json(&body).await.expect(201);
            let path = format!("/api/v1/exports/{}", asked.text("/id"));
            if operation.id == "download_export" {
                run_due(&app.app).await.unwrap();
            }
            secrets.target = Some(operation.path.replace("/api/v1/exports/{id}", &path));
        }
        _ => {}
    }
    secrets
}

#[test]
fn every_role_that_staff_can_hold_is_asked() {
    let held = |role: &Role| half_sky::access::Permission::ALL.iter().any(|permission| permission.roles().contains(role));
    let missing: Vec<_> = Role::ALL.iter().filter(|role| held(role) && !ROLES.contains(role)).collect();
    assert!(missing.is_empty(), "{missing:?} hold permissions but are not in the matrix");
    assert!(document().operations().iter().any(|operation| matches!(operation.need, Need::Holds(_))));
}
