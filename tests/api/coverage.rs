//! Which townships, villages and units have a women's organization or a site, and which have none.

use futures_util::future::join;
use half_sky::access::Role;
use serde_json::{Value, json};

use crate::support::{Answer, CITY, COUNTY, Client, NEIGHBOUR, TOWNSHIP, TestApp, VILLAGE};

const UNITS: &str = "/api/v1/coverage-units";
const FIGURES: &str = "/api/v1/organizations/coverage";
const GAPS: &str = "/api/v1/organizations/coverage/gaps";
/// 岳阳楼街道's second village, and its third.
const SECOND: &str = "0168028c-2f00-7000-8000-430602001002";
const THIRD: &str = "0168028c-2f00-7000-8000-430602001003";
/// The zone 经开区, which has five of the county's streets.
const ZONE: &str = "0168028c-2f00-7000-8006-000000000001";
/// The chamber's federation in [`COUNTY`], and the park's in [`NEIGHBOUR`].
const CHAMBER: &str = "0168028c-2f00-7000-8006-000000000032";
const PARK: &str = "0168028c-2f00-7000-8006-000000000031";
/// A school of [`COUNTY`], a unit that was closed, and a park of [`NEIGHBOUR`].
const SCHOOL: &str = "/api/v1/coverage-units/0168028c-2f00-7000-8050-000000000001";
const CLOSED: &str = "/api/v1/coverage-units/0168028c-2f00-7000-8050-000000000002";
const THEIRS: &str = "/api/v1/coverage-units/0168028c-2f00-7000-8050-000000000009";
const USCC: &str = "91430621MA4ABC0146";

fn path(organization: &str) -> String {
    format!("/api/v1/organizations/{organization}")
}

async fn all(client: &Client, path: &str) -> Vec<Value> {
    let (mut cursor, mut items) = (String::new(), Vec::new());
    loop {
        let page = client.get(format!("{path}&limit=100{cursor}")).await.expect(200);
        items.extend(page.items().iter().cloned());
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// A unit without a cover.
fn unit(organization: &str, division: &str, kind: &str, name: &str) -> Value {
    json!({ "kind": kind, "name": name, "organization_id": organization, "division_code": division, "uscc": null, "address": null,
            "employees_count": null, "women_count": null, "covered_by_organization_id": null, "covered_by_site_id": null,
            "external_id": null })
}

/// The same with other values.
fn with(unit: &Value, fields: Value) -> Value {
    let mut unit = unit.clone();
    unit.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    unit
}

/// What was read, as it is sent back.
fn sent_back(read: &Answer) -> Value {
    let fields = unit("", "", "", "");
    fields.as_object().unwrap().keys().map(|name| (name.clone(), read.json[name].clone())).collect()
}

fn faults(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The figures of a county.
fn of_county<'a>(figures: &'a Answer, county: &str) -> &'a Value {
    let found = figures.items().iter().find(|item| item["county"]["id"] == county);
    found.unwrap_or_else(|| panic!("{county} is not among {:#}", figures.json))
}

#[actix_web::test]
async fn a_unit_is_made_changed_closed_and_reopened_and_the_trail_tells_each_step() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let body = with(&unit(COUNTY, "430602001", "enterprise", "洞庭制衣厂"), json!({ "uscc": USCC, "women_count": 96 }));
    let made = officer.post(UNITS).json(&body).await.expect(201);
    let unit = made.header("location").to_owned();
    assert_eq!((&made.json["covered"], &made.json["allowed_actions"]), (&json!(false), &json!(["update", "close"])));
    assert_eq!(made.json["division"]["full_name"], "岳阳市岳阳楼区岳阳楼街道");
    let edit = with(&body, json!({ "covered_by_organization_id": CHAMBER, "employees_count": 120 }));
    let edited = officer.put(&unit).if_match(&made.etag()).json(&edit).await.expect(200);
    assert_eq!(
        (&edited.json["covered"], &edited.json["covered_by"]["organization"]["name"]),
        (&json!(true), &json!("岳阳楼区商会妇联"))
    );
    officer.put(&unit).if_match(&made.etag()).json(&edit).await.expect_problem(412, "version_conflict");
    let closed =
        officer.post(format!("{unit}/close")).if_match(&edited.etag()).json(&json!({ "reason": "企业搬迁" })).await.expect(200);
    assert_eq!((closed.text("/status"), closed.text("/closed_on")), ("closed".to_owned(), "2019-04-10".to_owned()));
    assert_eq!(closed.json["allowed_actions"], json!(["reopen"]));
    let refused = officer.put(&unit).if_match(&closed.etag()).json(&edit).await.expect_problem(409, "invalid_transition");
    assert_eq!(refused.json["allowed_actions"], json!(["reopen"]));
    let opened = officer.post(format!("{unit}/reopen")).if_match(&closed.etag()).await.expect(200);
    assert_eq!((&opened.json["closed_on"], &opened.json["close_reason"]), (&json!(null), &json!(null)));
    officer.post(format!("{unit}/reopen")).if_match(&opened.etag()).await.expect_problem(409, "invalid_transition");
    let id = made.text("/id");
    let trail =
        app.sign_in("city-auditor").await.get("/api/v1/audit-entries?object_type=coverage_unit&sort=at").await.expect(200);
    let told: Vec<&Value> = trail.items().iter().filter(|entry| entry["object_id"] == id).collect();
    let actions: Vec<&str> = told.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["coverage_unit.created", "coverage_unit.changed", "coverage_unit.closed", "coverage_unit.reopened"]);
    assert_eq!(told[2]["reason"], "企业搬迁");
}

#[actix_web::test]
async fn every_rule_that_a_unit_breaks_is_told_at_its_field() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let good = unit(COUNTY, "430602001", "enterprise", "洞庭制衣厂");
    let closed = app.sign_in("county-officer").await;
    let site = "0168028c-2f00-7000-8003-000000000001";
    closed.post(format!("/api/v1/sites/{site}/close")).if_match("\"1\"").json(&json!({ "reason": "拆迁" })).await.expect(200);
    for (fields, expected) in [
        (
            json!({ "uscc": "91430621MA4ABC0147", "division_code": "430603001", "employees_count": 5, "women_count": 6 }),
            vec![("/division_code", "division"), ("/uscc", "check_character"), ("/women_count", "more_than_employees")],
        ),
        (json!({ "division_code": "430602999" }), vec![("/division_code", "unknown_reference")]),
        (json!({ "organization_id": CHAMBER }), vec![("/organization_id", "kind")]),
        (json!({ "organization_id": "0168028c-2f00-7000-8000-999999999999" }), vec![("/organization_id", "unknown_reference")]),
        (json!({ "covered_by_organization_id": PARK }), vec![("/covered_by_organization_id", "other_county")]),
        (json!({ "covered_by_organization_id": COUNTY }), vec![("/covered_by_organization_id", "kind")]),
        (
            json!({ "covered_by_organization_id": "0168028c-2f00-7000-8006-000000000021" }),
            vec![("/covered_by_organization_id", "unknown_reference")],
        ),
        (json!({ "covered_by_site_id": site }), vec![("/covered_by_site_id", "unknown_reference")]),
        (json!({ "covered_by_site_id": "0168028c-2f00-7000-8003-000000000003" }), vec![("/covered_by_site_id", "other_county")]),
    ] {
        let refused = admin.post(UNITS).json(&with(&good, fields.clone())).await.expect_problem(422, "validation_failed");
        assert_eq!(refused.faults(), self::faults(&expected), "{fields}");
    }
    // Women come to a market and live in an estate: there they may be more than those who work there.
    let market = with(&good, json!({ "kind": "market", "employees_count": 5, "women_count": 60 }));
    admin.post(UNITS).json(&market).await.expect(201);
    // A zone lies in the divisions of others.
    admin.post(UNITS).json(&unit(ZONE, "430602402", "school", "通海路小学")).await.expect(201);
}

#[actix_web::test]
async fn who_may_not_write_here_is_told_so_and_what_is_elsewhere_does_not_exist() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    officer.get(SCHOOL).await.expect(200);
    officer.get(THEIRS).await.expect_problem(404, "not_found");
    let reason = json!({ "reason": "不归我管" });
    officer.post(format!("{THEIRS}/close")).if_match("\"1\"").json(&reason).await.expect_problem(404, "not_found");
    assert!(officer.get(format!("{UNITS}?within={NEIGHBOUR}")).await.expect(200).items().is_empty());
    let hers = all(&officer, &format!("{UNITS}?within={CITY}")).await;
    assert_eq!(hers, all(&officer, &format!("{UNITS}?")).await, "her places and `within` are intersected");
    assert!(!hers.is_empty() && hers.iter().all(|item| item["division_code"].as_str().unwrap().starts_with("430602")));
    let viewer = app.sign_in("city-viewer").await;
    assert_eq!(viewer.get(SCHOOL).await.expect(200).json["allowed_actions"], json!([]));
    viewer.post(format!("{SCHOOL}/close")).if_match("\"1\"").json(&reason).await.expect_problem(403, "permission_denied");
    viewer.post(UNITS).json(&unit(COUNTY, "430602", "school", "某校")).await.expect_problem(403, "permission_denied");
    // She reads the whole city and writes in one county: a unit does not move where she may not write.
    let (account, mixed) = app.db_account("mixed", Some(Role::Officer), COUNTY).await;
    app.db_grant(account, Role::Viewer, CITY).await;
    let school = mixed.get(SCHOOL).await.expect(200);
    let away =
        with(&sent_back(&school), json!({ "organization_id": NEIGHBOUR, "division_code": "430603", "covered_by_site_id": null }));
    mixed.put(SCHOOL).if_match(&school.etag()).json(&away).await.expect_problem(403, "permission_denied");
    // She is told so before what is wrong with the body, and before what has changed meanwhile.
    let wrong = with(&away, json!({ "division_code": "430603999" }));
    mixed.put(SCHOOL).if_match(&school.etag()).json(&wrong).await.expect_problem(403, "permission_denied");
    mixed.put(SCHOOL).if_match("\"9\"").json(&away).await.expect_problem(403, "permission_denied");
    let (_, nobody) = app.db_account("nobody", None, COUNTY).await;
    for list in [UNITS, FIGURES, GAPS] {
        nobody.get(list).await.expect_problem(403, "permission_denied");
    }
}

#[actix_web::test]
async fn two_active_units_share_no_credit_code_no_number_and_no_name_in_a_division() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let one = with(&unit(COUNTY, "430602001", "enterprise", "洞庭制衣厂"), json!({ "uscc": USCC, "external_id": "7" }));
    let first = admin.post(UNITS).json(&one).await.expect(201);
    for (other, field) in [
        (with(&unit(NEIGHBOUR, "430603", "chamber", "另一单位"), json!({ "uscc": USCC })), "/uscc"),
        (with(&unit(COUNTY, "430602002", "school", "另一单位"), json!({ "external_id": "7" })), "/external_id"),
        (unit(TOWNSHIP, "430602001", "enterprise", "洞庭制衣厂"), "/name"),
    ] {
        let refused = admin.post(UNITS).json(&other).await.expect_problem(409, "duplicate");
        assert_eq!(refused.faults(), faults(&[(field, "taken")]));
    }
    admin.post(UNITS).json(&unit(COUNTY, "430602001", "market", "洞庭制衣厂")).await.expect(201);
    admin
        .post(UNITS)
        .json(&with(&unit(NEIGHBOUR, "430603", "school", "别处的七号"), json!({ "external_id": "7" })))
        .await
        .expect(201);
    // What is closed leaves its name and codes to others, and does not come back beside them.
    let unit = first.header("location").to_owned();
    let closed = admin.post(format!("{unit}/close")).if_match(&first.etag()).json(&json!({ "reason": "重组" })).await.expect(200);
    let second = admin.post(UNITS).json(&one).await.expect(201);
    assert_ne!(second.text("/id"), first.text("/id"));
    let refused = admin.post(format!("{unit}/reopen")).if_match(&closed.etag()).await.expect_problem(409, "duplicate");
    assert_eq!(refused.faults().len(), 1);
}

#[actix_web::test]
async fn of_two_who_enter_one_unit_at_once_one_succeeds() {
    let app = TestApp::new().await;
    let (one, two) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    for round in 0..5 {
        let body = unit(COUNTY, "430602001", "school", &format!("第{round}小学"));
        let post = |client: &Client| client.post(UNITS).json(&body).into_future();
        let (first, second) = join(post(&one), post(&two)).await;
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
}

#[actix_web::test]
async fn filters_find_exactly_what_they_say() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let everything = all(&admin, &format!("{UNITS}?")).await;
    assert_eq!(everything.len(), 36);
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    type Holds = Box<dyn Fn(&Value) -> bool>;
    let cases: Vec<(&str, Holds)> = vec![
        ("covered=true", Box::new(|item| item["covered"] == true)),
        ("covered=false", Box::new(|item| item["covered"] == false)),
        ("status=closed", Box::new(|item| item["status"] == "closed")),
        ("kind=school,chamber", Box::new(|item| item["kind"] == "school" || item["kind"] == "chamber")),
        ("women_count_gte=1000", Box::new(|item| item["women_count"].as_i64().is_some_and(|women| women >= 1000))),
        ("division_code=430602", Box::new(move |item| text(item, "division_code").starts_with("430602"))),
        ("division_code=430602001", Box::new(move |item| text(item, "division_code").starts_with("430602001"))),
        ("division_code=430600", Box::new(|_| true)),
        ("q=%E5%B2%B3%E9%98%B3%E6%A5%BC", Box::new(move |item| text(item, "name").contains("岳阳楼"))),
        ("q=%E5%AD%A6", Box::new(move |item| text(item, "name").contains("学"))),
        ("external_id=X-0001", Box::new(|item| item["external_id"] == "X-0001")),
        ("uscc=91430699DEM0000147", Box::new(|item| item["uscc"] == "91430699DEM0000147")),
        ("organization_id=0168028c-2f00-7000-8000-430603000000", Box::new(|item| item["organization_id"] == NEIGHBOUR)),
        (
            "covered_by_organization_id=0168028c-2f00-7000-8006-000000000031",
            Box::new(|item| item["covered_by_organization_id"] == PARK),
        ),
        ("created_at_lt=2019-01-01T00:00:00Z", Box::new(|_| false)),
    ];
    for (query, holds) in cases {
        let expected: Vec<&Value> = everything.iter().filter(|item| holds(item)).collect();
        let found = all(&admin, &format!("{UNITS}?{query}")).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
        assert!(query.starts_with("created") || !found.is_empty(), "{query}");
    }
    let newest = all(&admin, &format!("{UNITS}?sort=-id")).await;
    assert!(newest.iter().eq(everything.iter().rev()));
    let zone = all(&admin, &format!("{UNITS}?within={ZONE}")).await;
    assert_eq!(zone.len(), 2);
}

#[actix_web::test]
async fn a_unit_is_covered_only_while_its_organization_is_active_or_its_site_is_open() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let site = json!({ "owner_organization_id": TOWNSHIP, "kind": "womens_micro_home", "name": "制衣厂妇女微家" });
    let site = admin.post("/api/v1/sites").json(&site).await.expect(201);
    let body = unit(COUNTY, "430602001", "enterprise", "洞庭制衣厂");
    let body =
        with(&body, json!({ "covered_by_organization_id": CHAMBER, "covered_by_site_id": site.json["id"], "women_count": 40 }));
    let made = admin.post(UNITS).json(&body).await.expect(201);
    let unit = made.header("location").to_owned();
    let seen = async || admin.get(&unit).await.expect(200);
    let women = async || number(&admin.get(FIGURES).await.expect(200).json["total"]["women_covered"]);
    let before = women().await;
    assert_eq!(made.json["covered"], true);
    let ended = json!({ "successor_id": null, "reason": "商会解散" });
    admin.post(path(CHAMBER) + "/dissolve").if_match("\"1\"").json(&ended).await.expect(200);
    assert_eq!(seen().await.json["covered"], true, "the site is open");
    let close = json!({ "reason": "场所收回" });
    admin.post(format!("/api/v1/sites/{}/close", site.text("/id"))).if_match(&site.etag()).json(&close).await.expect(200);
    let uncovered = seen().await;
    assert_eq!((&uncovered.json["covered"], &uncovered.json["version"]), (&json!(false), &json!(1)));
    assert_ne!(uncovered.etag(), made.etag(), "who read it as covered reads it again");
    assert_eq!(uncovered.json["covered_by"]["organization"]["status"], "dissolved");
    assert_eq!(uncovered.json["covered_by"]["site"]["status"], "closed");
    // The chamber itself was covered by it too.
    assert_eq!(women().await, before - 40 - 7);
    assert!(all(&admin, &format!("{UNITS}?covered=false")).await.iter().any(|item| item["id"] == made.json["id"]));
    // What was read can be sent back, although neither could be named anew.
    admin.put(&unit).if_match(&uncovered.etag()).json(&sent_back(&uncovered)).await.expect(200);
    admin.post(UNITS).json(&with(&body, json!({ "name": "另一家厂" }))).await.expect_problem(422, "validation_failed");
    let back = json!({ "parent_id": null, "division_code": null, "reason": "商会恢复" });
    admin.post(path(CHAMBER) + "/reactivate").if_match("\"2\"").json(&back).await.expect(200);
    assert_eq!(seen().await.json["covered"], true);
}

#[actix_web::test]
async fn who_takes_over_an_organization_takes_over_its_units_and_what_it_covers() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let create = async |body: Value| admin.post(UNITS).json(&body).await.expect(201).header("location").to_owned();
    let numbered = |organization: &str, division: &str, name: &str| {
        with(&unit(organization, division, "school", name), json!({ "external_id": "1" }))
    };
    let school = create(numbered(SECOND, "430602001002", "汴河小学")).await;
    create(numbered(THIRD, "430602001003", "九华山小学")).await;
    let estate = unit(COUNTY, "430602001002", "residential_estate", "汴河小区");
    let estate = create(with(&estate, json!({ "covered_by_organization_id": SECOND }))).await;
    let merge = |preview: bool| {
        let body = json!({ "into_id": THIRD, "reason": "村社区合并", "posts": "move", "sites": "move", "accounts": "move",
                           "preview": preview });
        admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&body)
    };
    assert_eq!(merge(true).await.expect(200).json["effects"]["coverage_units_moved"], 2);
    assert_eq!(admin.get(&school).await.expect(200).json["organization_id"], SECOND, "a preview changes nothing");
    assert_eq!(merge(false).await.expect(200).json["effects"]["coverage_units_moved"], 2);
    let moved = admin.get(&school).await.expect(200);
    assert_eq!((&moved.json["organization_id"], &moved.json["version"]), (&json!(THIRD), &json!(2)));
    assert_eq!(moved.json["external_id"], json!(null), "the successor has a unit with this number");
    let covered = admin.get(&estate).await.expect(200);
    assert_eq!((&covered.json["covered_by_organization_id"], &covered.json["covered"]), (&json!(THIRD), &json!(true)));
    // It lies where it lay, in the division of the village that is no more.
    admin.put(&school).if_match(&moved.etag()).json(&sent_back(&moved)).await.expect(200);
    let wrong = with(&sent_back(&moved), json!({ "division_code": "430602001001" }));
    let wrong = admin.put(&school).if_match("\"3\"").json(&wrong).await.expect_problem(422, "validation_failed");
    assert_eq!(wrong.faults(), faults(&[("/division_code", "division")]));
    let trail = app.sign_in("city-auditor").await.get("/api/v1/audit-entries?action=coverage_unit.moved").await.expect(200);
    assert_eq!(trail.items().len(), 2);
    assert!(trail.items().iter().all(|entry| entry["reason"] == "村社区合并"));
    let told = trail.items().iter().find(|entry| entry["object_id"] == moved.json["id"]).unwrap();
    assert_eq!((&told["before"]["external_id"], &told["after"]["external_id"]), (&json!("1"), &json!(null)));
}

#[actix_web::test]
async fn a_unit_that_is_entered_while_its_village_merges_is_the_successors_or_refused() {
    let app = TestApp::new().await;
    let (admin, officer) = (app.sign_in("county-admin").await, app.sign_in("county-officer").await);
    let body = json!({ "into_id": THIRD, "reason": "合并", "posts": "move", "sites": "move", "accounts": "move" });
    let merging = admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&body).into_future();
    let entering = officer.post(UNITS).json(&unit(SECOND, "430602001002", "school", "汴河小学")).into_future();
    let (merged, entered) = join(merging, entering).await;
    merged.expect(200);
    match entered.status.as_u16() {
        201 => assert_eq!(admin.get(entered.header("location")).await.expect(200).json["organization_id"], THIRD),
        _ => assert_eq!(entered.expect(422).faults(), faults(&[("/organization_id", "unknown_reference")])),
    }
}

#[actix_web::test]
async fn the_figures_of_the_counties_and_zones_add_up_to_the_citys() {
    let app = TestApp::new().await;
    let viewer = app.sign_in("city-viewer").await;
    let figures = viewer.get(FIGURES).await.expect(200);
    // Nine counties, four zones, and last the city for what belongs to none.
    assert_eq!(figures.items().len(), 14);
    assert_eq!(figures.items()[13]["county"]["id"], CITY);
    let total = &figures.json["total"];
    assert_eq!((&total["townships"]["total"], &total["villages"]["total"]), (&json!(138), &json!(1899)));
    assert_eq!((&total["townships"]["without_organization"], &total["villages"]["without_organization"]), (&json!(0), &json!(0)));
    assert_eq!((&total["townships"]["with_site"], &total["villages"]["with_site"]), (&json!(1), &json!(5)));
    for level in ["townships", "villages"] {
        for field in ["total", "with_organization", "without_organization", "with_site", "without_site"] {
            let sum: i64 = figures.items().iter().map(|item| number(&item[level][field])).sum();
            assert_eq!(json!(sum), total[level][field], "{level} {field}");
        }
        assert_eq!(number(&total[level]["total"]), number(&total[level]["with_site"]) + number(&total[level]["without_site"]));
    }
    // Five streets that the statistics bureau counts to the district are the zone's.
    assert_eq!(of_county(&figures, ZONE)["townships"]["total"], 5);
    assert_eq!(of_county(&figures, COUNTY)["townships"]["total"], 25 - 5 - 5);
    let units = all(&viewer, &format!("{UNITS}?status=active")).await;
    for sum in total["units"].as_array().unwrap() {
        let of_kind: Vec<&Value> = units.iter().filter(|unit| unit["kind"] == sum["kind"]).collect();
        let count = |holds: &dyn Fn(&Value) -> bool| of_kind.iter().filter(|unit| holds(unit)).count() as i64;
        let women = |covered: bool| -> i64 {
            of_kind.iter().filter(|unit| unit["covered"] == covered).filter_map(|unit| unit["women_count"].as_i64()).sum()
        };
        assert_eq!(number(&sum["total"]), of_kind.len() as i64);
        assert_eq!(number(&sum["without"]), count(&|unit| unit["covered"] == false));
        assert_eq!(number(&sum["with_organization"]), count(&|unit| !unit["covered_by_organization_id"].is_null()));
        assert_eq!(number(&sum["with_site"]), count(&|unit| !unit["covered_by_site_id"].is_null()));
        assert_eq!((number(&sum["women_covered"]), number(&sum["women_uncovered"])), (women(true), women(false)));
    }
    let within = viewer.get(format!("{FIGURES}?within={NEIGHBOUR}")).await.expect(200);
    assert_eq!(within.items().len(), 1);
    assert_eq!(within.items()[0], *of_county(&figures, NEIGHBOUR));
}

#[actix_web::test]
async fn who_holds_less_than_a_county_sees_her_part_of_it() {
    let app = TestApp::new().await;
    let officer = app.sign_in("township-officer").await;
    officer.post(UNITS).json(&unit(VILLAGE, "430602001001", "school", "郭亮小学")).await.expect(201);
    let figures = officer.get(FIGURES).await.expect(200);
    assert_eq!(figures.items().len(), 1);
    let hers = of_county(&figures, COUNTY);
    assert_eq!((&hers["townships"]["total"], &hers["county"]["name"]), (&json!(1), &json!("岳阳楼区妇联")));
    assert!(number(&hers["villages"]["total"]) > 5);
    let units: i64 = hers["units"].as_array().unwrap().iter().map(|kind| number(&kind["total"])).sum();
    assert_eq!(units, 1, "the units of the county are not hers");
    let gaps = all(&officer, &format!("{GAPS}?")).await;
    assert!(gaps.iter().all(|gap| gap["division"]["code"].as_str().unwrap().starts_with("430602001")));
    assert_eq!(gaps.iter().filter(|gap| gap["kind"] == "unit").count(), 1);
    assert!(gaps.iter().all(|gap| gap["county"]["id"] == COUNTY));
    let village = app.sign_in("village-officer").await.get(FIGURES).await.expect(200);
    assert_eq!(
        (&village.json["total"]["townships"]["total"], &village.json["total"]["villages"]["total"]),
        (&json!(0), &json!(1))
    );
}

#[actix_web::test]
async fn a_village_without_a_federation_is_a_gap_and_one_that_merged_is_covered_by_its_successor() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let villages = async || admin.get(FIGURES).await.expect(200).json["total"]["villages"].clone();
    let before = villages().await;
    let gaps = async |missing: &str| {
        let list = all(&admin, &format!("{GAPS}?kind=village&missing={missing}")).await;
        list.iter().map(|gap| (gap["division"]["code"].clone(), gap["organization"]["id"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(gaps("both").await, []);
    let home = json!({ "owner_organization_id": THIRD, "kind": "womens_home", "name": "九华山妇女之家" });
    admin.post("/api/v1/sites").json(&home).await.expect(201);
    let merge = json!({ "into_id": THIRD, "reason": "合并", "posts": "move", "sites": "move", "accounts": "move" });
    admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&merge).await.expect(200);
    let merged = villages().await;
    assert_eq!((&merged["total"], &merged["without_organization"]), (&before["total"], &json!(0)));
    assert_eq!(number(&merged["with_site"]), number(&before["with_site"]) + 2, "the home is there for both");
    // The successor is merged in turn, and the last one is dissolved without anybody to take over.
    let fourth = "0168028c-2f00-7000-8000-430602001004";
    let merge = json!({ "into_id": fourth, "reason": "合并", "posts": "move", "sites": "move", "accounts": "move" });
    admin.post(path(THIRD) + "/merge").if_match("\"1\"").json(&merge).await.expect(200);
    assert_eq!(number(&villages().await["with_site"]), number(&before["with_site"]) + 3);
    let end = json!({ "successor_id": null, "reason": "撤销", "sites": "close" });
    admin.post(path(fourth) + "/dissolve").if_match("\"1\"").json(&end).await.expect(200);
    let after = villages().await;
    assert_eq!((&after["without_organization"], &after["with_site"]), (&json!(3), &before["with_site"]));
    let codes = ["430602001002", "430602001003", "430602001004"];
    let expected: Vec<_> = codes.iter().map(|code| (json!(code), json!(TOWNSHIP))).collect();
    assert_eq!(gaps("both").await, expected, "the township is to close them");
    // Taken over by the township, a village still has no federation of its own.
    let end = json!({ "successor_id": TOWNSHIP, "reason": "撤销", "posts": "end", "accounts": "move", "children": "move", "sites": "move" });
    admin.post(path(VILLAGE) + "/dissolve").if_match("\"1\"").json(&end).await.expect(200);
    assert_eq!(villages().await["without_organization"], 4);
    // A township that is no more leaves its villages where they hang, and itself as a gap.
    let gap = admin.get(format!("{GAPS}?kind=township&missing=both")).await.expect(200);
    assert_eq!(gap.items().len(), 0);
}

#[actix_web::test]
async fn a_township_counts_where_it_hangs_now_and_its_old_division_is_a_gap() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let figures = async || admin.get(FIGURES).await.expect(200);
    let before = figures().await;
    let there = json!({ "parent_id": NEIGHBOUR, "division_code": null, "reason": "区划调整" });
    admin.post(path(TOWNSHIP) + "/move").if_match("\"1\"").json(&there).await.expect(200);
    let after = figures().await;
    let villages = |figures: &Answer, county: &str| number(&of_county(figures, county)["villages"]["total"]);
    let moved = villages(&before, COUNTY) - villages(&after, COUNTY);
    assert!(moved > 5);
    assert_eq!(villages(&after, NEIGHBOUR) - villages(&before, NEIGHBOUR), moved);
    assert_eq!(of_county(&after, COUNTY)["townships"]["without_organization"], 1);
    assert_eq!(after.json["total"]["villages"], before.json["total"]["villages"]);
    let gaps = admin.get(format!("{GAPS}?kind=township&missing=both")).await.expect(200);
    assert_eq!(gaps.items().len(), 1);
    let gap = &gaps.items()[0];
    assert_eq!((&gap["division"]["code"], &gap["organization"]["id"]), (&json!("430602001"), &json!(COUNTY)));
}

#[actix_web::test]
async fn the_list_of_gaps_pages_through_each_of_them_once() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    // A unit with a site and no organization counts as covered, and its organization is missing all the same.
    let gaps = all(&admin, &format!("{GAPS}?")).await;
    let key = |gap: &Value| match gap["unit"]["id"].as_str() {
        Some(id) => (true, id.to_owned()),
        None => (false, gap["division"]["code"].as_str().unwrap().to_owned()),
    };
    let keys: Vec<_> = gaps.iter().map(key).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "divisions by code, then units by id, none twice");
    let total = &admin.get(FIGURES).await.expect(200).json["total"];
    let units = total["units"].as_array().unwrap();
    let without: i64 = units.iter().map(|kind| number(&kind["total"]) - number(&kind["with_organization"])).sum();
    let divisions = number(&total["townships"]["without_site"]) + number(&total["villages"]["without_site"]);
    assert_eq!(gaps.len() as i64, divisions + without);
    let counted = admin.get(format!("{GAPS}?limit=1&include_total=true")).await.expect(200);
    assert_eq!(counted.json["total"], json!({ "value": gaps.len(), "relation": "eq" }));
    type Holds = Box<dyn Fn(&Value) -> bool>;
    let cases: Vec<(String, Holds)> = vec![
        ("kind=unit".to_owned(), Box::new(|gap| gap["kind"] == "unit")),
        ("kind=township,unit".to_owned(), Box::new(|gap| gap["kind"] != "village")),
        ("unit_kind=school".to_owned(), Box::new(|gap| gap["unit"]["kind"] == "school")),
        (
            "unit_kind=school&kind=unit,township".to_owned(),
            Box::new(|gap| gap["unit"]["kind"] == "school" || gap["kind"] == "township"),
        ),
        ("missing=organization".to_owned(), Box::new(|gap| gap["missing"] == "organization")),
        ("missing=both".to_owned(), Box::new(|gap| gap["missing"] == "both")),
        ("missing=site,organization".to_owned(), Box::new(|gap| gap["missing"] != "both")),
        (format!("within={NEIGHBOUR}"), Box::new(|gap| gap["county"]["id"] == NEIGHBOUR)),
        (format!("within={ZONE}"), Box::new(|gap| gap["county"]["id"] == ZONE)),
    ];
    for (query, holds) in cases {
        let expected: Vec<&Value> = gaps.iter().filter(|gap| holds(gap)).collect();
        let found = all(&admin, &format!("{GAPS}?{query}")).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
        assert!(!found.is_empty(), "{query}");
        let counted = admin.get(format!("{GAPS}?{query}&limit=1&include_total=true")).await.expect(200);
        assert_eq!(counted.json["total"]["value"], found.len(), "{query}");
    }
    // A page that ends among the divisions goes on with the units.
    let (mut cursor, mut slowly) = (String::new(), Vec::new());
    loop {
        let page = admin.get(format!("{GAPS}?within={ZONE}&limit=7{cursor}")).await.expect(200);
        slowly.extend(page.items().iter().map(key));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = gaps.iter().filter(|gap| gap["county"]["id"] == ZONE).map(key).collect();
    assert_eq!(slowly, expected);
}

#[actix_web::test]
async fn the_summary_of_an_organization_tells_its_own_units() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let summary = admin.get(format!("{}/summary", path(NEIGHBOUR))).await.expect(200);
    let own = all(&admin, &format!("{UNITS}?organization_id={NEIGHBOUR}&status=active")).await;
    let women = |covered: Option<bool>| -> i64 {
        let counted = own.iter().filter(|unit| covered.is_none_or(|covered| unit["covered"] == covered));
        counted.filter_map(|unit| unit["women_count"].as_i64()).sum()
    };
    let covered = own.iter().filter(|unit| unit["covered"] == true).count();
    let expected = json!({ "units": own.len(), "covered": covered, "women": women(None), "women_covered": women(Some(true)) });
    assert_eq!((own.len(), covered), (4, 1));
    assert_eq!(summary.json["coverage"], expected);
}

#[actix_web::test]
async fn a_closed_unit_of_the_demo_can_be_reopened() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let before = number(&officer.get(FIGURES).await.expect(200).json["total"]["women_uncovered"]);
    officer.post(format!("{CLOSED}/reopen")).if_match("\"1\"").await.expect(200);
    assert_eq!(number(&officer.get(FIGURES).await.expect(200).json["total"]["women_uncovered"]), before + 23);
}
