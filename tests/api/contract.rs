//! The document against itself, the policy and the committed files.

use std::collections::HashSet;

use half_sky::access::{Need, OPERATIONS, Permission};
use half_sky::http::document::document;
use serde_json::Value;

use crate::support::{TestApp, assert_snapshot};

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    assert_snapshot("openapi/openapi.json", &format!("{:#}\n", document().json));
}

#[test]
fn the_policy_table_and_the_document_name_the_same_operations() {
    let documented: Vec<&str> = document().operations().iter().map(|operation| operation.id.as_str()).collect();
    let distinct: HashSet<&str> = documented.iter().copied().collect();
    assert_eq!(documented.len(), distinct.len(), "operationIds are unique");
    let listed: HashSet<&str> = OPERATIONS.iter().map(|(id, _)| *id).collect();
    assert_eq!(listed.len(), OPERATIONS.len(), "no operation stands twice in the table");
    let missing: Vec<_> = listed.difference(&distinct).collect();
    assert!(missing.is_empty(), "in the policy, but not mounted: {missing:?}");
}

#[test]
fn the_policy_is_the_committed_one() {
    let mut text = String::from("# Who may do what. Generated from src/access.rs.\n\npermission | module | roles\n");
    for permission in Permission::ALL {
        let roles: Vec<&str> = permission.roles().iter().map(|role| role.as_str()).collect();
        let module = permission.module().map_or("any", |module| module.as_str());
        text += &format!("{} | {module} | {}\n", permission.as_str(), roles.join(", "));
    }
    text += "\noperation | needs\n";
    for (id, need) in OPERATIONS {
        text += &format!("{id} | {}\n", need.as_str());
    }
    assert_snapshot("tests/api/snapshots/policy.txt", &text);
}

#[test]
fn the_public_operations_are_the_committed_list() {
    let public: Vec<&str> = OPERATIONS.iter().filter(|(_, need)| *need == Need::Public).map(|(id, _)| *id).collect();
    assert_snapshot("tests/api/snapshots/public-operations.txt", &(public.join("\n") + "\n"));
}

#[test]
fn every_operation_is_described_and_names_its_permission() {
    for operation in document().operations() {
        let declared = &document().json["paths"][&operation.path][operation.method.as_str().to_lowercase()];
        let id = &operation.id;
        let summary = declared["summary"].as_str().unwrap_or_default();
        assert!(summary.contains(" · "), "{id}: the summary is Chinese · English, not {summary:?}");
        let description = declared["description"].as_str().unwrap_or_default();
        assert!(description.len() >= 20 && description.ends_with('.'), "{id}: {description:?}");
        assert_eq!(declared["tags"].as_array().map(Vec::len), Some(1), "{id} has one tag");
        assert_eq!(declared["x-permission"], operation.need.as_str(), "{id}");
        let names: Vec<&Value> = declared["parameters"].as_array().into_iter().flatten().map(|p| &p["name"]).collect();
        let distinct: HashSet<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), distinct.len(), "{id} declares a parameter twice: {names:?}");
        for parameter in declared["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{id}: {} is described",
                parameter["name"]
            );
        }
    }
}

#[test]
fn responses_are_complete_objects() {
    // A field that may be absent makes every client guess; what has no value is null.
    let schemas = document().json["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas.iter().filter(|(name, _)| name.ends_with("View") || name.ends_with("Page")) {
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for field in schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
            assert!(required.contains(&field.as_str()), "{name}.{field} is not required");
        }
    }
}

#[actix_web::test]
async fn a_stranger_gets_401_from_every_operation_that_is_not_public() {
    let app = TestApp::new().await;
    let stranger = app.anonymous();
    for operation in document().operations().iter().filter(|operation| operation.need != Need::Public) {
        let path = operation
            .path
            .replace("{id}", "0168028c-2f00-7000-8000-430602000000")
            .replace("{grant_id}", "0168028c-2f00-7000-8000-430602000000")
            .replace("{kind}", "organizations");
        stranger.request(operation.method.clone(), &path).without("Idempotency-Key").await.expect_problem(401, "unauthenticated");
        let forged = app.with_token("eyJhbGciOiJub25lIn0.e30.");
        forged.request(operation.method.clone(), &path).await.expect_problem(401, "token_invalid");
    }
}
