//! How organizations were: the tree of a day, the history of each, and how they merge, split, end and begin again.

use std::cell::Cell;
use std::collections::BTreeMap;

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use futures_util::future::join;
use half_sky::access::{Module, Role};
use serde_json::{Value, json};

use crate::support::{CITY, COUNTY, Client, NEIGHBOUR, TOWNSHIP, TestApp, VILLAGE};

/// 岳阳楼街道's second village, and its third.
const SECOND: &str = "0168028c-2f00-7000-8000-430602001002";
const THIRD: &str = "0168028c-2f00-7000-8000-430602001003";
/// Another township of [`COUNTY`], and its first village.
const BESIDE: &str = "0168028c-2f00-7000-8000-430602002000";
/// The demo body that was dissolved.
const DISSOLVED: &str = "0168028c-2f00-7000-8006-000000000021";

fn path(id: &str) -> String {
    format!("/api/v1/organizations/{id}")
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

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

/// Today's tree is the closure of `parent_id`, and no two rows of its history say the same of one day.
async fn the_tree_is_whole(app: &TestApp) {
    let wrong = "WITH RECURSIVE line AS (
            SELECT id AS descendant_id, id AS ancestor_id, parent_id AS next_id, 0 AS depth FROM organizations
            UNION ALL
            SELECT line.descendant_id, above.id, above.parent_id, line.depth + 1
            FROM line JOIN organizations above ON above.id = line.next_id),
        due AS (SELECT ancestor_id, descendant_id, depth::int FROM line),
        have AS (SELECT ancestor_id, descendant_id, depth::int FROM organization_tree WHERE to_on IS NULL)
        SELECT 'missing ' || a::text AS text FROM (SELECT * FROM due EXCEPT SELECT * FROM have) a
        UNION ALL SELECT 'too much ' || b::text FROM (SELECT * FROM have EXCEPT SELECT * FROM due) b
        UNION ALL SELECT 'twice ' || one::text FROM organization_tree one JOIN organization_tree other
            ON other.ancestor_id = one.ancestor_id AND other.descendant_id = one.descendant_id AND other.ctid > one.ctid
            AND daterange(one.from_on, one.to_on) && daterange(other.from_on, other.to_on)
        UNION ALL SELECT 'two parents ' || one::text FROM organization_tree one JOIN organization_tree other
            ON other.descendant_id = one.descendant_id AND other.depth = 1 AND other.ctid > one.ctid
            AND daterange(one.from_on, one.to_on) && daterange(other.from_on, other.to_on) WHERE one.depth = 1
        UNION ALL SELECT 'not made once ' || organizations.id FROM organizations
            WHERE (SELECT count(*) FROM organization_events WHERE organization_id = organizations.id AND kind = 'created') <> 1";
    let found: Vec<Line> = diesel::sql_query(wrong).load(&mut app.database.owner().await).await.unwrap();
    let found: Vec<String> = found.into_iter().map(|line| line.text).take(5).collect();
    assert!(found.is_empty(), "{found:?}");
}

fn merging(into: &str) -> Value {
    json!({ "into_id": into, "reason": "村社区合并", "posts": "move", "sites": "move", "accounts": "move" })
}

/// A person with a post, and a site, at an organization: their ids.
async fn settle(admin: &Client, organization: &str, position: &str, name: &str) -> (String, String, String) {
    let person = json!({ "organization_id": organization, "name": name });
    let person = admin.post("/api/v1/people").json(&person).await.expect(201).text("/id");
    let post = json!({ "organization_id": organization, "person_id": person, "position": position,
                       "employment_mode": "part_time", "from_on": "2019-01-01" });
    let post = admin.post("/api/v1/posts").json(&post).await.expect(201).text("/id");
    let site = json!({ "owner_organization_id": organization, "kind": "womens_home", "name": format!("{name}之家") });
    let site = admin.post("/api/v1/sites").json(&site).await.expect(201).text("/id");
    (person, post, site)
}

#[actix_web::test]
async fn two_villages_that_merged_last_year_are_two_before_and_one_after() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let (person, post, site) = settle(&admin, SECOND, "cadre", "周兰").await;
    app.app.clock.advance(chrono::TimeDelta::days(1));
    let merged = admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&merging(THIRD)).await.expect(200);
    assert_eq!((merged.text("/status"), merged.text("/successor/id")), ("merged".to_owned(), THIRD.to_owned()));
    let effects = &merged.json["effects"];
    let moved = ["posts_moved", "sites_moved", "people_moved"].map(|name| effects[name].as_i64().unwrap());
    assert_eq!(moved, [1, 1, 1], "{effects}");
    the_tree_is_whole(&app).await;
    app.app.clock.advance(chrono::TimeDelta::days(365));
    let today = "2020-04-10";

    let (before, after) = ("2019-04-10", "2019-04-11");
    let within = format!("/api/v1/organizations?within={TOWNSHIP}");
    let active = async |day: &str| all(&admin, &format!("{within}&status=active&as_of={day}&")).await;
    let (then, since) = (active(before).await, active(after).await);
    assert!(ids(&then).contains(&SECOND) && ids(&then).contains(&THIRD));
    assert!(!ids(&since).contains(&SECOND) && ids(&since).contains(&THIRD));
    assert_eq!(since.len() + 1, then.len());
    assert_eq!(active(today).await, all(&admin, &format!("{within}&status=active&")).await, "today is today");
    assert!(all(&admin, &format!("{within}&as_of=2018-12-31&")).await.is_empty(), "nothing was there yet");

    let count = async |day: &str| {
        let counts = admin.get(format!("/api/v1/organizations/counts?by=status&within={TOWNSHIP}&as_of={day}")).await.expect(200);
        let each = counts.json["counts"].as_array().unwrap().iter();
        each.map(|each| (each["key"].as_str().unwrap().to_owned(), each["count"].as_i64().unwrap())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(count(before).await, BTreeMap::from([("active".to_owned(), then.len() as i64)]));
    assert_eq!(count(after).await, BTreeMap::from([("active".to_owned(), since.len() as i64), ("merged".to_owned(), 1)]));

    let one = async |day: &str| admin.get(format!("{}?as_of={day}", path(SECOND))).await.expect(200);
    assert_eq!((&one(before).await.json["status"], &one(before).await.json["successor"]), (&json!("active"), &json!(null)));
    assert_eq!(one(after).await.json["status"], "merged");
    assert_eq!(one(before).await.json["allowed_actions"], json!([]), "what may be done is of today");
    admin.get(format!("{}?as_of=2018-12-31", path(SECOND))).await.expect_problem(404, "not_found");

    let figures = async |id: &str, day: &str| {
        let figures = admin.get(format!("{}/summary?as_of={day}", path(id))).await.expect(200);
        (figures.json["positions"].clone(), figures.json["sites"].clone())
    };
    let some = (json!([{ "position": "cadre", "count": 1 }]), json!([{ "kind": "womens_home", "count": 1 }]));
    let none = (json!([]), json!([]));
    assert_eq!((figures(SECOND, before).await, figures(THIRD, before).await), (some.clone(), none.clone()));
    assert_eq!((figures(SECOND, after).await, figures(THIRD, after).await), (none, some));
    let children = async |day: &str| admin.get(format!("{}/children?as_of={day}&limit=1", path(COUNTY))).await.expect(200);
    let (then, since) = (children(before).await, children(after).await);
    let count = |answer: &crate::support::Answer| answer.items()[0]["children_count"].as_i64().unwrap();
    assert_eq!(count(&then) - 1, count(&since));

    assert_eq!(admin.get(format!("/api/v1/posts/{post}")).await.expect(200).json["to_on"], before, "the old post has ended");
    let posts = admin.get(format!("/api/v1/posts?person_id={person}&current=true")).await.expect(200);
    assert_eq!((posts.items().len(), &posts.items()[0]["from_on"]), (1, &json!(after)));
    assert_eq!(posts.items()[0]["organization_id"], THIRD);
    assert_eq!(admin.get(format!("/api/v1/sites/{site}")).await.expect(200).json["owner_organization_id"], THIRD);
    assert_eq!(admin.get(format!("/api/v1/people/{person}")).await.expect(200).json["organization_id"], THIRD);
}

#[actix_web::test]
async fn the_parent_of_a_day_is_told_to_whoever_may_read_today() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let there = json!({ "parent_id": NEIGHBOUR, "division_code": null, "reason": "区划调整" });
    admin.post(path(TOWNSHIP) + "/move").if_match("\"1\"").json(&there).await.expect(200);
    the_tree_is_whole(&app).await;
    let (old, new) = (app.sign_in("county-officer").await, app.sign_in("neighbour-officer").await);
    let (before, after) = ("2019-04-09", "2019-04-10");
    for (day, county) in [(before, COUNTY), (after, NEIGHBOUR)] {
        let line = new.get(format!("{}/ancestors?as_of={day}", path(VILLAGE))).await.expect(200);
        assert_eq!(ids(line.items()), [CITY, county, TOWNSHIP]);
        let township = new.get(format!("{}?as_of={day}", path(TOWNSHIP))).await.expect(200);
        assert_eq!(township.text("/parent/id"), county);
        let within = new.get(format!("/api/v1/organizations?within={county}&as_of={day}&limit=100")).await.expect(200);
        assert!(ids(within.items()).contains(&VILLAGE), "below the parent of the day");
        let hers = all(&new, &format!("/api/v1/organizations?as_of={day}&")).await;
        let township = hers.iter().find(|item| item["id"] == TOWNSHIP).unwrap();
        assert_eq!(township["parent_id"], county);
        let children = all(&admin, &format!("{}/children?as_of={day}&", path(county))).await;
        assert!(children.iter().any(|child| child["organization"]["id"] == TOWNSHIP));
        let by_parent = all(&admin, &format!("/api/v1/organizations?parent_id={county}&as_of={day}&")).await;
        assert!(ids(&by_parent).contains(&TOWNSHIP));
    }
    // What was hers is hers no longer, whatever day she asks about.
    old.get(format!("{}?as_of={before}", path(TOWNSHIP))).await.expect_problem(404, "not_found");
    old.get(format!("{}/history", path(TOWNSHIP))).await.expect_problem(404, "not_found");
    for list in [format!("organizations?within={COUNTY}&as_of={before}&"), format!("organizations?as_of={before}&")] {
        let hers = all(&old, &format!("/api/v1/{list}")).await;
        assert!(!hers.is_empty() && !ids(&hers).contains(&VILLAGE), "{list}");
    }
    let children = all(&old, &format!("{}/children?as_of={before}&", path(COUNTY))).await;
    assert!(children.iter().all(|child| child["organization"]["id"] != TOWNSHIP));
}

#[actix_web::test]
async fn a_history_tells_what_happened_and_only_auditors_who_did_it() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let edit = json!({ "name": "郭亮新村妇联", "short_name": null, "host_name": null, "division_code": "430602001001", "uscc": null,
                       "address": null, "location": { "longitude": 113.1, "latitude": 29.35 }, "phone": null, "founded_on": null,
                       "approval_document": null, "tags": ["试点", "园区"], "liaisons": [] });
    admin.put(path(VILLAGE)).if_match("\"1\"").json(&edit).await.expect(200);
    admin.put(path(VILLAGE)).if_match("\"2\"").json(&edit).await.expect(200);
    let there = json!({ "parent_id": BESIDE, "division_code": null, "reason": "区划调整" });
    admin.post(path(VILLAGE) + "/move").if_match("\"3\"").json(&there).await.expect(200);
    admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&merging(VILLAGE)).await.expect(200);
    let history = admin.get(path(VILLAGE) + "/history").await.expect(200);
    let kinds: Vec<&str> = history.items().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["created", "changed", "moved", "absorbed"], "an edit that changes nothing is no event");
    let [created, changed, moved, absorbed] = &history.items()[..] else { panic!("{:#}", history.json) };
    assert_eq!((&created["occurred_on"], &created["to"]["id"]), (&json!("2019-01-01"), &json!(TOWNSHIP)));
    let name = json!({ "field": "name", "before": "郭亮社区妇联", "after": "郭亮新村妇联" });
    let fields = changed["changes"].as_array().unwrap();
    assert!(fields.contains(&name), "{fields:?}");
    assert!(fields.contains(&json!({ "field": "location", "before": null, "after": "113.1,29.35" })), "{fields:?}");
    assert!(fields.contains(&json!({ "field": "tags", "before": null, "after": "试点,园区" })), "{fields:?}");
    assert_eq!((&moved["from"]["id"], &moved["to"]["name"]), (&json!(TOWNSHIP), &json!("三眼桥街道妇联")), "{moved}");
    assert_eq!(moved["reason"], "区划调整");
    assert_eq!(moved["changes"], json!([{ "field": "division_code", "before": "430602001001", "after": null }]));
    assert_eq!(absorbed["from"]["id"], SECOND);
    assert!(history.items().iter().all(|event| event["actor"] == json!(null)), "she reads no audit trail");
    let audited = app.sign_in("city-auditor").await.get(path(VILLAGE) + "/history?kind=moved").await.expect(200);
    assert_eq!(audited.items()[0]["actor"]["display_name"], "岳阳楼区妇联管理员");
    let first = admin.get(path(VILLAGE) + "/history?sort=-id&limit=1").await.expect(200);
    let next = first.text("/next_cursor");
    let second = admin.get(path(VILLAGE) + &format!("/history?sort=-id&limit=1&cursor={next}")).await.expect(200);
    assert_eq!((&first.items()[0], &second.items()[0]), (absorbed, moved));
    let merged = admin.get(path(SECOND) + "/history?occurred_on_gte=2019-04-01").await.expect(200);
    assert_eq!((&merged.items()[0]["kind"], &merged.items()[0]["to"]["id"]), (&json!("merged"), &json!(VILLAGE)));
}

#[actix_web::test]
async fn a_township_merges_with_its_villages_and_codes_that_do_not_fit_are_cleared() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let children = admin.get(path(TOWNSHIP) + "/children?include_total=true").await.expect(200).json["total"]["value"].clone();
    let merged = admin.post(path(TOWNSHIP) + "/merge").if_match("\"1\"").json(&merging(BESIDE)).await.expect(200);
    let effects = &merged.json["effects"];
    assert_eq!((&effects["children_moved"], &effects["codes_cleared"]), (&children, &children));
    the_tree_is_whole(&app).await;
    let village = admin.get(path(VILLAGE)).await.expect(200);
    assert_eq!((&village.json["parent_id"], &village.json["division_code"]), (&json!(BESIDE), &json!(null)));
    let line = admin.get(path(VILLAGE) + "/ancestors?as_of=2019-04-09").await.expect(200);
    assert_eq!(ids(line.items()), [CITY, COUNTY, TOWNSHIP], "the tree keeps the old place");
    assert_eq!(admin.get(path(TOWNSHIP)).await.expect(200).json["parent_id"], COUNTY);
    let grants = admin.get("/api/v1/accounts/0168028c-2f00-7000-8004-000000000011/grants").await.expect(200);
    assert_eq!(grants.items()[0]["organization_id"], BESIDE, "its officer is one of the successor");
    let officer = app.sign_in("township-officer").await;
    officer.get(path(VILLAGE)).await.expect(200);
    // A merged organization has ended, and says why it cannot come back.
    let again = json!({ "division_code": null, "reason": "恢复" });
    let refused = admin.post(path(TOWNSHIP) + "/reactivate").if_match("\"2\"").json(&again).await;
    let refused = refused.expect_problem(409, "invalid_transition");
    assert_eq!((&refused.json["current_status"], &refused.json["allowed_actions"]), (&json!("merged"), &json!([])));
    assert!(refused.text("/detail").contains("承接组织"));
    let twice = admin.post(path(TOWNSHIP) + "/merge").if_match("\"2\"").json(&merging(BESIDE)).await;
    twice.expect_problem(409, "invalid_transition");
}

#[actix_web::test]
async fn a_merger_goes_only_where_it_may() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let merge = async |id: &str, into: &str| admin.post(path(id) + "/merge").if_match("\"1\"").json(&merging(into)).await;
    let fault = |code: &str| vec![("/into_id".to_owned(), code.to_owned())];
    assert_eq!(merge(SECOND, TOWNSHIP).await.expect(422).faults(), fault("kind"), "a village is dissolved into its township");
    assert_eq!(merge(SECOND, SECOND).await.expect(422).faults(), fault("cycle"));
    assert_eq!(merge(SECOND, DISSOLVED).await.expect(422).faults(), fault("unknown_reference"), "it has ended");
    let elsewhere = "0168028c-2f00-7000-8000-430603001001";
    assert_eq!(merge(SECOND, elsewhere).await.expect(422).faults(), fault("unknown_reference"), "it is not hers");
    admin.post(path(NEIGHBOUR) + "/merge").if_match("\"1\"").json(&merging(COUNTY)).await.expect(404);
    admin.post(path(SECOND) + "/merge").if_match("\"9\"").json(&merging(THIRD)).await.expect_problem(412, "version_conflict");
    let officer = app.sign_in("county-officer").await;
    officer.post(path(SECOND) + "/merge").if_match("\"1\"").json(&merging(THIRD)).await.expect_problem(403, "permission_denied");
    // The code that the merged village had is free for its successor, and one of elsewhere does not fit.
    let mut body = merging(THIRD);
    body["division_code"] = json!("430602002001");
    let wrong = admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&body).await.expect(422);
    assert_eq!(wrong.faults(), [("/division_code".to_owned(), "division".to_owned())]);
    body["division_code"] = json!("430602001001");
    let taken = admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&body).await.expect_problem(409, "duplicate");
    assert_eq!(taken.faults(), [("/division_code".to_owned(), "taken".to_owned())]);
    body["division_code"] = json!("430602001002");
    admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(&body).await.expect(200);
    assert_eq!(admin.get(path(THIRD)).await.expect(200).json["division_code"], "430602001002");
    the_tree_is_whole(&app).await;
    let top = app.sign_in("city-admin").await;
    let refused = top.post(path(CITY) + "/merge").if_match("\"1\"").json(&merging(COUNTY)).await;
    let refused = refused.expect_problem(409, "invalid_transition");
    assert_eq!(refused.json["allowed_actions"], json!(["update", "move", "dissolve"]), "nobody stands beside the top");
}

#[actix_web::test]
async fn two_chairs_do_not_meet_and_the_answer_names_the_post() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let (_, chair, _) = settle(&admin, SECOND, "chair", "周兰").await;
    let (_, other, _) = settle(&admin, THIRD, "chair", "吴霞").await;
    let merge = async |body: &Value| admin.post(path(SECOND) + "/merge").if_match("\"1\"").json(body).await;
    let conflict = merge(&merging(THIRD)).await.expect_problem(409, "conflict");
    assert_eq!(conflict.faults(), [("/posts".to_owned(), "taken".to_owned())]);
    let params = &conflict.json["errors"][0]["params"];
    assert_eq!((&params["post_id"], &params["taken_by_post_id"]), (&json!(chair), &json!(other)));
    assert!(conflict.text("/errors/0/message").contains("吴霞"));
    assert_eq!(admin.get(path(SECOND)).await.expect(200).json["status"], "active", "nothing was done");
    let mut ending = merging(THIRD);
    ending["posts"] = json!("end");
    ending["sites"] = json!("close");
    let merged = merge(&ending).await.expect(200);
    assert_eq!((&merged.json["effects"]["posts_ended"], &merged.json["effects"]["sites_closed"]), (&json!(1), &json!(1)));
    let facts: Vec<&str> =
        merged.json["irreversible"].as_array().unwrap().iter().map(|fact| fact["code"].as_str().unwrap()).collect();
    assert_eq!(facts, ["merged", "posts_ended", "sites_closed"]);
    let ended = admin.get(format!("/api/v1/posts/{chair}")).await.expect(200);
    assert_eq!((&ended.json["to_on"], &ended.json["end_reason"]), (&json!("2019-04-09"), &json!("村社区合并")));
}

#[actix_web::test]
async fn a_preview_tells_everything_and_changes_nothing() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    settle(&admin, SECOND, "cadre", "周兰").await;
    let send = async |preview: bool| {
        let mut body = merging(THIRD);
        body["preview"] = json!(preview);
        admin.post(path(SECOND) + "/merge").key("the-same-key").if_match("\"1\"").json(&body).await.expect(200)
    };
    let before = admin.get(path(SECOND)).await.expect(200);
    let preview = send(true).await;
    assert_eq!((preview.json["preview"].clone(), preview.text("/status")), (json!(true), "merged".to_owned()));
    assert!(preview.json["irreversible"][0]["zh"].as_str().unwrap().contains("不能恢复"));
    assert!(preview.json["irreversible"][0]["en"].as_str().unwrap().contains("cannot be reactivated"));
    assert_eq!(preview.etag().split('.').next(), before.etag().split('.').next(), "the version is the one there is");
    let unchanged = admin.get(path(SECOND)).await.expect(200);
    assert_eq!(unchanged.json, before.json);
    assert_eq!(admin.get(path(SECOND) + "/history").await.expect(200).items().len(), 1);
    let done = send(false).await;
    assert_eq!(done.header("idempotent-replayed"), "", "a preview leaves its key free");
    assert_eq!((&done.json["effects"], &done.json["irreversible"]), (&preview.json["effects"], &preview.json["irreversible"]));
    assert_eq!(admin.get(path(SECOND)).await.expect(200).json["status"], "merged");
}

#[actix_web::test]
async fn a_township_splits_into_two_all_or_nothing() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let (_, post, site) = settle(&admin, TOWNSHIP, "cadre", "周兰").await;
    let part = |name: &str, children: &[&str], posts: &[&str], sites: &[&str]| json!({ "name": name, "child_ids": children, "post_ids": posts, "site_ids": sites });
    let split = async |parts: Vec<Value>| {
        let body = json!({ "organizations": parts, "reason": "街道析置" });
        admin.post(path(TOWNSHIP) + "/split").if_match("\"1\"").json(&body).await
    };
    let mut coded = part("洞庭街道妇联", &[], &[], &[]);
    coded["division_code"] = json!("430602999");
    let wrong =
        vec![part("东街道妇联", &[SECOND, SECOND], &[], &[]), part("西街道妇联", &[SECOND, COUNTY], &[], &[&post]), coded];
    let faults = split(wrong).await.expect(422).faults();
    for (pointer, code) in [
        ("/organizations/0/child_ids/1", "repeated"),
        ("/organizations/1/child_ids/0", "repeated"),
        ("/organizations/1/child_ids/1", "unknown_reference"),
        ("/organizations/1/site_ids/0", "unknown_reference"),
        ("/organizations/2/division_code", "unknown_reference"),
    ] {
        assert!(faults.contains(&(pointer.to_owned(), code.to_owned())), "{pointer} {code} in {faults:?}");
    }
    let mut taken = part("西街道妇联", &[THIRD], &[], &[]);
    taken["division_code"] = json!("430602002");
    let refused = split(vec![part("东街道妇联", &[SECOND], &[], &[]), taken]).await.expect_problem(409, "duplicate");
    assert_eq!(refused.faults(), [("/organizations/1/division_code".to_owned(), "taken".to_owned())]);
    assert_eq!(admin.get(path(SECOND)).await.expect(200).json["parent_id"], TOWNSHIP, "nothing was done");

    let parts = vec![part("东街道妇联", &[SECOND], &[&post], &[&site]), part("西街道妇联", &[THIRD], &[], &[])];
    let done = split(parts).await.expect(200);
    assert_eq!((done.text("/status"), &done.json["version"]), ("active".to_owned(), &json!(2)));
    the_tree_is_whole(&app).await;
    let (east, west) = (done.text("/created/0/id"), done.text("/created/1/id"));
    for (id, parent) in [(SECOND, &east), (THIRD, &west), (VILLAGE, &TOWNSHIP.to_owned())] {
        assert_eq!(&admin.get(path(id)).await.expect(200).text("/parent_id"), parent);
    }
    let made = admin.get(path(&east)).await.expect(200);
    assert_eq!((made.text("/kind"), made.text("/parent_id")), ("township_federation".to_owned(), COUNTY.to_owned()));
    assert_eq!(admin.get(format!("/api/v1/sites/{site}")).await.expect(200).text("/owner_organization_id"), east);
    let figures = admin.get(path(&east) + "/summary").await.expect(200);
    assert_eq!(figures.json["positions"], json!([{ "position": "cadre", "count": 1 }]));
    let kinds = async |id: &str| {
        let history = admin.get(path(id) + "/history").await.expect(200);
        history.items().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&east).await, ["created", "split_off"]);
    assert_eq!(kinds(TOWNSHIP).await, ["created", "split", "split"]);
    let village = app.sign_in("village-officer").await;
    village
        .post(path(VILLAGE) + "/split")
        .if_match("\"1\"")
        .json(&json!({ "organizations": [part("新村妇联", &[], &[], &[])], "reason": "析置" }))
        .await
        .expect(403);
}

#[actix_web::test]
async fn a_village_is_dissolved_into_its_township_and_begins_again() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let (person, post, site) = settle(&admin, SECOND, "cadre", "周兰").await;
    let dissolve = async |body: &Value| admin.post(path(SECOND) + "/dissolve").if_match("\"1\"").json(body).await;
    let blocked = dissolve(&json!({ "successor_id": TOWNSHIP, "reason": "撤村", "sites": "close" })).await;
    let detail = blocked.expect_problem(409, "conflict").text("/detail");
    assert!(detail.contains("1个在任职务") && !detail.contains("阵地"), "{detail}");
    let nowhere = dissolve(&json!({ "reason": "撤村", "posts": "move", "sites": "close" })).await.expect(422);
    assert_eq!(nowhere.faults(), [("/posts".to_owned(), "needs_successor".to_owned())]);
    let body = json!({ "successor_id": TOWNSHIP, "reason": "撤村", "children": "move", "posts": "move", "sites": "close" });
    let done = dissolve(&body).await.expect(200);
    assert_eq!((done.text("/status"), done.text("/successor/id")), ("dissolved".to_owned(), TOWNSHIP.to_owned()));
    assert_eq!(done.json["allowed_actions"], json!(["reactivate"]));
    assert_eq!(admin.get(format!("/api/v1/people/{person}")).await.expect(200).text("/organization_id"), TOWNSHIP);
    assert_eq!(admin.get(format!("/api/v1/posts/{post}")).await.expect(200).text("/to_on"), "2019-04-09");
    assert_eq!(admin.get(format!("/api/v1/sites/{site}")).await.expect(200).text("/status"), "closed");
    let took_over = admin.get(path(TOWNSHIP) + "/history?kind=took_over").await.expect(200);
    assert_eq!(took_over.items()[0]["from"]["id"], SECOND);

    app.app.clock.advance(chrono::TimeDelta::days(30));
    // Meanwhile another has its code.
    let thief =
        json!({ "kind": "village_federation", "name": "新村妇联", "parent_id": TOWNSHIP, "division_code": "430602001002" });
    let thief = admin.post("/api/v1/organizations").json(&thief).await.expect(201).text("/id");
    let reactivate = async |body: Value| admin.post(path(SECOND) + "/reactivate").if_match("\"2\"").json(&body).await;
    let taken = reactivate(json!({ "division_code": "430602001002", "reason": "恢复" })).await.expect_problem(409, "duplicate");
    assert_eq!(taken.faults(), [("/division_code".to_owned(), "taken".to_owned())]);
    let below = reactivate(json!({ "parent_id": VILLAGE, "division_code": null, "reason": "恢复" })).await.expect(422);
    assert_eq!(below.faults(), [("/parent_id".to_owned(), "placement".to_owned())]);
    let code = reactivate(json!({ "parent_id": BESIDE, "division_code": "430602001002", "reason": "恢复" })).await.expect(422);
    assert_eq!(code.faults(), [("/division_code".to_owned(), "division".to_owned())]);
    let back = reactivate(json!({ "parent_id": BESIDE, "division_code": null, "reason": "恢复" })).await.expect(200);
    assert_eq!((back.text("/status"), back.text("/parent_id")), ("active".to_owned(), BESIDE.to_owned()));
    assert_eq!((&back.json["successor"], &back.json["status_changed_on"]), (&json!(null), &json!("2019-05-10")));
    the_tree_is_whole(&app).await;
    for (day, status, parent) in
        [("2019-04-09", "active", TOWNSHIP), ("2019-04-10", "dissolved", TOWNSHIP), ("2019-05-10", "active", BESIDE)]
    {
        let then = admin.get(format!("{}?as_of={day}", path(SECOND))).await.expect(200);
        assert_eq!((then.text("/status"), then.text("/parent_id")), (status.to_owned(), parent.to_owned()), "{day}");
    }
    admin
        .post(path(&thief) + "/reactivate")
        .if_match("\"1\"")
        .json(&json!({ "division_code": null, "reason": "恢复" }))
        .await
        .expect(409);
}

#[actix_web::test]
async fn accounts_move_or_are_disabled_only_by_who_may_administer_them() {
    let app = TestApp::new().await;
    let (account, limited) = app.db_account("limited", None, COUNTY).await;
    let mut owner = app.database.owner().await;
    let grant = half_sky::accounts::store::GrantRow {
        id: half_sky::ids::GrantId::generate(),
        account_id: account,
        role: Role::OrgAdmin,
        organization_id: COUNTY.parse::<uuid::Uuid>().unwrap().into(),
        modules: vec![Module::Organizations.to_string()],
        from_on: "2019-01-01".parse().unwrap(),
        to_on: None,
        granted_by: None,
        created_at: crate::support::now(),
    };
    half_sky::accounts::store::insert_grant(&mut owner, &grant).await.unwrap();
    app.app.tokens.forget_all();
    let merge = async |client: &Client, accounts: &str| {
        let mut body = merging(THIRD);
        body["accounts"] = json!(accounts);
        client.post(path(VILLAGE) + "/merge").if_match("\"1\"").json(&body).await
    };
    for strategy in ["move", "disable"] {
        let refused = merge(&limited, strategy).await.expect_problem(403, "permission_denied");
        assert!(refused.text("/detail").contains("账号"));
    }
    // Where there are no accounts, she needs no right over them.
    limited.post(path(SECOND) + "/merge").if_match("\"1\"").json(&merging(THIRD)).await.expect(200);
    let officer = app.sign_in("village-officer").await;
    officer.get("/api/v1/me").await.expect(200);
    let admin = app.sign_in("county-admin").await;
    let merged = merge(&admin, "disable").await.expect(200);
    assert_eq!(merged.json["effects"]["accounts_disabled"], 1);
    officer.get("/api/v1/me").await.expect(401);
    let account = admin.get("/api/v1/accounts/0168028c-2f00-7000-8004-000000000012").await.expect(200);
    assert_eq!(account.json["status"], "disabled");
}

#[actix_web::test]
async fn the_demo_has_a_body_that_can_be_reactivated() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let history = admin.get(path(DISSOLVED) + "/history").await.expect(200);
    let events: Vec<_> = history.items().iter().map(|event| (event["kind"].clone(), event["occurred_on"].clone())).collect();
    assert_eq!(events, [(json!("created"), json!("2019-01-01")), (json!("dissolved"), json!("2019-03-01"))]);
    assert_eq!(admin.get(path(DISSOLVED) + "?as_of=2019-02-28").await.expect(200).json["status"], "active");
    the_tree_is_whole(&app).await;
}

#[actix_web::test]
async fn the_migration_tells_of_the_time_before_there_was_a_history() {
    use diesel_async::SimpleAsyncConnection;
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let there = json!({ "parent_id": NEIGHBOUR, "division_code": null, "reason": "区划调整" });
    admin.post(path(TOWNSHIP) + "/move").if_match("\"1\"").json(&there).await.expect(200);
    let mut owner = app.database.owner().await;
    owner.batch_execute("TRUNCATE organization_events, organization_past_statuses").await.unwrap();
    let migration = include_str!("../../migrations/2026-11-24-000002_history/up.sql");
    let (_, backfill) = migration.split_once("-- What is known of the time before").unwrap();
    owner.batch_execute(&format!("-- {backfill}")).await.unwrap();
    let history = async |id: &str| {
        let history = admin.get(path(id) + "/history").await.expect(200);
        let of = |event: &Value| ["kind", "occurred_on"].map(|name| event[name].as_str().unwrap().to_owned());
        (history.items().iter().map(of).collect::<Vec<_>>(), history.items().last().unwrap()["from"]["id"].clone())
    };
    let event = |kind: &str, on: &str| [kind.to_owned(), on.to_owned()];
    let moved = vec![event("created", "2019-01-01"), event("moved", "2019-04-10")];
    assert_eq!(history(TOWNSHIP).await, (moved, json!(COUNTY)));
    let dissolved = vec![event("created", "2019-01-01"), event("dissolved", "2019-03-01")];
    assert_eq!(history(DISSOLVED).await, (dissolved, json!(null)));
    assert_eq!(admin.get(path(DISSOLVED) + "?as_of=2019-02-28").await.expect(200).json["status"], "active");
    the_tree_is_whole(&app).await;
}

/// Pages through a list again and again while `moves` goes on, and shows that what is always there appears exactly once.
async fn sweeps(client: &Client, list: &str, always: &[String], done: &Cell<bool>, moves: &Cell<usize>) {
    let mut sweeps = 0;
    while sweeps < 4 || moves.get() < 12 {
        let (mut cursor, mut seen) = (String::new(), Vec::new());
        loop {
            let page = client.get(format!("/api/v1/organizations?{list}limit=5{cursor}")).await.expect(200);
            seen.extend(page.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            match page.json["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in order, nothing twice");
        let missing: Vec<_> = always.iter().filter(|id| seen.binary_search(id).is_err()).collect();
        assert!(missing.is_empty(), "{missing:?} were there before, during and after");
        sweeps += 1;
    }
    done.set(true);
}

/// Moves organizations to and fro until told to stop.
async fn to_and_fro(admin: &Client, moving: &[(&str, [&str; 2])], done: &Cell<bool>, moves: &Cell<usize>) {
    let mut version = 1;
    while !done.get() {
        for (id, places) in moving {
            let parent = places[version % 2];
            let body = json!({ "parent_id": parent, "division_code": null, "reason": "竞争" });
            admin.post(path(id) + "/move").if_match(&format!("\"{version}\"")).json(&body).await.expect(200);
            moves.set(moves.get() + 1);
        }
        version += 1;
    }
}

#[actix_web::test]
async fn a_listing_during_moves_shows_exactly_once_what_is_always_in_the_subtree() {
    let app = TestApp::new().await;
    let (admin, reader) = (app.sign_in("city-admin").await, app.sign_in("city-viewer").await);
    let list = format!("within={COUNTY}&");
    // Villages go to and fro between two townships of the county, one township of them between the county and another.
    let leaving = "0168028c-2f00-7000-8000-430602003000";
    let moving = [
        (VILLAGE, [TOWNSHIP, BESIDE]),
        (SECOND, [TOWNSHIP, BESIDE]),
        (leaving, [COUNTY, NEIGHBOUR]),
        (THIRD, [TOWNSHIP, BESIDE]),
    ];
    let gone = all(&admin, &format!("/api/v1/organizations?within={leaving}&")).await;
    let always = all(&admin, &format!("/api/v1/organizations?{list}")).await;
    let always: Vec<String> = ids(&always).into_iter().filter(|id| !ids(&gone).contains(id)).map(str::to_owned).collect();
    assert!(always.len() > 50 && !gone.is_empty());
    let (done, moves) = (Cell::new(false), Cell::new(0));
    join(sweeps(&reader, &list, &always, &done, &moves), to_and_fro(&admin, &moving, &done, &moves)).await;
    the_tree_is_whole(&app).await;
}

#[actix_web::test]
async fn nothing_stands_twice_when_one_place_of_the_reader_moves_below_another() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let (account, reader) = app.db_account("two-places", Some(Role::Viewer), NEIGHBOUR).await;
    app.db_grant(account, Role::Viewer, TOWNSHIP).await;
    let always = all(&reader, "/api/v1/organizations?").await;
    let always: Vec<String> = ids(&always).into_iter().map(str::to_owned).collect();
    assert!(always.iter().any(|id| id == VILLAGE) && always.iter().any(|id| id == NEIGHBOUR));
    let (done, moves) = (Cell::new(false), Cell::new(0));
    let moving = [(TOWNSHIP, [COUNTY, NEIGHBOUR])];
    join(sweeps(&reader, "", &always, &done, &moves), to_and_fro(&admin, &moving, &done, &moves)).await;
    the_tree_is_whole(&app).await;
}

#[actix_web::test]
async fn of_more_than_a_thousand_faults_the_first_are_told() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let ids: Vec<String> = (0..500).map(|number| format!("0168028c-2f00-7000-8003-{number:012}")).collect();
    let part = |number: usize| json!({ "name": format!("新设妇联{number}"), "site_ids": ids, "child_ids": [], "post_ids": [] });
    let body = json!({ "organizations": (0..3).map(part).collect::<Vec<_>>(), "reason": "拆分" });
    let split = admin.post(format!("/api/v1/organizations/{TOWNSHIP}/split")).if_match("\"1\"").json(&body).await.expect(422);
    assert!(split.faults().len() <= 1000);
}
