//! `TestApp`: a service in this process, on a database of its own, with a clock that stands still. Every answer is held against
//! the OpenAPI document.

mod client;
mod database;
mod snapshot;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use actix_http::Request;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::test;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use half_sky::access::{Module, Role};
use half_sky::accounts::AccountStatus;
use half_sky::accounts::store::{self, GrantRow, NewAccountRow};
use half_sky::app::App;
use half_sky::clock::Clock;
use half_sky::config::Config;
use half_sky::demo::SignIn;
use half_sky::http::{gate, swagger};
use half_sky::ids::{AccountId, GrantId, OrganizationId};
use half_sky::routes;
use utoipa_actix_web::AppExt;

pub use client::{Answer, Client};
pub use database::{Database, server};
pub use snapshot::assert_snapshot;

/// The city federation.
pub const CITY: &str = "0168028c-2f00-7000-8000-430600000000";
/// 岳阳楼区妇联
pub const COUNTY: &str = "0168028c-2f00-7000-8000-430602000000";
/// 云溪区妇联
pub const NEIGHBOUR: &str = "0168028c-2f00-7000-8000-430603000000";
/// 岳阳楼街道妇联, in [`COUNTY`]
pub const TOWNSHIP: &str = "0168028c-2f00-7000-8000-430602001000";
/// 郭亮社区妇联, in [`TOWNSHIP`]
pub const VILLAGE: &str = "0168028c-2f00-7000-8000-430602001001";

/// When every test happens: the day the plan was issued.
pub fn now() -> DateTime<Utc> {
    "2019-04-10T01:00:00Z".parse().unwrap()
}

/// The tests' settings: cheap passwords, generous limits, fixed keys.
pub fn config() -> Config {
    let values = [
        ("MASTER_KEYS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("HALF_SKY_RATE_LIMIT_SCALE", "1000"),
        ("HALF_SKY_PUBLIC_URL", "http://half-sky.test"),
        ("HALF_SKY_POOL_SIZE", "8"),
        ("HALF_SKY_CORS_ORIGINS", "https://admin.example.org"),
        // Nothing is kept there; a test of checkpoints names a file of its own.
        ("HALF_SKY_AUDIT_CHECKPOINTS", "/dev/null"),
    ];
    let values: HashMap<String, String> = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::from_values(&values).unwrap_or_else(|faults| panic!("{faults:?}"));
    Config { cheap_passwords: true, ..config }
}

type Handle = dyn Fn(Request) -> Pin<Box<dyn Future<Output = ServiceResponse>>>;

/// A service on a database of its own.
pub struct TestApp {
    /// The shared parts.
    pub app: App,
    /// The database.
    pub database: Database,
    handle: Rc<Handle>,
}

impl TestApp {
    /// A service with the demo data.
    pub async fn new() -> Self {
        Self::with(config(), false).await
    }

    /// A service with other settings.
    pub async fn with(config: Config, rehearsal: bool) -> Self {
        let database = Database::create().await;
        Self::on(database, config, rehearsal).await
    }

    /// Another node on the same database.
    pub async fn on(database: Database, config: Config, rehearsal: bool) -> Self {
        let config = Config { files: database.files().to_owned(), ..config };
        let app = App::connect(config, Clock::fixed(now()), &database.login_url(), true, rehearsal).await.unwrap();
        let service = test::init_service(
            actix_web::App::new()
                .into_utoipa_app()
                .configure(routes::mount)
                .into_app()
                .configure(swagger::mount)
                .app_data(Data::new(Rc::new(app.db.reader())))
                .app_data(Data::new(app.clone()))
                .wrap(from_fn(gate::pass)),
        )
        .await;
        let service = Rc::new(service);
        let handle: Rc<Handle> = Rc::new(move |request| {
            let service = Rc::clone(&service);
            Box::pin(async move { service.call(request).await.unwrap_or_else(|fault| panic!("{fault}")).map_into_boxed_body() })
        });
        Self { app, database, handle }
    }

    /// Nobody in particular.
    pub fn anonymous(&self) -> Client {
        Client::new(Rc::clone(&self.handle), None)
    }

    /// Somebody with this token.
    pub fn with_token(&self, token: &str) -> Client {
        Client::new(Rc::clone(&self.handle), Some(token.to_owned()))
    }

    /// The password of a demo account.
    pub fn password(&self, username: &str) -> String {
        let sign_in = server().sign_ins.iter().find(|sign_in: &&SignIn| sign_in.username == username);
        sign_in.unwrap_or_else(|| panic!("no demo account {username}")).password.clone()
    }

    /// Signs a demo account in.
    #[track_caller]
    pub fn sign_in(&self, username: &str) -> impl Future<Output = Client> + use<> {
        let (anonymous, password, username) = (self.anonymous(), self.password(username), username.to_owned());
        async move {
            let body = serde_json::json!({ "username": username, "password": password });
            let answer = anonymous.post("/api/v1/auth/login").json(&body).await.expect(200);
            Client::new(anonymous.handle(), Some(answer.text("/access_token")))
        }
    }

    /// Writes a grant for all modules.
    pub async fn db_grant(&self, account_id: AccountId, role: Role, place: &str) {
        let grant = GrantRow {
            id: GrantId::generate(),
            account_id,
            role,
            organization_id: place.parse::<uuid::Uuid>().unwrap().into(),
            modules: Module::ALL.iter().map(ToString::to_string).collect(),
            from_on: "2019-01-01".parse().unwrap(),
            to_on: None,
            granted_by: None,
            created_at: now(),
        };
        store::insert_grant(&mut self.database.owner().await, &grant).await.unwrap();
        self.app.tokens.forget_all();
    }

    /// Writes an account with one role at a place, and signs it in. None: no grant at all.
    pub async fn db_account(&self, username: &str, role: Option<Role>, place: &str) -> (AccountId, Client) {
        const PASSWORD: &str = "dr4gonfly-teapot-92";
        let organization_id: OrganizationId = place.parse::<uuid::Uuid>().unwrap().into();
        let hash = self.app.passwords.hash(PASSWORD).await.unwrap();
        let id = AccountId::generate();
        let mut conn = self.database.owner().await;
        let account = NewAccountRow {
            id,
            username,
            display_name: username,
            organization_id,
            person_id: None,
            status: AccountStatus::Active,
            password_hash: &hash,
            password_is_initial: false,
            password_changed_at: now(),
            created_at: now(),
            updated_at: now(),
        };
        store::insert(&mut conn, &account).await.unwrap();
        if let Some(role) = role {
            self.db_grant(id, role, place).await;
        }
        let body = serde_json::json!({ "username": username, "password": PASSWORD });
        let answer = self.anonymous().post("/api/v1/auth/login").json(&body).await.expect(200);
        (id, self.with_token(&answer.text("/access_token")))
    }
}

/// Where every test request comes from.
pub fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 50_000))
}
