//! Suggestions to merge two records. One is readable for whoever may read both.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::people::readable;
use crate::access::Scope;
use crate::db::page::{Condition, all_of, anew};
use crate::db::schema::person_merge_suggestions as suggestions;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{MergeSuggestionId, PersonId};
use crate::organizations::api::people::{SuggestionFilter, SuggestionsBy};
use crate::organizations::rules::{MergeReason, SuggestionStatus};
use crate::{count_by, load_page, when};

/// A suggestion as it is stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = suggestions)]
#[allow(missing_docs)]
pub struct MergeSuggestion {
    pub id: MergeSuggestionId,
    pub person_id: PersonId,
    pub other_id: PersonId,
    pub reasons: Vec<MergeReason>,
    pub status: SuggestionStatus,
    pub dismiss_reason: Option<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

fn matching<'a>(scope: &Scope, filter: &'a SuggestionFilter, today: NaiveDate) -> Condition<'a, suggestions::table> {
    let both = suggestions::person_id.eq_any(readable(scope.places(), today));
    let both = both.and(suggestions::other_id.eq_any(readable(scope.places(), today)));
    let mut all: Vec<Condition<'a, suggestions::table>> = vec![Box::new(anew(both).nullable())];
    when!(all,
        filter.within, |top| suggestions::person_id.eq_any(readable(&[*top], today))
            .or(suggestions::other_id.eq_any(readable(&[*top], today)));
        filter.person_id, |id| suggestions::person_id.eq(id).or(suggestions::other_id.eq(id));
        filter.status, |statuses| suggestions::status.eq_any(statuses);
        filter.reason, |reasons| suggestions::reasons.overlaps_with(reasons);
        filter.created_at_gte, |from| suggestions::created_at.ge(from);
        filter.created_at_lt, |before| suggestions::created_at.lt(before);
        filter.updated_at_gte, |from| suggestions::updated_at.ge(from);
        filter.updated_at_lt, |before| suggestions::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of the suggestions of which both records are in a scope.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &SuggestionFilter,
    today: NaiveDate,
    page: &PageRequest,
) -> QueryResult<Listed<MergeSuggestion>> {
    let rows = || suggestions::table.filter(matching(scope, filter, today));
    load_page!(conn, page, rows(), MergeSuggestion::as_select(), by(suggestions::id, suggestions::updated_at))
}

/// How many there are of each state.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &SuggestionFilter,
    today: NaiveDate,
    by: SuggestionsBy,
) -> QueryResult<Vec<Counted>> {
    let rows = suggestions::table.filter(matching(scope, filter, today));
    match by {
        SuggestionsBy::Status => count_by!(conn, rows, suggestions::status),
    }
}

/// One suggestion of which both records are in a scope.
pub async fn find(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    id: MergeSuggestionId,
    today: NaiveDate,
) -> QueryResult<MergeSuggestion> {
    suggestions::table
        .find(id)
        .filter(suggestions::person_id.eq_any(readable(scope.places(), today)))
        .filter(suggestions::other_id.eq_any(readable(scope.places(), today)))
        .select(MergeSuggestion::as_select())
        .first(&mut conn)
        .await
}

/// Locks one suggestion of which both records are in a scope until the transaction ends.
pub async fn lock(
    conn: &mut AsyncPgConnection,
    scope: &Scope,
    id: MergeSuggestionId,
    today: NaiveDate,
) -> QueryResult<MergeSuggestion> {
    suggestions::table
        .find(id)
        .filter(suggestions::person_id.eq_any(readable(scope.places(), today)))
        .filter(suggestions::other_id.eq_any(readable(scope.places(), today)))
        .select(MergeSuggestion::as_select())
        .for_update()
        .first(conn)
        .await
}

/// They are two people.
pub async fn dismiss(
    conn: &mut AsyncPgConnection,
    id: MergeSuggestionId,
    reason: &str,
    now: DateTime<Utc>,
) -> QueryResult<MergeSuggestion> {
    diesel::update(suggestions::table.find(id))
        .set((
            suggestions::status.eq(SuggestionStatus::Dismissed),
            suggestions::dismiss_reason.eq(reason),
            suggestions::version.eq(suggestions::version + 1),
            suggestions::updated_at.eq(now),
        ))
        .returning(MergeSuggestion::as_returning())
        .get_result(conn)
        .await
}

/// They were one person: the suggestion is settled, and of others about the record that has gone nothing is left to decide.
pub async fn settle(conn: &mut AsyncPgConnection, merged: PersonId, into: PersonId, now: DateTime<Utc>) -> QueryResult<()> {
    let (one, other) = (merged.min(into), merged.max(into));
    diesel::update(suggestions::table.filter(suggestions::person_id.eq(one)).filter(suggestions::other_id.eq(other)))
        .set((
            suggestions::status.eq(SuggestionStatus::Merged),
            suggestions::dismiss_reason.eq(None::<String>),
            suggestions::version.eq(suggestions::version + 1),
            suggestions::updated_at.eq(now),
        ))
        .execute(conn)
        .await?;
    let moot = suggestions::status.eq(SuggestionStatus::Open);
    let moot = moot.and(suggestions::person_id.eq(merged).or(suggestions::other_id.eq(merged)));
    diesel::delete(suggestions::table.filter(moot)).execute(conn).await.map(drop)
}

/// Writes many suggestions; those that are there stay as they are. Returns how many are new.
pub async fn insert_many(conn: &mut AsyncPgConnection, rows: &[MergeSuggestion]) -> QueryResult<usize> {
    diesel::insert_into(suggestions::table).values(rows).on_conflict_do_nothing().execute(conn).await
}
