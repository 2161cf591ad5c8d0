//! The shape of the tree: moving, dissolving, children, ancestors, figures.

use actix_web::{get, post};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::organizations::{
    OrganizationPath, OrganizationSummaryView, OrganizationView, UNIQUE, check_codes, check_parent, division_fault, in_status,
    record,
};
use super::{Faults, OrganizationReference, taken};
use crate::http::page::{Paging, Sorting};
use crate::http::{ApiError, ApiResult, Call, Code, Command, CommandHeaders, FieldError, PageRequest, Path, Query, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::{OrganizationKind, OrganizationStatus, PostPosition, SiteKind};
use crate::organizations::store::organizations::{self as store, Organization};
use crate::organizations::store::tree;
use crate::{filters, page_schema};

/// Where an organization moves.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "parent_id": "0168028c-2f00-7000-8000-430602002000",
    "division_code": null,
    "reason": "区划调整"
})))]
pub struct MoveOrganization {
    /// The new guidance parent.
    pub parent_id: OrganizationId,
    /// Its division code from now on; null: none, until the statistics bureau gives one.
    #[schema(required = true, min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: Option<String>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// Path of an organization that the examples may move or dissolve: a village.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MovedOrganizationPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8000-430602001002")]
    pub id: OrganizationId,
}

/// 调整上级 · Move an organization
///
/// Hangs an organization and all below it under another parent from today on, with the division code it has there. The caller needs the right over both parents; the history keeps the old place.
#[utoipa::path(
    tag = "organizations",
    params(MovedOrganizationPath, CommandHeaders),
    request_body = MoveOrganization,
    responses((status = OK, body = OrganizationView, description = "The organization."))
)]
#[post("/api/v1/organizations/{id}/move")]
pub async fn move_organization(command: Command, path: Path<MovedOrganizationPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let scope = tx.scope();
            // Only who may do it waits for the lock of the tree, and what she may do is looked at again under it.
            store::find(tx.conn(), &scope, id).await?;
            tx.require(id).await?;
            tree::lock_alone(tx.conn()).await?;
            let before = store::lock(tx.conn(), &scope, id).await?;
            tx.require(id).await?;
            tx.check_version(before.version)?;
            in_status(&before)?;
            let body: MoveOrganization = tx.body()?;
            let parent = store::hold(tx.conn(), &scope, body.parent_id).await?;
            let Some(parent) = parent.filter(|parent| parent.status == OrganizationStatus::Active) else {
                return Err(ApiError::invalid(vec![FieldError::unknown_reference("/parent_id")]));
            };
            // Who moves her own top away would move it out of her own hands.
            if let Some(old) = before.parent_id {
                tx.require(old).await?;
            }
            tx.require(parent.id).await?;
            let mut faults = Faults::default();
            faults.0.extend(check_parent(before.kind, before.level, &parent));
            let code = body.division_code.as_deref();
            faults.0.extend(code.and_then(|code| division_fault(before.kind, code, Some(&parent))));
            check_codes(tx, &mut faults, code, None).await?;
            let cycle = tree::is_below(tx.conn(), parent.id, id).await?;
            faults.check(!cycle, || {
                FieldError::at("/parent_id", "cycle", "不能移到自己或自己的下级之下", "lies in the subtree that is to be moved")
            });
            faults.done()?;
            let (now, today) = (tx.now(), tx.today());
            let after =
                store::set_parent(tx.conn(), id, parent.id, code, now, today).await.map_err(|error| taken(error, UNIQUE))?;
            record(tx, "organization.moved", before, &after, Some(&body.reason)).await?;
            OrganizationView::reply(tx, after).await
        })
        .await
}

/// Why an organization is dissolved and who takes over.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "successor_id": null, "reason": "村社区撤并" })))]
pub struct DissolveOrganization {
    /// An active organization that takes over.
    pub successor_id: Option<OrganizationId>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 撤销组织 · Dissolve an organization
///
/// Ends an organization; it is never deleted. It must have no active children, no posts and no open sites: the answer says what is in the way.
#[utoipa::path(
    tag = "organizations",
    params(MovedOrganizationPath, CommandHeaders),
    request_body = DissolveOrganization,
    responses((status = OK, body = OrganizationView, description = "The organization."))
)]
#[post("/api/v1/organizations/{id}/dissolve")]
pub async fn dissolve_organization(command: Command, path: Path<MovedOrganizationPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let scope = tx.scope();
            // Only who may do it waits for the lock of the tree, and what she may do is looked at again under it.
            store::find(tx.conn(), &scope, id).await?;
            tx.require(id).await?;
            tree::lock_alone(tx.conn()).await?;
            let before = store::lock(tx.conn(), &scope, id).await?;
            tx.require(id).await?;
            tx.check_version(before.version)?;
            in_status(&before)?;
            let today = tx.today();
            in_the_way(tx.conn(), id, today).await?;
            let body: DissolveOrganization = tx.body()?;
            if let Some(successor) = body.successor_id {
                let found = store::hold(tx.conn(), &scope, successor).await?;
                if successor == id || found.is_none_or(|found| found.status != OrganizationStatus::Active) {
                    return Err(ApiError::invalid(vec![FieldError::unknown_reference("/successor_id")]));
                }
            }
            let now = tx.now();
            let after = store::dissolve(tx.conn(), id, body.successor_id, now, today).await?;
            record(tx, "organization.dissolved", before, &after, Some(&body.reason)).await?;
            OrganizationView::reply(tx, after).await
        })
        .await
}

async fn in_the_way(conn: &diesel_async::AsyncPgConnection, id: OrganizationId, today: NaiveDate) -> ApiResult<()> {
    let obstacles = store::obstacles(conn, id, today).await?;
    let named = [
        (obstacles.children, "个下级组织", "active children"),
        (obstacles.posts, "个在任职务", "posts that are held"),
        (obstacles.sites, "个阵地", "open sites"),
    ];
    let named: Vec<_> = named.into_iter().filter(|(count, ..)| *count > 0).collect();
    if named.is_empty() {
        return Ok(());
    }
    let zh: Vec<String> = named.iter().map(|(count, zh, _)| format!("{count}{zh}")).collect();
    let en: Vec<String> = named.iter().map(|(count, _, en)| format!("{count} {en}")).collect();
    Err(ApiError::from(Code::Conflict)
        .because(format!("还有{}，请先处理", zh.join("、")), format!("there are {}; deal with them first", en.join(", "))))
}

filters! {
    /// Filters of children.
    ChildrenFilter {
        /// Only these kinds.
        kind: Vec<OrganizationKind>,
        /// Only these states.
        status: Vec<OrganizationStatus>,
    }
}

/// A child with what a tree view needs to know of it.
#[derive(Serialize, ToSchema)]
pub struct ChildView {
    /// The organization.
    pub organization: OrganizationSummaryView,
    /// How many active children it has in turn.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub children_count: i64,
}

page_schema!(ChildPage, ChildView);

/// 下级组织 · List children
///
/// The direct children, a page at a time, each with the number of its own: a tree is opened node by node.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath, ChildrenFilter, Sorting, Paging),
    responses((status = OK, body = ChildPage, description = "One page of children."))
)]
#[get("/api/v1/organizations/{id}/children")]
pub async fn list_organization_children(
    call: Call,
    path: Path<OrganizationPath>,
    filter: Query<ChildrenFilter>,
    page: PageRequest,
) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let parent = store::find(&conn, &call.scope(), path.id).await?;
    let listed = store::children(&conn, parent.id, &filter, &page).await?;
    let counts = store::child_counts(&conn, listed.rows.iter().map(|row| row.id).collect()).await?;
    let view = |row: Organization| ChildView {
        children_count: counts.get(&row.id).copied().unwrap_or(0),
        organization: OrganizationSummaryView::of(row),
    };
    page.reply(listed, |row| page.position(row.id, row.updated_at), view)
}

/// What lies above an organization.
#[derive(Serialize, ToSchema)]
pub struct AncestorsView {
    /// From the top down.
    #[schema(max_items = 10)]
    pub items: Vec<OrganizationReference>,
}

/// 上级组织 · List ancestors
///
/// The line of guidance from the top down. Of those outside the caller's subtree only the reference is known anywhere.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath),
    responses((status = OK, body = AncestorsView, description = "The ancestors."))
)]
#[get("/api/v1/organizations/{id}/ancestors")]
pub async fn list_organization_ancestors(call: Call, path: Path<OrganizationPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let organization = store::find(&conn, &call.scope(), path.id).await?;
    let rows = store::ancestors(&conn, organization.id).await?;
    let reference = |row: Organization| OrganizationReference { id: row.id, name: row.name, kind: row.kind, level: row.level };
    Reply::plain(&AncestorsView { items: rows.into_iter().map(reference).collect() })
}

/// An organization's own figures. Modules add theirs as they come.
#[derive(Serialize, ToSchema)]
pub struct OrganizationFiguresView {
    /// Which organization.
    pub organization_id: OrganizationId,
    /// Active children.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub children: i64,
    /// People it keeps in the address book.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub people: i64,
    /// Posts that are held today, by position.
    #[schema(max_items = 20)]
    pub positions: Vec<PositionCount>,
    /// Open sites, by kind.
    #[schema(max_items = 20)]
    pub sites: Vec<SiteCount>,
}

/// How many hold a position.
#[derive(Serialize, ToSchema)]
pub struct PositionCount {
    /// The position.
    pub position: PostPosition,
    /// How many hold it.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub count: i64,
}

/// How many sites there are of a kind.
#[derive(Serialize, ToSchema)]
pub struct SiteCount {
    /// The kind.
    pub kind: SiteKind,
    /// How many.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub count: i64,
}

/// 组织概况 · Summary of an organization
///
/// The organization's own figures, without those of its children.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath),
    responses((status = OK, body = OrganizationFiguresView, description = "The figures."))
)]
#[get("/api/v1/organizations/{id}/summary")]
pub async fn get_organization_summary(call: Call, path: Path<OrganizationPath>) -> ApiResult<Reply> {
    let (conn, id, today) = (call.connection().await?, path.id, call.today());
    store::find(&conn, &call.scope(), id).await?;
    // Four independent statements travel together on the pipelined connection.
    let (children, people, positions, sites) = futures_util::try_join!(
        store::child_counts(&conn, vec![id]),
        store::kept_people(&conn, id),
        store::filled_posts(&conn, id, today),
        store::active_sites(&conn, id),
    )?;
    Reply::plain(&OrganizationFiguresView {
        organization_id: id,
        children: children.get(&id).copied().unwrap_or(0),
        people,
        positions: positions.into_iter().map(|(position, count)| PositionCount { position, count }).collect(),
        sites: sites.into_iter().map(|(kind, count)| SiteCount { kind, count }).collect(),
    })
}
