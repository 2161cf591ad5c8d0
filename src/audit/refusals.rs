//! Refusals are entries too, in a transaction of their own, for the one that was refused is rolled back. Whoever is refused again
//! and again gets so many entries in a minute; the rest is counted, and the count is an entry when the minute is over. Nothing of
//! what was asked is kept but the operation and the id of the object.

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{Actor, Change, record};
use crate::app::App;
use crate::ids::OrganizationId;
use crate::vault::hex;

/// Entries of one principal in one minute.
pub const PER_MINUTE: u32 = 10;
/// Principals that are told apart in one minute; the others share one count.
const PRINCIPALS: usize = 10_000;

/// Who was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A signed-in account.
    Account(Uuid),
    /// Somebody who is not signed in, by the keyed hash of her network.
    Network(Vec<u8>),
    /// One of too many.
    Others,
}

/// What was counted in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    who: Principal,
    place: Option<OrganizationId>,
    minute: i64,
    count: u32,
}

struct Window {
    minute: i64,
    place: Option<OrganizationId>,
    seen: u32,
}

#[derive(Default)]
struct Counts {
    windows: HashMap<Principal, Window>,
    over: Vec<LeftOut>,
}

/// The refusals of the current minute on this node.
#[derive(Default)]
pub struct Refusals(Mutex<Counts>);

impl Refusals {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Counts one refusal; whether it becomes an entry. `place` may read of what was left out.
    fn admits(&self, who: &Principal, place: Option<OrganizationId>, now: DateTime<Utc>) -> bool {
        let (minute, mut counts) = (now.timestamp() / 60, self.counts());
        let crowded = counts.windows.len() >= PRINCIPALS && !counts.windows.contains_key(who);
        let who = if crowded { Principal::Others } else { who.clone() };
        if counts.windows.get(&who).is_some_and(|window| window.minute != minute) {
            counts.close(&who);
        }
        let window = counts.windows.entry(who).or_insert(Window { minute, place, seen: 0 });
        window.seen += 1;
        window.seen <= PER_MINUTE
    }

    /// Takes what was left out in minutes that are over, or in all.
    fn take(&self, now: Option<DateTime<Utc>>) -> Vec<LeftOut> {
        let minute = now.map(|now| now.timestamp() / 60);
        let mut counts = self.counts();
        let over: Vec<Principal> =
            counts.windows.iter().filter(|(_, window)| Some(window.minute) != minute).map(|(who, _)| who.clone()).collect();
        over.iter().for_each(|who| counts.close(who));
        take(&mut counts.over)
    }
}

impl Counts {
    fn close(&mut self, who: &Principal) {
        let Some((who, window)) = self.windows.remove_entry(who) else { return };
        let count = window.seen.saturating_sub(PER_MINUTE);
        if count > 0 {
            self.over.push(LeftOut { who, place: window.place, minute: window.minute, count });
        }
    }
}

/// Writes a refusal, unless its principal has had enough of them. The connection must be in no transaction. A fault is logged:
/// the refusal stands all the same.
pub async fn refuse(
    app: &App,
    conn: &mut AsyncPgConnection,
    who: &Principal,
    place: Option<OrganizationId>,
    actor: &Actor,
    change: Change,
) {
    let now = app.clock.wall();
    if app.rehearsal || !app.refusals.admits(who, place, now) {
        return;
    }
    if let Err(fault) = record(conn, now, actor, change).await {
        log::error!(cause = fault.to_string().as_str(); "a refusal could not be recorded");
    }
}

/// Writes what was left out in minutes that are over, or in all where the service ends.
pub async fn settle(app: &App, ending: bool) {
    let now = app.clock.wall();
    let left_out = app.refusals.take((!ending).then_some(now));
    if left_out.is_empty() {
        return;
    }
    let Ok(mut conn) = app.db.transaction_connection().await else {
        return log::error!(count = left_out.len(); "what was left out of the refusals could not be recorded");
    };
    for LeftOut { who, place, minute, count } in left_out {
        let from = DateTime::from_timestamp(minute * 60, 0).unwrap_or_default();
        let network = if let Principal::Network(hash) = &who { Some(hex(hash)) } else { None };
        let actor = match who {
            Principal::Account(account) => Actor { account_id: Some(account), ..Actor::default() },
            _ => Actor::default(),
        };
        let what = json!({ "left_out": count, "minute": from, "network": network });
        let change = Change::refused("refusals.left_out", "request", None, place).after(&what);
        if let Err(fault) = record(&mut conn, now, &actor, change).await {
            log::error!(cause = fault.to_string().as_str(); "what was left out of the refusals could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_so_many_in_a_minute_and_the_rest_is_counted() {
        let refusals = Refusals::default();
        let at = |second: i64| DateTime::from_timestamp(6000 + second, 0).unwrap();
        let (one, two) = (Principal::Account(Uuid::from_u128(1)), Principal::Network(vec![2]));
        let admitted = |who: &Principal, second| (0..25).filter(|_| refusals.admits(who, None, at(second))).count();
        assert_eq!((admitted(&one, 0), admitted(&two, 59)), (10, 10));
        assert_eq!(refusals.take(Some(at(59))), []);
        assert_eq!(admitted(&one, 60), 10, "a new minute");
        let left_out = |who: &Principal, minute| LeftOut { who: who.clone(), place: None, minute, count: 15 };
        assert_eq!(refusals.take(Some(at(61))), [left_out(&one, 100), left_out(&two, 100)]);
        assert_eq!(refusals.take(None), [left_out(&one, 101)]);
        assert_eq!(refusals.take(None), []);
    }

    #[test]
    fn too_many_principals_share_one_count() {
        let refusals = Refusals::default();
        let now = DateTime::from_timestamp(6000, 0).unwrap();
        for number in 0..PRINCIPALS as u128 + 25 {
            refusals.admits(&Principal::Account(Uuid::from_u128(number)), None, now);
        }
        assert_eq!(refusals.take(None), [LeftOut { who: Principal::Others, place: None, minute: 100, count: 15 }]);
    }
}
