//! Accounts and their grants from a table.

use half_sky::access::Role;
use half_sky::jobs::run_due;
use serde_json::{Value, json};

use super::{count, errors, import, path, start};
use crate::support::{Answer, CITY, COUNTY, Client, NEIGHBOUR, TOWNSHIP, TestApp};

const ACCOUNTS: &str = "用户名,姓名,组织代码,角色,初始密码\r\n";
const PASSWORD: &str = "dr4gonfly-teapot-92";

async fn accounts(app: &TestApp, client: &Client, mode: &str, name: &str, text: &str) -> Answer {
    import(app, client, "accounts", COUNTY, mode, name, text.as_bytes()).await
}

/// Accounts whose names begin so, as the administrator of the city finds them.
async fn found(app: &TestApp, q: &str) -> Vec<Value> {
    let page = app.sign_in("city-admin").await.get(format!("/api/v1/accounts?q={q}&limit=100")).await.expect(200);
    page.items().clone()
}

async fn grants(app: &TestApp, account: &Value) -> Vec<Value> {
    let path = format!("/api/v1/accounts/{}/grants", account["id"].as_str().unwrap());
    app.sign_in("city-admin").await.get(path).await.expect(200).items().clone()
}

async fn log_in(app: &TestApp, username: &str, password: &str) -> Answer {
    app.anonymous().post("/api/v1/auth/login").json(&json!({ "username": username, "password": password })).await
}

/// Audit entries of an action, newest first.
async fn entries(app: &TestApp, action: &str) -> Vec<Value> {
    let page = app.sign_in("platform").await.get(format!("/api/v1/audit-entries?action={action}&limit=100")).await.expect(200);
    page.items().clone()
}

fn told(expected: &[(i64, &str, &str)]) -> Vec<(i64, String, String)> {
    expected.iter().map(|(row, column, code)| (*row, (*column).to_owned(), (*code).to_owned())).collect()
}

#[actix_web::test]
async fn twenty_officers_come_from_a_table_and_must_change_their_passwords() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let (created, granted) = (entries(&app, "account.created").await.len(), entries(&app, "grant.created").await.len());
    let password = |number: usize| format!("lotus-{number:02}-Heron!tide");
    let rows: String =
        (1..=20).map(|number| format!("newofficer{number:02},经办{number},430602,经办人,{}\r\n", password(number))).collect();
    // Validated first: what waits holds no password, not even for who could unseal it, but its hash.
    let waits = accounts(&app, &admin, "validate", "账号.csv", &format!("{ACCOUNTS}{rows}")).await;
    assert_eq!((&waits.json["status"], errors(&waits)), (&json!("validated"), vec![]));
    assert_eq!(waits.json["counts"], json!({ "rows": 20, "new": 20, "changed": 0, "unchanged": 0, "errors": 0 }));
    assert_eq!(found(&app, "newofficer").await.len(), 0, "checking writes nothing");
    assert_eq!(staged(&app).await.len(), 20);
    for cells in staged(&app).await {
        assert!(cells["initial_password"].is_null(), "{cells}");
        assert!(cells["password_hash"].as_str().unwrap().starts_with("$argon2id$"), "{cells}");
    }
    let apply = format!("{}/apply", path(&waits));
    admin.post(&apply).if_match(&waits.etag()).json(&json!({})).await.expect(200);
    run_due(&app.app).await.unwrap();
    let applied = admin.get(path(&waits)).await.expect(200);
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    assert_eq!(staged(&app).await.len(), 0);
    // They sign in and must change the password.
    for number in [1, 20] {
        let username = format!("newofficer{number:02}");
        let signed_in = log_in(&app, &username, &password(number)).await.expect(200);
        assert_eq!(signed_in.json["account"]["password_change_required"], true);
        let officer = app.with_token(&signed_in.text("/access_token"));
        officer.get("/api/v1/organizations").await.expect_problem(403, "password_change_required");
        let change = json!({ "old_password": password(number), "new_password": PASSWORD });
        officer.put("/api/v1/me/password").json(&change).await.expect(204);
        officer.get(format!("/api/v1/organizations/{TOWNSHIP}")).await.expect(200);
        officer.get("/api/v1/accounts").await.expect_problem(403, "permission_denied");
        let me = officer.get("/api/v1/me").await.expect(200);
        assert_eq!(me.json["grants"][0]["modules"], json!(["organizations", "plans"]), "all that the role may have, no more");
        assert_eq!(
            (&me.json["grants"][0]["role"], &me.json["grants"][0]["organization_id"]),
            (&json!("officer"), &json!(COUNTY))
        );
    }
    // Who got what stands in the audit trail, entry by entry, with who gave it and without any secret.
    let (accounts, grants) = (entries(&app, "account.created").await, entries(&app, "grant.created").await);
    assert_eq!((accounts.len() - created, grants.len() - granted), (20, 20));
    let me = admin.get("/api/v1/me").await.expect(200);
    assert!(accounts[..20].iter().chain(&grants[..20]).all(|entry| entry["actor_id"] == me.json["id"]), "{:#}", accounts[0]);
    let all = serde_json::to_string(&(accounts, grants, entries(&app, "import.applied").await)).unwrap();
    assert!(!all.contains("Heron!tide") && !all.contains("argon2"));
    // The same file once more: everybody is there, and keeps the password that she has chosen.
    let body = json!({ "file_id": applied.json["file_id"], "kind": "accounts", "organization_id": COUNTY, "mode": "apply", "again": true });
    let again = admin.post("/api/v1/imports").json(&body).await.expect(201);
    run_due(&app.app).await.unwrap();
    let again = admin.get(path(&again)).await.expect(200);
    assert_eq!(again.json["counts"], json!({ "rows": 20, "new": 0, "changed": 0, "unchanged": 20, "errors": 0 }));
    log_in(&app, "newofficer01", PASSWORD).await.expect(200);
}

/// The cells of what is staged, as who has the keys reads them.
async fn staged(app: &TestApp) -> Vec<Value> {
    use diesel_async::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Payload {
        #[diesel(sql_type = diesel::sql_types::Bytea)]
        payload: Vec<u8>,
    }
    let sql =
        "SELECT r.payload FROM import_rows r JOIN imports i ON i.id = r.import_id WHERE i.kind = 'accounts' ORDER BY r.number";
    let rows: Vec<Payload> = diesel::sql_query(sql).load(&mut app.database.owner().await).await.unwrap();
    let open = |row: Payload| app.app.vault.open(half_sky::imports::PAYLOAD, &row.payload).unwrap();
    rows.into_iter().map(|row| serde_json::from_slice(&open(row)).unwrap()).collect()
}

#[actix_web::test]
async fn what_may_not_be_given_is_told_by_row_and_column_and_nothing_is_written() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let neighbour = app.db_account("kept.elsewhere", Some(Role::Officer), NEIGHBOUR).await.0;
    app.db_account("above.her", Some(Role::Auditor), COUNTY).await;
    let text = "用户名,姓名,组织代码,人员 ID,角色,授权组织代码,模块,起始日期,截止日期,初始密码\r\n\
        good.one,好,430602,,经办人,,,,,dr4gonfly-teapot-92\r\n\
        role.above,甲,430602,,审计员,,,,,dr4gonfly-teapot-92\r\n\
        outside.one,乙,430603,,经办人,,,,,dr4gonfly-teapot-92\r\n\
        outside.two,丙,430602,,经办人,430603,,,,dr4gonfly-teapot-92\r\n\
        weak.one,丁,430602,,经办人,,,,,Woaini1314520\r\n\
        weak.two,戊,430602,,经办人,,,,,zx!9Qp\r\n\
        kept.elsewhere,己,430602,,经办人,,,,,dr4gonfly-teapot-92\r\n\
        twice.one,庚,430602,,经办人,,,,,dr4gonfly-teapot-92\r\n\
        twice.one,辛,430602,,查看者,,,,,\r\n\
        twice.one,庚,430602,,经办人,,,,,\r\n\
        twice.one,庚,430602,,查看者,,,,,dr4gonfly-teapot-93\r\n\
        twice.one,庚,430602001,,查看者,,,,,\r\n\
        no.password,壬,430602,,经办人,,,,,\r\n\
        no.role,癸,430602,,,,,,,dr4gonfly-teapot-92\r\n\
        Bad.Name,子,430602,,经办人,,,,,dr4gonfly-teapot-92\r\n\
        bad.module,丑,430602,,经办人,,组织、财务,,,dr4gonfly-teapot-92\r\n\
        bad.days,寅,430602,,经办人,,,2026-12-31,2026-12-01,dr4gonfly-teapot-92\r\n\
        bad.person,卯,430602,0168028c-2f00-7000-8000-430602000000,经办人,,,,,dr4gonfly-teapot-92\r\n\
        county-admin,岳阳楼区妇联管理员,430602,,经办人,,,,,\r\n\
        above.her,改名,430602,,经办人,,,,,\r\n\
        county-officer,岳阳楼区妇联经办人,430602,,经办人,,组织,,,\r\n\
        nowhere.one,辰,,,经办人,,,,,dr4gonfly-teapot-92\r\n";
    for mode in ["validate", "apply"] {
        let failed = accounts(&app, &admin, mode, &format!("{mode}.csv"), text).await;
        assert_eq!((&failed.json["status"], &failed.json["failure"]), (&json!("failed"), &json!("rows")));
        let expected = [
            (3, "role", "permission_denied"),
            (4, "organization_code", "unknown_reference"),
            (5, "grant_organization_code", "unknown_reference"),
            (6, "initial_password", "password_too_common"),
            (7, "initial_password", "password_too_short"),
            (8, "username", "taken"),
            (10, "display_name", "disagrees"),
            (11, "role", "repeated_row"),
            (12, "initial_password", "disagrees"),
            (13, "organization_code", "disagrees"),
            (14, "initial_password", "required"),
            (15, "role", "required"),
            (16, "username", "pattern"),
            (17, "modules", "enum"),
            (18, "to_on", "before_start"),
            (19, "person_id", "unknown_reference"),
            (20, "username", "permission_denied"),
            (21, "username", "permission_denied"),
            (22, "modules", "by_action"),
            (23, "organization_path", "required"),
        ];
        assert_eq!(errors(&failed), told(&expected));
        // Whose name it is is not told, and no password comes back: neither here, nor in pages, nor in the annotated table.
        let whole = serde_json::to_string(&failed.json).unwrap();
        let pages = admin.get(format!("{}/errors?limit=100", path(&failed))).await.expect(200);
        let pages = serde_json::to_string(&pages.json).unwrap();
        let book = text_of(&admin.get(format!("{}/errors.xlsx", path(&failed))).await.expect(200).bytes);
        assert!(book.contains("good.one") && book.contains("初始密码"), "{book}");
        for text in [&whole, &pages, &book] {
            for secret in ["teapot", "Woaini", "zx!9Qp", &neighbour.to_string(), NEIGHBOUR] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
    assert_eq!(found(&app, "good.one").await.len() + found(&app, "twice.one").await.len(), 0);
    log_in(&app, "good.one", PASSWORD).await.expect(401);
    let clear = "SELECT count(*) AS count FROM import_errors WHERE (import_errors)::text ~ 'teapot|Woaini|zx!9Qp'";
    assert_eq!(count(&app, clear).await, 0);
    assert_eq!(
        count(
            &app,
            "SELECT count(*) AS count FROM import_errors e JOIN imports i ON i.id = e.import_id WHERE i.kind = 'accounts'"
        )
        .await,
        40
    );
}

/// All texts of a workbook.
fn text_of(book: &[u8]) -> String {
    let mut all = String::new();
    let media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    half_sky::sheets::read::read(media_type, &book.to_vec().into(), |line| {
        all.extend(line.cells.iter().map(|(_, found)| format!("{found:?}\n")));
        true
    })
    .unwrap();
    all
}

#[actix_web::test]
async fn a_table_without_headers_does_not_give_its_passwords_away() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = "no.header,甲,430602,经办人,dr4gonfly-teapot-92\r\nno.header2,乙,430602,经办人,dr4gonfly-teapot-93\r\n";
    let failed = accounts(&app, &admin, "validate", "a.csv", text).await;
    assert_eq!(failed.json["failure"], "columns");
    let book = text_of(&admin.get(format!("{}/errors.xlsx", path(&failed))).await.expect(200).bytes);
    assert!(book.contains("不显示") && !book.contains("teapot"), "{book}");
    assert!(!serde_json::to_string(&failed.json).unwrap().contains("teapot"));
}

#[actix_web::test]
async fn rows_with_one_name_are_several_grants_and_what_is_there_stays_as_it_is() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = "用户名,姓名,组织代码,角色,授权组织代码,模块,起始日期,截止日期,初始密码\r\n\
        two.roles,双职,430602,经办人,430602001,\"组织，Plans and tasks\",2026-01-01,2030-12-31,dr4gonfly-teapot-92\r\n\
        two.roles,双职,430602,查看者,,,,,\r\n\
        county-officer,岳阳楼区妇联经办人,430602,经办人,,,,,another-T3apot-lotus\r\n\
        township-officer,岳阳楼街道妇联新经办人,430602001,评审,430602,,,,\r\n";
    let applied = accounts(&app, &admin, "apply", "账号.csv", text).await;
    assert_eq!((&applied.json["status"], errors(&applied)), (&json!("applied"), vec![]));
    assert_eq!(applied.json["counts"], json!({ "rows": 4, "new": 2, "changed": 1, "unchanged": 1, "errors": 0 }));
    let two = found(&app, "two.roles").await.remove(0);
    let given: Vec<Value> = grants(&app, &two)
        .await
        .iter()
        .map(|grant| json!([grant["role"], grant["organization_id"], grant["modules"], grant["from_on"], grant["to_on"]]))
        .collect();
    let today = app.app.clock.today().to_string();
    assert_eq!(
        given,
        [
            json!(["officer", TOWNSHIP, ["organizations", "plans"], "2026-01-01", "2030-12-31"]),
            json!(["viewer", COUNTY, ["organizations", "plans"], today, null]),
        ]
    );
    // An account that is there keeps its password, version and grants; one that is changed is told with what it was.
    log_in(&app, "county-officer", "another-T3apot-lotus").await.expect(401);
    log_in(&app, "county-officer", &app.password("county-officer")).await.expect(200);
    let officer = found(&app, "county-officer").await.remove(0);
    assert_eq!((&officer["version"], grants(&app, &officer).await.len()), (&json!(1), 1));
    let township = found(&app, "township-officer").await.remove(0);
    assert_eq!((&township["display_name"], &township["version"]), (&json!("岳阳楼街道妇联新经办人"), &json!(2)));
    assert_eq!(grants(&app, &township).await.len(), 2);
    let changed = entries(&app, "account.changed").await.remove(0);
    assert_eq!(changed["before"]["display_name"], "岳阳楼街道妇联经办人");
    assert_eq!(changed["after"]["display_name"], "岳阳楼街道妇联新经办人");
    // The template of the county, sent back as it is, changes nothing and holds no password.
    let template =
        admin.get(format!("/api/v1/imports/templates/accounts.xlsx?organization_id={COUNTY}&reason=census")).await.expect(200);
    let book = text_of(&template.bytes);
    assert!(book.contains("two.roles") && !book.contains("neighbour-officer") && !book.contains("argon2"));
    let same = import(&app, &admin, "accounts", COUNTY, "validate", "模板.xlsx", &template.bytes).await;
    assert_eq!((&same.json["status"], errors(&same)), (&json!("validated"), vec![]));
    assert_eq!((&same.json["counts"]["unchanged"], &same.json["counts"]["rows"]), (&json!(7), &json!(7)));
}

#[actix_web::test]
async fn access_is_given_only_by_who_uploaded_the_table_and_after_a_step_up() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = format!("{ACCOUNTS}late.one,迟,430602,经办人,{PASSWORD}\r\n");
    // An officer imports no accounts, and nobody imports above her place.
    let officer = app.sign_in("county-officer").await;
    start(&officer, "accounts", COUNTY, "apply", "a.csv", text.as_bytes()).await.expect_problem(403, "permission_denied");
    start(&admin, "accounts", CITY, "apply", "a.csv", text.as_bytes()).await.expect(422);
    let waits = accounts(&app, &admin, "validate", "a.csv", &text).await;
    let apply =
        |client: &Client| client.post(format!("{}/apply", path(&waits))).if_match(&waits.etag()).json(&json!({})).into_future();
    let chief = app.sign_in("city-admin").await;
    let seen = chief.get(path(&waits)).await.expect(200);
    assert_eq!(seen.json["allowed_actions"], json!(["cancel"]));
    apply(&chief).await.expect_problem(403, "permission_denied");
    assert_eq!(admin.get(path(&waits)).await.expect(200).json["allowed_actions"], json!(["apply", "cancel"]));
    use diesel_async::RunQueryDsl;
    let aged = "UPDATE sessions SET authenticated_at = authenticated_at - interval '6 minutes'";
    diesel::sql_query(aged).execute(&mut app.database.owner().await).await.unwrap();
    app.app.tokens.forget_all();
    apply(&admin).await.expect_problem(401, "step_up_required");
    start(&admin, "accounts", COUNTY, "apply", "b.csv", text.as_bytes()).await.expect_problem(401, "step_up_required");
    let step_up = json!({ "password": app.password("county-admin") });
    let fresh = admin.post("/api/v1/auth/step-up").json(&step_up).await.expect(200);
    let admin = app.with_token(&fresh.text("/access_token"));
    apply(&admin).await.expect(200);
    run_due(&app.app).await.unwrap();
    assert_eq!(admin.get(path(&waits)).await.expect(200).json["status"], "applied");
}

#[actix_web::test]
async fn what_she_may_no_longer_give_when_it_is_written_is_not_given() {
    let app = TestApp::new().await;
    let (id, leaver) = app.db_account("leaver", Some(Role::PlatformAdmin), CITY).await;
    app.db_grant(id, Role::OrgAdmin, COUNTY).await;
    let text = format!("{ACCOUNTS}new.auditor,审,430602,审计员,{PASSWORD}\r\nnew.officer,经,430602,经办人,{PASSWORD}\r\n");
    let waits = accounts(&app, &leaver, "validate", "a.csv", &text).await;
    assert_eq!((&waits.json["status"], errors(&waits)), (&json!("validated"), vec![]));
    leaver.post(format!("{}/apply", path(&waits))).if_match(&waits.etag()).json(&json!({})).await.expect(200);
    use diesel_async::RunQueryDsl;
    let gone =
        "DELETE FROM grants WHERE role = 'platform_admin' AND account_id = (SELECT id FROM accounts WHERE username = 'leaver')";
    diesel::sql_query(gone).execute(&mut app.database.owner().await).await.unwrap();
    run_due(&app.app).await.unwrap();
    app.app.tokens.forget_all();
    let failed = leaver.get(path(&waits)).await.expect(200);
    assert_eq!((&failed.json["status"], errors(&failed)), (&json!("failed"), told(&[(2, "role", "permission_denied")])));
    assert_eq!(found(&app, "new.officer").await.len(), 0);
}

#[actix_web::test]
async fn a_name_that_somebody_takes_meanwhile_is_taken() {
    let app = TestApp::new().await;
    let admin = app.sign_in("county-admin").await;
    let text = format!("{ACCOUNTS}both.want,甲,430602,经办人,{PASSWORD}\r\nonly.mine,乙,430602,经办人,{PASSWORD}\r\n");
    let waits = accounts(&app, &admin, "validate", "a.csv", &text).await;
    let apply = format!("{}/apply", path(&waits));
    admin.post(&apply).if_match(&waits.etag()).json(&json!({})).await.expect(200);
    let new = json!({ "username": "both.want", "display_name": "丙", "organization_id": NEIGHBOUR, "person_id": null });
    let chief = app.sign_in("city-admin").await;
    let create = chief.post("/api/v1/accounts").json(&new).into_future();
    // Whoever is first has the name; the other is told, and the import then writes nothing.
    let (created, worked) = futures_util::future::join(create, run_due(&app.app)).await;
    worked.unwrap();
    let import = admin.get(path(&waits)).await.expect(200);
    match created.status.as_u16() {
        201 => {
            assert_eq!((&import.json["status"], errors(&import)), (&json!("failed"), told(&[(2, "username", "taken")])));
            assert_eq!(found(&app, "only.mine").await.len(), 0);
        }
        409 => assert_eq!((&import.json["status"], found(&app, "only.mine").await.len()), (&json!("applied"), 1)),
        other => panic!("{other}"),
    }
    assert_eq!(found(&app, "both.want").await.len(), 1);
}
