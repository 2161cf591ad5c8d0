//! Rows that meet what is there and one another.

use super::*;

/// The chair of [`COUNTY`] in the demo, and her post.
const CHAIR: &str = "张丽,13700004321";
/// Somebody of [`COUNTY`] who is no chair.
const NEXT: &str = "王芳,13900001234";

fn told(expected: &[(i64, &str, &str)]) -> Vec<(i64, String, String)> {
    expected.iter().map(|(row, column, code)| (*row, (*column).to_owned(), (*code).to_owned())).collect()
}

/// Audit entries of an action, newest first.
async fn entries(app: &TestApp, action: &str) -> Vec<Value> {
    let page = app.sign_in("platform").await.get(format!("/api/v1/audit-entries?action={action}&limit=100")).await.expect(200);
    page.items().clone()
}

#[actix_web::test]
async fn one_chair_leaves_and_the_next_one_comes_in_one_table_in_any_order() {
    for (leaves, comes) in [(0, 1), (1, 0)] {
        let app = TestApp::new().await;
        let officer = app.sign_in("county-officer").await;
        let held = officer.get(format!("/api/v1/posts?organization_id={COUNTY}&position=chair")).await.expect(200);
        let from_on = held.items()[0]["from_on"].as_str().unwrap().to_owned();
        let mut rows = [String::new(), String::new()];
        rows[leaves] = format!("430602,{CHAIR},主席,专职,{from_on},2019-04-30\r\n");
        rows[comes] = format!("430602,{NEXT},主席,专职,2019-05-01,\r\n");
        let text = format!("组织代码,姓名,电话,职务,任职方式,起始日期,截止日期\r\n{}", rows.concat());
        let applied = import(&app, &officer, "posts", COUNTY, "apply", "职务.csv", text.as_bytes()).await;
        assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]), "{:#}", applied.json);
        assert_eq!(applied.json["counts"], json!({ "rows": 2, "new": 1, "changed": 1, "unchanged": 0, "errors": 0 }));
        assert_eq!(applied.json["progress"], json!({ "done": 2, "total": 2 }));
        // Each stands in the audit trail with what it was.
        let changed = &entries(&app, "post.changed").await[0];
        assert_eq!((&changed["before"]["to_on"], &changed["after"]["to_on"]), (&Value::Null, &json!("2019-04-30")));
        assert_eq!((&changed["role"], &changed["actor_name"]), (&json!("officer"), &json!("岳阳楼区妇联经办人")), "{changed:#}");
        assert_eq!(entries(&app, "post.created").await[0]["after"]["from_on"], "2019-05-01");
    }
}

#[actix_web::test]
async fn a_post_named_by_its_id_alone_is_held_against_its_own_organization() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let held = officer.get(format!("/api/v1/posts?organization_id={COUNTY}&position=chair")).await.expect(200);
    let (id, from_on) = (held.items()[0]["id"].clone(), held.items()[0]["from_on"].as_str().unwrap().to_owned());
    let ended = json!({ "to_on": "2019-04-30", "reason": "届满" });
    let post = officer.get(format!("/api/v1/posts/{}", id.as_str().unwrap())).await.expect(200);
    officer.post(format!("/api/v1/posts/{}/end", post.text("/id"))).if_match(&post.etag()).json(&ended).await.expect(200);
    let next = json!({ "organization_id": COUNTY, "person_id": "0168028c-2f00-7000-8001-000000000002", "position": "chair", "employment_mode": "full_time", "secondment": null, "from_on": "2019-05-01", "to_on": null, "appointed_by": null });
    let next = officer.post("/api/v1/posts").json(&next).await.expect(201);
    let text = format!("ID,职务,任职方式,起始日期\r\n{},主席,专职,{from_on}\r\n", next.text("/id"));
    let failed = import(&app, &officer, "posts", COUNTY, "validate", "职务.csv", text.as_bytes()).await;
    assert_eq!(errors(&failed), told(&[(2, "position", "taken")]), "{:#}", failed.json);
}

#[actix_web::test]
async fn an_identity_number_of_somebody_else_is_told_at_its_cell() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "ID,姓名,组织代码,电话,身份证号\r\n\
        0168028c-2f00-7000-8001-000000000001,李梅,430602,138****5678,430699199202290022\r\n";
    let failed = import(&app, &officer, "people", COUNTY, "validate", "人员.csv", text.as_bytes()).await;
    assert_eq!(errors(&failed), told(&[(2, "id_number", "taken")]), "{:#}", failed.json);
}

#[actix_web::test]
async fn one_new_person_in_two_rows_is_told_at_the_second() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "姓名,组织代码,性别,出生年份,电话\r\n\
        周兰,430602,女,1980,13700001111\r\n\
        周兰,430602,,,13700001111\r\n\
        周兰,430602,女,2001,13700001111\r\n\
        周青,430602,女,1980,13700001111\r\n";
    let failed = import(&app, &officer, "people", COUNTY, "validate", "人员.csv", text.as_bytes()).await;
    assert_eq!(errors(&failed), told(&[(3, "phone", "repeated_row")]), "{:#}", failed.json);
}

#[actix_web::test]
async fn what_a_table_of_people_changes_stands_in_the_audit_trail_masked() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let text = "姓名,组织代码,电话,身份证号\r\n李梅,430602,13800009999,430699198808081220\r\n周兰,430602,13700001111,\r\n";
    let applied = import(&app, &officer, "people", COUNTY, "apply", "人员.csv", text.as_bytes()).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    let changed = &entries(&app, "person.changed").await[0];
    assert_eq!((&changed["before"]["phone"], &changed["after"]["phone"]), (&json!("138****5678"), &json!("138****9999")));
    let created = &entries(&app, "person.created").await[0];
    assert_eq!((&created["after"]["name"], &created["after"]["phone"]), (&json!("周兰"), &json!("137****1111")));
    assert_eq!(created["role"], "officer");
}

#[actix_web::test]
async fn that_records_elsewhere_were_told_of_stands_in_the_audit_trail_once() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let hers = json!({ "organization_id": NEIGHBOUR, "name": "何英", "sex": null, "birth_year": null, "phone": null, "id_number": "430699198001010026", "tags": [] });
    admin.post("/api/v1/people").json(&hers).await.expect(201);
    let officer = app.sign_in("county-officer").await;
    let before = entries(&app, "request.refused").await.len();
    let text = "姓名,组织代码,身份证号\r\n何英,430602,430699198001010026\r\n";
    let failed = import(&app, &officer, "people", COUNTY, "validate", "人员.csv", text.as_bytes()).await;
    assert_eq!(errors(&failed), told(&[(2, "id_number", "taken")]));
    let refused = entries(&app, "request.refused").await;
    assert_eq!(refused.len(), before + 1);
    assert_eq!((&refused[0]["after"]["code"], &refused[0]["after"]["rows"]), (&json!("person_kept_elsewhere"), &json!(1)));
}
