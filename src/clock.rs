//! The two clocks of the contract. *Wall* time governs tokens, codes, rate limits and the audit trail. *Domain* time governs
//! periods, due dates and jobs; in demo mode it can start at another instant and be moved forward, so that a year can be played.
//! This is the only file that reads the system's clock (clippy.toml bans it elsewhere).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, FixedOffset, NaiveDate, SubsecRound, TimeDelta, Utc};

/// Civil time of the whole system: Asia/Shanghai, without daylight saving since 1991.
pub fn shanghai() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600).expect("eight hours are in range")
}

/// Where the time comes from.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tests stop the wall clock here.
    fixed: Option<DateTime<Utc>>,
    /// Domain time minus wall time, in microseconds.
    shift: AtomicI64,
}

impl Clock {
    /// The system's clock; domain and wall time are the same.
    pub fn system() -> Self {
        Self(Arc::new(Inner { fixed: None, shift: AtomicI64::new(0) }))
    }

    /// The system's clock with domain time starting now at `start`.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        let clock = Self::system();
        clock.0.shift.store((start - clock.wall()).num_microseconds().unwrap_or(0), Ordering::Relaxed);
        clock
    }

    /// Both clocks stand still at `now`, for tests.
    pub fn fixed(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Inner { fixed: Some(now), shift: AtomicI64::new(0) }))
    }

    /// Wall time: tokens, codes, rate limits, audit. In microseconds, as the database keeps it: what is answered at once is what
    /// will be read.
    #[allow(clippy::disallowed_methods)]
    pub fn wall(&self) -> DateTime<Utc> {
        self.0.fixed.unwrap_or_else(|| Utc::now().trunc_subsecs(6))
    }

    /// Domain time: periods, due dates, windows, jobs.
    pub fn now(&self) -> DateTime<Utc> {
        self.wall() + TimeDelta::microseconds(self.0.shift.load(Ordering::Relaxed))
    }

    /// Today in Asia/Shanghai, by domain time.
    pub fn today(&self) -> NaiveDate {
        self.now().with_timezone(&shanghai()).date_naive()
    }

    /// Moves domain time forward. Only demo mode offers this.
    pub fn advance(&self, by: TimeDelta) {
        self.0.shift.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }
}
