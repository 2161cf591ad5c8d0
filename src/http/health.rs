//! Is the process alive; may it be sent requests.

use actix_web::{HttpResponse, get};
use chrono::{Datelike, NaiveDate};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use crate::db::migrate;
use crate::db::schema::working_calendar;

/// Whether the process is alive.
#[derive(Serialize, ToSchema)]
pub struct LivenessView {
    /// Always ok: a process that cannot answer does not.
    #[schema(examples("ok"), max_length = 10, pattern = "^ok$")]
    pub status: String,
}

/// Whether the service can work, and if not, why.
#[derive(Serialize, ToSchema)]
pub struct ReadinessView {
    /// Requests may be sent here.
    pub ready: bool,
    /// The database answers.
    pub database: bool,
    /// Every migration of this program has run.
    pub migrations: bool,
    /// The keys that are current are known here.
    pub keys: bool,
    /// The working calendar reaches two months ahead; without it due dates in working days would be wrong. Warns only.
    pub calendar: bool,
    /// Age in seconds of the oldest audit entry that has no seal, where that is minutes; null otherwise. Warns only.
    #[schema(required = true, minimum = 0, maximum = 9007199254740991i64)]
    pub audit_lag_seconds: Option<i64>,
}

/// Sealing takes less than a second; behind by this it is worth a look.
const AUDIT_LAG: i64 = 180;

/// 存活检查 · Is the process alive
///
/// Answers while the process can answer at all.
#[utoipa::path(tag = "health", responses((status = OK, body = LivenessView, description = "The process is alive.")))]
#[get("/health/live")]
pub async fn get_liveness() -> HttpResponse {
    HttpResponse::Ok().json(LivenessView { status: "ok".to_owned() })
}

/// 就绪检查 · May requests be sent here
///
/// Answers 200 when the database answers, its migrations have run and the keys are loaded; otherwise 503 and what is missing.
#[utoipa::path(
    tag = "health",
    responses(
        (status = OK, body = ReadinessView, description = "The service is ready."),
        (status = SERVICE_UNAVAILABLE, body = ReadinessView, description = "The service is not ready.")
    )
)]
#[get("/health/ready")]
pub async fn get_readiness(call: Call) -> HttpResponse {
    let lag = Some(call.app.metrics.audit_lag()).filter(|lag| *lag >= AUDIT_LAG);
    let mut view =
        ReadinessView { ready: false, database: false, migrations: false, keys: false, calendar: false, audit_lag_seconds: lag };
    if let Ok(mut conn) = call.app.db.transaction_connection().await {
        let last: QueryResult<Option<NaiveDate>> =
            working_calendar::table.select(diesel::dsl::max(working_calendar::day)).first(&mut *conn).await;
        view.database = true;
        view.migrations = migrate::pending(&mut conn).await == Ok(0);
        view.keys = call.app.vault.is_up_to_date(&mut conn).await == Ok(true);
        let horizon = call.today() + chrono::TimeDelta::days(60);
        view.calendar = last.ok().flatten().is_some_and(|last| last.year() >= horizon.year());
    }
    view.ready = view.database && view.migrations && view.keys;
    if view.ready { HttpResponse::Ok().json(view) } else { HttpResponse::ServiceUnavailable().json(view) }
}
