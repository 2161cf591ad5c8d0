//! The federation tree and what hangs on it.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::{CITY, COUNTY, Client, NEIGHBOUR, TOWNSHIP, TestApp, VILLAGE};

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

fn committee(parent: &str, name: &str) -> Value {
    json!({ "kind": "organ_womens_committee", "level": "township", "name": name, "parent_id": parent })
}

#[actix_web::test]
async fn paging_through_the_city_finds_everything_once_while_others_are_created() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let (mut cursor, mut ids, mut number) = (String::new(), Vec::new(), 0);
    loop {
        let page = admin.get(format!("/api/v1/organizations?within={CITY}&limit=100{cursor}")).await.expect(200);
        ids.extend(page.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        number += 1;
        admin.post("/api/v1/organizations").json(&committee(COUNTY, &format!("第{number}妇委会"))).await.expect(201);
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // 2,048 divisions, three zones without a code, five bodies of the city, five of counties; what was made meanwhile may be among
    // them.
    assert!(ids.len() >= 2061, "{}", ids.len());
    assert!(ids.is_sorted());
    let found = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), found, "nothing twice");
    let total = admin.get("/api/v1/organizations?include_total=true&limit=1").await.expect(200);
    assert_eq!(total.json["total"], json!({ "value": 2061 + number, "relation": "eq" }));
}

#[actix_web::test]
async fn a_county_officer_reads_her_county_and_nothing_beside_or_above() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let mine = all(&officer, "/api/v1/organizations?").await;
    assert!(mine.iter().all(|item| item["id"] == COUNTY || item["parent_id"] != json!(null)));
    for (id, status) in [(COUNTY, 200), (TOWNSHIP, 200), (VILLAGE, 200), (CITY, 404), (NEIGHBOUR, 404)] {
        officer.get(format!("/api/v1/organizations/{id}")).await.expect(status);
    }
    assert!(officer.get(format!("/api/v1/organizations?within={NEIGHBOUR}")).await.expect(200).items().is_empty());
    let narrowed = all(&officer, &format!("/api/v1/organizations?within={CITY}&")).await;
    assert_eq!(narrowed.len(), mine.len(), "her places and `within` are intersected");
    let ancestors = officer.get(format!("/api/v1/organizations/{VILLAGE}/ancestors")).await.expect(200);
    let names: Vec<&str> = ancestors.items().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["岳阳市妇联", "岳阳楼区妇联", "岳阳楼街道妇联"]);
    let county = officer.get(format!("/api/v1/organizations/{COUNTY}")).await.expect(200);
    assert_eq!(county.json["parent"]["name"], "岳阳市妇联");
    assert_eq!(county.json["allowed_actions"], json!([]));
}

#[actix_web::test]
async fn streets_of_a_zone_hang_under_the_zone_and_are_marked() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let marked = all(&admin, "/api/v1/organizations?tag=unverified&").await;
    assert_eq!(marked.len(), 11);
    let zones = all(&admin, "/api/v1/organizations?kind=zone_federation&").await;
    let names: Vec<&str> = zones.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4);
    assert!(names.contains(&"屈原管理区妇联"));
    let quyuan = zones.iter().find(|item| item["name"] == "屈原管理区妇联").unwrap();
    assert_eq!(quyuan["division_code"], "430671");
}

#[actix_web::test]
async fn a_body_hangs_only_where_the_rules_allow() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let create = async |body: Value| admin.post("/api/v1/organizations").json(&body).await;
    let village = json!({ "kind": "village_federation", "name": "新村妇联", "parent_id": VILLAGE });
    assert_eq!(create(village).await.expect(422).faults(), [("/parent_id".to_owned(), "placement".to_owned())]);
    let code =
        json!({ "kind": "village_federation", "name": "新村妇联", "parent_id": TOWNSHIP, "division_code": "430603001001" });
    let refused = create(code).await.expect(422);
    assert!(refused.faults().iter().any(|(pointer, _)| pointer == "/division_code"), "{:?}", refused.faults());
    let taken =
        json!({ "kind": "village_federation", "name": "新村妇联", "parent_id": TOWNSHIP, "division_code": "430602001001" });
    assert_eq!(
        create(taken).await.expect_problem(409, "duplicate").faults(),
        [("/division_code".to_owned(), "taken".to_owned())]
    );
    let mut uscc = committee(COUNTY, "机关妇委会");
    uscc["uscc"] = json!("91350100M000100Y44");
    assert_eq!(create(uscc).await.expect(422).faults(), [("/uscc".to_owned(), "check_character".to_owned())]);
    let neighbour = app.sign_in("county-admin").await;
    let outside = neighbour.post("/api/v1/organizations").json(&committee(NEIGHBOUR, "别处的妇委会")).await.expect(422);
    assert_eq!(outside.faults(), [("/parent_id".to_owned(), "unknown_reference".to_owned())]);
    let officer = app.sign_in("county-officer").await;
    officer.post("/api/v1/organizations").json(&committee(COUNTY, "x")).await.expect_problem(403, "permission_denied");
}

#[actix_web::test]
async fn a_moved_subtree_is_read_from_its_new_place_at_once() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let path = format!("/api/v1/organizations/{TOWNSHIP}");
    let there = json!({ "parent_id": NEIGHBOUR, "division_code": null, "reason": "区划调整" });
    let (before, after) = (app.sign_in("county-officer").await, app.sign_in("neighbour-officer").await);
    before.get(format!("/api/v1/organizations/{VILLAGE}")).await.expect(200);
    admin.post(format!("{path}/move")).if_match("\"1\"").json(&there).await.expect(200);
    before.get(format!("/api/v1/organizations/{VILLAGE}")).await.expect(404);
    after.get(format!("/api/v1/organizations/{VILLAGE}")).await.expect(200);
    let ancestors = after.get(format!("/api/v1/organizations/{VILLAGE}/ancestors")).await.expect(200);
    assert_eq!(ancestors.items()[1]["id"], NEIGHBOUR);
    let below = json!({ "parent_id": VILLAGE, "division_code": null, "reason": "错误" });
    let cycle = admin.post(format!("{path}/move")).if_match("\"2\"").json(&below).await.expect(422);
    assert!(cycle.faults().contains(&("/parent_id".to_owned(), "cycle".to_owned())), "{:?}", cycle.faults());
}

#[actix_web::test]
async fn a_moved_village_has_a_code_that_fits_its_new_township_or_none() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let path = format!("/api/v1/organizations/{VILLAGE}/move");
    let to =
        |code: Value| json!({ "parent_id": "0168028c-2f00-7000-8000-430602002000", "division_code": code, "reason": "区划调整" });
    let old = admin.post(&path).if_match("\"1\"").json(&to(json!("430602001001"))).await.expect(422);
    assert_eq!(old.faults(), [("/division_code".to_owned(), "division".to_owned())]);
    let unknown = admin.post(&path).if_match("\"1\"").json(&to(json!("430602002999"))).await.expect(422);
    assert_eq!(unknown.faults(), [("/division_code".to_owned(), "unknown_reference".to_owned())]);
    let taken = admin.post(&path).if_match("\"1\"").json(&to(json!("430602002001"))).await.expect_problem(409, "duplicate");
    assert_eq!(taken.faults(), [("/division_code".to_owned(), "taken".to_owned())]);
    let moved = admin.post(&path).if_match("\"1\"").json(&to(json!(null))).await.expect(200);
    assert_eq!(moved.json["division_code"], json!(null));
}

#[actix_web::test]
async fn two_moves_at_once_cannot_close_a_cycle() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    // Two zones that are moved below each other; a county-level federation is no parent of another, so the rule refuses one or
    // both, and the tree keeps its shape whichever comes first.
    let (one, two) = ("0168028c-2f00-7000-8006-000000000001", "0168028c-2f00-7000-8006-000000000002");
    let to = |id: &str, parent: &str| {
        let body = json!({ "parent_id": parent, "division_code": null, "reason": "竞争" });
        admin.post(format!("/api/v1/organizations/{id}/move")).if_match("\"1\"").json(&body).into_future()
    };
    let (first, second) = join(to(one, two), to(two, one)).await;
    assert!(first.status.is_client_error() && second.status.is_client_error());
    for id in [one, two] {
        let ancestors = admin.get(format!("/api/v1/organizations/{id}/ancestors")).await.expect(200);
        assert_eq!(ancestors.items().len(), 1);
    }
}

#[actix_web::test]
async fn dissolving_names_what_is_in_the_way() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let reason = json!({ "successor_id": null, "reason": "撤并" });
    let dissolve = |id: &str, etag: &str| admin.post(format!("/api/v1/organizations/{id}/dissolve")).if_match(etag).json(&reason);
    let blocked = dissolve(TOWNSHIP, "\"1\"").await.expect_problem(409, "conflict");
    let detail = blocked.text("/detail");
    assert!(detail.contains("个下级组织") && detail.contains("1个在任职务") && detail.contains("1个阵地"), "{detail}");
    let free = "0168028c-2f00-7000-8000-430602001002";
    let dissolved = dissolve(free, "\"1\"").await.expect(200);
    assert_eq!(dissolved.json["status"], "dissolved");
    assert_eq!(dissolved.json["status_changed_on"], "2019-04-10");
    dissolve(free, "\"2\"").await.expect_problem(409, "invalid_transition");
    app.anonymous().get(format!("/api/v1/directory/{free}")).await.expect_problem(404, "not_found");
    admin.delete(format!("/api/v1/organizations/{free}")).await.expect_problem(405, "method_not_allowed");
}

#[actix_web::test]
async fn the_directory_and_the_sites_are_for_everybody() {
    let app = TestApp::new().await;
    let found = app.anonymous().get("/api/v1/directory?q=%E5%B1%88%E5%8E%9F").await.expect(200);
    assert!(found.items().iter().any(|item| item["name"] == "屈原管理区妇联"));
    let sites = app.anonymous().get("/api/v1/sites").await.expect(200);
    assert_eq!(sites.items().len(), 11);
    assert!(sites.items().iter().all(|site| site["allowed_actions"] == json!([])));
    let neighbour = app.sign_in("neighbour-officer").await;
    let other = neighbour.get("/api/v1/sites/0168028c-2f00-7000-8003-000000000001").await.expect(200);
    assert_eq!(other.json["allowed_actions"], json!([]));
    let body = json!({ "reason": "不归我管" });
    neighbour.post("/api/v1/sites/0168028c-2f00-7000-8003-000000000001/close").if_match("\"1\"").json(&body).await.expect(404);
}

#[actix_web::test]
async fn remarks_of_a_site_and_why_it_was_closed_are_for_the_federations_own() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let body = json!({ "owner_organization_id": COUNTY, "kind": "womens_home", "name": "步行街妇女之家",
                       "checklist": [{ "item": "rules", "met": false, "remark": "正在制定" }] });
    let created = officer.post("/api/v1/sites").json(&body).await.expect(201);
    assert_eq!(created.json["checklist"][0]["remark"], "正在制定");
    let path = format!("/api/v1/sites/{}", created.text("/id"));
    officer.post(format!("{path}/close")).if_match(&created.etag()).json(&json!({ "reason": "房屋纠纷" })).await.expect(200);
    for outside in [app.anonymous(), app.sign_in("neighbour-officer").await] {
        let seen = outside.get(&path).await.expect(200);
        assert_eq!((&seen.json["checklist"][0]["remark"], &seen.json["close_reason"]), (&json!(null), &json!(null)));
        assert_eq!(seen.json["checklist"][0]["met"], false);
    }
    assert_eq!(app.sign_in("city-viewer").await.get(&path).await.expect(200).json["close_reason"], "房屋纠纷");
}

#[actix_web::test]
async fn who_may_not_create_is_told_so_before_what_is_wrong_with_the_body() {
    let app = TestApp::new().await;
    // An officer of the county; the city is above her, and she holds nothing but reading there.
    let (account, mixed) = app.db_account("mixed", Some(half_sky::access::Role::Officer), COUNTY).await;
    app.db_grant(account, half_sky::access::Role::Viewer, CITY).await;
    let wrong = "x".repeat(200);
    let bodies = [
        ("/api/v1/people", json!({ "organization_id": CITY, "name": wrong })),
        (
            "/api/v1/posts",
            json!({ "organization_id": CITY, "person_id": "0168028c-2f00-7000-8001-000000000001", "position": "cadre",
                                  "employment_mode": "full_time", "from_on": "2019-13-01" }),
        ),
        ("/api/v1/sites", json!({ "owner_organization_id": CITY, "kind": "womens_home", "name": wrong })),
    ];
    for (path, body) in bodies {
        mixed.post(path).json(&body).await.expect_problem(403, "permission_denied");
    }
    let own = json!({ "organization_id": COUNTY, "name": wrong });
    mixed.post("/api/v1/people").json(&own).await.expect_problem(422, "validation_failed");
    let unseen = json!({ "organization_id": "0168028c-2f00-7000-8000-999999999999", "name": "周兰" });
    let unseen = mixed.post("/api/v1/people").json(&unseen).await.expect_problem(422, "validation_failed");
    assert_eq!(unseen.faults(), [("/organization_id".to_owned(), "unknown_reference".to_owned())]);
}

#[actix_web::test]
async fn what_was_read_of_an_organization_can_be_sent_back_when_a_liaison_has_left() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let path = format!("/api/v1/organizations/{COUNTY}");
    let officer = "0168028c-2f00-7000-8004-000000000009";
    let liaison = |account: &str| json!([{ "account_id": account, "modules": ["plans"] }]);
    let edit = |liaisons: Value| {
        json!({ "name": "岳阳楼区妇联", "short_name": null, "host_name": null, "division_code": "430602", "uscc": null,
        "address": null, "location": null, "phone": null, "founded_on": null, "approval_document": null, "tags": [], "liaisons": liaisons })
    };
    admin.put(&path).if_match("\"1\"").json(&edit(liaison(officer))).await.expect(200);
    admin.post(format!("/api/v1/accounts/{officer}/disable")).if_match("\"1\"").await.expect(200);
    admin.put(&path).if_match("\"2\"").json(&edit(liaison(officer))).await.expect(200);
    let other = admin.put(&path).if_match("\"3\"").json(&edit(liaison("0168028c-2f00-7000-8004-000000000013"))).await.expect(422);
    assert_eq!(other.faults(), [("/liaisons/0/account_id".to_owned(), "unknown_reference".to_owned())]);
}

#[actix_web::test]
async fn counts_take_the_filters_of_their_list() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    for (list, counts) in [
        ("organizations?tag=unverified", "organizations/counts?by=level&tag=unverified"),
        (
            "organizations?q=%E5%B1%88%E5%8E%9F&kind=zone_federation",
            "organizations/counts?by=kind&q=%E5%B1%88%E5%8E%9F&kind=zone_federation",
        ),
        (
            "people?organization_id=0168028c-2f00-7000-8000-430602000000",
            "people/counts?by=sex&organization_id=0168028c-2f00-7000-8000-430602000000",
        ),
        ("posts?position=chair&current=true", "posts/counts?by=organization_id&position=chair&current=true"),
        ("posts/vacancies?missing=true&level=county", "posts/vacancies/counts?by=position&missing=true&level=county"),
        ("contact-assignments?status=current", "contact-assignments/counts?by=person_id&status=current"),
        ("merge-suggestions?status=open", "merge-suggestions/counts?by=status&status=open"),
        ("sites?kind=parents_school,womens_home", "sites/counts?by=kind&kind=parents_school,womens_home"),
        ("coverage-units?covered=false", "coverage-units/counts?by=kind&covered=false"),
        ("coverage-units?division_code=430602", "coverage-units/counts?by=covered&division_code=430602"),
        (
            "coverage-units?status=active&women_count_gte=100",
            "coverage-units/counts?by=organization_id&status=active&women_count_gte=100",
        ),
        ("accounts?status=disabled", "accounts/counts?by=organization_id&status=disabled"),
        ("plans?year=2019", "plans/counts?by=status&year=2019"),
    ] {
        let listed = admin.get(format!("/api/v1/{list}&include_total=true")).await.expect(200);
        let counted = admin.get(format!("/api/v1/{counts}")).await.expect(200);
        let sum: i64 = counted.json["counts"].as_array().unwrap().iter().map(|count| count["count"].as_i64().unwrap()).sum();
        assert!(sum > 0, "{counts}");
        assert_eq!(json!(sum), listed.json["total"]["value"], "{counts}");
    }
}

#[actix_web::test]
async fn a_list_ordered_by_change_pages_in_both_directions() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let last = admin.get(format!("/api/v1/organizations/{VILLAGE}")).await.expect(200);
    app.app.clock.advance(chrono::TimeDelta::hours(1));
    let edit = json!({ "name": "郭亮社区妇联", "short_name": "郭亮", "host_name": null, "division_code": "430602001001", "uscc": null,
                       "address": null, "location": null, "phone": null, "founded_on": null, "approval_document": null, "tags": [],
                       "liaisons": [] });
    admin.put(format!("/api/v1/organizations/{VILLAGE}")).if_match(&last.etag()).json(&edit).await.expect(200);
    let within = format!("/api/v1/organizations?within={TOWNSHIP}");
    let upwards = all(&admin, &format!("{within}&sort=updated_at&")).await;
    let downwards = all(&admin, &format!("{within}&sort=-updated_at&")).await;
    assert_eq!(downwards[0]["id"], VILLAGE);
    assert_eq!(upwards.iter().rev().collect::<Vec<_>>(), downwards.iter().collect::<Vec<_>>());
    let small = admin.get(format!("{within}&sort=-updated_at&limit=2")).await.expect(200);
    let next = admin.get(format!("{within}&sort=-updated_at&limit=2&cursor={}", small.text("/next_cursor"))).await.expect(200);
    assert_eq!(next.items()[0]["id"], downwards[2]["id"]);
}

#[actix_web::test]
async fn personal_numbers_are_masked_sealed_and_found_by_exact_search() {
    use diesel_async::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Found {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let new = json!({ "organization_id": COUNTY, "name": "周兰", "phone": "13712345678", "id_number": "430699201201310140" });
    let created = officer.post("/api/v1/people").json(&new).await.expect(201);
    assert_eq!(created.json["phone"], "137****5678");
    assert_eq!(created.json["id_number"], "4306**********0140");
    assert_eq!((created.json["sex"].as_str(), created.json["birth_year"].as_i64()), (Some("female"), Some(2012)));
    let mut owner = app.database.owner().await;
    let plain =
        "SELECT count(*) FROM people WHERE position('13712345678'::bytea IN phone) > 0 OR people::text LIKE '%13712345678%'";
    let leaked: Found = diesel::sql_query(plain).get_result(&mut owner).await.unwrap();
    assert_eq!(leaked.count, 0);
    let search = async |body: Value| officer.post("/api/v1/people/search").json(&body).await;
    assert_eq!(search(json!({ "phone": "+86 137-1234-5678" })).await.expect(200).items().len(), 1);
    assert_eq!(search(json!({ "id_number": "430699201201310140" })).await.expect(200).items().len(), 1);
    assert_eq!(search(json!({ "name": "周" })).await.expect(200).items().len(), 0, "exact means exact");
    search(json!({ "name": "周兰", "phone": "13712345678" })).await.expect(422);
    let neighbour = app.sign_in("neighbour-officer").await;
    let theirs = neighbour.post("/api/v1/people/search").json(&json!({ "phone": "13712345678" })).await.expect(200);
    assert!(theirs.items().is_empty(), "the search keeps to the scope");
    let twice = officer.post("/api/v1/people").json(&new).await.expect_problem(409, "person_exists");
    assert_eq!(twice.faults(), [("/id_number".to_owned(), "taken".to_owned())]);
    let wrong = json!({ "organization_id": COUNTY, "name": "周兰", "id_number": "430699199002290028", "phone": "123456789" });
    assert_eq!(officer.post("/api/v1/people").json(&wrong).await.expect(422).faults().len(), 2);
    // What is sent back masked stays as it is.
    let edit = json!({ "organization_id": COUNTY, "name": "周兰兰", "sex": "female", "birth_year": 2012, "phone": "137****5678",
                       "id_number": "4306**********0140", "tags": [] });
    let path = format!("/api/v1/people/{}", created.text("/id"));
    officer.put(&path).if_match("\"1\"").json(&edit).await.expect(200);
    assert_eq!(search(json!({ "phone": "13712345678" })).await.expect(200).items()[0]["name"], "周兰兰");
}

#[actix_web::test]
async fn an_organization_has_one_chair_at_a_time() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let chair = |from: &str| {
        json!({ "organization_id": COUNTY, "person_id": "0168028c-2f00-7000-8001-000000000001", "position": "chair",
                "employment_mode": "full_time", "from_on": from })
    };
    let second = officer.post("/api/v1/posts").json(&chair("2019-04-10")).await.expect_problem(409, "conflict");
    assert_eq!(second.faults(), [("/position".to_owned(), "taken".to_owned())]);
    let end = json!({ "to_on": "2019-04-30", "reason": "调任" });
    let path = "/api/v1/posts/0168028c-2f00-7000-8002-000000000003/end";
    officer.post(path).if_match("\"1\"").json(&end).await.expect(200);
    officer.post("/api/v1/posts").json(&chair("2019-04-30")).await.expect(409);
    let longer = json!({ "to_on": "2019-05-01", "reason": "调任" });
    let longer = officer.post(path).if_match("\"2\"").json(&longer).await.expect_problem(422, "validation_failed");
    assert_eq!(longer.faults(), [("/to_on".to_owned(), "after_end".to_owned())], "ending does not lengthen a term");
    let next = officer.post("/api/v1/posts").json(&chair("2019-05-01")).await.expect(201);
    assert_eq!(next.json["status"], "upcoming");
}

#[actix_web::test]
async fn a_batch_is_all_or_nothing_or_one_by_one() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let item = |number: u8, version: i32| json!({ "id": format!("0168028c-2f00-7000-8002-00000000000{number}"), "version": version, "to_on": "2019-04-10", "reason": "换届" });
    let batch = |mode: &str, items: Vec<Value>| json!({ "action": "end", "mode": mode, "items": items });
    // Number 4 is the neighbour's.
    let refused = officer.post("/api/v1/posts/batch").json(&batch("atomic", vec![item(1, 1), item(4, 1)])).await;
    assert_eq!(refused.expect_problem(404, "not_found").json["index"], 1);
    let first = officer.get("/api/v1/posts/0168028c-2f00-7000-8002-000000000001").await.expect(200);
    assert_eq!(first.json["to_on"], json!(null), "nothing was done");
    let items = vec![item(1, 1), item(4, 1), item(2, 7)];
    let each = officer.post("/api/v1/posts/batch").json(&batch("best_effort", items)).await.expect(207);
    let statuses: Vec<i64> = each.items().iter().map(|item| item["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [200, 404, 412]);
    assert_eq!(each.items()[1]["problem"]["instance"], "/api/v1/posts/0168028c-2f00-7000-8002-000000000004");
    assert_eq!(each.items()[0]["version"], 2);
    let done = officer.post("/api/v1/posts/batch").json(&batch("atomic", vec![item(2, 1)])).await.expect(200);
    assert_eq!(done.items()[0]["result"]["status"], "current", "the last day counts");
}

#[actix_web::test]
async fn children_figures_and_counts_are_those_of_the_tree() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let children = admin.get(format!("/api/v1/organizations/{CITY}/children?limit=100")).await.expect(200);
    assert_eq!(children.items().len(), 10 + 3 + 5);
    let county = children.items().iter().find(|child| child["organization"]["id"] == COUNTY).unwrap();
    assert!(county["children_count"].as_i64().unwrap() > 10);
    let counts = admin.get("/api/v1/organizations/counts?by=kind").await.expect(200);
    let villages = counts.json["counts"].as_array().unwrap().iter().find(|count| count["key"] == "village_federation").unwrap();
    assert_eq!(villages["count"], 1899);
    let figures = admin.get(format!("/api/v1/organizations/{COUNTY}/summary")).await.expect(200);
    assert_eq!(figures.json["people"], 3);
    assert_eq!(figures.json["sites"], json!([{ "kind": "womens_home", "count": 1 }]));
}

#[actix_web::test]
async fn who_administers_a_subtree_is_not_told_that_she_may_move_its_top_away() {
    let app = TestApp::new().await;
    let county = app.sign_in("county-admin").await;
    let actions = async |client: &Client, id: &str| {
        client.get(format!("/api/v1/organizations/{id}")).await.expect(200).json["allowed_actions"].clone()
    };
    assert_eq!(actions(&county, COUNTY).await, json!(["update", "dissolve"]));
    let all = json!(["update", "move", "dissolve", "merge", "split"]);
    assert_eq!(actions(&county, TOWNSHIP).await, all);
    assert_eq!(actions(&app.sign_in("city-admin").await, COUNTY).await, all);
    let body = json!({ "parent_id": TOWNSHIP, "division_code": null, "reason": "x" });
    let refused = county.post(format!("/api/v1/organizations/{COUNTY}/move")).if_match("\"1\"").json(&body).await;
    refused.expect_problem(403, "permission_denied");
}

#[actix_web::test]
async fn an_identity_number_that_is_sent_back_masked_is_held_against_sex_and_year_of_birth_too() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let path = "/api/v1/people/0168028c-2f00-7000-8001-000000000002";
    let person = officer.get(path).await.expect(200);
    let edit = |sex: &str, year: i32| {
        json!({ "organization_id": COUNTY, "name": "王芳", "sex": sex, "birth_year": year, "phone": person.json["phone"],
                "id_number": person.json["id_number"], "tags": [] })
    };
    let refused = officer.put(path).if_match("\"1\"").json(&edit("male", 1993)).await.expect_problem(422, "validation_failed");
    let faults = ["/sex", "/birth_year"].map(|pointer| (pointer.to_owned(), "disagrees".to_owned()));
    assert_eq!(refused.faults(), faults);
    officer.put(path).if_match("\"1\"").json(&edit("female", 1992)).await.expect(200);
}

#[actix_web::test]
async fn a_part_of_a_name_finds_exactly_the_names_that_hold_it_whatever_its_length() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let names = |items: &[Value]| items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let everything = all(&admin, "/api/v1/organizations?").await;
    let (active, _): (Vec<Value>, Vec<Value>) = everything.iter().cloned().partition(|item| item["status"] == "active");
    for part in ["联", "湖", "妇联", "洞庭", "岳阳楼", "洞庭社区", "阳楼区妇", "楼岳", "妇联妇联", "龘", "%", "_", "A"]
    {
        let holding = |items: &[Value]| names(items).into_iter().filter(|name| name.contains(part)).collect::<Vec<_>>();
        let query: String = part.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = all(&admin, &format!("/api/v1/organizations?q={query}")).await;
        assert_eq!(names(&found), holding(&everything), "{part}");
        let public = all(&app.anonymous(), &format!("/api/v1/directory?q={query}")).await;
        assert_eq!(names(&public), holding(&active), "{part}");
    }
}
