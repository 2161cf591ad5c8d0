//! Work for later and periodic work, on the database: jobs are enqueued in the transaction that needs them; workers of all
//! nodes share them (SKIP LOCKED, leases, retries with growing pauses, dead letters). The timetable runs each due instant once
//! across nodes. No crate was found that does this on diesel-async; see docs/DEPENDENCIES.md.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::app::App;
use crate::clock::shanghai;
use crate::db::schema::{jobs, timetable_runs};
use crate::ids::JobId;
use crate::{files, organizations, system};

/// How long a worker holds a job before another may take it; extended while it runs.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How long a worker sleeps when there is nothing to do and nobody wakes it.
const NAP: Duration = Duration::from_secs(2);

/// Wakes the workers of this node when a job was enqueued here.
#[derive(Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There is work.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

type JobFn = for<'a> fn(&'a App, Value) -> BoxFuture<'a, Result<(), String>>;
type TickFn = for<'a> fn(&'a App, &'a mut AsyncPgConnection, DateTime<Utc>) -> BoxFuture<'a, Result<(), String>>;

/// Every kind of job.
const KINDS: &[(&str, JobFn)] = &[
    ("clean_files", |app, payload| Box::pin(files::clean(app, payload))),
    ("reseal", |app, payload| Box::pin(system::reseal(app, payload))),
];

/// The timetable: name, when (domain time), what. `due` is the instant that fell due; the work shares the transaction that
/// marks it run.
const TIMETABLE: &[(&str, Every, TickFn)] = &[
    ("purge", Every::Hour, |app, conn, _| Box::pin(system::purge(app, conn))),
    ("files", Every::DayAt(3), |app, conn, _| Box::pin(files::schedule_clean(app, conn))),
    ("post_expiries", Every::DayAt(6), |_, conn, due| Box::pin(organizations::announce_expiring_posts(conn, due))),
];

/// When periodic work falls due, in Asia/Shanghai.
#[derive(Debug, Clone, Copy)]
enum Every {
    /// At each full hour.
    Hour,
    /// Each day at this hour.
    DayAt(u32),
}

impl Every {
    /// The first due instant after `last`.
    fn next(self, last: DateTime<Utc>) -> DateTime<Utc> {
        let local = last.with_timezone(&shanghai());
        let hour = local.with_minute(0).and_then(|at| at.with_second(0)).and_then(|at| at.with_nanosecond(0)).unwrap_or(local);
        let next = match self {
            Self::Hour => hour + TimeDelta::hours(1),
            Self::DayAt(wanted) => {
                let today = hour.with_hour(wanted).unwrap_or(hour);
                if today > local { today } else { today + TimeDelta::days(1) }
            }
        };
        next.to_utc()
    }
}

/// Enqueues a job in the caller's transaction. `run_at` is wall time.
pub async fn enqueue(
    conn: &mut AsyncPgConnection,
    kind: &'static str,
    payload: Value,
    run_at: DateTime<Utc>,
) -> QueryResult<JobId> {
    let id = JobId::generate();
    diesel::insert_into(jobs::table)
        .values((
            jobs::id.eq(id),
            jobs::kind.eq(kind),
            jobs::payload.eq(payload),
            jobs::state.eq("queued"),
            jobs::run_at.eq(run_at),
        ))
        .execute(conn)
        .await?;
    Ok(id)
}

#[derive(QueryableByName)]
struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = diesel::sql_types::Text)]
    kind: String,
    #[diesel(sql_type = diesel::sql_types::Jsonb)]
    payload: Value,
    #[diesel(sql_type = diesel::sql_types::Integer)]
    attempts: i32,
    #[diesel(sql_type = diesel::sql_types::Integer)]
    max_attempts: i32,
}

const CLAIM: &str = "UPDATE jobs SET state = 'running', attempts = attempts + 1, leased_until = $2 WHERE id = (
    SELECT id FROM jobs WHERE (state = 'queued' AND run_at <= $1) OR (state = 'running' AND leased_until < $1)
    ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, payload, attempts, max_attempts";

/// Works until told to stop; the job at hand is finished first.
pub async fn work(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let worked = match run_timetable(&app).await {
            Ok(()) => run_one(&app).await,
            Err(fault) => Err(fault),
        };
        match worked {
            Ok(true) => continue,
            Ok(false) => {}
            Err(fault) => log::warn!(cause = fault.as_str(); "the job worker could not work"),
        }
        tokio::select! {
            () = app.wake.0.notified() => {}
            () = tokio::time::sleep(NAP) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Runs everything that is due, jobs and timetable, until nothing is left; `clock advance` and the tests call it.
pub async fn run_due(app: &App) -> Result<(), String> {
    run_timetable(app).await?;
    while run_one(app).await? {}
    Ok(())
}

/// Claims and runs one job. False: there was none.
async fn run_one(app: &App) -> Result<bool, String> {
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    let now = app.clock.wall();
    let claimed: Option<Claimed> = diesel::sql_query(CLAIM)
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(now + LEASE)
        .get_result(&mut *conn)
        .await
        .optional()
        .map_err(|fault| fault.to_string())?;
    drop(conn);
    let Some(job) = claimed else { return Ok(false) };
    let outcome = match KINDS.iter().find(|(kind, _)| *kind == job.kind) {
        Some((_, run)) => with_lease(app, job.id, run(app, job.payload)).await,
        None => Err(format!("no job of kind {}", job.kind)),
    };
    app.metrics.job(&job.kind, if outcome.is_ok() { "done" } else { "failed" });
    settle(app, job.id, job.attempts, job.max_attempts, outcome).await.map_err(|fault| fault.to_string())?;
    Ok(true)
}

/// Runs a job, extending its lease as long as it takes.
async fn with_lease(app: &App, id: Uuid, work: BoxFuture<'_, Result<(), String>>) -> Result<(), String> {
    let extend = async {
        loop {
            tokio::time::sleep(Duration::from_secs(20)).await;
            if let Ok(mut conn) = app.db.transaction_connection().await {
                let until = app.clock.wall() + LEASE;
                let extended = diesel::update(jobs::table.find(id)).set(jobs::leased_until.eq(until)).execute(&mut *conn).await;
                if let Err(fault) = extended {
                    log::warn!(job = id.to_string().as_str(), cause = fault.to_string().as_str(); "a lease could not be extended");
                }
            }
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = extend => unreachable!("the lease is extended for ever"),
    }
}

async fn settle(
    app: &App,
    id: Uuid,
    attempts: i32,
    max_attempts: i32,
    outcome: Result<(), String>,
) -> Result<(), crate::http::ApiError> {
    let mut conn = app.db.transaction_connection().await?;
    let now = app.clock.wall();
    let job = diesel::update(jobs::table.find(id));
    match outcome {
        Ok(()) => job.set((jobs::state.eq("done"), jobs::finished_at.eq(now))).execute(&mut *conn).await?,
        Err(fault) => {
            log::warn!(job = id.to_string().as_str(), attempts = attempts, cause = fault.as_str(); "a job failed");
            let dead = attempts >= max_attempts;
            let pause = TimeDelta::seconds(5 << attempts.clamp(0, 12));
            job.set((
                jobs::state.eq(if dead { "dead" } else { "queued" }),
                jobs::last_error.eq(fault),
                jobs::run_at.eq(now + pause),
                jobs::finished_at.eq(dead.then_some(now)),
            ))
            .execute(&mut *conn)
            .await?
        }
    };
    Ok(())
}

/// Runs every instant of the timetable that has fallen due since the last run, in order.
async fn run_timetable(app: &App) -> Result<(), String> {
    let now = app.clock.now();
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    for (name, every, run) in TIMETABLE {
        let fresh = (timetable_runs::name.eq(*name), timetable_runs::last_due_at.eq(now));
        diesel::insert_into(timetable_runs::table)
            .values(fresh)
            .on_conflict_do_nothing()
            .execute(&mut *conn)
            .await
            .map_err(|fault| fault.to_string())?;
        loop {
            let last: DateTime<Utc> = timetable_runs::table
                .find(*name)
                .select(timetable_runs::last_due_at)
                .first(&mut *conn)
                .await
                .map_err(|fault| fault.to_string())?;
            let due = every.next(last);
            if due > now {
                break;
            }
            run_instant(app, &mut conn, name, last, due, *run).await?;
        }
    }
    Ok(())
}

/// The guarded update makes one node run it; the work is part of the same transaction.
async fn run_instant(
    app: &App,
    conn: &mut AsyncPgConnection,
    name: &'static str,
    last: DateTime<Utc>,
    due: DateTime<Utc>,
    run: TickFn,
) -> Result<(), String> {
    conn.transaction(async |conn| {
        let mine = diesel::update(timetable_runs::table.find(name).filter(timetable_runs::last_due_at.eq(last)))
            .set(timetable_runs::last_due_at.eq(due))
            .execute(conn)
            .await?;
        if mine == 1 {
            run(app, conn, due).await.map_err(|fault| diesel::result::Error::QueryBuilderError(fault.into()))?;
        }
        Ok::<_, diesel::result::Error>(())
    })
    .await
    .map_err(|fault| format!("{name}: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_instants_follow_the_local_day() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(Every::DayAt(6).next(at("2019-04-10T21:59:59Z")), at("2019-04-10T22:00:00Z"));
        assert_eq!(Every::DayAt(6).next(at("2019-04-10T22:00:00Z")), at("2019-04-11T22:00:00Z"));
        assert_eq!(Every::Hour.next(at("2019-04-10T22:00:00Z")), at("2019-04-10T23:00:00Z"));
    }
}
