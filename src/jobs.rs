//! Work for later and periodic work, on the database: jobs are enqueued in the transaction that needs them; workers of all
//! nodes share them (SKIP LOCKED, leases, retries with growing pauses, dead letters). The timetable runs each due instant once
//! across nodes. No crate was found that does this on diesel-async; see docs/DEPENDENCIES.md.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::app::App;
use crate::clock::shanghai;
use crate::db::schema::{jobs, timetable_runs};
use crate::ids::JobId;
use crate::{exports, files, imports, organizations, system};

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

/// Every kind of job: its name, its work, and what becomes of the thing it was for when no attempt came to an end.
const KINDS: &[(&str, JobFn, Option<JobFn>)] = &[
    ("clean_files", |app, payload| Box::pin(files::clean(app, payload)), None),
    ("expire_exports", |app, payload| Box::pin(exports::expire(app, payload)), None),
    (
        "export",
        |app, payload| Box::pin(exports::run(app, payload)),
        Some(|app, payload| Box::pin(exports::given_up(app, payload))),
    ),
    (
        "import",
        |app, payload| Box::pin(imports::run(app, payload)),
        Some(|app, payload| Box::pin(imports::given_up(app, payload))),
    ),
    ("reseal", |app, payload| Box::pin(system::reseal(app, payload)), None),
];

/// The timetable: name, when (domain time), what becomes of missed instants, what. `due` is the instant that fell due; the work
/// shares the transaction that marks it run.
const TIMETABLE: &[(&str, Every, Missed, TickFn)] = &[
    ("purge", Every::Hour, Missed::Once, |app, conn, _| Box::pin(system::purge(app, conn))),
    ("exports", Every::Hour, Missed::Once, |app, conn, _| Box::pin(exports::schedule_expiry(app, conn))),
    ("imports", Every::Hour, Missed::Once, |app, conn, _| Box::pin(imports::forget(app, conn))),
    ("files", Every::DayAt(3), Missed::Once, |app, conn, _| Box::pin(files::schedule_clean(app, conn))),
    ("post_expiries", Every::DayAt(6), Missed::Each, |_, conn, due| Box::pin(organizations::announce_expiring_posts(conn, due))),
];

/// When periodic work falls due, in Asia/Shanghai.
#[derive(Debug, Clone, Copy)]
enum Every {
    /// At each full hour.
    Hour,
    /// Each day at this hour.
    DayAt(u32),
}

/// What becomes of instants that fell due while nothing ran.
#[derive(Debug, Clone, Copy)]
enum Missed {
    /// Each is run, in order: what it does depends on its day.
    Each,
    /// One run, at the last of them, makes up for all.
    Once,
}

impl Every {
    /// The instant to run now, when the last that was run is `last`; none: nothing is due.
    fn due(self, missed: Missed, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut due = self.next(last);
        if due > now {
            return None;
        }
        while let (Missed::Once, next) = (missed, self.next(due))
            && next <= now
        {
            due = next;
        }
        Some(due)
    }

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
        // Neither holds the other up: jobs run while the timetable fails, and the other way round.
        let timetable = run_timetable(&app, &stop).await;
        let job = run_one(&app).await;
        for fault in [timetable.err(), job.as_ref().err().cloned()].into_iter().flatten() {
            log::warn!(cause = fault.as_str(); "the job worker could not work");
        }
        if job == Ok(true) {
            continue;
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
    let (_never_stopped, going_on) = watch::channel(false);
    let timetable = run_timetable(app, &going_on).await;
    while run_one(app).await? {}
    timetable
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
    let kind = KINDS.iter().find(|(kind, ..)| *kind == job.kind);
    let outcome = match kind {
        // Its lease ran out at the last attempt: it takes its workers down with it.
        Some(_) if job.attempts > job.max_attempts => Err("no attempt came to an end".to_owned()),
        Some((_, run, _)) => with_lease(app, job.id, job.attempts, unpanicked(run(app, job.payload.clone()))).await,
        None => Err(format!("no job of kind {}", job.kind)),
    };
    app.metrics.job(&job.kind, if outcome.is_ok() { "done" } else { "failed" });
    let dead = settle(app, job.id, job.attempts, job.max_attempts, outcome).await.map_err(|fault| fault.to_string())?;
    if let (true, Some((_, _, Some(given_up)))) = (dead, kind) {
        unpanicked(given_up(app, job.payload)).await?;
    }
    Ok(true)
}

/// A panic is a failure like any other: the worker goes on.
async fn unpanicked(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// The job while this attempt holds it: a later attempt belongs to another worker.
#[diesel::dsl::auto_type]
fn held(id: Uuid, attempts: i32) -> _ {
    let running: &'static str = "running";
    jobs::table.filter(jobs::id.eq(id)).filter(jobs::state.eq(running)).filter(jobs::attempts.eq(attempts))
}

/// Runs a job, extending its lease as long as it takes.
async fn with_lease(app: &App, id: Uuid, attempts: i32, work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let extend = async {
        loop {
            tokio::time::sleep(Duration::from_secs(20)).await;
            if let Ok(mut conn) = app.db.transaction_connection().await {
                let until = app.clock.wall() + LEASE;
                match diesel::update(held(id, attempts)).set(jobs::leased_until.eq(until)).execute(&mut *conn).await {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(fault) => {
                        log::warn!(job = id.to_string().as_str(), cause = fault.to_string().as_str(); "a lease could not be extended");
                    }
                }
            }
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = extend => Err("another worker has taken it over".to_owned()),
    }
}

/// Writes down how an attempt ended. True: there will be no other.
async fn settle(
    app: &App,
    id: Uuid,
    attempts: i32,
    max_attempts: i32,
    outcome: Result<(), String>,
) -> Result<bool, crate::http::ApiError> {
    let mut conn = app.db.transaction_connection().await?;
    let now = app.clock.wall();
    let job = diesel::update(held(id, attempts));
    Ok(match outcome {
        Ok(()) => {
            job.set((jobs::state.eq("done"), jobs::finished_at.eq(now))).execute(&mut *conn).await?;
            false
        }
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
            .await?;
            dead
        }
    })
}

/// Runs every instant of the timetable that has fallen due since the last run, in order, until it is told to stop. What fails
/// is tried again the next time and does not hold up the rest.
async fn run_timetable(app: &App, stop: &watch::Receiver<bool>) -> Result<(), String> {
    let mut conn = app.db.transaction_connection().await.map_err(|fault| fault.to_string())?;
    let mut faults = Vec::new();
    for (name, every, missed, run) in TIMETABLE {
        let due = |last, now| every.due(*missed, last, now);
        if let Err(fault) = catch_up(app, &mut conn, name, due, *run, stop).await {
            faults.push(format!("{name}: {fault}"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// Runs what is due of one row of the timetable.
async fn catch_up(
    app: &App,
    conn: &mut AsyncPgConnection,
    name: &'static str,
    due: impl Fn(DateTime<Utc>, DateTime<Utc>) -> Option<DateTime<Utc>>,
    run: TickFn,
    stop: &watch::Receiver<bool>,
) -> QueryResult<()> {
    let now = app.clock.now();
    let fresh = (timetable_runs::name.eq(name), timetable_runs::last_due_at.eq(now));
    diesel::insert_into(timetable_runs::table).values(fresh).on_conflict_do_nothing().execute(conn).await?;
    if app.demo {
        // A demo's clock may have been set back since the last start: what lies ahead of it has not been run.
        let ahead = timetable_runs::table.find(name).filter(timetable_runs::last_due_at.gt(now));
        diesel::update(ahead).set(timetable_runs::last_due_at.eq(now)).execute(conn).await?;
    }
    while !*stop.borrow() {
        let last = timetable_runs::table.find(name).select(timetable_runs::last_due_at).first(conn).await?;
        let Some(due) = due(last, now) else { break };
        run_instant(app, conn, name, last, due, run).await?;
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
) -> QueryResult<()> {
    conn.transaction(async |conn| {
        let mine = diesel::update(timetable_runs::table.find(name).filter(timetable_runs::last_due_at.eq(last)))
            .set(timetable_runs::last_due_at.eq(due))
            .execute(conn)
            .await?;
        if mine == 1 {
            unpanicked(run(app, conn, due)).await.map_err(|fault| diesel::result::Error::QueryBuilderError(fault.into()))?;
        }
        Ok(())
    })
    .await
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

    #[test]
    fn missed_instants_are_run_one_by_one_or_made_up_for_by_the_last() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (last, now) = (at("2019-04-10T22:00:00Z"), at("2026-11-24T06:30:00Z"));
        assert_eq!(Every::Hour.due(Missed::Each, last, now), Some(at("2019-04-10T23:00:00Z")));
        assert_eq!(Every::Hour.due(Missed::Once, last, now), Some(at("2026-11-24T06:00:00Z")));
        for missed in [Missed::Each, Missed::Once] {
            assert_eq!(Every::Hour.due(missed, at("2026-11-24T06:00:00Z"), now), None);
        }
    }

    #[actix_web::test]
    async fn a_panic_is_a_failure_and_not_the_end_of_the_worker() {
        assert_eq!(unpanicked(async { panic!("at the disco") }).await, Err("it panicked".to_owned()));
        assert_eq!(unpanicked(async { Ok(()) }).await, Ok(()));
    }
}
