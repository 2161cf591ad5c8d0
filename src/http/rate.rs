//! Rate limits per principal and per address, kept in each node's memory. Policies are settings; the outcome travels as
//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::http::header::{HeaderName, RETRY_AFTER};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use super::address::household;
use super::problem::{ApiError, Code};
use crate::config::Rate;

/// `RateLimit`
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `RateLimit-Policy`
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Counted {
    /// An account, wherever it calls from.
    Account(Uuid),
    /// Callers without a token, by address.
    Address(Option<IpAddr>),
}

impl Counted {
    /// Callers without a token, from an address.
    pub fn address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(household))
    }
}

type Limiter = RateLimiter<Counted, DashMapStateStore<Counted>, DefaultClock, StateInformationMiddleware>;

/// The policies of this node.
pub struct Limits {
    policies: Vec<Policy>,
    clock: DefaultClock,
}

struct Policy {
    name: String,
    rate: Rate,
    limiter: Limiter,
}

/// What is left, for the headers.
pub struct Allowance {
    policy: String,
    limit: String,
}

impl Limits {
    /// Builds the policies from their settings.
    pub fn new(rates: &[(String, Rate)]) -> Self {
        let policies = rates
            .iter()
            .map(|(name, rate)| {
                let requests = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
                let quota = Quota::with_period(rate.window / requests.get())
                    .expect("a window is longer than nothing")
                    .allow_burst(requests);
                let limiter = RateLimiter::dashmap(quota).with_middleware::<StateInformationMiddleware>();
                Policy { name: name.clone(), rate: *rate, limiter }
            })
            .collect();
        Self { policies, clock: DefaultClock::default() }
    }

    /// Counts one request. Refused: 429 with `Retry-After`.
    pub fn count(&self, policy: &str, who: &Counted) -> Result<Allowance, ApiError> {
        let policy = self.policies.iter().find(|known| known.name == policy).expect("config.rs demands every policy");
        let allowance = |left: u32, wait: Duration| Allowance {
            policy: format!("\"{}\";q={};w={}", policy.name, policy.rate.requests, policy.rate.window.as_secs()),
            limit: format!("\"{}\";r={left};t={}", policy.name, wait.as_secs_f64().ceil() as u64),
        };
        match policy.limiter.check_key(who) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let used = policy.rate.requests.saturating_sub(left);
                Ok(allowance(left, policy.rate.window / policy.rate.requests.max(1) * used))
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.clock.now()).max(Duration::from_secs(1));
                let seconds = (wait.as_secs_f64().ceil() as u64).to_string();
                Err(allowance(0, wait).headers().into_iter().fold(
                    ApiError::from(Code::RateLimited)
                        .with("retry_after_seconds", seconds.parse::<u64>().unwrap_or(1).into())
                        .with_header(RETRY_AFTER, &seconds),
                    |error, (name, value)| error.with_header(name, &value),
                ))
            }
        }
    }

    /// Forgets callers that have all their allowance back; a timetable job calls it.
    pub fn forget_idle(&self) {
        for policy in &self.policies {
            policy.limiter.retain_recent();
        }
    }
}

impl Allowance {
    /// The two headers.
    pub fn headers(self) -> [(HeaderName, String); 2] {
        [(RATE_LIMIT_POLICY, self.policy), (RATE_LIMIT, self.limit)]
    }
}
