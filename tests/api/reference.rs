//! What anybody may look up.

use crate::support::{TestApp, VILLAGE};

#[actix_web::test]
async fn every_division_is_found_by_paging_once() {
    let app = TestApp::new().await;
    let (mut cursor, mut codes) = (String::new(), Vec::new());
    loop {
        let page = app.anonymous().get(format!("/api/v1/divisions?limit=100{cursor}")).await.expect(200);
        codes.extend(page.items().iter().map(|item| item["code"].as_str().unwrap().to_owned()));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(codes.len(), 2048);
    assert!(codes.is_sorted());
    codes.dedup();
    assert_eq!(codes.len(), 2048);
}

#[actix_web::test]
async fn a_division_names_its_federation() {
    let app = TestApp::new().await;
    let village = app.anonymous().get("/api/v1/divisions/430602001001").await.expect(200);
    assert_eq!(village.json["full_name"], "岳阳市岳阳楼区岳阳楼街道郭亮社区");
    assert_eq!(village.json["federation"]["id"], VILLAGE);
    assert_eq!(village.json["code_system"], "nbs");
    let zone = app.anonymous().get("/api/v1/divisions/430671").await.expect(200);
    assert_eq!(zone.json["federation"]["name"], "屈原管理区妇联");
    app.anonymous().get("/api/v1/divisions/439999").await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn divisions_are_found_by_part_of_their_name_and_by_parent() {
    let app = TestApp::new().await;
    let found = app.anonymous().get("/api/v1/divisions?q=%E5%B1%88%E5%8E%9F&level=county").await.expect(200);
    assert_eq!(found.items().len(), 1);
    let counties = app.anonymous().get("/api/v1/divisions?parent_code=430600&limit=100").await.expect(200);
    assert_eq!(counties.items().len(), 10);
    let wild = app.anonymous().get("/api/v1/divisions?q=%25").await.expect(200);
    assert!(wild.items().is_empty(), "a percent sign is a character, not a pattern");
}

#[actix_web::test]
async fn every_enumeration_has_labels_in_both_languages() {
    let app = TestApp::new().await;
    let all = app.anonymous().get("/api/v1/dictionaries").await.expect(200);
    let dictionaries = all.json["dictionaries"].as_array().unwrap();
    assert!(dictionaries.len() > 15, "{}", dictionaries.len());
    let two = app.anonymous().get("/api/v1/dictionaries?names=role,organization_kind").await.expect(200);
    let names: Vec<&str> = two.json["dictionaries"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["organization_kind", "role"]);
    assert_eq!(two.json["dictionaries"][0]["entries"].as_array().unwrap().len(), 12);
}

#[actix_web::test]
async fn the_working_calendar_knows_holidays_and_worked_weekends() {
    let app = TestApp::new().await;
    let year = app.anonymous().get("/api/v1/working-calendar").await.expect(200);
    assert_eq!(year.json["year"], 2019, "this year, by domain time");
    let days = year.json["days"].as_array().unwrap();
    assert!(days.iter().any(|day| day["day"] == "2019-10-01" && day["kind"] == "holiday"));
    assert!(days.iter().any(|day| day["kind"] == "workday"));
}

#[actix_web::test]
async fn problems_roles_and_home_can_be_read() {
    let app = TestApp::new().await;
    let all = app.anonymous().get("/api/v1/problems").await.expect(200);
    assert!(all.json["problems"].as_array().unwrap().len() > 30);
    let one = app.anonymous().get("/api/v1/problems/version_conflict").await.expect(200);
    assert_eq!(one.json["status"], 412);
    app.anonymous().get("/api/v1/problems/no_such_code").await.expect_problem(404, "not_found");
    let roles = app.anonymous().get("/api/v1/roles").await.expect(200);
    assert_eq!(roles.json["roles"].as_array().unwrap().len(), 11);
    let home = app.anonymous().get("/api/v1").await.expect(200);
    assert_eq!(home.json["documentation"], "/swagger-ui/");
}

#[actix_web::test]
async fn reference_data_never_overwrites_an_administrators_edit() {
    use diesel_async::RunQueryDsl;
    let app = TestApp::new().await;
    let mut owner = app.database.owner().await;
    for sql in [
        "UPDATE divisions SET name = '新名', edited = true WHERE code = '430602'",
        "UPDATE divisions SET name = '旧名' WHERE code = '430603'",
        "DELETE FROM data_versions WHERE slice = 'divisions'",
    ] {
        diesel::sql_query(sql).execute(&mut owner).await.unwrap();
    }
    half_sky::reference::load::load(&mut owner, &indicatif::ProgressBar::hidden()).await.unwrap();
    let edited = app.anonymous().get("/api/v1/divisions/430602").await.expect(200);
    assert_eq!(edited.json["name"], "新名");
    let refreshed = app.anonymous().get("/api/v1/divisions/430603").await.expect(200);
    assert_eq!(refreshed.json["name"], "云溪区");
}
