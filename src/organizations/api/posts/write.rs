//! Letting a person hold a position, correcting and ending it.

use actix_web::{post, put};
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::{Faults, taken};
use super::{PostPath, PostView, view_of};
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Command, CommandHeaders, FieldError, KeyHeader, Path, Reply, Tx, VersionHeader};
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::organizations::rules::{EmploymentMode, OrganizationStatus, PostPosition, PostStatus, Secondment};
use crate::organizations::store::posts::{self as store, Post, PostEdit};
use crate::organizations::store::{organizations, people};
use crate::work_items::{self, POST_EXPIRING};

/// What two posts may not share, told at the field.
const UNIQUE: &[(&str, &str)] = &[("posts_one_chair", "/position"), ("posts_once", "/from_on")];

/// A new post.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "person_id": "0168028c-2f00-7000-8001-000000000001",
    "position": "standing_member",
    "employment_mode": "part_time",
    "secondment": null,
    "from_on": "2019-04-10",
    "to_on": "2024-04-09",
    "appointed_by": "区妇联执委会"
})))]
pub struct NewPost {
    /// Where it is.
    pub organization_id: OrganizationId,
    /// Who holds it.
    pub person_id: PersonId,
    /// Which position.
    pub position: PostPosition,
    /// Full-time, part-time or attached.
    pub employment_mode: EmploymentMode,
    /// Secondment up or down; null: none.
    pub secondment: Option<Secondment>,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    pub to_on: Option<NaiveDate>,
    /// Congress, plenary or document that elected or appointed her.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub appointed_by: Option<String>,
}

/// 新建职务 · Create a post
///
/// Lets a person hold a position. An organization has one chair at a time; nobody holds the same position there twice at a time.
#[utoipa::path(
    tag = "people",
    params(KeyHeader),
    request_body = NewPost,
    responses((status = CREATED, body = PostView, description = "The post."))
)]
#[post("/api/v1/posts")]
pub async fn create_post(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_at("organization_id").await?;
            let body: NewPost = tx.body()?;
            let scope = tx.scope();
            let organization = organizations::hold(tx.conn(), &scope, body.organization_id).await?;
            let active = organization.is_some_and(|found| found.status == OrganizationStatus::Active);
            let today = tx.today();
            let known = people::hold(tx.conn(), &scope, body.person_id, today).await?;
            let mut faults = Faults::default();
            faults.check(active, || FieldError::unknown_reference("/organization_id"));
            faults.check(known, || FieldError::unknown_reference("/person_id"));
            check_dates(&mut faults, body.from_on, body.to_on);
            faults.done()?;
            let now = tx.now();
            let row = Post {
                id: PostId::generate(),
                organization_id: body.organization_id,
                person_id: body.person_id,
                position: body.position,
                employment_mode: body.employment_mode,
                secondment: body.secondment,
                from_on: body.from_on,
                to_on: body.to_on,
                appointed_by: body.appointed_by,
                end_reason: None,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            let row = store::insert(tx.conn(), &row).await.map_err(|error| taken(error, UNIQUE))?;
            let (id, version) = (row.id, row.version);
            let view = view_of(tx, row).await?;
            tx.record(Change::of("post.created", "post", id, view.organization_id).after(&view)).await?;
            Reply::created(format!("/api/v1/posts/{id}"), &view, version)
        })
        .await
}

fn check_dates(faults: &mut Faults, from_on: NaiveDate, to_on: Option<NaiveDate>) {
    faults.check(to_on.is_none_or(|last| last >= from_on), || {
        FieldError::at("/to_on", "before_start", "不能早于开始日期", "must not be before from_on")
    });
}

/// The editable fields of a post: all of them, null clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "employment_mode": "part_time",
    "secondment": null,
    "from_on": "2019-01-01",
    "to_on": "2023-12-31",
    "appointed_by": "区第九次妇女代表大会"
})))]
pub struct EditPost {
    /// Full-time, part-time or attached.
    pub employment_mode: EmploymentMode,
    /// Secondment up or down; null: none.
    #[schema(required = true)]
    pub secondment: Option<Secondment>,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    #[schema(required = true)]
    pub to_on: Option<NaiveDate>,
    /// Congress, plenary or document that elected or appointed her.
    #[schema(required = true, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub appointed_by: Option<String>,
}

/// 修改职务 · Change a post
///
/// Corrects a post. Another person or position is another post.
#[utoipa::path(
    tag = "people",
    params(PostPath, VersionHeader),
    request_body = EditPost,
    responses((status = OK, body = PostView, description = "The post."))
)]
#[put("/api/v1/posts/{id}")]
pub async fn update_post(command: Command, path: Path<PostPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let scope = tx.scope();
            let before = store::lock(tx.conn(), &scope, id).await?;
            tx.require(before.organization_id).await?;
            tx.check_version(before.version)?;
            let body: EditPost = tx.body()?;
            let mut faults = Faults::default();
            check_dates(&mut faults, body.from_on, body.to_on);
            faults.done()?;
            let edit = PostEdit {
                employment_mode: body.employment_mode,
                secondment: body.secondment,
                from_on: body.from_on,
                to_on: body.to_on,
                appointed_by: body.appointed_by,
                // Why it ends belongs to the day on which it was to end.
                end_reason: before.end_reason.clone().filter(|_| body.to_on == before.to_on),
            };
            let (now, by) = (tx.now(), tx.caller()?.account_id);
            let after = store::update(tx.conn(), id, &edit, now).await.map_err(|error| taken(error, UNIQUE))?;
            if after.to_on != before.to_on {
                work_items::close(tx.conn(), &POST_EXPIRING, id.0, Some(by), now).await?;
            }
            let view = changed(tx, "post.changed", before, after, None).await?;
            Reply::item(&view, view.version)
        })
        .await
}

async fn changed(tx: &mut Tx, action: &'static str, before: Post, after: Post, reason: Option<&str>) -> ApiResult<PostView> {
    let (old, new) = (view_of(tx, before).await?, view_of(tx, after).await?);
    let change = Change::of(action, "post", new.id, new.organization_id).before(&old).after(&new);
    tx.record(match reason {
        Some(reason) => change.because(reason),
        None => change,
    })
    .await?;
    Ok(new)
}

/// When and why a post ends.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "to_on": "2019-04-10", "reason": "届满" })))]
pub struct EndPost {
    /// Last day.
    pub to_on: NaiveDate,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 卸任 · End a post
///
/// Sets the last day of a post that is held or about to begin, with a reason.
#[utoipa::path(
    tag = "people",
    params(PostPath, CommandHeaders),
    request_body = EndPost,
    responses((status = OK, body = PostView, description = "The post."))
)]
#[post("/api/v1/posts/{id}/end")]
pub async fn end_post(command: Command, path: Path<PostPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let view = end(tx, id, None, async |tx: &Tx| tx.body::<EndPost>()).await?;
            Reply::item(&view, view.version)
        })
        .await
}

/// Ends one post: alone, or as an item of a batch that gives its version.
pub async fn end(
    tx: &mut Tx,
    id: PostId,
    version: Option<i32>,
    body: impl AsyncFnOnce(&Tx) -> ApiResult<EndPost>,
) -> ApiResult<PostView> {
    let scope = tx.scope();
    let before = store::lock(tx.conn(), &scope, id).await?;
    tx.require(before.organization_id).await?;
    match version {
        Some(version) => tx.check_item_version(version, before.version)?,
        None => tx.check_version(before.version)?,
    }
    let status = PostStatus::on(tx.today(), before.from_on, before.to_on);
    if !status.actions().contains(&"end") {
        return Err(ApiError::not_now(status.as_str(), status.actions()));
    }
    let body = body(tx).await?;
    let mut faults = Faults::default();
    check_dates(&mut faults, before.from_on, Some(body.to_on));
    faults.check(before.to_on.is_none_or(|last| body.to_on <= last), || {
        FieldError::at("/to_on", "after_end", "不能晚于原定的结束日期", "must not be after the day on which it ends already")
    });
    faults.done()?;
    let (now, by) = (tx.now(), tx.caller()?.account_id);
    let after = store::end(tx.conn(), id, body.to_on, &body.reason, now).await.map_err(|error| taken(error, UNIQUE))?;
    work_items::close(tx.conn(), &POST_EXPIRING, id.0, Some(by), now).await?;
    changed(tx, "post.ended", before, after, Some(&body.reason)).await
}
