//! Positions and their minimum, terms about to end, one chair at a time.

use super::*;

async fn positions(client: &Client, filter: &str) -> Vec<Value> {
    let (mut cursor, mut items) = (String::new(), Vec::new());
    loop {
        let page = client.get(format!("/api/v1/posts/vacancies?{filter}&limit=7{cursor}")).await.expect(200);
        items.extend(page.items().iter().cloned());
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

fn figures(item: &Value) -> (String, i64, Option<i64>, Option<i64>) {
    let position = item["position"].as_str().unwrap().to_owned();
    (position, item["held"].as_i64().unwrap(), item["minimum"].as_i64(), item["missing"].as_i64())
}

#[actix_web::test]
async fn an_organization_is_held_against_the_minimum_of_its_kind() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let of = async |place: &str| {
        let items = positions(&officer, &format!("organization_id={place}")).await;
        assert!(items.iter().all(|item| item["organization"]["id"] == place));
        items.iter().map(figures).collect::<Vec<_>>()
    };
    let row = |position: &str, held, minimum, missing| (position.to_owned(), held, minimum, missing);
    let known = |position: &str, held, minimum: i64| row(position, held, Some(minimum), Some(minimum - held));
    assert_eq!(of(TOWNSHIP).await, [known("chair", 1, 1), known("vice_chair", 0, 3), known("executive_member", 1, 25)]);
    assert_eq!(of(VILLAGE).await, [known("chair", 1, 1), known("vice_chair", 0, 2), known("executive_member", 1, 15)]);
    // Chair, vice-chair and member are three executive members; of a county no rule about them is known.
    let county = [known("chair", 1, 1), row("vice_chair", 1, None, None), row("executive_member", 3, None, None)];
    assert_eq!(of(COUNTY).await, county);
    // Who is vice-chair and member is one person; who begins tomorrow or ended yesterday holds nothing today.
    hold(&officer, TOWNSHIP, &person(1), "vice_chair").await.expect(201);
    hold(&officer, TOWNSHIP, &person(1), "executive_member").await.expect(201);
    for (from, to) in [("2019-04-11", json!(null)), ("2018-01-01", json!("2019-04-09"))] {
        let body = json!({ "organization_id": TOWNSHIP, "person_id": person(2), "position": "standing_member",
                           "employment_mode": "part_time", "from_on": from, "to_on": to });
        officer.post("/api/v1/posts").json(&body).await.expect(201);
    }
    assert_eq!(of(TOWNSHIP).await, [known("chair", 1, 1), known("vice_chair", 1, 3), known("executive_member", 2, 25)]);
    let summary = officer.get(format!("/api/v1/organizations/{TOWNSHIP}/summary")).await.expect(200);
    let told: Vec<_> = summary.json["vacancies"].as_array().unwrap().iter().map(figures).collect();
    assert_eq!(told, of(TOWNSHIP).await);
    let then = officer.get(format!("/api/v1/organizations/{TOWNSHIP}/summary?as_of=2019-04-09")).await.expect(200);
    assert_eq!(then.json["vacancies"][2]["held"], 3, "yesterday there was one more");
    let source = positions(&officer, &format!("organization_id={TOWNSHIP}&position=executive_member")).await[0]["source"].clone();
    assert!(source.as_str().is_some_and(|source| source.contains("25")), "{source}");
}

#[actix_web::test]
async fn vacancies_page_organization_by_organization_and_count_what_they_list() {
    let app = TestApp::new().await;
    let (officer, city) = (app.sign_in("county-officer").await, app.sign_in("city-viewer").await);
    let lacking = positions(&officer, &format!("missing=true&within={TOWNSHIP}")).await;
    let keys: Vec<_> = lacking.iter().map(|item| (item["organization"]["id"].to_string(), figures(item))).collect();
    assert!(keys.is_sorted_by(|one, other| one.0 <= other.0), "{keys:?}");
    let mut once: Vec<_> = keys.iter().map(|(id, figures)| (id.clone(), figures.0.clone())).collect();
    let found = once.len();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), found, "nothing twice");
    assert!(lacking.iter().all(|item| item["missing"].as_i64().is_some_and(|missing| missing > 0)));
    let all = positions(&officer, &format!("within={TOWNSHIP}")).await;
    let rest = positions(&officer, &format!("missing=false&within={TOWNSHIP}")).await;
    assert_eq!(all.len(), lacking.len() + rest.len());
    // One chair in the street and one in a village; what both have is not missing.
    assert_eq!(rest.iter().map(figures).map(|figures| figures.0).collect::<Vec<_>>(), ["chair", "chair"]);
    let total = officer.get(format!("/api/v1/posts/vacancies?missing=true&within={TOWNSHIP}&include_total=true&limit=1")).await;
    assert_eq!(total.expect(200).json["total"], json!({ "value": found, "relation": "eq" }));
    for by in ["position", "kind", "level", "organization_id"] {
        let counted = officer.get(format!("/api/v1/posts/vacancies/counts?by={by}&missing=true&within={TOWNSHIP}")).await;
        let sum: i64 =
            counted.expect(200).json["counts"].as_array().unwrap().iter().map(|one| one["count"].as_i64().unwrap()).sum();
        assert_eq!(sum as usize, found, "{by}");
    }
    let chairs = city.get("/api/v1/posts/vacancies/counts?by=kind&missing=true&position=chair").await.expect(200);
    let villages = chairs.json["counts"].as_array().unwrap().iter().find(|one| one["key"] == "village_federation").unwrap();
    assert_eq!(villages["count"], 1898, "all villages but one have no chair in the demo data");
    let other = positions(&city, "kind=organ_womens_committee,member_association").await;
    assert!(!other.is_empty() && other.iter().all(|item| item["minimum"] == json!(null) && item["source"] == json!(null)));
    assert!(positions(&officer, &format!("organization_id={NEIGHBOUR}")).await.is_empty());
}

#[actix_web::test]
async fn falling_under_the_minimum_warns_and_blocks_nothing() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let path = format!("/api/v1/posts/{}", post(6));
    assert_eq!(officer.get(&path).await.expect(200).json["warnings"], json!([]), "its end is not in sight");
    let end = json!({ "to_on": "2019-05-31", "reason": "调任" });
    let ended = officer.post(format!("{path}/end")).if_match("\"1\"").json(&end).await.expect(200);
    let warning = |position: &str, held: i64, minimum: i64| json!({ "code": "under_minimum", "position": position, "held": held, "minimum": minimum });
    assert_eq!(ended.json["warnings"], json!([warning("chair", 0, 1), warning("executive_member", 0, 25)]));
    let next = json!({ "organization_id": TOWNSHIP, "person_id": person(1), "position": "chair", "employment_mode": "attached",
                       "from_on": "2019-06-01" });
    let next = officer.post("/api/v1/posts").json(&next).await.expect(201);
    assert_eq!(next.json["warnings"], json!([{ "code": "term_missing", "position": null, "held": null, "minimum": null }]));
    assert_eq!(officer.get(&path).await.expect(200).json["warnings"], json!([warning("executive_member", 1, 25)]));
    let listed = officer.get(format!("/api/v1/organizations/{TOWNSHIP}/posts")).await.expect(200);
    assert_eq!(listed.items()[0]["warnings"], json!([warning("executive_member", 1, 25)]));
}

#[actix_web::test]
async fn terms_about_to_end_are_listed_with_the_nearest_first() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    for (number, to_on) in [(1, "2019-06-30"), (2, "2019-04-10"), (3, "2019-07-09"), (6, "2019-07-10"), (7, "2019-06-30")] {
        let body = json!({ "to_on": to_on, "reason": "届满" });
        officer.post(format!("/api/v1/posts/{}/end", post(number))).if_match("\"1\"").json(&body).await.expect(200);
    }
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page = officer.get(format!("/api/v1/posts/expiring?limit=1&include_total=true{cursor}")).await.expect(200);
        assert_eq!(page.json["total"]["value"], 4);
        found.extend(page.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, [post(2), post(1), post(7), post(3)], "within 90 days, the last day included");
    let until = async |query: &str| ids(&officer, &format!("/api/v1/posts/expiring?{query}")).await;
    assert_eq!(until("before=2019-06-29").await, [post(2)]);
    assert_eq!(until("before=2019-12-31&position=chair").await, [post(7), post(3), post(6)]);
    assert_eq!(until(&format!("before=2019-12-31&within={TOWNSHIP}")).await, [post(7), post(6)]);
    assert_eq!(until("before=2019-04-09").await, Vec::<String>::new());
    let counted = officer.get("/api/v1/posts/counts?by=position&to_on_gte=2019-06-30&to_on_lt=2019-07-10").await.expect(200);
    assert_eq!(counted.json["counts"], json!([{ "key": "chair", "count": 2 }, { "key": "vice_chair", "count": 1 }]));
    let neighbour = app.sign_in("neighbour-officer").await;
    assert!(neighbour.get("/api/v1/posts/expiring?before=2030-01-01").await.expect(200).items().is_empty());
}

#[actix_web::test]
async fn of_two_chairs_at_once_one_is_made() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    let vacant = "0168028c-2f00-7000-8000-430602001002";
    let (one, other) = join(hold(&officer, vacant, &person(1), "chair"), hold(&admin, vacant, &person(2), "chair")).await;
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let chairs = positions(&officer, &format!("organization_id={vacant}&position=chair")).await;
    assert_eq!(chairs[0]["held"], 1);
}
