//! Records that look like one person: what is alike, and what somebody has decided about it.

use std::collections::HashMap;

use actix_web::{get, post};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::owned;
use super::{Around, PersonView};
use crate::audit::Change;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiError, ApiResult, Call, Code, Command, CommandHeaders, PageRequest, Path, Query, Reply};
use crate::ids::{MergeSuggestionId, OrganizationId, PersonId};
use crate::organizations::rules::{MergeReason, SuggestionStatus};
use crate::organizations::store::people;
use crate::organizations::store::people::Person;
use crate::organizations::store::suggestions::{self as store, MergeSuggestion};
use crate::{filters, page_schema, text_enum};

filters! {
    /// Filters of suggestions to merge.
    SuggestionFilter {
        /// Only those with a record that is readable in the subtree of this organization.
        within: OrganizationId,
        /// Only those about this person.
        person_id: PersonId,
        /// Only these states.
        status: Vec<SuggestionStatus>,
        /// Only those for one of these reasons.
        reason: Vec<MergeReason>,
        /// Made at or after this instant.
        created_at_gte: DateTime<Utc>,
        /// Made before this instant.
        created_at_lt: DateTime<Utc>,
        /// Changed at or after this instant.
        updated_at_gte: DateTime<Utc>,
        /// Changed before this instant.
        updated_at_lt: DateTime<Utc>,
    }
}

/// Two records that look like one person.
#[derive(Serialize, ToSchema)]
pub struct MergeSuggestionView {
    /// Its id.
    pub id: MergeSuggestionId,
    /// The older record.
    #[schema(required = true)]
    pub person: Option<PersonView>,
    /// The other one.
    #[schema(required = true)]
    pub other: Option<PersonView>,
    /// What is alike.
    #[schema(max_items = 10)]
    pub reasons: Vec<MergeReason>,
    /// What somebody has decided.
    pub status: SuggestionStatus,
    /// Why they are two people.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub dismiss_reason: Option<String>,
    /// What the caller may do about it now: `merge` is `POST /people/{id}/merge` of either record.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// Raised by every change.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

page_schema!(MergeSuggestionPage, MergeSuggestionView);

/// The records that some suggestions are about.
struct Records {
    people: HashMap<PersonId, Person>,
    around: Around,
}

impl Records {
    async fn load(call: &Call, conn: &AsyncPgConnection, rows: &[MergeSuggestion]) -> ApiResult<Self> {
        let ids: Vec<PersonId> = rows.iter().flat_map(|row| [row.person_id, row.other_id]).collect();
        let people = people::by_ids(conn, &ids).await?;
        let around = Around::load(call, conn, &people).await?;
        Ok(Self { people: people.into_iter().map(|person| (person.id, person)).collect(), around })
    }

    fn view(&self, row: MergeSuggestion) -> MergeSuggestionView {
        let both = [row.person_id, row.other_id].map(|id| self.people.get(&id));
        let writable = both.iter().all(|person| person.is_some_and(|person| self.around.write.contains(&person.organization_id)));
        let [person, other] = both.map(|person| person.cloned().map(|person| self.around.view(person)));
        MergeSuggestionView {
            id: row.id,
            person,
            other,
            reasons: row.reasons,
            status: row.status,
            dismiss_reason: row.dismiss_reason,
            allowed_actions: if writable { owned(row.status.actions()) } else { vec![] },
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Path of a suggestion.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MergeSuggestionPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8011-000000000001")]
    pub id: MergeSuggestionId,
}

/// 疑似重复人员 · List suggestions to merge
///
/// Records of the caller's subtree that look like one person: the same telephone, or the same name and year of birth in one line of guidance. Only pairs of which she may read both.
#[utoipa::path(
    tag = "people",
    params(SuggestionFilter, Sorting, Paging),
    responses((status = OK, body = MergeSuggestionPage, description = "One page of suggestions."))
)]
#[get("/api/v1/merge-suggestions")]
pub async fn list_merge_suggestions(call: Call, filter: Query<SuggestionFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, call.today(), &page).await?;
    let records = Records::load(&call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| records.view(row))
}

text_enum! {
    /// By what suggestions are counted.
    SuggestionsBy {
        /// By what was decided.
        Status = "status", "状态", "Status";
    }
}

/// How to count suggestions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SuggestionCounts {
    /// By what.
    #[param(inline)]
    by: SuggestionsBy,
}

/// 疑似重复计数 · Count suggestions to merge
///
/// How many suggestions of the caller's subtree there are in each state.
#[utoipa::path(
    tag = "people",
    params(SuggestionCounts, SuggestionFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/merge-suggestions/counts")]
pub async fn count_merge_suggestions(
    call: Call,
    counts: Query<SuggestionCounts>,
    filter: Query<SuggestionFilter>,
) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, call.today(), counts.by).await?)
}

/// 疑似重复详情 · Get a suggestion to merge
///
/// One suggestion with both records, personal numbers masked.
#[utoipa::path(
    tag = "people",
    params(MergeSuggestionPath),
    responses((status = OK, body = MergeSuggestionView, description = "The suggestion."))
)]
#[get("/api/v1/merge-suggestions/{id}")]
pub async fn get_merge_suggestion(call: Call, path: Path<MergeSuggestionPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id, call.today()).await?;
    let version = row.version;
    let records = Records::load(&call, &conn, std::slice::from_ref(&row)).await?;
    Reply::item(&records.view(row), version)
}

/// Why two records are two people.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "reason": "同名不同人，已电话核实" })))]
pub struct DismissMergeSuggestion {
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 排除疑似重复 · Dismiss a suggestion to merge
///
/// They are two people: the pair is not suggested again. Needs the right over both records.
#[utoipa::path(
    tag = "people",
    params(MergeSuggestionPath, CommandHeaders),
    request_body = DismissMergeSuggestion,
    responses((status = OK, body = MergeSuggestionView, description = "The suggestion."))
)]
#[post("/api/v1/merge-suggestions/{id}/dismiss")]
pub async fn dismiss_merge_suggestion(command: Command, path: Path<MergeSuggestionPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let (scope, today, call) = (tx.scope(), tx.today(), tx.call.clone());
            let before = store::lock(tx.conn(), &scope, id, today).await?;
            let records = Records::load(&call, tx.conn(), std::slice::from_ref(&before)).await?;
            let kept = |id: PersonId| records.people.get(&id).map(|person| person.organization_id);
            let (Some(place), Some(other)) = (kept(before.person_id), kept(before.other_id)) else {
                return Err(Code::NotFound.into());
            };
            tx.require(place).await?;
            tx.require(other).await?;
            tx.check_version(before.version)?;
            if before.status != SuggestionStatus::Open {
                return Err(ApiError::not_now(before.status.as_str(), before.status.actions()));
            }
            let body: DismissMergeSuggestion = tx.body()?;
            let now = tx.now();
            let after = store::dismiss(tx.conn(), id, &body.reason, now).await?;
            let change = Change::of("merge_suggestion.dismissed", "merge_suggestion", id, place);
            let pair = serde_json::json!({ "person_id": after.person_id, "other_id": after.other_id, "reasons": after.reasons });
            tx.record(change.after(&pair).because(&body.reason)).await?;
            let version = after.version;
            Reply::item(&records.view(after), version)
        })
        .await
}
