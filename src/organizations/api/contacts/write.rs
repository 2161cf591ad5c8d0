//! Assigning, correcting and ending.

use actix_web::{post, put};
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::{Faults, taken};
use super::{ContactAssignmentPath, ContactAssignmentView, view_of};
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Command, CommandHeaders, FieldError, KeyHeader, Path, Reply, Tx, VersionHeader};
use crate::ids::{ContactAssignmentId, OrganizationId, PostId};
use crate::organizations::rules::{ContactStatus, EXECUTIVES, OrganizationStatus, PostStatus};
use crate::organizations::store::contacts::{self as store, Contact, ContactEdit};
use crate::organizations::store::posts::Post;
use crate::organizations::store::{organizations, people, posts, tree};

/// Nobody looks after one area twice at a time.
const UNIQUE: &[(&str, &str)] = &[("contact_assignments_once", "/from_on")];

/// A new assignment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "organization_id": "0168028c-2f00-7000-8000-430602000000",
    "post_id": "0168028c-2f00-7000-8002-000000000001",
    "area_organization_id": "0168028c-2f00-7000-8000-430602001002",
    "area": null,
    "households_count": 30,
    "women_count": 42,
    "from_on": "2019-04-10",
    "to_on": null,
    "remark": "每月走访一次"
})))]
pub struct NewContactAssignment {
    /// Whose contact system it belongs to.
    pub organization_id: OrganizationId,
    /// The post by which she is assigned: chair, vice-chair, standing or executive member there or above, held today.
    pub post_id: PostId,
    /// The village, township or other body she looks after, in the subtree of the organization.
    pub area_organization_id: Option<OrganizationId>,
    /// A part of it, or an area that is no organization. One of the two is needed.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub area: Option<String>,
    /// How many households.
    #[schema(minimum = 0, maximum = 1000000)]
    pub households_count: Option<i32>,
    /// How many women.
    #[schema(minimum = 0, maximum = 1000000)]
    pub women_count: Option<i32>,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    pub to_on: Option<NaiveDate>,
    /// A remark.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub remark: Option<String>,
}

/// 新建联系安排 · Create a contact assignment
///
/// Lets a member of the executive committee of the organization, or of one above it, look after the women of an area in its subtree. Nobody looks after the same area twice at a time.
#[utoipa::path(
    tag = "people",
    params(KeyHeader),
    request_body = NewContactAssignment,
    responses((status = CREATED, body = ContactAssignmentView, description = "The assignment."))
)]
#[post("/api/v1/contact-assignments")]
pub async fn create_contact_assignment(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_at("organization_id").await?;
            let body: NewContactAssignment = tx.body()?;
            let (scope, today) = (tx.scope(), tx.today());
            let mut faults = Faults::default();
            let organization = organizations::hold(tx.conn(), &scope, body.organization_id).await?;
            let active = organization.is_some_and(|found| found.status == OrganizationStatus::Active);
            faults.check(active, || FieldError::unknown_reference("/organization_id"));
            // The person before the post, as a merger of records locks them.
            let person = posts::holder(tx.conn(), &scope, body.post_id).await?;
            if let Some(person) = person {
                people::hold(tx.conn(), &scope, person, today).await?;
            }
            let post = posts::hold(tx.conn(), &scope, body.post_id).await?;
            let post = post.filter(|post| Some(post.person_id) == person);
            match &post {
                Some(post) => check_post(tx, &mut faults, post, body.organization_id, body.from_on).await?,
                None => faults.check(false, || FieldError::unknown_reference("/post_id")),
            }
            check_area(tx, &mut faults, body.organization_id, body.area_organization_id, body.area.as_deref()).await?;
            check_dates(&mut faults, body.from_on, body.to_on);
            faults.done()?;
            let Some(post) = post else { return Err(ApiError::invalid(vec![FieldError::unknown_reference("/post_id")])) };
            let now = tx.now();
            let row = Contact {
                id: ContactAssignmentId::generate(),
                organization_id: body.organization_id,
                post_id: post.id,
                person_id: post.person_id,
                area_organization_id: body.area_organization_id,
                area: body.area,
                households_count: body.households_count,
                women_count: body.women_count,
                from_on: body.from_on,
                to_on: body.to_on,
                end_reason: None,
                remark: body.remark,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            let row = store::insert(tx.conn(), &row).await.map_err(|error| taken(error, UNIQUE))?;
            let (id, version) = (row.id, row.version);
            let view = view_of(tx, row).await?;
            let change = Change::of("contact_assignment.created", "contact_assignment", id, view.organization_id);
            tx.record(change.after(&view)).await?;
            Reply::created(format!("/api/v1/contact-assignments/{id}"), &view, version)
        })
        .await
}

/// She holds the post today, it is one of the executive committee of the organization or of one above it, and it was hers on the
/// first day.
async fn check_post(
    tx: &mut Tx,
    faults: &mut Faults,
    post: &Post,
    organization: OrganizationId,
    from_on: NaiveDate,
) -> ApiResult<()> {
    let fault = |code, zh: &'static str, en: &'static str| FieldError::at("/post_id", code, zh, en);
    let held = PostStatus::on(tx.today(), post.from_on, post.to_on) == PostStatus::Current;
    faults.check(held, || fault("not_held", "该职务今天不在任", "is not held today"));
    faults.check(EXECUTIVES.contains(&post.position), || {
        fault("position", "只能是主席、副主席、常委或执委", "must be chair, vice-chair, standing or executive member")
    });
    let near = tree::is_below(tx.conn(), organization, post.organization_id).await?;
    faults
        .check(near, || fault("placement", "须为本组织或其上级的职务", "must be a post of the organization or of one above it"));
    check_first_day(faults, from_on, (post.from_on, post.to_on));
    Ok(())
}

/// She holds the post on the first day.
fn check_first_day(faults: &mut Faults, from_on: NaiveDate, (first, last): (NaiveDate, Option<NaiveDate>)) {
    faults.check(from_on >= first && last.is_none_or(|last| from_on <= last), || {
        FieldError::at("/from_on", "outside_post", "不在该职务的任期内", "is no day on which she holds the post")
    });
}

/// The area is an active organization in the subtree, or is told in words.
async fn check_area(
    tx: &mut Tx,
    faults: &mut Faults,
    organization: OrganizationId,
    area_organization: Option<OrganizationId>,
    area: Option<&str>,
) -> ApiResult<()> {
    faults.check(area_organization.is_some() || area.is_some(), || {
        FieldError::at("/area", "required", "请填写联系区域", "say which area, by its organization or in words")
    });
    let Some(place) = area_organization else { return Ok(()) };
    let below = tree::is_below(tx.conn(), place, organization).await?;
    let scope = tx.scope();
    let found = organizations::hold(tx.conn(), &scope, place).await?;
    let active = found.is_some_and(|found| found.status == OrganizationStatus::Active);
    faults.check(active && below, || FieldError::unknown_reference("/area_organization_id"));
    Ok(())
}

fn check_dates(faults: &mut Faults, from_on: NaiveDate, to_on: Option<NaiveDate>) {
    faults.check(to_on.is_none_or(|last| last >= from_on), || {
        FieldError::at("/to_on", "before_start", "不能早于开始日期", "must not be before from_on")
    });
}

/// The editable fields of an assignment: all of them, null clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "area_organization_id": "0168028c-2f00-7000-8000-430602001001",
    "area": null,
    "households_count": 35,
    "women_count": 48,
    "from_on": "2019-03-01",
    "to_on": null,
    "remark": null
})))]
pub struct EditContactAssignment {
    /// The village, township or other body she looks after.
    #[schema(required = true)]
    pub area_organization_id: Option<OrganizationId>,
    /// A part of it, or an area that is no organization. One of the two is needed.
    #[schema(required = true, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub area: Option<String>,
    /// How many households.
    #[schema(required = true, minimum = 0, maximum = 1000000)]
    pub households_count: Option<i32>,
    /// How many women.
    #[schema(required = true, minimum = 0, maximum = 1000000)]
    pub women_count: Option<i32>,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; null: open.
    #[schema(required = true)]
    pub to_on: Option<NaiveDate>,
    /// A remark.
    #[schema(required = true, min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub remark: Option<String>,
}

/// 修改联系安排 · Change a contact assignment
///
/// Corrects an assignment. Another person is another assignment.
#[utoipa::path(
    tag = "people",
    params(ContactAssignmentPath, VersionHeader),
    request_body = EditContactAssignment,
    responses((status = OK, body = ContactAssignmentView, description = "The assignment."))
)]
#[put("/api/v1/contact-assignments/{id}")]
pub async fn update_contact_assignment(command: Command, path: Path<ContactAssignmentPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            // Before the assignment itself: who ends an organization holds the tree first and its assignments then.
            tree::lock_shared(tx.conn()).await?;
            let scope = tx.scope();
            let before = store::lock(tx.conn(), &scope, id).await?;
            tx.require(before.organization_id).await?;
            tx.check_version(before.version)?;
            let body: EditContactAssignment = tx.body()?;
            let mut faults = Faults::default();
            let area = body.area.as_deref();
            // What was there stays, though the village may have merged or moved since.
            if body.area_organization_id != before.area_organization_id || body.area_organization_id.is_none() {
                check_area(tx, &mut faults, before.organization_id, body.area_organization_id, area).await?;
            }
            check_dates(&mut faults, body.from_on, body.to_on);
            if body.from_on != before.from_on {
                let days = posts::days(tx.conn(), before.post_id).await?;
                check_first_day(&mut faults, body.from_on, days);
            }
            faults.done()?;
            let edit = ContactEdit {
                area_organization_id: body.area_organization_id,
                area: body.area,
                households_count: body.households_count,
                women_count: body.women_count,
                from_on: body.from_on,
                to_on: body.to_on,
                // Why it ends belongs to the day on which it was to end.
                end_reason: before.end_reason.clone().filter(|_| body.to_on == before.to_on),
                remark: body.remark,
            };
            let now = tx.now();
            let after = store::update(tx.conn(), id, &edit, now).await.map_err(|error| taken(error, UNIQUE))?;
            changed(tx, "contact_assignment.changed", before, after, None).await
        })
        .await
}

async fn changed(tx: &mut Tx, action: &'static str, before: Contact, after: Contact, reason: Option<&str>) -> ApiResult<Reply> {
    let (old, new) = (view_of(tx, before).await?, view_of(tx, after).await?);
    let change = Change::of(action, "contact_assignment", new.id, new.organization_id).before(&old).after(&new);
    tx.record(match reason {
        Some(reason) => change.because(reason),
        None => change,
    })
    .await?;
    Reply::item(&new, new.version)
}

/// When and why an assignment ends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "to_on": "2019-04-10", "reason": "分工调整" })))]
pub struct EndContactAssignment {
    /// Last day.
    pub to_on: NaiveDate,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 结束联系安排 · End a contact assignment
///
/// Sets the last day of an assignment that has not ended, with a reason.
#[utoipa::path(
    tag = "people",
    params(ContactAssignmentPath, CommandHeaders),
    request_body = EndContactAssignment,
    responses((status = OK, body = ContactAssignmentView, description = "The assignment."))
)]
#[post("/api/v1/contact-assignments/{id}/end")]
pub async fn end_contact_assignment(command: Command, path: Path<ContactAssignmentPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let scope = tx.scope();
            let before = store::lock(tx.conn(), &scope, id).await?;
            tx.require(before.organization_id).await?;
            tx.check_version(before.version)?;
            let status = view_of(tx, before.clone()).await?.status;
            if status == ContactStatus::Ended {
                return Err(ApiError::not_now(status.as_str(), status.actions()));
            }
            let body: EndContactAssignment = tx.body()?;
            let mut faults = Faults::default();
            check_dates(&mut faults, before.from_on, Some(body.to_on));
            faults.check(before.to_on.is_none_or(|last| body.to_on <= last), || {
                FieldError::at(
                    "/to_on",
                    "after_end",
                    "不能晚于原定的结束日期",
                    "must not be after the day on which it ends already",
                )
            });
            faults.done()?;
            let now = tx.now();
            let after = store::end(tx.conn(), id, body.to_on, &body.reason, now).await?;
            changed(tx, "contact_assignment.ended", before, after, Some(&body.reason)).await
        })
        .await
}
