//! The wire rules of every operation, tried on those that exist.

use actix_web::http::Method;
use serde_json::json;

use crate::support::{CITY, COUNTY, TestApp};

#[actix_web::test]
async fn an_unknown_address_is_404_and_a_trailing_slash_is_unknown() {
    let app = TestApp::new().await;
    for path in ["/api/v1/nothing", "/api/v1/divisions/", "/api/v1//divisions", "/api/v1/divisions/%2F", "/", "/.git/config"] {
        let answer = app.anonymous().get(path).await;
        assert!(matches!(answer.status.as_u16(), 404 | 400), "{path}: {}", answer.status);
    }
}

#[actix_web::test]
async fn a_wrong_method_is_405_with_the_methods_there_are() {
    let app = TestApp::new().await;
    for method in [Method::POST, Method::PATCH, Method::TRACE, Method::PUT, Method::DELETE] {
        let answer = app.anonymous().request(method, "/api/v1/divisions").await.expect_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
    }
    let answer = app.anonymous().request(Method::OPTIONS, "/api/v1/organizations").await.expect(204);
    assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS, POST");
}

#[actix_web::test]
async fn head_answers_like_get() {
    let app = TestApp::new().await;
    let get = app.anonymous().get("/api/v1/divisions/430602").await.expect(200);
    let head = app.anonymous().request(Method::HEAD, "/api/v1/divisions/430602").await.expect(200);
    assert_eq!(head.header("content-type"), get.header("content-type"));
}

#[actix_web::test]
async fn a_bad_token_comes_before_everything_else() {
    let app = TestApp::new().await;
    let forged = app.with_token("nonsense");
    forged.get("/api/v1/nothing").await.expect_problem(401, "token_invalid");
    forged.request(Method::PATCH, "/api/v1/organizations").await.expect_problem(401, "token_invalid");
    forged.get("/api/v1/organizations?limit=0").await.expect_problem(401, "token_invalid");
    let basic = app.anonymous().get("/api/v1/me").header("Authorization", "Basic YTpi").await;
    basic.expect_problem(401, "token_invalid");
}

#[actix_web::test]
async fn media_types_are_negotiated() {
    let app = TestApp::new().await;
    app.anonymous().get("/api/v1/divisions").header("Accept", "text/html").await.expect_problem(406, "not_acceptable");
    app.anonymous().get("/api/v1/divisions").header("Accept", "text/html, */*;q=0.1").await.expect(200);
    let login = app.anonymous().post("/api/v1/auth/login").bytes("text/plain", b"{}").await;
    login.expect_problem(415, "unsupported_media_type");
    let large = format!("{{\"username\": \"{}\"}}", "x".repeat(2 << 20));
    let login = app.anonymous().post("/api/v1/auth/login").bytes("application/json", large.as_bytes()).await;
    login.expect_problem(413, "payload_too_large");
}

#[actix_web::test]
async fn malformed_bodies_are_400_and_broken_rules_422_with_every_fault() {
    let app = TestApp::new().await;
    let send = async |body: &str| app.anonymous().post("/api/v1/auth/login").bytes("application/json", body.as_bytes()).await;
    send("{").await.expect_problem(400, "malformed_json");
    send("").await.expect_problem(400, "malformed_json");
    send("[]").await.expect_problem(400, "invalid_body");
    send(&"[".repeat(100)).await.expect_problem(400, "malformed_json");
    let unknown = send(r#"{"username": "a", "password": "b", "admin": true}"#).await.expect_problem(400, "unknown_field");
    assert_eq!(unknown.faults(), [("/admin".to_owned(), "unknown_field".to_owned())]);
    let missing = send(r#"{"username": "a"}"#).await.expect_problem(400, "invalid_body");
    assert_eq!(missing.faults(), [("/password".to_owned(), "required".to_owned())]);
    let typed = send(r#"{"username": 7, "password": "b"}"#).await.expect_problem(400, "invalid_body");
    assert_eq!(typed.faults(), [("/username".to_owned(), "type".to_owned())]);
    let twice = send(r#"{"username": "a", "username": "b", "password": "c"}"#).await.expect_problem(400, "invalid_body");
    assert_eq!(twice.faults()[0].1, "repeated_name");
    let long = json!({ "username": "x".repeat(65), "password": "", "totp_code": "?" }).to_string();
    let answer = send(&long).await.expect_problem(422, "validation_failed");
    let mut faults = answer.faults();
    faults.sort();
    let pointers: Vec<&str> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert!(pointers.contains(&"/username") && pointers.contains(&"/password") && pointers.contains(&"/totp_code"), "{faults:?}");
    let nul = send(r#"{"username": "a\u0000", "password": "b"}"#).await;
    nul.expect_problem(422, "validation_failed");
}

#[actix_web::test]
async fn queries_are_strict() {
    let app = TestApp::new().await;
    let ask = async |query: &str| app.anonymous().get(format!("/api/v1/divisions?{query}")).await;
    for (query, code) in [
        ("limit=0", "invalid_parameter"),
        ("limit=101", "invalid_parameter"),
        ("limit=ten", "invalid_parameter"),
        ("limit=undefined", "invalid_parameter"),
        ("level=galaxy", "invalid_parameter"),
        ("parent_code=43", "invalid_parameter"),
        ("q=%FF", "invalid_parameter"),
        ("q=a%00b", "invalid_parameter"),
        ("limit=1&limit=2", "invalid_parameter"),
        ("colour=red", "unknown_parameter"),
        ("cursor=!", "invalid_parameter"),
        ("cursor=AAAA", "cursor_invalid"),
    ] {
        ask(query).await.expect_problem(400, code);
    }
    ask("level=city,county&limit=100").await.expect(200);
    let strange = ask(&format!("%09%00a{}=1", "x".repeat(200))).await.expect_problem(400, "unknown_parameter");
    assert_eq!(strange.faults()[0].0, format!("\u{fffd}\u{fffd}a{}", "x".repeat(97)), "shown, not echoed");
}

#[actix_web::test]
async fn a_cursor_belongs_to_its_filters_and_cannot_be_forged() {
    let app = TestApp::new().await;
    let page = app.anonymous().get("/api/v1/divisions?level=village&limit=2").await.expect(200);
    let cursor = page.text("/next_cursor");
    app.anonymous().get(format!("/api/v1/divisions?level=village&limit=5&cursor={cursor}")).await.expect(200);
    let other = app.anonymous().get(format!("/api/v1/divisions?level=township&cursor={cursor}")).await;
    other.expect_problem(400, "cursor_mismatch");
    let mut forged = cursor.into_bytes();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let answer = app.anonymous().get(format!("/api/v1/divisions?level=village&cursor={forged}")).await.expect(400);
    assert_eq!(answer.json["code"], "cursor_invalid");
}

#[actix_web::test]
async fn every_response_carries_the_shared_headers() {
    let app = TestApp::new().await;
    for path in ["/api/v1/divisions", "/api/v1/nothing", "/api/v1/me", "/health/live"] {
        let answer = app.anonymous().get(path).header("X-Request-Id", "my-request-1").await;
        assert_eq!(answer.header("x-request-id"), "my-request-1", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-language"), "zh-CN");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert!(!answer.header("cache-control").is_empty());
    }
    let answer = app.anonymous().get("/api/v1/divisions").header("X-Request-Id", "bad id\"").await.expect(200);
    assert_eq!(answer.header("x-request-id").len(), 36, "a bad request id is replaced");
    assert!(answer.header("ratelimit").starts_with("\"address\";r="), "{}", answer.header("ratelimit"));
    assert!(answer.header("ratelimit-policy").starts_with("\"address\";q="));
}

#[actix_web::test]
async fn problems_speak_the_callers_language() {
    let app = TestApp::new().await;
    let chinese = app.anonymous().get("/api/v1/me").await.expect(401);
    assert_eq!(chinese.json["title"], "请先登录");
    let english = app.anonymous().get("/api/v1/me").header("Accept-Language", "en-GB, zh;q=0.5").await.expect(401);
    assert_eq!(english.json["title"], "Sign in first");
    assert_eq!(english.header("content-language"), "en");
    assert_eq!(english.json["type"], "/api/v1/problems/unauthenticated");
    assert_eq!(english.json["instance"], "/api/v1/me");
    assert_eq!(english.json["request_id"], english.header("x-request-id"));
}

#[actix_web::test]
async fn browsers_of_allowed_origins_may_read() {
    let app = TestApp::new().await;
    let origin = "https://admin.example.org";
    let answer = app.anonymous().get("/api/v1/divisions").header("Origin", origin).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert!(answer.header("access-control-expose-headers").contains("ETag"));
    let other = app.anonymous().get("/api/v1/divisions").header("Origin", "https://evil.example").await.expect(200);
    assert_eq!(other.header("access-control-allow-origin"), "");
    let preflight = app
        .anonymous()
        .request(Method::OPTIONS, "/api/v1/organizations")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .await
        .expect(204);
    assert!(preflight.header("access-control-allow-headers").contains("Idempotency-Key"));
}

#[actix_web::test]
async fn a_conditional_read_answers_304() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let first = officer.get(format!("/api/v1/organizations/{COUNTY}")).await.expect(200);
    assert!(first.etag().starts_with("\"1."), "{}", first.etag());
    let again = officer.get(format!("/api/v1/organizations/{COUNTY}")).header("If-None-Match", &first.etag()).await.expect(304);
    assert_eq!(again.etag(), first.etag());
    assert!(again.bytes.is_empty());
    assert_eq!(first.header("cache-control"), "private, no-cache");
}

#[actix_web::test]
async fn requests_beyond_the_limit_are_429_and_say_when() {
    let mut config = crate::support::config();
    for (name, rate) in &mut config.rate_limits {
        if name == "address" {
            rate.requests = 3;
        }
    }
    let app = TestApp::with(config, false).await;
    for _ in 0..3 {
        app.anonymous().get("/api/v1/divisions/430602").await.expect(200);
    }
    let refused = app.anonymous().get("/api/v1/divisions/430602").await.expect_problem(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    assert!(refused.json["retry_after_seconds"].is_u64());
    assert!(refused.header("ratelimit").contains("r=0"));
    // A signed-in caller has an allowance of her own.
    let officer = app.sign_in("county-officer").await;
    officer.get("/api/v1/divisions/430602").await.expect(200);
}

#[actix_web::test]
async fn swagger_ui_loads_everything_from_here() {
    let app = TestApp::new().await;
    let page = app.anonymous().get("/swagger-ui/").await.expect(200);
    let html = String::from_utf8(page.bytes.clone()).unwrap();
    assert!(!html.contains("https://") && !html.contains("http://"), "{html}");
    assert!(page.header("content-security-policy").contains("script-src 'self'"));
    app.anonymous().get("/swagger-ui/swagger-ui-bundle.js").await.expect(200);
    let initializer = app.anonymous().get("/swagger-ui/swagger-initializer.js").await.expect(200);
    assert!(String::from_utf8(initializer.bytes).unwrap().contains("preauthorizeApiKey"));
    app.anonymous().get("/swagger-ui").await.expect(308);
    let document = app.anonymous().get("/api-docs/openapi.json").await.expect(200);
    assert_eq!(document.json["openapi"], "3.1.0");
}

#[actix_web::test]
async fn a_service_without_its_database_says_so_and_recovers() {
    let app = TestApp::new().await;
    app.anonymous().get("/health/ready").await.expect(200);
    let officer = app.sign_in("county-officer").await;
    officer.get(format!("/api/v1/organizations/{COUNTY}")).await.expect(200);
    // Every connection is cut; the next ones replace them.
    let mut admin = app.database.owner().await;
    let cut =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let superuser = crate::support::server().postgres.url("postgres", &database_name(&app));
    let mut superuser = <diesel_async::AsyncPgConnection as diesel_async::AsyncConnection>::establish(&superuser).await.unwrap();
    diesel_async::RunQueryDsl::execute(diesel::sql_query(cut), &mut superuser).await.unwrap();
    drop(diesel_async::RunQueryDsl::execute(diesel::sql_query("SELECT 1"), &mut admin).await);
    for _ in 0..20 {
        let answer = officer.get(format!("/api/v1/organizations/{COUNTY}")).await;
        assert!(matches!(answer.status.as_u16(), 200 | 500 | 503), "{}", answer.status);
    }
    officer.get(format!("/api/v1/organizations/{COUNTY}")).await.expect(200);
    app.anonymous().get("/health/ready").await.expect(200);
}

fn database_name(app: &TestApp) -> String {
    app.database.login_url().rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned()
}

#[actix_web::test]
async fn the_city_is_the_top_of_everything() {
    let app = TestApp::new().await;
    let admin = app.sign_in("city-admin").await;
    let city = admin.get(format!("/api/v1/organizations/{CITY}")).await.expect(200);
    assert_eq!(city.json["name"], "岳阳市妇联");
    assert_eq!(city.json["parent_id"], json!(null));
}

#[actix_web::test]
async fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    let body = format!(r#"{{"organization_id": "{COUNTY}", "name": "周兰", "birth_year": 1986.0}}"#);
    let created = officer.post("/api/v1/people").bytes("application/json", body.as_bytes()).await.expect(201);
    assert_eq!(created.json["birth_year"], 1986);
    let body = body.replace("1986.0", "1986.5");
    officer.post("/api/v1/people").bytes("application/json", body.as_bytes()).await.expect_problem(400, "invalid_body");
}

#[actix_web::test]
async fn what_a_signed_in_caller_reads_of_public_things_is_hers_alone() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    assert_eq!(officer.get("/api/v1/sites").await.expect(200).header("cache-control"), "private, no-cache");
    assert_eq!(app.anonymous().get("/api/v1/sites").await.expect(200).header("cache-control"), "no-cache");
}

#[actix_web::test]
async fn every_401_says_how_to_sign_in() {
    let app = TestApp::new().await;
    let body = json!({ "username": "nobody", "password": "x" });
    let login = app.anonymous().post("/api/v1/auth/login").json(&body).await.expect(401);
    assert_eq!(login.header("www-authenticate"), "Bearer");
    let me = app.anonymous().get("/api/v1/me").await.expect(401);
    assert_eq!(me.header("www-authenticate"), "Bearer");
}

#[actix_web::test]
async fn the_documentation_answers_with_problems_too() {
    let app = TestApp::new().await;
    for path in ["/swagger-ui/nothing.js", "/swagger-ui-of-others", "/api-docs/nothing.json"] {
        let answer = app.anonymous().get(path).await.expect_problem(404, "not_found");
        assert_eq!(answer.header("content-type"), "application/problem+json; charset=utf-8");
    }
    let answer = app.anonymous().post("/api-docs/openapi.json").await;
    assert!(matches!(answer.status.as_u16(), 404 | 405) && answer.json["code"].is_string(), "{}", answer.status);
}

#[actix_web::test]
async fn any_version_there_is_fits_a_star() {
    let app = TestApp::new().await;
    let officer = app.sign_in("county-officer").await;
    officer.get(format!("/api/v1/organizations/{COUNTY}")).header("If-None-Match", "*").await.expect(304);
    officer.get("/api/v1/organizations").header("If-None-Match", "*").await.expect(200);
}

#[actix_web::test]
async fn media_types_are_read_in_any_case_and_with_quotes() {
    let app = TestApp::new().await;
    app.anonymous().get("/api/v1/divisions").header("Accept", "Application/JSON").await.expect(200);
    let login = app.anonymous().post("/api/v1/auth/login").bytes("application/json; charset=\"UTF-8\"", b"{}").await;
    login.expect_problem(400, "invalid_body");
    let login = app.anonymous().post("/api/v1/auth/login").bytes("application/json; charset=gbk", b"{}").await;
    login.expect_problem(415, "unsupported_media_type");
}
