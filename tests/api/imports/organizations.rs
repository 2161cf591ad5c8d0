//! Imports of organizations: the real tree out and back, rows in any order, what is no more.

use encoding_rs::GB18030;
use half_sky::access::Role;
use half_sky::organizations::create_top;

use super::*;
use crate::exports::file_of;
use crate::support::{CITY, Database, config};

/// What is equal on both sides of a round trip: everything but ids, versions and instants, under the full path.
fn by_path(items: &[Value]) -> Vec<(String, Value)> {
    let name_of = |id: &str| items.iter().find(|item| item["id"] == id);
    let mut rows: Vec<(String, Value)> = items
        .iter()
        .map(|item| {
            let (mut names, mut at) = (vec![], Some(item));
            while let Some(organization) = at {
                names.push(organization["name"].as_str().unwrap());
                at = organization["parent_id"].as_str().and_then(name_of);
            }
            names.reverse();
            let mut rest = item.as_object().unwrap().clone();
            for field in ["id", "parent_id", "version", "updated_at"] {
                rest.remove(field);
            }
            (names.join("/"), Value::Object(rest))
        })
        .collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.to_string().cmp(&other.1.to_string())));
    rows
}

/// A service on a database that knows nobody but the city and its administrator.
async fn fresh() -> (TestApp, Client, String) {
    let app = TestApp::on(Database::bare().await, config(), false).await;
    let top = create_top(&mut app.database.owner().await, "岳阳市妇联", &app.app.clock).await.unwrap().to_string();
    let (_, admin) = app.db_account("first-admin", Some(Role::PlatformAdmin), &top).await;
    (app, admin, top)
}

#[actix_web::test]
async fn the_real_tree_goes_out_and_comes_back_equal() {
    let old = TestApp::new().await;
    let administrator = old.sign_in("city-admin").await;
    let tree = all(&administrator, "/api/v1/organizations?").await;
    assert!(tree.len() > 2057, "the real tree and the federations in demo units");
    let (_, book) = file_of(&old, &administrator, json!({ "source": "organizations", "format": "xlsx" })).await;
    let (rows, new_rows) = (tree.len(), tree.len() - 1);
    let (new, admin, top) = fresh().await;
    let applied = import(&new, &admin, "organizations", &top, "apply", "组织.xlsx", &book).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]), "{:#}", applied.json["failure"]);
    assert_eq!(applied.json["counts"], json!({ "rows": rows, "new": new_rows, "changed": 1, "unchanged": 0, "errors": 0 }));
    assert_eq!(applied.json["progress"], json!({ "done": rows, "total": rows }));
    assert_eq!(applied.json["ignored_columns"], json!(["版本", "更新时间"]));
    let back = all(&admin, "/api/v1/organizations?").await;
    let (before, after) = (by_path(&tree), by_path(&back));
    assert_eq!(after.len(), before.len());
    for (one, other) in before.iter().zip(&after) {
        assert_eq!(one, other);
    }
    // Its history tells who made it, and the audit trail of the whole.
    let county = back.iter().find(|item| item["division_code"] == "430602").unwrap()["id"].as_str().unwrap().to_owned();
    let history = admin.get(format!("/api/v1/organizations/{county}/history")).await.expect(200);
    assert_eq!(
        (&history.items()[0]["kind"], &history.items()[0]["actor"]["display_name"]),
        (&json!("created"), &json!("first-admin"))
    );
    let entries = admin.get("/api/v1/audit-entries?action=import.applied").await.expect(200);
    assert_eq!(entries.items()[0]["after"]["new"], new_rows);
    // The whole once more, with a name edited: what is no more is known again, as is what works.
    let (_, book) = file_of(&old, &administrator, json!({ "source": "organizations", "format": "csv" })).await;
    let edited = String::from_utf8(book).unwrap().replacen("郭亮社区妇联", "郭亮新村妇联", 1);
    let again = import(&new, &admin, "organizations", &top, "apply", "组织.csv", edited.as_bytes()).await;
    assert_eq!((&again.json["status"], errors(&again)), (&json!("applied"), vec![]));
    assert_eq!(again.json["counts"], json!({ "rows": rows, "new": 0, "changed": 1, "unchanged": rows - 1, "errors": 0 }));
    // The template of the new tree, sent back as it is, changes nothing.
    let template = admin.get(format!("/api/v1/imports/templates/organizations.xlsx?organization_id={top}")).await.expect(200);
    let again = import(&new, &admin, "organizations", &top, "validate", "模板.xlsx", &template.bytes).await;
    assert_eq!(again.json["counts"], json!({ "rows": new_rows, "new": 0, "changed": 0, "unchanged": new_rows, "errors": 0 }));
}

#[actix_web::test]
async fn columns_that_are_unknown_missing_or_there_twice_are_told_before_any_row() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = "名称,备用,层级,名称,更新时间\r\n某妇委会,x,乡镇级,某妇委会,\r\n";
    let failed = import(&app, &admin, "organizations", COUNTY, "validate", "a.csv", text.as_bytes()).await;
    assert_eq!(failed.json["failure"], "columns");
    let codes = [(1, "", "unknown_column"), (1, "name", "repeated_column"), (1, "kind", "missing_column")];
    assert_eq!(errors(&failed), codes.map(|(row, column, code)| (row, column.to_owned(), code.to_owned())));
    assert_eq!(failed.json["errors"][0]["column_letter"], "B");
    let empty = import(&app, &admin, "organizations", COUNTY, "validate", "b.csv", HEADER.as_bytes()).await;
    assert_eq!(empty.json["failure"], "empty");
    assert_eq!(empty.json["failure_message"], "没有可读取的工作表或数据");
}

#[actix_web::test]
async fn rows_come_in_any_order_and_any_encoding_and_name_their_parents_by_code_or_path() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let text = "类别,名称,上级全路径,上级代码\r\n\
        村社区妇联,东村妇联,岳阳市妇联/岳阳楼区妇联/新镇妇联,\r\n\
        村社区妇联,西村妇联,岳阳市妇联／岳阳楼区妇联／新镇妇联,\r\n\
        乡镇街道妇联,新镇妇联,,４３０６０２\r\n\r\n";
    let bytes = GB18030.encode(text).0;
    let applied = import(&app, &admin, "organizations", CITY, "apply", "组织.csv", &bytes).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    let village = all(&admin, "/api/v1/organizations?kind=village_federation&sort=-id&")
        .await
        .into_iter()
        .find(|item| item["name"] == "西村妇联");
    let ancestors =
        admin.get(format!("/api/v1/organizations/{}/ancestors", village.unwrap()["id"].as_str().unwrap())).await.expect(200);
    let names: Vec<&str> = ancestors.items().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["岳阳市妇联", "岳阳楼区妇联", "新镇妇联"]);
}

#[actix_web::test]
async fn what_works_does_not_hang_below_what_is_no_more() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let gone = json!({ "kind": "township_federation", "name": "老镇妇联", "parent_id": COUNTY });
    let gone = admin.post("/api/v1/organizations").json(&gone).await.expect(201).text("/id");
    let reason = json!({ "reason": "撤镇" });
    admin.post(format!("/api/v1/organizations/{gone}/dissolve")).if_match("\"1\"").json(&reason).await.expect(200);
    let header = "ID,类别,名称,上级组织 ID,上级代码,上级全路径,状态\r\n";
    let right = format!(
        "{gone},乡镇街道妇联,老镇妇联,{COUNTY},,,已撤销\r\n\
        ,村社区妇联,老村妇联,{gone},,,已撤销\r\n\
        ,乡镇街道妇联,旧镇妇联,,430602,,已撤销\r\n\
        ,村社区妇联,旧村妇联,,,岳阳楼区妇联/旧镇妇联,已撤销\r\n"
    );
    let wrong = format!(
        "{header}{right}\
        ,村社区妇联,东村妇联,{gone},,,\r\n\
        ,村社区妇联,西村妇联,,,岳阳楼区妇联/老镇妇联,正常\r\n\
        ,村社区妇联,新村妇联,,,岳阳楼区妇联/旧镇妇联,\r\n"
    );
    let refused = import(&app, &admin, "organizations", COUNTY, "apply", "a.csv", wrong.as_bytes()).await;
    let expected = [(6, "parent_id"), (7, "parent_path"), (8, "parent_path")];
    assert_eq!(errors(&refused), expected.map(|(row, column)| (row, column.to_owned(), "unknown_reference".to_owned())));
    // What is no more is part of the history, and is the same however often it is brought.
    for (name, line, new) in [("b.csv", "", 3), ("c.csv", "\r\n", 0)] {
        let table = format!("{header}{line}{right}");
        let applied = import(&app, &admin, "organizations", COUNTY, "apply", name, table.as_bytes()).await;
        assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]), "{name}");
        assert_eq!(
            applied.json["counts"],
            json!({ "rows": 4, "new": new, "changed": 0, "unchanged": 4 - new, "errors": 0 }),
            "{name}"
        );
    }
}

#[actix_web::test]
async fn a_merged_organization_is_known_by_its_path_and_none_is_imported() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let (merged, into) = ("0168028c-2f00-7000-8000-430602001002", "0168028c-2f00-7000-8000-430602001003");
    let name = admin.get(format!("/api/v1/organizations/{merged}")).await.expect(200).text("/name");
    let body = json!({ "into_id": into, "reason": "合并", "posts": "move", "sites": "move", "accounts": "move" });
    admin.post(format!("/api/v1/organizations/{merged}/merge")).if_match("\"1\"").json(&body).await.expect(200);
    let header = "类别,名称,上级代码,状态\r\n";
    let known = format!("{header}村社区妇联,{name},430602001,已合并\r\n");
    let same = import(&app, &admin, "organizations", COUNTY, "apply", "a.csv", known.as_bytes()).await;
    assert_eq!((&same.json["status"], errors(&same)), (&json!("applied"), vec![]));
    assert_eq!(same.json["counts"], json!({ "rows": 1, "new": 0, "changed": 0, "unchanged": 1, "errors": 0 }));
    // One that nobody knows, and one that works: imports end nothing.
    let wrong = format!("{header}村社区妇联,旧村妇联,430602001,已合并\r\n村社区妇联,郭亮社区妇联,430602001,已撤销\r\n");
    let refused = import(&app, &admin, "organizations", COUNTY, "apply", "b.csv", wrong.as_bytes()).await;
    let expected = [(2, "merged"), (3, "by_action")];
    assert_eq!(errors(&refused), expected.map(|(row, code)| (row, "status".to_owned(), code.to_owned())));
}
