//! Who looks after which women.

use std::future::IntoFuture;

use super::*;

const DEMO: &str = "/api/v1/contact-assignments/0168028c-2f00-7000-8012-000000000001";
/// The village that it is about.
const AREA: &str = "0168028c-2f00-7000-8000-430602001004";
const FREE: &str = "0168028c-2f00-7000-8000-430602001002";

fn assignment(place: &str, post: &str, area: &str) -> Value {
    json!({ "organization_id": place, "post_id": post, "area_organization_id": area, "households_count": 10, "women_count": 12,
            "from_on": "2019-04-10" })
}

async fn assign(client: &Client, body: &Value) -> Answer {
    client.post("/api/v1/contact-assignments").json(body).await
}

#[actix_web::test]
async fn only_a_member_of_the_executive_there_or_above_is_assigned() {
    let app = TestApp::new().await;
    let (officer, city) = (app.sign_in("county-officer").await, app.sign_in("city-admin").await);
    let cadre = hold(&officer, COUNTY, &person(3), "cadre").await.expect(201).text("/id");
    let coming = json!({ "organization_id": COUNTY, "person_id": person(3), "position": "standing_member",
                         "employment_mode": "part_time", "from_on": "2019-05-01" });
    let coming = officer.post("/api/v1/posts").json(&coming).await.expect(201).text("/id");
    let mut early = assignment(COUNTY, &post(1), FREE);
    early["from_on"] = json!("2018-12-31");
    let mut late = assignment(COUNTY, &post(1), FREE);
    late["to_on"] = json!("2019-04-09");
    let mut nowhere = assignment(COUNTY, &post(1), FREE);
    nowhere["area_organization_id"] = json!(null);
    for (body, faults) in [
        (assignment(COUNTY, &cadre, FREE), vec![("/post_id", "position")]),
        (assignment(COUNTY, &coming, FREE), vec![("/post_id", "not_held"), ("/from_on", "outside_post")]),
        (assignment(COUNTY, &post(6), FREE), vec![("/post_id", "placement")]),
        (assignment(COUNTY, &post(4), FREE), vec![("/post_id", "unknown_reference")]),
        (assignment(COUNTY, &post(5), FREE), vec![("/post_id", "unknown_reference")]),
        (assignment(TOWNSHIP, &post(6), COUNTY), vec![("/area_organization_id", "unknown_reference")]),
        (
            assignment(TOWNSHIP, &post(6), "0168028c-2f00-7000-8000-430602002001"),
            vec![("/area_organization_id", "unknown_reference")],
        ),
        (
            assignment(NEIGHBOUR, &post(1), FREE),
            vec![
                ("/organization_id", "unknown_reference"),
                ("/post_id", "placement"),
                ("/area_organization_id", "unknown_reference"),
            ],
        ),
        (early, vec![("/from_on", "outside_post")]),
        (late, vec![("/to_on", "before_start")]),
        (nowhere, vec![("/area", "required")]),
    ] {
        let refused = assign(&officer, &body).await.expect_problem(422, "validation_failed");
        let faults: Vec<_> = faults.into_iter().map(|(pointer, code)| (pointer.to_owned(), code.to_owned())).collect();
        assert_eq!(refused.faults(), faults, "{body}");
    }
    // From above: the city's vice chair for a county, the county's for a street's contact system.
    assign(&city, &assignment(COUNTY, &post(5), TOWNSHIP)).await.expect(201);
    let made = assign(&officer, &assignment(TOWNSHIP, &post(1), FREE)).await.expect(201);
    assert_eq!((made.text("/person_name"), made.text("/position")), ("李梅".to_owned(), "vice_chair".to_owned()));
    assert_eq!((made.text("/area_organization/id"), made.text("/status")), (FREE.to_owned(), "current".to_owned()));
    let viewer = app.sign_in("city-viewer").await;
    assign(&viewer, &assignment(COUNTY, &post(1), FREE)).await.expect_problem(403, "permission_denied");
}

#[actix_web::test]
async fn an_assignment_is_read_where_its_area_lies_and_written_where_it_is_organized() {
    let app = TestApp::new().await;
    let (officer, neighbour) = (app.sign_in("county-officer").await, app.sign_in("neighbour-officer").await);
    let (_, street) = app.db_account("street", Some(Role::Officer), TOWNSHIP).await;
    let own = json!({ "organization_id": COUNTY, "post_id": post(2), "area": "区直机关单身女职工", "from_on": "2019-04-10" });
    let own = assign(&officer, &own).await.expect(201).text("/id");
    assert_eq!(ids(&officer, "/api/v1/contact-assignments?status=current").await.len(), 2);
    let seen = street.get(DEMO).await.expect(200);
    assert_eq!(seen.json["allowed_actions"], json!([]), "it is the county's");
    street.get(format!("/api/v1/contact-assignments/{own}")).await.expect(404);
    assert_eq!(ids(&street, "/api/v1/contact-assignments?status=current").await.len(), 1);
    let end = json!({ "to_on": "2019-04-10", "reason": "分工调整" });
    street.post(format!("{DEMO}/end")).if_match("\"1\"").json(&end).await.expect_problem(403, "permission_denied");
    neighbour.get(DEMO).await.expect(404);
    assert!(ids(&neighbour, "/api/v1/contact-assignments?status=current").await.is_empty());
    for (filter, expected) in [
        (format!("within={TOWNSHIP}"), 1),
        (format!("person_id={}", person(2)), 1),
        (format!("post_id={}", post(1)), 1),
        (format!("area_organization_id={AREA}"), 1),
        (format!("organization_id={COUNTY}"), 2),
        ("status=upcoming,lapsed,ended".to_owned(), 0),
    ] {
        assert_eq!(ids(&officer, &format!("/api/v1/contact-assignments?{filter}")).await.len(), expected, "{filter}");
    }
}

#[actix_web::test]
async fn nobody_looks_after_one_area_twice_at_a_time() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    let twice = assign(&officer, &assignment(COUNTY, &post(1), AREA)).await.expect_problem(409, "conflict");
    assert_eq!(twice.faults(), [("/from_on".to_owned(), "taken".to_owned())]);
    let body = assignment(COUNTY, &post(1), FREE);
    let (one, other) = join(assign(&officer, &body), assign(&admin, &body)).await;
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    // A group of the village is another area, and another person another matter.
    let mut group = body.clone();
    group["area"] = json!("一组");
    assign(&officer, &group).await.expect(201);
    assign(&officer, &assignment(COUNTY, &post(2), FREE)).await.expect(201);
    // What has ended is free from the next day on.
    let end = json!({ "to_on": "2019-04-10", "reason": "分工调整" });
    officer.post(format!("{DEMO}/end")).if_match("\"1\"").json(&end).await.expect(200);
    assign(&officer, &assignment(COUNTY, &post(1), AREA)).await.expect(409);
    let mut tomorrow = assignment(COUNTY, &post(1), AREA);
    tomorrow["from_on"] = json!("2019-04-11");
    assert_eq!(assign(&officer, &tomorrow).await.expect(201).text("/status"), "upcoming");
}

#[actix_web::test]
async fn an_assignment_is_corrected_ends_and_lapses_with_the_post() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let edit = json!({ "area_organization_id": null, "area": "洞庭北路一组", "households_count": 0, "women_count": null,
                       "from_on": "2019-02-01", "to_on": "2019-12-31", "remark": "每月走访" });
    let changed = officer.put(DEMO).if_match("\"1\"").json(&edit).await.expect(200);
    assert_eq!((changed.text("/area"), &changed.json["area_organization"]), ("洞庭北路一组".to_owned(), &json!(null)));
    officer.put(DEMO).if_match("\"1\"").json(&edit).await.expect_problem(412, "version_conflict");
    let mut empty = edit.clone();
    empty["area"] = json!(null);
    officer.put(DEMO).if_match("\"2\"").json(&empty).await.expect_problem(422, "validation_failed");
    let longer = json!({ "to_on": "2020-01-01", "reason": "x" });
    let refused =
        officer.post(format!("{DEMO}/end")).if_match("\"2\"").json(&longer).await.expect_problem(422, "validation_failed");
    assert_eq!(refused.faults(), [("/to_on".to_owned(), "after_end".to_owned())]);
    // The post is over: she looks after nobody by it, and somebody has to end the assignment.
    let over = json!({ "to_on": "2019-04-09", "reason": "调任" });
    officer.post(format!("/api/v1/posts/{}/end", post(1))).if_match("\"1\"").json(&over).await.expect(200);
    let lapsed = officer.get(DEMO).await.expect(200);
    assert_eq!((lapsed.text("/status"), &lapsed.json["allowed_actions"]), ("lapsed".to_owned(), &json!(["update", "end"])));
    assert_eq!(ids(&officer, "/api/v1/contact-assignments?status=lapsed").await.len(), 1);
    assert!(ids(&officer, "/api/v1/contact-assignments?status=current").await.is_empty());
    let end = json!({ "to_on": "2019-04-09", "reason": "调任" });
    let ended = officer.post(format!("{DEMO}/end")).if_match("\"2\"").json(&end).await.expect(200);
    assert_eq!((ended.text("/status"), ended.text("/end_reason")), ("ended".to_owned(), "调任".to_owned()));
    let again = officer.post(format!("{DEMO}/end")).if_match("\"3\"").json(&end).await.expect_problem(409, "invalid_transition");
    assert_eq!((again.text("/current_status"), &again.json["allowed_actions"]), ("ended".to_owned(), &json!(["update"])));
}

#[actix_web::test]
async fn the_first_day_is_one_of_the_post_also_when_it_is_corrected() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let edit = |from_on: &str| {
        json!({ "area_organization_id": VILLAGE, "area": null, "households_count": 1, "women_count": 1,
                                       "from_on": from_on, "to_on": null, "remark": null })
    };
    let early = officer.put(DEMO).if_match("\"1\"").json(&edit("2018-12-31")).await.expect_problem(422, "validation_failed");
    assert_eq!(early.faults(), [("/from_on".to_owned(), "outside_post".to_owned())]);
    let over = json!({ "to_on": "2019-03-31", "reason": "调任" });
    officer.post(format!("/api/v1/posts/{}/end", post(1))).if_match("\"1\"").json(&over).await.expect(200);
    let late = officer.put(DEMO).if_match("\"1\"").json(&edit("2019-04-01")).await.expect_problem(422, "validation_failed");
    assert_eq!(late.faults(), [("/from_on".to_owned(), "outside_post".to_owned())]);
    officer.put(DEMO).if_match("\"1\"").json(&edit("2019-03-31")).await.expect(200);
}

/// 岳阳楼街道's third village, and the first of the street beside it.
const THIRD: &str = "0168028c-2f00-7000-8000-430602001003";
const BESIDE: &str = "0168028c-2f00-7000-8000-430602002001";

/// Merges [`FREE`] into another village; a preview first, which tells the same.
async fn merged(app: &TestApp, into: &str, posts: &str) -> Value {
    let admin = app.sign_in("county-admin").await;
    let mut body =
        json!({ "into_id": into, "reason": "村社区合并", "posts": posts, "sites": "move", "accounts": "move", "preview": true });
    let merge = async |body: &Value| {
        let path = format!("/api/v1/organizations/{FREE}/merge");
        admin.post(path).if_match("\"1\"").json(body).await.expect(200).json["effects"].clone()
    };
    let foretold = merge(&body).await;
    body["preview"] = json!(false);
    assert_eq!(merge(&body).await, foretold, "what was foretold is what was done");
    foretold
}

/// An assignment that has stood for a while.
fn standing(place: &str, post: &str, area: &str) -> Value {
    let mut body = assignment(place, post, area);
    body["from_on"] = json!("2019-02-01");
    body
}

/// How many assignments go on, end and lapse.
fn assignments(effects: &Value) -> [i64; 3] {
    ["assignments_moved", "assignments_ended", "assignments_lapsed"].map(|name| effects[name].as_i64().unwrap())
}

async fn seen(client: &Client, assignment: &str) -> Answer {
    client.get(format!("/api/v1/contact-assignments/{assignment}")).await.expect(200)
}

#[actix_web::test]
async fn assignments_go_on_in_the_village_into_which_theirs_has_merged() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    // By posts of the village: one that goes on as a new one, one of somebody who holds the same there already.
    let going = hold(&officer, FREE, &person(2), "executive_member").await.expect(201).text("/id");
    let joining = hold(&officer, FREE, &person(3), "executive_member").await.expect(201).text("/id");
    let there = hold(&officer, THIRD, &person(3), "executive_member").await.expect(201).text("/id");
    let group = async |post: &str, area: &str| {
        let body = json!({ "organization_id": FREE, "post_id": post, "area": area, "from_on": "2019-04-01" });
        assign(&officer, &body).await.expect(201).text("/id")
    };
    let (hers, theirs) = (group(&going, "一组").await, group(&joining, "二组").await);
    // From above: by the county and the street; somebody who looks after both villages; one that ended before.
    let county = assign(&officer, &standing(COUNTY, &post(1), FREE)).await.expect(201).text("/id");
    let street = assign(&officer, &standing(TOWNSHIP, &post(6), FREE)).await.expect(201).text("/id");
    let twice = assign(&officer, &standing(COUNTY, &post(3), FREE)).await.expect(201).text("/id");
    let kept = assign(&officer, &standing(COUNTY, &post(3), THIRD)).await.expect(201).text("/id");
    let mut over = standing(COUNTY, &post(2), FREE);
    over["to_on"] = json!("2019-03-01");
    let over = assign(&officer, &over).await.expect(201).text("/id");

    assert_eq!(assignments(&merged(&app, THIRD, "move").await), [4, 1, 0]);
    let hers = seen(&officer, &hers).await;
    assert_eq!((hers.text("/organization_id"), hers.text("/status")), (THIRD.to_owned(), "current".to_owned()));
    let next = officer.get(format!("/api/v1/posts/{}", hers.text("/post_id"))).await.expect(200);
    assert_eq!((next.text("/organization_id"), next.text("/person_id")), (THIRD.to_owned(), person(2)));
    let theirs = seen(&officer, &theirs).await;
    assert_eq!((theirs.text("/post_id"), theirs.text("/status")), (there, "current".to_owned()));
    for (id, organization, post) in [(&county, COUNTY, post(1)), (&street, TOWNSHIP, post(6))] {
        let one = seen(&officer, id).await;
        assert_eq!(
            (one.text("/organization_id"), one.text("/area_organization_id")),
            (organization.to_owned(), THIRD.to_owned())
        );
        assert_eq!((one.text("/post_id"), one.text("/status"), &one.json["version"]), (post, "current".to_owned(), &json!(2)));
    }
    let twice = seen(&officer, &twice).await;
    assert_eq!((twice.text("/status"), twice.text("/end_reason")), ("ended".to_owned(), "村社区合并".to_owned()));
    assert_eq!(seen(&officer, &kept).await.json["version"], 1);
    assert_eq!(seen(&officer, &over).await.text("/area_organization_id"), FREE, "what was is told as it was");
    let auditor = app.sign_in("city-auditor").await;
    let trail = auditor.get("/api/v1/audit-entries?action=contact_assignment.moved").await.expect(200);
    assert_eq!(trail.items().len(), 4);
    let told = trail.items().iter().find(|entry| entry["object_id"] == json!(county)).unwrap();
    let areas = ["before", "after"].map(|side| &told[side]["area_organization_id"]);
    assert_eq!((areas, &told["reason"]), ([&json!(FREE), &json!(THIRD)], &json!("村社区合并")));
    // It can be corrected and ended as any other.
    let end = json!({ "to_on": "2019-04-10", "reason": "分工调整" });
    officer.post(format!("/api/v1/contact-assignments/{county}/end")).if_match("\"2\"").json(&end).await.expect(200);
}

#[actix_web::test]
async fn assignments_lapse_with_posts_that_end_and_end_where_the_successor_is_elsewhere() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let member = hold(&officer, FREE, &person(2), "executive_member").await.expect(201).text("/id");
    let group = json!({ "organization_id": FREE, "post_id": member, "area": "一组", "from_on": "2019-04-01" });
    let group = assign(&officer, &group).await.expect(201).text("/id");
    let street = assign(&officer, &standing(TOWNSHIP, &post(6), FREE)).await.expect(201).text("/id");
    let county = assign(&officer, &standing(COUNTY, &post(1), FREE)).await.expect(201).text("/id");
    assert_eq!(assignments(&merged(&app, BESIDE, "end").await), [1, 1, 1]);
    assert_eq!(seen(&officer, &group).await.text("/status"), "lapsed");
    assert_eq!(seen(&officer, &street).await.text("/status"), "ended", "the village is another street's now");
    let county = seen(&officer, &county).await;
    assert_eq!((county.text("/area_organization_id"), county.text("/status")), (BESIDE.to_owned(), "current".to_owned()));
}

#[actix_web::test]
async fn of_a_street_that_splits_assignments_go_with_the_post_where_their_area_goes_too() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    let member = hold(&officer, TOWNSHIP, &person(3), "vice_chair").await.expect(201).text("/id");
    let going = assign(&officer, &standing(TOWNSHIP, &member, FREE)).await.expect(201).text("/id");
    let staying = assign(&officer, &standing(TOWNSHIP, &member, VILLAGE)).await.expect(201).text("/id");
    let others = assign(&officer, &standing(TOWNSHIP, &post(6), THIRD)).await.expect(201).text("/id");
    let part = json!({ "name": "东街道妇联", "child_ids": [FREE, THIRD], "post_ids": [member], "site_ids": [] });
    let body = json!({ "organizations": [part], "reason": "街道析置" });
    let path = format!("/api/v1/organizations/{TOWNSHIP}/split");
    let split = admin.post(path).if_match("\"1\"").json(&body).await.expect(200);
    assert_eq!(assignments(&split.json["effects"]), [1, 0, 1]);
    let going = seen(&officer, &going).await;
    let made = split.text("/created/0/id");
    assert_eq!((going.text("/organization_id"), going.text("/area_organization_id")), (made, FREE.to_owned()));
    assert_eq!(going.text("/status"), "current");
    assert_ne!(going.text("/post_id"), member);
    assert_eq!(seen(&officer, &staying).await.text("/status"), "lapsed");
    assert_eq!(seen(&officer, &others).await.json["version"], 1, "her post stays, and so does what she does by it");
}

#[actix_web::test]
async fn an_assignment_that_is_corrected_while_its_village_merges_is_the_successors() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    let id = assign(&officer, &assignment(COUNTY, &post(1), FREE)).await.expect(201).text("/id");
    let edit = json!({ "area_organization_id": FREE, "area": "一组", "households_count": null, "women_count": null,
                       "from_on": "2019-04-10", "to_on": null, "remark": null });
    let body = json!({ "into_id": THIRD, "reason": "合并", "posts": "move", "sites": "move", "accounts": "move" });
    let merging = admin.post(format!("/api/v1/organizations/{FREE}/merge")).if_match("\"1\"").json(&body).into_future();
    let editing = officer.put(format!("/api/v1/contact-assignments/{id}")).if_match("\"1\"").json(&edit).into_future();
    let (merged, edited) = join(merging, editing).await;
    merged.expect(200);
    assert!([200, 412].contains(&edited.status.as_u16()), "{}", edited.status);
    assert_eq!(seen(&officer, &id).await.text("/area_organization_id"), THIRD);
}

#[actix_web::test]
async fn coverage_counts_each_member_village_and_household_once_per_federation() {
    let app = TestApp::new().await;
    let (officer, city) = (app.sign_in("county-officer").await, app.sign_in("city-admin").await);
    // A second post and two more assignments of one person; a group of a village; the same village by two people.
    hold(&officer, TOWNSHIP, &person(1), "vice_chair").await.expect(201);
    assign(&officer, &assignment(COUNTY, &post(1), FREE)).await.expect(201);
    let mut group = assignment(COUNTY, &post(2), FREE);
    group["area"] = json!("一组");
    assign(&officer, &group).await.expect(201);
    let mut coming = assignment(COUNTY, &post(3), "0168028c-2f00-7000-8000-430602001003");
    coming["from_on"] = json!("2019-04-11");
    assign(&officer, &coming).await.expect(201);
    let own =
        json!({ "organization_id": COUNTY, "post_id": post(2), "area": "区直机关", "women_count": 5, "from_on": "2019-04-10" });
    assign(&officer, &own).await.expect(201);
    let coverage = async |client: &Client, query: &str| {
        client.get(format!("/api/v1/contact-assignments/coverage?{query}")).await.expect(200)
    };
    let county = coverage(&officer, "include_total=true").await;
    assert_eq!((county.items().len(), &county.json["total"]["value"]), (1, &json!(1)));
    let row = county.items()[0].clone();
    let villages = officer.get(format!("/api/v1/organizations/counts?by=kind&kind=village_federation&within={COUNTY}")).await;
    let villages = villages.expect(200).json["counts"][0]["count"].as_i64().unwrap();
    assert_eq!(row["organization"]["id"], COUNTY);
    let figures = [
        "executives",
        "executives_assigned",
        "villages",
        "villages_covered",
        "villages_uncovered",
        "households_count",
        "women_count",
    ];
    let figures = figures.map(|name| row[name].as_i64().unwrap());
    assert_eq!(figures, [6, 2, villages, 2, villages - 2, 30 + 10 + 10, 42 + 12 + 12 + 5]);
    let streets = coverage(&officer, &format!("level=township&within={TOWNSHIP}")).await;
    assert_eq!(streets.items().len(), 1);
    let street = &streets.items()[0];
    assert_eq!((street["executives"].as_i64(), street["executives_assigned"].as_i64()), (Some(3), Some(1)));
    assert_eq!((street["villages_covered"].as_i64(), street["women_count"].as_i64()), (Some(2), Some(66)));
    // The city sees every county and zone, a page at a time; what a post that is over reached no longer counts.
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page = coverage(&city, &format!("limit=5&include_total=true{cursor}")).await;
        assert_eq!(page.json["total"]["value"], 13);
        found.extend(page.items().iter().map(|item| item["organization"]["id"].as_str().unwrap().to_owned()));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(found.len() == 13 && found.is_sorted(), "{found:?}");
    let over = json!({ "to_on": "2019-04-09", "reason": "调任" });
    officer.post(format!("/api/v1/posts/{}/end", post(1))).if_match("\"1\"").json(&over).await.expect(200);
    let after = coverage(&officer, "").await;
    let after = ["executives", "executives_assigned", "villages_covered", "women_count"]
        .map(|name| after.items()[0][name].as_i64().unwrap());
    assert_eq!(after, [6, 1, 1, 12 + 5], "she is still vice chair of the street, and looks after nobody by that");
}
