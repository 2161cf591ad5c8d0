//! Plans, tasks and indicators: who reads which, in which order, and how a plan comes in.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use half_sky::access::{Module, Role};
use half_sky::accounts::store::{self, GrantRow};
use half_sky::db::schema::{indicators, organizations, plans, tasks};
use half_sky::ids::{GrantId, OrganizationId, PlanId};
use half_sky::plans::import::{Body, Ids, ImportError, WORK_PLAN_2019, WorkPlan, import_plan};
use half_sky::plans::{PlanKind, PlanStatus};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Answer, CITY, COUNTY, Client, TestApp, now};

const PLAN: &str = "/api/v1/plans/0168028c-2f00-7000-8010-000000002019";

fn task(number: &str) -> String {
    let (point, task) = number.split_once('.').unwrap();
    format!("/api/v1/tasks/0168028c-2f00-7000-8011-00000000{point:0>2}{task:0>2}")
}

fn organization(id: &str) -> OrganizationId {
    id.parse::<Uuid>().unwrap().into()
}

/// Addresses of the six reads of a plan with one task and one indicator.
struct Addresses([String; 5]);

impl Addresses {
    async fn are(&self, who: &Client, status: u16) {
        for address in &self.0 {
            who.get(address).await.expect(status);
        }
    }
}

/// Writes a county's plan with one task and one indicator.
async fn db_county_plan(conn: &mut AsyncPgConnection, status: PlanStatus) -> (PlanId, Addresses) {
    let mut document = WorkPlan::parse(WORK_PLAN_2019).unwrap();
    document.chapters.truncate(1);
    document.chapters[0].points.truncate(1);
    let tasks_of_it = &mut document.chapters[0].points[0].tasks;
    tasks_of_it.truncate(1);
    tasks_of_it[0].responsible_organization_kinds.retain(|body| matches!(body, Body::Kind(_)));
    let clock = half_sky::clock::Clock::fixed(now());
    let id = import_plan(conn, &document, organization(COUNTY), Ids::Generated, &clock).await.unwrap();
    diesel::update(plans::table.find(id)).set(plans::status.eq(status)).execute(conn).await.unwrap();
    let task: Uuid = tasks::table.filter(tasks::plan_id.eq(id)).select(tasks::id).first(conn).await.unwrap();
    let indicator = Uuid::now_v7();
    diesel::sql_query(
        "INSERT INTO indicators (id, task_id, position, name, unit, comparator, value_kind, source, frequency, starts_on, due_on, weight,
            created_at, updated_at) VALUES ($1, $2, 1, '场次', '场', 'none', 'increment', 'declared', 'once', '2019-01-01', '2019-12-31', 1,
            now(), now())",
    )
    .bind::<diesel::sql_types::Uuid, _>(indicator)
    .bind::<diesel::sql_types::Uuid, _>(task)
    .execute(conn)
    .await
    .unwrap();
    let addresses = [
        format!("/api/v1/plans/{id}"),
        format!("/api/v1/plans/{id}/tasks"),
        format!("/api/v1/tasks/{task}"),
        format!("/api/v1/tasks/{task}/indicators"),
        format!("/api/v1/indicators/{indicator}"),
    ];
    (id, Addresses(addresses))
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.items().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn the_plan_of_2019_has_5_chapters_15_points_81_tasks_and_31_indicators() {
    let app = TestApp::new().await;
    let plan = app.sign_in("city-officer").await.get(PLAN).await.expect(200);
    let chapters = plan.json["chapters"].as_array().unwrap();
    let points: usize = chapters.iter().map(|chapter| chapter["points"].as_array().unwrap().len()).sum();
    assert_eq!((chapters.len(), points, &plan.json["task_count"]), (5, 15, &json!(81)));
    assert_eq!(plan.json["document_number"], "岳妇发〔2019〕1号");
    assert_eq!(plan.json["status"], "issued");
    assert_eq!(plan.json["allowed_actions"], json!([]));
    assert_eq!(plan.json["chapters"][1]["points"][1], json!({ "number": 5, "title": "构建开放格局", "task_count": 6 }));
    let mut conn = app.database.owner().await;
    let count: i64 = indicators::table.count().get_result(&mut conn).await.unwrap();
    assert_eq!(count, 31);
}

#[actix_web::test]
async fn a_village_reads_the_citys_issued_plan_and_references_to_what_it_names() {
    let app = TestApp::new().await;
    let village = app.sign_in("village-officer").await;
    let list = village.get("/api/v1/plans").await.expect(200);
    let city = json!({ "id": CITY, "name": "岳阳市妇联", "kind": "city_federation", "level": "city" });
    assert_eq!(list.items().len(), 1);
    assert_eq!(list.items()[0]["organization"], city);
    village.get(PLAN).await.expect(200);
    village.get(format!("{PLAN}/tasks")).await.expect(200);
    let ranking = village.get(task("5.4")).await.expect(200);
    assert_eq!(ranking.json["lead_organization"], city);
    let indicators = village.get(format!("{}/indicators", task("5.4"))).await.expect(200);
    village.get(format!("/api/v1/indicators/{}", ids(&indicators)[0])).await.expect(200);
    village.get(format!("/api/v1/organizations/{CITY}")).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn a_draft_is_read_by_its_organization_and_those_above_an_issued_plan_also_by_those_below() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    let (id, addresses) = db_county_plan(&mut conn, PlanStatus::Draft).await;
    let [city, county, township, neighbour] = [
        app.sign_in("city-viewer").await,
        app.sign_in("county-officer").await,
        app.sign_in("township-officer").await,
        app.sign_in("neighbour-officer").await,
    ];
    addresses.are(&city, 200).await;
    addresses.are(&county, 200).await;
    addresses.are(&township, 404).await;
    addresses.are(&neighbour, 404).await;
    for status in [PlanStatus::Issued, PlanStatus::Closed, PlanStatus::Archived] {
        diesel::update(plans::table.find(id)).set(plans::status.eq(status)).execute(&mut conn).await.unwrap();
        addresses.are(&township, 200).await;
        addresses.are(&neighbour, 404).await;
    }
    let listed =
        |who: Client| async move { who.get("/api/v1/plans?include_total=true").await.expect(200).json["total"]["value"].clone() };
    assert_eq!([listed(city).await, listed(county).await, listed(township).await, listed(neighbour).await], [2, 2, 2, 1]);
}

#[actix_web::test]
async fn plans_are_filtered() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    let (county_plan, _) = db_county_plan(&mut conn, PlanStatus::Draft).await;
    let city = app.sign_in("city-manager").await;
    let city_plan = &PLAN[PLAN.len() - 36..];
    let county_plan = county_plan.to_string();
    for (query, expected) in [
        ("status=draft", vec![county_plan.as_str()]),
        ("status=issued,archived", vec![city_plan]),
        ("kind=annual&year=2019", vec![city_plan, &county_plan]),
        ("kind=special", vec![]),
        ("year=2020", vec![]),
        (&format!("organization_id={CITY}"), vec![city_plan]),
        (&format!("within={CITY}"), vec![city_plan, &county_plan]),
        (&format!("within={COUNTY}"), vec![&county_plan]),
        ("q=工作要点", vec![city_plan, &county_plan]),
        ("q=妇发", vec![city_plan, &county_plan]),
        ("q=%25", vec![]),
        ("updated_at_lt=2019-01-01T00:00:00Z", vec![]),
        ("updated_at_gte=2019-01-01T00:00:00Z", vec![city_plan, &county_plan]),
    ] {
        let query = query.replace("工作要点", "%E5%B7%A5%E4%BD%9C%E8%A6%81%E7%82%B9").replace("妇发", "%E5%A6%87%E5%8F%91");
        let list = city.get(format!("/api/v1/plans?{query}")).await.expect(200);
        assert_eq!(ids(&list), expected, "{query}");
    }
}

#[actix_web::test]
async fn tasks_come_in_the_order_of_the_plan_page_by_page() {
    let app = TestApp::new().await;
    let county = app.sign_in("county-officer").await;
    let (mut numbers, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = county.get(format!("{PLAN}/tasks?limit=25&include_total=true{cursor}")).await.expect(200);
        assert_eq!(page.json["total"], json!({ "value": 81, "relation": "eq" }));
        numbers.extend(page.items().iter().map(|task| task["number"].as_str().unwrap().to_owned()));
        pages += 1;
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let document = WorkPlan::parse(WORK_PLAN_2019).unwrap();
    let expected: Vec<String> = document.tasks().map(|(_, _, task)| task.number.to_string()).collect();
    assert_eq!((pages, numbers), (4, expected));
}

#[actix_web::test]
async fn a_cursor_goes_only_with_its_own_filters_and_plan() {
    let app = TestApp::new().await;
    let county = app.sign_in("county-officer").await;
    let first = county.get(format!("{PLAN}/tasks?limit=1&chapter=2")).await.expect(200);
    let cursor = first.text("/next_cursor");
    county.get(format!("{PLAN}/tasks?limit=5&chapter=2&cursor={cursor}")).await.expect(200);
    county.get(format!("{PLAN}/tasks?chapter=3&cursor={cursor}")).await.expect_problem(400, "cursor_mismatch");
    county.get(format!("/api/v1/plans?cursor={cursor}")).await.expect_problem(400, "cursor_mismatch");
    county.get("/api/v1/plans?cursor=AAAA").await.expect_problem(400, "cursor_invalid");
}

#[actix_web::test]
async fn tasks_are_filtered() {
    let app = TestApp::new().await;
    let county = app.sign_in("county-officer").await;
    let volunteers = county.get(task("14.7")).await.expect(200).text("/lead_organization_id");
    for (query, expected) in [
        ("point=12", vec!["12.1", "12.2", "12.3"]),
        ("chapter=4&point=12&frequency=quarter", vec!["12.1", "12.2", "12.3"]),
        ("chapter=1&point=12", vec![]),
        ("frequency=month", vec!["5.4"]),
        ("frequency=month,week", vec!["5.4"]),
        ("q=10.5", vec!["10.5"]),
        ("q=%E5%BE%AE%E4%BF%A1", vec!["5.3"]),
        ("lead_organization_kind=township_federation", vec!["11.2"]),
        (&format!("lead_organization_id={volunteers}"), vec!["14.7", "14.9"]),
        ("due_on_gte=2020-01-01", vec!["6.3", "15.1"]),
        ("due_on_lt=2019-12-31", vec!["13.5"]),
    ] {
        let list = county.get(format!("{PLAN}/tasks?{query}")).await.expect(200);
        let numbers: Vec<_> = list.items().iter().map(|task| task["number"].as_str().unwrap()).collect();
        assert_eq!(numbers, expected, "{query}");
    }
}

#[actix_web::test]
async fn a_kind_of_which_there_is_one_became_that_organization_the_others_lead_their_own_share() {
    let app = TestApp::new().await;
    let viewer = app.sign_in("city-viewer").await;
    let coverage = viewer.get(task("5.3")).await.expect(200);
    assert_eq!(coverage.json["lead_organization"], json!(null));
    assert_eq!(coverage.json["lead_organization_kind"], "county_federation");
    assert_eq!(coverage.json["responsible_organization_kinds"], json!(["county_federation", "zone_federation"]));
    assert_eq!(coverage.json["responsible_organizations"], json!([]));

    let symposium = viewer.get(task("7.2")).await.expect(200);
    let names: Vec<_> = symposium.json["responsible_organizations"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(symposium.json["lead_organization"]["name"], "岳阳市妇联");
    assert_eq!(symposium.json["lead_organization_kind"], json!(null));
    assert!(names.contains(&&json!("市女企业家协会")), "{names:?}");

    let contest = viewer.get(task("12.1")).await.expect(200);
    assert_eq!(contest.json["outside_partners"], json!(["市农业农村局"]));
}

#[actix_web::test]
async fn targets_and_weights_are_numbers() {
    let app = TestApp::new().await;
    let village = app.sign_in("village-officer").await;
    let makers = village.get(format!("{}/indicators?limit=2", task("9.1"))).await.expect(200);
    let names: Vec<_> = makers.items().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["培训草根创客", "培训农村小微电商"]);
    let rest = village.get(format!("{}/indicators?cursor={}", task("9.1"), makers.text("/next_cursor"))).await.expect(200);
    assert_eq!(rest.items()[0]["name"], "培训致富带头人");
    let screened = village.get(format!("{}/indicators", task("10.5"))).await.expect(200);
    let screened = village.get(format!("/api/v1/indicators/{}", ids(&screened)[0])).await.expect(200);
    assert_eq!(screened.json["target"].as_f64(), Some(100_000.0));
    assert_eq!(screened.json["weight"].as_f64(), Some(1.0));
    assert_eq!(screened.json["comparator"], "gte");
    assert_eq!(screened.json["value_kind"], "distinct_count");

    let mut conn = app.database.owner().await;
    diesel::sql_query("UPDATE indicators SET target = 99999999999.1234 WHERE target IS NOT NULL")
        .execute(&mut conn)
        .await
        .unwrap();
    let large = village.get("/api/v1/indicators/0168028c-2f00-7000-8012-000000050301").await.expect(200);
    assert_eq!(large.json["target"].as_f64(), Some(99999999999.1234));
}

#[actix_web::test]
async fn what_was_read_already_is_not_sent_again() {
    let app = TestApp::new().await;
    let county = app.sign_in("county-officer").await;
    for address in [PLAN.to_owned(), task("5.3"), "/api/v1/indicators/0168028c-2f00-7000-8012-000000050301".to_owned()] {
        let etag = county.get(&address).await.expect(200).etag();
        assert!(etag.starts_with("\"1."), "{etag}");
        county.get(&address).header("If-None-Match", &etag).await.expect(304);
    }
}

#[actix_web::test]
async fn without_the_module_plans_there_are_no_plans() {
    let app = TestApp::new().await;
    let (account_id, clerk) = app.db_account("events-clerk", None, COUNTY).await;
    let grant = GrantRow {
        id: GrantId::generate(),
        account_id,
        role: Role::Officer,
        organization_id: organization(COUNTY),
        modules: vec![Module::Events.to_string()],
        from_on: "2019-01-01".parse().unwrap(),
        to_on: None,
        granted_by: None,
        created_at: now(),
    };
    store::insert_grant(&mut app.database.owner().await, &grant).await.unwrap();
    clerk.get("/api/v1/plans").await.expect_problem(403, "permission_denied");
    clerk.get(PLAN).await.expect_problem(404, "not_found");
    clerk.get(format!("{PLAN}/tasks")).await.expect_problem(404, "not_found");
    clerk.get(task("5.3")).await.expect_problem(404, "not_found");
}

#[actix_web::test]
async fn a_document_that_was_imported_already_changes_nothing_and_its_number_is_not_used_for_another() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    let mut document = WorkPlan::parse(WORK_PLAN_2019).unwrap();
    let city = organization(CITY);
    let again = import_plan(&mut conn, &document, city, Ids::Generated, &app.app.clock).await.unwrap();
    assert!(PLAN.ends_with(&again.to_string()));
    document.chapters[0].points[0].tasks.pop();
    let other = import_plan(&mut conn, &document, city, Ids::Generated, &app.app.clock).await;
    assert!(matches!(other, Err(ImportError::OtherTasks(_))), "{other:?}");
    let nobody = import_plan(&mut conn, &document, OrganizationId::generate(), Ids::Generated, &app.app.clock).await;
    assert!(matches!(nobody, Err(ImportError::UnknownOwner(_))), "{nobody:?}");
    let count: i64 = plans::table.count().get_result(&mut conn).await.unwrap();
    assert_eq!(count, 1);
}

#[actix_web::test]
async fn an_association_that_the_city_does_not_have_is_told_with_its_task_and_nothing_is_written() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    let document = WorkPlan::parse(WORK_PLAN_2019).unwrap();
    let clock = app.app.clock.clone();
    let dissolved = diesel::update(organizations::table.filter(organizations::name.eq("市女企业家协会")));
    dissolved.set(organizations::status.eq("dissolved")).execute(&mut conn).await.unwrap();
    let refused =
        conn.transaction(async |conn| import_plan(conn, &document, organization(COUNTY), Ids::Generated, &clock).await).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("task 1.1") && message.contains("市女企业家协会"), "{message}");
    let count: i64 = plans::table.count().get_result(&mut conn).await.unwrap();
    assert_eq!(count, 1);
}

#[actix_web::test]
async fn a_document_without_a_date_of_issue_becomes_a_draft_of_new_ids() {
    let app = TestApp::new().await;
    let mut conn = app.database.owner().await;
    let mut document = WorkPlan::parse(WORK_PLAN_2019).unwrap();
    document.document.issued_on = None;
    document.document.doc_no = None;
    document.document.plan_year = 2018;
    let id = import_plan(&mut conn, &document, organization(CITY), Ids::Generated, &app.app.clock).await.unwrap();
    let (kind, status): (PlanKind, PlanStatus) =
        plans::table.find(id).select((plans::kind, plans::status)).first(&mut conn).await.unwrap();
    assert_eq!((kind, status), (PlanKind::Annual, PlanStatus::Draft));
    app.sign_in("county-officer").await.get(format!("/api/v1/plans/{id}")).await.expect_problem(404, "not_found");
    app.sign_in("city-officer").await.get(format!("/api/v1/plans/{id}")).await.expect(200);
}
