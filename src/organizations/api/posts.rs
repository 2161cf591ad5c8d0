//! Posts: who holds which position where.

use actix_web::{get, post, put};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::organizations::OrganizationPath;
use super::{Faults, OrganizationReference, owned, taken};
use crate::access::Permission;
use crate::audit::Change;
use crate::db::scope;
use crate::http::batch::{self, BatchMode, BatchView};
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{
    ApiError, ApiResult, Call, Command, CommandHeaders, FieldError, KeyHeader, PageRequest, Path, Query, Reply, Tx, VersionHeader,
};
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::organizations::rules::{EmploymentMode, OrganizationStatus, PostPosition, PostStatus, Secondment};
use crate::organizations::store::posts::{self as store, Post, PostEdit};
use crate::organizations::store::{organizations, people};
use crate::work_items::{self, Awaited, Awaiting, POST_EXPIRING, Worker};
use crate::{filters, page_schema, text_enum};

/// What two posts may not share, told at the field.
const UNIQUE: &[(&str, &str)] = &[("posts_one_chair", "/position"), ("posts_once", "/from_on")];

filters! {
    /// Filters of posts.
    PostFilter {
        /// Only posts of this organization.
        organization_id: OrganizationId,
        /// Only posts in the subtree of this organization.
        within: OrganizationId,
        /// Only posts of this person.
        person_id: PersonId,
        /// Only these positions.
        position: Vec<PostPosition>,
        /// Only these modes.
        employment_mode: Vec<EmploymentMode>,
        /// true: held today; false: over or not begun.
        current: bool,
        /// Only posts that await somebody: `me`.
        #[param(inline)]
        awaiting: Awaited,
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

/// A post.
#[derive(Serialize, ToSchema)]
pub struct PostView {
    /// Its id.
    pub id: PostId,
    /// Where it is.
    pub organization_id: OrganizationId,
    /// The same, by name.
    #[schema(required = true)]
    pub organization: Option<OrganizationReference>,
    /// Who holds it.
    pub person_id: PersonId,
    /// Her name.
    #[schema(required = true, examples("李梅"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub person_name: Option<String>,
    /// Which position.
    pub position: PostPosition,
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
    /// Where it stands today.
    pub status: PostStatus,
    /// Congress, plenary or document that elected or appointed her.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub appointed_by: Option<String>,
    /// Why it ended.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub end_reason: Option<String>,
    /// What the caller may do with it now.
    #[schema(max_items = 20)]
    pub allowed_actions: Vec<String>,
    /// Who has to decide about it; null: nobody for the moment.
    #[schema(required = true)]
    pub awaiting: Option<Awaiting>,
    /// Raised by every change.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

page_schema!(PostPage, PostView);

/// What the views of some posts need beside their rows.
struct Around {
    organizations: std::collections::HashMap<OrganizationId, organizations::Reference>,
    people: std::collections::HashMap<PersonId, String>,
    writable: Vec<OrganizationId>,
    awaiting: std::collections::HashMap<uuid::Uuid, Awaiting>,
    today: NaiveDate,
}

impl Around {
    async fn load(call: &Call, conn: &diesel_async::AsyncPgConnection, rows: &[Post]) -> ApiResult<Self> {
        let places: Vec<_> = rows.iter().map(|row| row.organization_id).collect();
        let writes = call.scope_for(Permission::PostWrite);
        let ids = rows.iter().map(|row| row.id.0).collect();
        let (organizations, people, writable, awaiting) = futures_util::try_join!(
            organizations::references(conn, places.iter().copied()),
            people::names(conn, rows.iter().map(|row| row.person_id)),
            scope::covered(conn, &writes, &places),
            work_items::awaiting(conn, "post", ids),
        )?;
        Ok(Self { organizations, people, writable, awaiting, today: call.today() })
    }

    fn view(&self, row: Post) -> PostView {
        let status = PostStatus::on(self.today, row.from_on, row.to_on);
        PostView {
            organization: self.organizations.get(&row.organization_id).map(OrganizationReference::from),
            person_name: self.people.get(&row.person_id).cloned(),
            allowed_actions: if self.writable.contains(&row.organization_id) { owned(status.actions()) } else { vec![] },
            awaiting: self.awaiting.get(&row.id.0).cloned(),
            status,
            id: row.id,
            organization_id: row.organization_id,
            person_id: row.person_id,
            position: row.position,
            employment_mode: row.employment_mode,
            secondment: row.secondment,
            from_on: row.from_on,
            to_on: row.to_on,
            appointed_by: row.appointed_by,
            end_reason: row.end_reason,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

async fn view_of(tx: &mut Tx, row: Post) -> ApiResult<PostView> {
    let call = tx.call.clone();
    let around = Around::load(&call, tx.conn(), std::slice::from_ref(&row)).await?;
    Ok(around.view(row))
}

/// Path of a post.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PostPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8002-000000000001")]
    pub id: PostId,
}

/// 职务列表 · List posts
///
/// Positions that people hold, held or will hold in organizations of the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(PostFilter, Sorting, Paging),
    responses((status = OK, body = PostPage, description = "One page of posts."))
)]
#[get("/api/v1/posts")]
pub async fn list_posts(call: Call, filter: Query<PostFilter>, page: PageRequest) -> ApiResult<Reply> {
    page_of(&call, &filter, &page).await
}

async fn page_of(call: &Call, filter: &PostFilter, page: &PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let me = Worker::of(call.signed_in()?, call.today());
    let listed = store::list(&conn, &scope, filter, &me, call.today(), page).await?;
    let around = Around::load(call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| around.view(row))
}

/// 组织内职务 · List posts of an organization
///
/// Positions of one organization of the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(OrganizationPath, PostFilter, Sorting, Paging),
    responses((status = OK, body = PostPage, description = "One page of posts."))
)]
#[get("/api/v1/organizations/{id}/posts")]
pub async fn list_organization_posts(
    call: Call,
    path: Path<OrganizationPath>,
    filter: Query<PostFilter>,
    page: PageRequest,
) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let organization = organizations::find(&conn, &call.scope(), path.id).await?;
    page_of(&call, &PostFilter { organization_id: Some(organization.id), ..filter.0 }, &page).await
}

text_enum! {
    /// By what posts are counted.
    PostsBy {
        /// By position.
        Position = "position", "职务", "Position";
        /// By full-time, part-time, attached.
        EmploymentMode = "employment_mode", "任职方式", "Mode of employment";
        /// By organization.
        OrganizationId = "organization_id", "组织", "Organization";
    }
}

/// How to count posts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PostCounts {
    /// By what.
    #[param(inline)]
    by: PostsBy,
}

/// 职务计数 · Count posts
///
/// How many posts of the caller's subtree there are of each position, mode or organization.
#[utoipa::path(
    tag = "people",
    params(PostCounts, PostFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/posts/counts")]
pub async fn count_posts(call: Call, counts: Query<PostCounts>, filter: Query<PostFilter>) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let me = Worker::of(call.signed_in()?, call.today());
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, &me, call.today(), counts.by).await?)
}

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
            let known = crate::organizations::person_in_scope(tx.conn(), &scope, body.person_id).await?;
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

/// 职务详情 · Get a post
///
/// One post in the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(PostPath),
    responses((status = OK, body = PostView, description = "The post."))
)]
#[get("/api/v1/posts/{id}")]
pub async fn get_post(call: Call, path: Path<PostPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id).await?;
    let version = row.version;
    let around = Around::load(&call, &conn, std::slice::from_ref(&row)).await?;
    Reply::item(&around.view(row), version)
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
async fn end(
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

/// What is done with every item.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PostBatchAction {
    /// As `POST /posts/{id}/end`.
    End,
}

/// Many posts at once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "action": "end",
    "mode": "atomic",
    "items": [{ "id": "0168028c-2f00-7000-8002-000000000002", "version": 1, "to_on": "2019-04-10", "reason": "换届" }]
})))]
pub struct PostBatch {
    /// What is done with every item.
    pub action: PostBatchAction,
    /// All or nothing, or one by one.
    pub mode: BatchMode,
    /// The posts.
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<PostBatchItem>,
}

/// One post of a batch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostBatchItem {
    /// The post.
    pub id: PostId,
    /// The version that was read.
    #[schema(minimum = 1)]
    pub version: i32,
    /// Last day.
    pub to_on: NaiveDate,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 批量卸任 · Batch of posts
///
/// Ends up to 100 posts: all or nothing (`atomic`), or one by one with a result per item (`best_effort`, 207).
#[utoipa::path(
    tag = "people",
    params(KeyHeader),
    request_body = PostBatch,
    responses(
        (status = OK, body = BatchView, description = "Every item was done."),
        (status = MULTI_STATUS, body = BatchView, description = "One result per item.")
    )
)]
#[post("/api/v1/posts/batch")]
pub async fn batch_posts(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_somewhere()?;
            let body: PostBatch = tx.body()?;
            let PostBatchAction::End = body.action;
            batch::run(
                tx,
                body.mode,
                body.items,
                |item| item.id.0,
                async |tx: &mut Tx, item: PostBatchItem| {
                    let body = EndPost { to_on: item.to_on, reason: item.reason };
                    let view = end(tx, item.id, Some(item.version), async move |_: &Tx| Ok(body)).await?;
                    let version = view.version;
                    Ok((item.id.0, version, serde_json::to_value(view).unwrap_or(Value::Null)))
                },
            )
            .await
        })
        .await
}
