//! The address book, the posts people hold and whom they look after.

mod contacts;
mod merging;
mod vacancies;

use futures_util::future::join;
use half_sky::access::Role;
use serde_json::{Value, json};

use crate::support::{Answer, CITY, COUNTY, Client, NEIGHBOUR, TOWNSHIP, TestApp, VILLAGE};

/// A person of the demo data.
fn person(number: u8) -> String {
    format!("0168028c-2f00-7000-8001-00000000000{number}")
}

/// A post of the demo data.
fn post(number: u8) -> String {
    format!("0168028c-2f00-7000-8002-00000000000{number}")
}

async fn create(client: &Client, place: &str, more: Value) -> Answer {
    let mut body = json!({ "organization_id": place, "name": "周兰" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/api/v1/people").json(&body).await
}

async fn hold(client: &Client, place: &str, person: &str, position: &str) -> Answer {
    let body = json!({ "organization_id": place, "person_id": person, "position": position, "employment_mode": "part_time",
                       "from_on": "2019-01-01" });
    client.post("/api/v1/posts").json(&body).await
}

async fn ids(client: &Client, path: &str) -> Vec<String> {
    let page = client.get(format!("{path}&limit=100")).await.expect(200);
    page.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn one_person_has_one_record_whoever_brings_her() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let first = create(&officer, COUNTY, json!({ "phone": "13712345678" })).await.expect(201).text("/id");
    let again = create(&officer, TOWNSHIP, json!({ "phone": "+86 137 1234 5678", "birth_year": 1986 })).await;
    let again = again.expect_problem(409, "person_exists");
    assert_eq!((again.text("/existing_id"), again.faults()), (first.clone(), vec![("/phone".to_owned(), "taken".to_owned())]));
    let known = json!({ "phone": "13712345678", "id_number": "430699201201310140" });
    let known = create(&officer, COUNTY, known).await.expect_problem(409, "person_exists");
    assert_eq!(known.text("/existing_id"), first, "nothing contradicts while only one number is known");
    let numbered = create(&officer, COUNTY, json!({ "name": "周芳", "id_number": "430699201201310140" })).await.expect(201);
    let other_name = create(&officer, COUNTY, json!({ "name": "周方", "id_number": "430699201201310140" })).await;
    let other_name = other_name.expect_problem(409, "person_exists");
    assert_eq!(other_name.text("/existing_id"), numbered.text("/id"), "the number decides, not the name");
    // The same telephone and name, but two years of birth: two people until somebody says otherwise.
    create(&officer, COUNTY, json!({ "name": "孙玲", "phone": "13300001357", "birth_year": 1955 })).await.expect(201);
}

#[actix_web::test]
async fn of_a_record_elsewhere_one_learns_only_that_there_is_one() {
    let app = TestApp::new().await;
    let (neighbour, city) = (app.sign_in("neighbour-officer").await, app.sign_in("city-admin").await);
    let wang = json!({ "name": "王芳", "id_number": "430699199202290022" });
    let refused = create(&neighbour, NEIGHBOUR, wang.clone()).await.expect_problem(409, "person_kept_elsewhere");
    let told = refused.json.to_string();
    assert!(refused.json.get("existing_id").is_none() && !told.contains(&person(2)) && !told.contains(COUNTY), "{told}");
    assert_eq!(create(&city, NEIGHBOUR, wang).await.expect_problem(409, "person_exists").text("/existing_id"), person(2));
    // A number that an existing record is given is held against the others, too.
    let path = format!("/api/v1/people/{}", person(4));
    let edit = json!({ "organization_id": NEIGHBOUR, "name": "刘敏", "sex": "female", "birth_year": null, "phone": "136****8765",
                       "id_number": "430699199202290022", "tags": [] });
    neighbour.put(&path).if_match("\"1\"").json(&edit).await.expect_problem(409, "person_kept_elsewhere");
    let auditor = app.sign_in("city-auditor").await;
    let entries = auditor.get("/api/v1/audit-entries?action=request.refused&limit=100").await.expect(200);
    let kept = |entry: &&Value| entry["after"]["code"] == "person_kept_elsewhere";
    assert_eq!(entries.items().iter().filter(kept).count(), 2, "who looks for records this way is on record");
}

#[actix_web::test]
async fn of_two_that_bring_the_same_person_at_once_one_makes_the_record() {
    let app = TestApp::new().await;
    let (officer, admin) = (app.sign_in("county-officer").await, app.sign_in("county-admin").await);
    for (number, known) in [
        json!({ "phone": "13712345678" }),
        json!({ "name": "周芳", "id_number": "430699201201310140" }),
        json!({ "name": "周芬", "phone": "13787654321", "birth_year": 1990 }),
    ]
    .into_iter()
    .enumerate()
    {
        let (one, other) = join(create(&officer, COUNTY, known.clone()), create(&admin, TOWNSHIP, known)).await;
        let mut answers = [one, other];
        answers.sort_by_key(|answer| answer.status);
        let [made, refused] = answers;
        let made = made.expect(201).text("/id");
        assert_eq!(refused.expect_problem(409, "person_exists").text("/existing_id"), made, "{number}");
    }
}

#[actix_web::test]
async fn who_holds_a_post_somewhere_is_readable_there_while_she_holds_it() {
    let app = TestApp::new().await;
    let (officer, city) = (app.sign_in("county-officer").await, app.sign_in("city-admin").await);
    let path = format!("/api/v1/people/{}", person(4));
    officer.get(&path).await.expect(404);
    hold(&officer, COUNTY, &person(4), "cadre").await.expect_problem(422, "validation_failed");
    let seconded = hold(&city, COUNTY, &person(4), "cadre").await.expect(201);
    let seen = officer.get(&path).await.expect(200);
    assert_eq!((seen.text("/phone"), seen.text("/organization/name")), ("136****8765".to_owned(), "云溪区妇联".to_owned()));
    assert_eq!(seen.json["allowed_actions"], json!([]), "the record is the neighbour's");
    assert!(ids(&officer, "/api/v1/people?sex=female").await.contains(&person(4)));
    assert!(ids(&officer, &format!("/api/v1/people?within={COUNTY}")).await.contains(&person(4)));
    assert!(!ids(&officer, &format!("/api/v1/people?within={TOWNSHIP}")).await.contains(&person(4)));
    assert!(!ids(&officer, &format!("/api/v1/people?organization_id={COUNTY}")).await.contains(&person(4)));
    let found = officer.post("/api/v1/people/search").json(&json!({ "phone": "13600008765" })).await.expect(200);
    assert_eq!(found.items().len(), 1);
    let edit = json!({ "organization_id": COUNTY, "name": "刘敏", "sex": "female", "birth_year": 1985, "phone": "136****8765",
                       "id_number": null, "tags": [] });
    officer.put(&path).if_match("\"1\"").json(&edit).await.expect_problem(403, "permission_denied");
    // She can be reached where she serves: by whoever may see numbers there.
    let (_, manager) = app.db_account("manager", Some(Role::Manager), COUNTY).await;
    assert_eq!(manager.get(&path).await.expect(200).json["allowed_actions"], json!(["reveal"]));
    let why = json!({ "fields": ["phone"], "reason": "通知开会" });
    let shown = manager.post(format!("{path}/reveal")).json(&why).await.expect(200);
    assert_eq!(shown.text("/phone"), "+8613600008765");
    // Another post can be given her here, and an account; a post elsewhere cannot be touched from here.
    let second = hold(&officer, COUNTY, &person(4), "standing_member").await.expect(201);
    let admin = app.sign_in("county-admin").await;
    let account = |name: &str, person: &str| json!({ "display_name": name, "organization_id": COUNTY, "person_id": person });
    let mut new = account("刘敏", &person(4));
    new["username"] = json!("liu-min");
    let made = admin.post("/api/v1/accounts").json(&new).await.expect(201).text("/account/id");
    let end = json!({ "to_on": "2019-04-10", "reason": "挂职期满" });
    for held in [&seconded, &second] {
        officer.post(format!("/api/v1/posts/{}/end", held.text("/id"))).if_match("\"1\"").json(&end).await.expect(200);
    }
    officer.get(&path).await.expect(200);
    app.app.clock.advance(chrono::TimeDelta::days(1));
    officer.get(&path).await.expect(404);
    assert!(!ids(&officer, "/api/v1/people?sex=female").await.contains(&person(4)));
    let kept = officer.get(format!("/api/v1/posts/{}", seconded.text("/id"))).await.expect(200);
    assert_eq!(kept.text("/person_name"), "刘敏", "what was is still told");
    let made = format!("/api/v1/accounts/{made}");
    let sent_back = admin.put(&made).if_match("\"1\"").json(&account("刘敏（挂职）", &person(4))).await.expect(200);
    assert_eq!(sent_back.text("/person_id"), person(4));
    let other = admin.put(&made).if_match("\"2\"").json(&account("陈静", &person(5))).await.expect(422);
    assert_eq!(other.faults(), [("/person_id".to_owned(), "unknown_reference".to_owned())]);
}

#[actix_web::test]
async fn who_may_not_keep_her_there_is_told_so_before_what_is_wrong_with_the_body() {
    let app = TestApp::new().await;
    let (account, officer) = app.db_account("street", Some(Role::Officer), TOWNSHIP).await;
    app.db_grant(account, Role::Viewer, COUNTY).await;
    let made = create(&officer, TOWNSHIP, json!({})).await.expect(201).text("/id");
    let path = format!("/api/v1/people/{made}");
    // The year is not that of the number.
    let edit = |place: &str| {
        json!({ "organization_id": place, "name": "周兰", "sex": null, "birth_year": 1960, "phone": null,
                                     "id_number": "430699199202290022", "tags": [] })
    };
    officer.put(&path).if_match("\"1\"").json(&edit(TOWNSHIP)).await.expect_problem(422, "validation_failed");
    officer.put(&path).if_match("\"1\"").json(&edit(COUNTY)).await.expect_problem(403, "permission_denied");
    officer.put(&path).if_match("\"9\"").json(&edit(COUNTY)).await.expect_problem(403, "permission_denied");
    let elsewhere = officer.put(&path).if_match("\"1\"").json(&edit(NEIGHBOUR)).await.expect_problem(422, "validation_failed");
    assert!(elsewhere.faults().contains(&("/organization_id".to_owned(), "unknown_reference".to_owned())));
}

#[actix_web::test]
async fn the_address_book_is_asked_by_posts_years_and_tags() {
    let app = TestApp::new().await;
    let city = app.sign_in("city-admin").await;
    let lecturer = json!({ "name": "何静", "birth_year": 1970, "tags": ["lecturer"] });
    let lecturer = create(&city, CITY, lecturer).await.expect(201).text("/id");
    let all: Vec<String> = (1..=8).map(person).chain([lecturer.clone()]).collect();
    let some = |numbers: &[u8]| numbers.iter().map(|number| person(*number)).collect::<Vec<_>>();
    for (filter, expected) in [
        ("sort=id", all.clone()),
        ("has_posts=true", some(&[1, 2, 3, 4, 5, 6, 7, 8])),
        ("has_posts=false", vec![lecturer.clone()]),
        ("position=chair", some(&[3, 4, 6, 7])),
        ("position=chair&level=township,village", some(&[6, 7])),
        ("position=vice_chair,executive_member", some(&[1, 2, 5, 8])),
        ("kind=city_federation", some(&[5])),
        ("employment_mode=attached", some(&[5])),
        ("employment_mode=part_time&level=county", some(&[1, 2])),
        ("employment_mode=part_time&position=chair", some(&[7])),
        ("birth_year_gte=1988&birth_year_lt=1990", some(&[1, 8])),
        ("birth_year_lt=1980", vec![person(3), lecturer.clone()]),
        ("tag=lecturer", vec![lecturer.clone()]),
        ("status=merged", vec![]),
    ] {
        assert_eq!(ids(&city, &format!("/api/v1/people?{filter}")).await, expected, "{filter}");
        let counted = city.get(format!("/api/v1/people/counts?by=organization_id&{}", filter.replace("sort=id", ""))).await;
        let sum: i64 =
            counted.expect(200).json["counts"].as_array().unwrap().iter().map(|one| one["count"].as_i64().unwrap()).sum();
        assert_eq!(sum as usize, expected.len(), "{filter}");
    }
    // A post counts where it is, and while it is held.
    assert_eq!(ids(&city, &format!("/api/v1/people?position=chair&within={TOWNSHIP}")).await, some(&[6, 7]));
    hold(&city, TOWNSHIP, &person(4), "cadre").await.expect(201);
    assert_eq!(
        ids(&city, &format!("/api/v1/people?position=chair&within={TOWNSHIP}")).await,
        some(&[6, 7]),
        "she chairs elsewhere"
    );
    let end = json!({ "to_on": "2019-04-09", "reason": "调任" });
    city.post(format!("/api/v1/posts/{}/end", post(7))).if_match("\"1\"").json(&end).await.expect(200);
    assert_eq!(ids(&city, "/api/v1/people?position=chair&level=village").await, Vec::<String>::new());
    assert_eq!(ids(&city, "/api/v1/people?has_posts=false").await, [person(7), lecturer]);
    let own = app.sign_in("county-officer").await.get(format!("/api/v1/people/{}", person(7))).await.expect(200);
    assert_eq!(own.text("/organization_id"), VILLAGE, "her record is kept there, post or no post");
}
