//! The shape of the tree: moving, children, ancestors, figures.

use actix_web::{get, post};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::coverage::figures::OwnCoverageView;
use super::history::{AsOf, Told, on_day, tell};
use super::organizations::write::{check_codes, check_parent, division_fault};
use super::organizations::{OrganizationPath, OrganizationSummaryView, OrganizationView, UNIQUE};
use super::posts::VacancyView;
use super::succession::begin;
use super::{Faults, OrganizationReference, taken};
use crate::http::page::{Paging, Sorting};
use crate::http::{ApiError, ApiResult, Call, Command, CommandHeaders, FieldError, PageRequest, Path, Query, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::{
    OrganizationEventKind, OrganizationKind, OrganizationStatus, OrganizationStep, PostPosition, SiteKind,
};
use crate::organizations::store::coverage::figures;
use crate::organizations::store::organizations::{self as store, Organization, Summary};
use crate::organizations::store::{succession, tree, vacancies};
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
            let before = begin(tx, id, OrganizationStep::Move, Some("parent_id")).await?;
            let scope = tx.scope();
            let body: MoveOrganization = tx.body()?;
            let parent = store::hold(tx.conn(), &scope, body.parent_id).await?;
            let Some(parent) = parent.filter(|parent| parent.status == OrganizationStatus::Active) else {
                return Err(ApiError::invalid(vec![FieldError::unknown_reference("/parent_id")]));
            };
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
            let told = Told {
                kind: OrganizationEventKind::Moved,
                before: Some(&before),
                after: &after,
                other: None,
                reason: Some(&body.reason),
            };
            tell(tx, told).await?;
            OrganizationView::reply(tx, after).await
        })
        .await
}

filters! {
    /// Filters of children.
    ChildrenFilter {
        /// Only these kinds.
        kind: Vec<OrganizationKind>,
        /// Only these states.
        status: Vec<OrganizationStatus>,
        /// Show the children of this day, with the state and the number of children they had then. Of them the caller sees those
        /// that lie in her subtree of today; their names are today's.
        #[param(example = "2019-03-31")]
        as_of: NaiveDate,
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
/// The direct children, a page at a time, each with the number of its own: a tree is opened node by node. `as_of` shows those of
/// a day.
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
    let (conn, scope) = (call.connection().await?, call.scope());
    let parent = store::find(&conn, &scope, path.id).await?;
    let parent = on_day(&conn, parent, filter.as_of).await?;
    let listed = store::children(&conn, &scope, parent.id, &filter, &page).await?;
    let ids = listed.rows.iter().map(|row| row.id).collect();
    let counts = match filter.as_of {
        None => store::child_counts(&conn, ids).await?,
        Some(day) => store::child_counts_on(&conn, &scope, ids, day).await?,
    };
    let view = |row: Summary| ChildView {
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
/// The line of guidance from the top down, today or on the day `as_of`. Of those outside the caller's subtree only the reference
/// is known anywhere.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath, AsOf),
    responses((status = OK, body = AncestorsView, description = "The ancestors."))
)]
#[get("/api/v1/organizations/{id}/ancestors")]
pub async fn list_organization_ancestors(call: Call, path: Path<OrganizationPath>, day: Query<AsOf>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let organization = store::find(&conn, &call.scope(), path.id).await?;
    let organization = on_day(&conn, organization, day.as_of).await?;
    let rows = store::ancestors(&conn, organization.id, day.as_of.unwrap_or(call.today())).await?;
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
    /// Positions that have a minimum or might have one: how many people hold each, and how many are missing.
    #[schema(max_items = 20)]
    pub vacancies: Vec<VacancyView>,
    /// Open sites, by kind.
    #[schema(max_items = 20)]
    pub sites: Vec<SiteCount>,
    /// Units of the coverage in its own area.
    pub coverage: OwnCoverageView,
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
/// The organization's own figures, without those of its children: today's, or with `as_of` the children, posts and sites of a
/// day. The address book and the coverage keep no past: their numbers are today's.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath, AsOf),
    responses((status = OK, body = OrganizationFiguresView, description = "The figures."))
)]
#[get("/api/v1/organizations/{id}/summary")]
pub async fn get_organization_summary(call: Call, path: Path<OrganizationPath>, day: Query<AsOf>) -> ApiResult<Reply> {
    let (conn, id, scope) = (call.connection().await?, path.id, call.scope());
    let organization = store::find(&conn, &scope, id).await?;
    on_day(&conn, organization, day.as_of).await?;
    // Independent statements travel together on the pipelined connection.
    let (children, people, positions, vacancies, sites, coverage) = match day.as_of {
        None => futures_util::try_join!(
            store::child_counts(&conn, vec![id]),
            store::kept_people(&conn, id),
            store::filled_posts(&conn, id, call.today()),
            vacancies::of_organization(&conn, id, call.today()),
            store::active_sites(&conn, id),
            figures::own_units(&conn, id),
        )?,
        Some(day) => futures_util::try_join!(
            store::child_counts_on(&conn, &scope, vec![id], day),
            store::kept_people(&conn, id),
            store::filled_posts(&conn, id, day),
            vacancies::of_organization(&conn, id, day),
            succession::sites_on(&conn, id, day),
            figures::own_units(&conn, id),
        )?,
    };
    Reply::plain(&OrganizationFiguresView {
        organization_id: id,
        children: children.get(&id).copied().unwrap_or(0),
        people,
        positions: positions.into_iter().map(|(position, count)| PositionCount { position, count }).collect(),
        vacancies: vacancies.into_iter().map(VacancyView::from).collect(),
        sites: sites.into_iter().map(|(kind, count)| SiteCount { kind, count }).collect(),
        coverage: coverage.into(),
    })
}
