//! Records that look like one person, and what becomes of them.

use super::*;

const SUGGESTION: &str = "/api/v1/merge-suggestions/0168028c-2f00-7000-8011-000000000001";

fn into(number: u8, version: i32) -> Value {
    json!({ "into_id": person(number), "into_version": version, "reason": "同一人" })
}

async fn merge(client: &Client, id: &str, version: i32, body: &Value) -> Answer {
    client.post(format!("/api/v1/people/{id}/merge")).if_match(&format!("\"{version}\"")).json(body).await
}

#[actix_web::test]
async fn records_that_look_alike_are_suggested_to_whoever_may_read_both() {
    let app = TestApp::new().await;
    let (officer, neighbour, city) =
        (app.sign_in("county-officer").await, app.sign_in("neighbour-officer").await, app.sign_in("city-admin").await);
    let open = "/api/v1/merge-suggestions?status=open";
    let demo = officer.get(open).await.expect(200);
    assert_eq!(demo.items().len(), 1);
    let pair = ["/items/0/person/id", "/items/0/other/id"].map(|pointer| demo.text(pointer));
    assert_eq!(pair, [person(1), person(8)]);
    // The neighbour's chair, by telephone and name: the county is told nothing, the city sees it.
    let made = create(&officer, COUNTY, json!({ "name": "刘敏", "phone": "13600008765" })).await.expect(201);
    assert_eq!(officer.get(open).await.expect(200).items().len(), 1);
    assert!(neighbour.get(open).await.expect(200).items().is_empty());
    let seen = city.get(format!("{open}&person_id={}", person(4))).await.expect(200);
    assert_eq!(seen.items().len(), 1);
    assert_eq!(seen.json["items"][0]["reasons"], json!(["same_phone_and_name"]));
    assert_eq!(seen.json["items"][0]["other"]["phone"], "136****8765");
    let one = format!("/api/v1/merge-suggestions/{}", seen.text("/items/0/id"));
    officer.get(&one).await.expect(404);
    neighbour.get(&one).await.expect(404);
    // Another name under the same telephone is less, and no telephone is nothing.
    let edit = |name: &str, phone: Value| json!({ "organization_id": COUNTY, "name": name, "sex": null, "birth_year": null, "phone": phone, "id_number": null, "tags": [] });
    let path = format!("/api/v1/people/{}", made.text("/id"));
    officer.put(&path).if_match("\"1\"").json(&edit("刘敏敏", json!("136****8765"))).await.expect(200);
    assert_eq!(city.get(&one).await.expect(200).json["reasons"], json!(["same_phone"]));
    officer.put(&path).if_match("\"2\"").json(&edit("刘敏敏", json!(null))).await.expect(200);
    city.get(&one).await.expect(404);
    // Name and year of birth say something only along one line of guidance.
    let beside = create(&neighbour, NEIGHBOUR, json!({ "name": "赵霞", "birth_year": 1983 })).await.expect(201);
    let below = create(&officer, VILLAGE, json!({ "name": "赵霞", "birth_year": 1983 })).await.expect(201);
    for (id, expected) in [(beside.text("/id"), 0), (below.text("/id"), 1)] {
        assert_eq!(city.get(format!("{open}&person_id={id}")).await.expect(200).items().len(), expected);
    }
    let counts = city.get("/api/v1/merge-suggestions/counts?by=status").await.expect(200);
    assert_eq!(counts.json["counts"], json!([{ "key": "open", "count": 2 }]));
}

#[actix_web::test]
async fn of_a_telephone_that_an_office_shares_the_record_of_her_name_is_found() {
    let app = TestApp::new().await;
    let (officer, neighbour, city) =
        (app.sign_in("county-officer").await, app.sign_in("neighbour-officer").await, app.sign_in("city-admin").await);
    for number in 0..11 {
        create(&officer, COUNTY, json!({ "name": format!("同事{number}"), "phone": "13711110000" })).await.expect(201);
    }
    let other = create(&neighbour, NEIGHBOUR, json!({ "phone": "13711110000" })).await.expect(201).text("/id");
    let made = create(&officer, COUNTY, json!({ "phone": "13711110000" })).await.expect(201).text("/id");
    let open = format!("/api/v1/merge-suggestions?status=open&person_id={made}&limit=100");
    let found = city.get(open).await.expect(200);
    let pair = found.items().iter().find(|pair| pair["person"]["id"] == json!(other) || pair["other"]["id"] == json!(other));
    assert_eq!(pair.unwrap()["reasons"], json!(["same_phone_and_name"]));
}

#[actix_web::test]
async fn two_people_who_look_alike_are_not_suggested_again() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let path = format!("{SUGGESTION}/dismiss");
    let why = json!({ "reason": "同名不同人" });
    let dismissed = officer.post(&path).if_match("\"1\"").json(&why).await.expect(200);
    assert_eq!((dismissed.text("/status"), dismissed.text("/dismiss_reason")), ("dismissed".to_owned(), "同名不同人".to_owned()));
    officer.post(&path).if_match("\"2\"").json(&why).await.expect_problem(409, "invalid_transition");
    let edit = json!({ "organization_id": COUNTY, "name": "李梅", "sex": "female", "birth_year": 1988, "phone": null,
                       "id_number": null, "tags": [] });
    officer.put(format!("/api/v1/people/{}", person(1))).if_match("\"1\"").json(&edit).await.expect(200);
    assert!(officer.get("/api/v1/merge-suggestions?status=open").await.expect(200).items().is_empty());
    // Who was wrong can still merge them.
    merge(&officer, &person(8), 1, &into(1, 2)).await.expect(200);
    assert_eq!(officer.get(SUGGESTION).await.expect(200).text("/status"), "merged");
    let viewer = app.sign_in("city-viewer").await;
    assert_eq!(viewer.get(SUGGESTION).await.expect(200).json["allowed_actions"], json!([]));
}

#[actix_web::test]
async fn a_merged_record_gives_everything_away_and_tells_where_it_went() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    // She has a telephone and a tag on the street's record, a double post, an account, and looks after a group there.
    let street = officer.get(format!("/api/v1/people/{}", person(8))).await.expect(200).text("/organization_id");
    let edit = json!({ "organization_id": street, "name": "李梅", "sex": "female", "birth_year": 1988, "phone": "13811112222",
                       "id_number": null, "tags": ["mediator"] });
    officer.put(format!("/api/v1/people/{}", person(8))).if_match("\"1\"").json(&edit).await.expect(200);
    let double = hold(&officer, COUNTY, &person(8), "vice_chair").await.expect(201).text("/id");
    let account = "0168028c-2f00-7000-8004-000000000009";
    let before = admin.get(format!("/api/v1/accounts/{account}")).await.expect(200);
    let link = json!({ "display_name": before.json["display_name"], "organization_id": before.json["organization_id"],
                       "person_id": person(8) });
    admin.put(format!("/api/v1/accounts/{account}")).if_match(&before.etag()).json(&link).await.expect(200);
    let contact = |area: Option<&str>, place: &str| json!({ "organization_id": COUNTY, "post_id": double, "area_organization_id": place, "area": area, "from_on": "2019-02-01" });
    let moving = officer.post("/api/v1/contact-assignments").json(&contact(Some("一组"), VILLAGE)).await.expect(201).text("/id");
    let staying = officer
        .post("/api/v1/contact-assignments")
        .json(&contact(None, "0168028c-2f00-7000-8000-430602001004"))
        .await
        .expect(201)
        .text("/id");

    let mut body = into(1, 1);
    body["preview"] = json!(true);
    body["take"] = json!(["phone"]);
    let preview = merge(&officer, &person(8), 2, &body).await.expect(200);
    assert_eq!(preview.header("etag").split('.').next(), Some("\"2"));
    assert_eq!(officer.get(format!("/api/v1/people/{}", person(8))).await.expect(200).text("/status"), "active");
    body["preview"] = json!(false);
    let merged = merge(&officer, &person(8), 2, &body).await.expect(200);
    assert_eq!(preview.json["effects"], merged.json["effects"], "what was foretold is what was done");
    assert_eq!(
        merged.json["effects"],
        json!({ "posts_moved": 1, "double_posts": [double], "assignments_moved": 1, "assignments_ended": 1, "accounts_linked": 1,
                "taken": ["phone"] })
    );
    let facts: Vec<_> = merged.json["irreversible"].as_array().unwrap().iter().map(|fact| fact["code"].clone()).collect();
    assert_eq!(facts, ["person_merged", "posts_ended", "values_dropped"]);

    let gone = officer.get(format!("/api/v1/people/{}", person(8))).await.expect(200);
    assert_eq!((gone.text("/status"), gone.text("/merged_into_id")), ("merged".to_owned(), person(1)));
    assert_eq!((&gone.json["phone"], &gone.json["allowed_actions"]), (&json!(null), &json!([])));
    let kept = officer.get(format!("/api/v1/people/{}", person(1))).await.expect(200);
    assert_eq!((kept.text("/phone"), kept.text("/name")), ("138****2222".to_owned(), "李梅".to_owned()));
    assert_eq!(kept.json["tags"], json!(["mediator"]));
    let held: Vec<_> = kept.json["posts"].as_array().unwrap().iter().map(|post| post["id"].clone()).collect();
    assert_eq!(held, [json!(post(1)), json!(post(8))]);
    let over = officer.get(format!("/api/v1/posts/{double}")).await.expect(200);
    assert_eq!((over.text("/person_id"), over.text("/to_on")), (person(8), "2019-04-09".to_owned()));
    let moved = officer.get(format!("/api/v1/contact-assignments/{moving}")).await.expect(200);
    assert_eq!(
        (moved.text("/person_id"), moved.text("/post_id"), moved.text("/status")),
        (person(1), post(1), "current".to_owned())
    );
    assert_eq!(officer.get(format!("/api/v1/contact-assignments/{staying}")).await.expect(200).text("/status"), "ended");
    assert_eq!(admin.get(format!("/api/v1/accounts/{account}")).await.expect(200).text("/person_id"), person(1));
    assert_eq!(officer.get(SUGGESTION).await.expect(200).text("/status"), "merged");

    // Nobody finds it, nothing can be done with it, and nothing new refers to it.
    let found = officer.post("/api/v1/people/search").json(&json!({ "phone": "13811112222" })).await.expect(200);
    assert_eq!(found.text("/items/0/id"), person(1));
    assert_eq!(officer.post("/api/v1/people/search").json(&json!({ "name": "李梅" })).await.expect(200).items().len(), 1);
    assert_eq!(ids(&officer, "/api/v1/people?status=merged").await, [person(8)]);
    let edited = officer.put(format!("/api/v1/people/{}", person(8))).if_match("\"3\"").json(&edit).await;
    assert_eq!(edited.expect_problem(409, "invalid_transition").json["current_status"], "merged");
    merge(&officer, &person(8), 3, &into(1, 2)).await.expect_problem(409, "invalid_transition");
    hold(&officer, COUNTY, &person(8), "cadre").await.expect_problem(422, "validation_failed");
    merge(&officer, &person(1), 2, &into(8, 3)).await.expect_problem(422, "validation_failed");
}

#[actix_web::test]
async fn what_cannot_be_one_person_is_not_merged() {
    let app = TestApp::new().await;
    let (officer, city) = (app.sign_in("county-officer").await, app.sign_in("city-admin").await);
    let refused = merge(&officer, &person(2), 1, &into(1, 1)).await.expect_problem(409, "conflict");
    assert_eq!(refused.faults(), [("/into_id".to_owned(), "two_identity_numbers".to_owned())]);
    for (body, faults) in [
        (into(3, 1), ("/take/0", "nothing_to_take")),
        (into(4, 1), ("/into_id", "unknown_reference")),
        (into(8, 1), ("/into_id", "unknown_reference")),
    ] {
        let mut body = body;
        body["take"] = json!(["phone"]);
        let refused = merge(&officer, &person(8), 1, &body).await.expect_problem(422, "validation_failed");
        assert_eq!(refused.faults(), [(faults.0.to_owned(), faults.1.to_owned())]);
    }
    // Sex and year of birth are those of the identity number.
    let other = create(&officer, COUNTY, json!({ "name": "李美", "birth_year": 1989 })).await.expect(201).text("/id");
    let mut body = into(1, 1);
    body["take"] = json!(["name", "birth_year"]);
    let refused = merge(&officer, &other, 1, &body).await.expect_problem(422, "validation_failed");
    assert_eq!(refused.faults(), [("/take/1".to_owned(), "disagrees".to_owned())]);
    let stale = merge(&officer, &person(8), 1, &into(1, 7)).await.expect_problem(412, "version_conflict");
    assert_eq!(stale.json["current_version"], 1);
    merge(&officer, &person(8), 7, &into(1, 1)).await.expect_problem(412, "version_conflict");
    // A post that would go on, and ends before its double.
    hold(&officer, COUNTY, &person(8), "vice_chair").await.expect(201);
    let end = json!({ "to_on": "2019-12-31", "reason": "届满" });
    officer.post(format!("/api/v1/posts/{}/end", post(1))).if_match("\"1\"").json(&end).await.expect(200);
    let refused = merge(&officer, &person(8), 1, &into(1, 1)).await.expect_problem(409, "conflict");
    assert_eq!(refused.faults(), [("/into_id".to_owned(), "post_ends_first".to_owned())]);
    // One that would go on, and begins only after its double has ended: she would be nobody meanwhile.
    let later = json!({ "employment_mode": "part_time", "secondment": null, "from_on": "2019-05-01", "to_on": null,
                        "appointed_by": null });
    officer.put(format!("/api/v1/posts/{}", post(1))).if_match("\"2\"").json(&later).await.expect(200);
    let refused = merge(&officer, &person(8), 1, &into(1, 1)).await.expect_problem(409, "conflict");
    assert_eq!(refused.faults(), [("/into_id".to_owned(), "post_begins_later".to_owned())]);
    // Over one of the two she has no right: she reads it because of a post.
    hold(&city, COUNTY, &person(4), "cadre").await.expect(201);
    merge(&officer, &person(4), 1, &into(3, 1)).await.expect_problem(403, "permission_denied");
    merge(&officer, &person(3), 1, &into(4, 1)).await.expect_problem(403, "permission_denied");
    assert_eq!(officer.get(format!("/api/v1/people/{}", person(8))).await.expect(200).text("/status"), "active");
}

#[actix_web::test]
async fn an_identity_number_goes_on_with_what_follows_from_it() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let other = create(&officer, COUNTY, json!({ "name": "王方", "birth_year": 1991, "phone": "13900001234" })).await;
    let other = other.expect(201).text("/id");
    let body = json!({ "into_id": other, "into_version": 1, "reason": "同一人" });
    let merged = merge(&officer, &person(2), 1, &body).await.expect(200);
    assert_eq!(merged.json["effects"]["taken"], json!(["sex", "birth_year", "id_number"]));
    let kept = &merged.json["into"];
    assert_eq!((&kept["birth_year"], &kept["id_number"]), (&json!(1992), &json!("4306**********0022")));
    let found = officer.post("/api/v1/people/search").json(&json!({ "id_number": "430699199202290022" })).await.expect(200);
    assert_eq!(found.text("/items/0/id"), other);
    // Whoever went into a record that goes into another is where that one is.
    let body = json!({ "into_id": person(3), "into_version": 1, "reason": "同一人" });
    merge(&officer, &other, 2, &body).await.expect(200);
    assert_eq!(officer.get(format!("/api/v1/people/{}", person(2))).await.expect(200).text("/merged_into_id"), person(3));
}

#[actix_web::test]
async fn of_two_mergers_of_a_pair_at_once_one_is_done() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    let (one_way, other_way) = (into(1, 1), into(8, 1));
    let (one, other) = join(merge(&officer, &person(8), 1, &one_way), merge(&admin, &person(1), 1, &other_way)).await;
    let mut answers = [one, other];
    answers.sort_by_key(|answer| answer.status);
    let [done, refused] = answers;
    let done = done.expect(200);
    assert!(refused.status.is_client_error(), "{}", refused.status);
    assert_eq!((done.json["merged"]["status"].as_str(), done.json["into"]["status"].as_str()), (Some("merged"), Some("active")));
    let statuses = [1, 8].map(|number| officer.get(format!("/api/v1/people/{}", person(number))));
    let [one, other] = statuses;
    let mut statuses = [one.await.expect(200).text("/status"), other.await.expect(200).text("/status")];
    statuses.sort();
    assert_eq!(statuses, ["active", "merged"]);
    // And of a merger and a post for the record that goes, none is lost.
    let (third, fourth) = (
        create(&officer, COUNTY, json!({ "name": "吴霞" })).await.expect(201).text("/id"),
        create(&officer, COUNTY, json!({ "name": "吴暇" })).await.expect(201).text("/id"),
    );
    let body = json!({ "into_id": fourth, "into_version": 1, "reason": "同一人" });
    let (merged, held) = join(merge(&officer, &third, 1, &body), hold(&admin, COUNTY, &third, "cadre")).await;
    merged.expect(200);
    let posts = officer.get(format!("/api/v1/people/{fourth}")).await.expect(200).json["posts"].as_array().unwrap().len();
    assert_eq!(posts, usize::from(held.status.is_success()), "{}", held.status);
}
