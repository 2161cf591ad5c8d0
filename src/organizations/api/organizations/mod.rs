//! Organizations: list, count, read; [`write`] makes and edits them.

pub mod write;

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::history::{AsOf, on_day};
use super::{Location, OrganizationReference, owned};
use crate::access::{Module, Permission, Scope};
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply, Tx};
use crate::ids::{AccountId, OrganizationId};
use crate::organizations::rules::{OrganizationKind, OrganizationLevel, OrganizationStatus};
use crate::organizations::store::organizations::{self as store, Organization, Summary, Whole};
use crate::organizations::store::tree;
use crate::{filters, page_schema, text_enum};

/// Unique fields of an organization, by constraint.
pub const UNIQUE: &[(&str, &str)] = &[("organizations_division", "/division_code"), ("organizations_uscc", "/uscc")];

filters! {
    /// Filters of organizations.
    OrganizationFilter {
        /// Part of the name.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "岳阳")]
        q: String,
        /// Only these kinds.
        kind: Vec<OrganizationKind>,
        /// Only these levels.
        level: Vec<OrganizationLevel>,
        /// Only these states.
        status: Vec<OrganizationStatus>,
        /// Only children of this organization.
        parent_id: OrganizationId,
        /// Only the subtree of this organization, itself included.
        within: OrganizationId,
        /// Show the shape of the tree on this day: `within`, `parent_id` and `status` are those of the day, of what there was
        /// then. Names, codes and everything else are today's, and so is what the caller may see. A day to come shows today.
        #[param(example = "2019-03-31")]
        as_of: NaiveDate,
        /// Only the organization of this division.
        #[param(min_length = 6, max_length = 12, pattern = "^[0-9]+$", example = "430602")]
        division_code: String,
        /// Only those with this tag.
        #[param(min_length = 1, max_length = 32, pattern = "^[^\\x00-\\x1f,]+$", example = "unverified")]
        tag: String,
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

/// An organization in a list.
#[derive(Serialize, ToSchema)]
pub struct OrganizationSummaryView {
    /// Its id.
    pub id: OrganizationId,
    /// What kind of body it is.
    pub kind: OrganizationKind,
    /// Its level.
    pub level: OrganizationLevel,
    /// Official name.
    #[schema(examples("岳阳楼区妇联"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Short name.
    #[schema(required = true, max_length = 50, pattern = "^[^\\x00-\\x1f]+$")]
    pub short_name: Option<String>,
    /// Guidance parent; null at the top.
    #[schema(required = true)]
    pub parent_id: Option<OrganizationId>,
    /// Its division.
    #[schema(required = true, examples("430602"), max_length = 12, pattern = "^[0-9]+$")]
    pub division_code: Option<String>,
    /// Its state.
    pub status: OrganizationStatus,
    /// Groupings across the tree.
    #[schema(max_items = 20)]
    pub tags: Vec<String>,
    /// Raised by every change.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

page_schema!(OrganizationPage, OrganizationSummaryView);

impl OrganizationSummaryView {
    /// The view of a row.
    pub fn of(row: Summary) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            level: row.level,
            name: row.name,
            short_name: row.short_name,
            parent_id: row.parent_id,
            division_code: row.division_code,
            status: row.status,
            tags: row.tags,
            version: row.version,
            updated_at: row.updated_at,
        }
    }
}

/// Whom reminders reach.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiaisonView {
    /// The account.
    pub account_id: AccountId,
    /// Its name.
    #[schema(examples("李梅"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub display_name: String,
    /// About which modules.
    #[schema(max_items = 20)]
    pub modules: Vec<Module>,
}

/// An organization.
#[derive(Serialize, ToSchema)]
pub struct OrganizationView {
    /// Its id.
    pub id: OrganizationId,
    /// What kind of body it is.
    pub kind: OrganizationKind,
    /// Its level.
    pub level: OrganizationLevel,
    /// Official name.
    #[schema(examples("岳阳楼区妇联"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Short name.
    #[schema(required = true, max_length = 50, pattern = "^[^\\x00-\\x1f]+$")]
    pub short_name: Option<String>,
    /// Guidance parent; null at the top.
    #[schema(required = true)]
    pub parent_id: Option<OrganizationId>,
    /// The same, by name.
    #[schema(required = true)]
    pub parent: Option<OrganizationReference>,
    /// Party committee or unit it belongs to.
    #[schema(required = true, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub host_name: Option<String>,
    /// Its division.
    #[schema(required = true, examples("430602"), max_length = 12, pattern = "^[0-9]+$")]
    pub division_code: Option<String>,
    /// Unified social credit code.
    #[schema(required = true, examples("13430600MB0000019X"), max_length = 18, pattern = "^[0-9A-Z]+$")]
    pub uscc: Option<String>,
    /// Office address.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// Where the office is.
    #[schema(required = true)]
    pub location: Option<Location>,
    /// Office telephone.
    #[schema(required = true, examples("0730-8888888"), max_length = 40, pattern = "^[^\\x00-\\x1f]+$")]
    pub phone: Option<String>,
    /// Founding date.
    #[schema(required = true)]
    pub founded_on: Option<NaiveDate>,
    /// Document that approved it.
    #[schema(required = true, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub approval_document: Option<String>,
    /// Its state.
    pub status: OrganizationStatus,
    /// When its state last changed.
    #[schema(required = true)]
    pub status_changed_on: Option<NaiveDate>,
    /// Who took over.
    #[schema(required = true)]
    pub successor: Option<OrganizationReference>,
    /// Groupings across the tree.
    #[schema(max_items = 20)]
    pub tags: Vec<String>,
    /// Whom reminders reach.
    #[schema(max_items = 50)]
    pub liaisons: Vec<LiaisonView>,
    /// What the caller may do with it now.
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

impl OrganizationView {
    /// The caller's view of an organization, wherever it is.
    pub async fn load(call: &Call, conn: &diesel_async::AsyncPgConnection, row: Organization) -> ApiResult<Self> {
        Self::read(call, conn, None, row.id, None).await
    }

    /// Reads an organization, in a scope or wherever it is, and makes the caller's view of it, as it hung in the tree on a day.
    async fn read(
        call: &Call,
        conn: &diesel_async::AsyncPgConnection,
        scope: Option<&Scope>,
        id: OrganizationId,
        day: Option<NaiveDate>,
    ) -> ApiResult<Self> {
        let writes = call.scope_for(Permission::OrganizationWrite);
        let mut whole = store::whole(conn, scope, &writes, id).await?;
        let today = &whole.organization;
        let mut actions = if whole.writable { owned(&today.status.actions(today.parent_id.is_none())) } else { vec![] };
        if !actions.is_empty() && today.parent_id.is_some() && !whole.writable_above {
            // It is her own top: who moves it away would move it out of her own hands, nobody sets anything beside it, and it
            // merges only into something that is hers outside of it.
            let mut others = false;
            for place in writes.places() {
                others = others || !tree::is_below(conn, *place, today.id).await?;
            }
            actions.retain(|action| !matches!(action.as_str(), "move" | "split" | "reactivate") && (others || action != "merge"));
        }
        if day.is_some() {
            whole.organization = on_day(conn, whole.organization, day).await?;
            let (parent, successor) = (whole.organization.parent_id, whole.organization.successor_id);
            let mut names = store::references(conn, parent.into_iter().chain(successor)).await?;
            whole.parent = parent.and_then(|id| names.get(&id).cloned());
            whole.successor = successor.and_then(|id| names.remove(&id));
        }
        Ok(Self::of(whole, actions))
    }

    fn of(whole: Whole, allowed_actions: Vec<String>) -> Self {
        let row = whole.organization;
        Self {
            parent: whole.parent.as_ref().map(OrganizationReference::from),
            successor: whole.successor.as_ref().map(OrganizationReference::from),
            liaisons: whole
                .liaisons
                .into_iter()
                .map(|(account_id, display_name, modules)| LiaisonView { account_id, display_name, modules })
                .collect(),
            allowed_actions,
            location: Location::of(row.longitude, row.latitude),
            id: row.id,
            kind: row.kind,
            level: row.level,
            name: row.name,
            short_name: row.short_name,
            parent_id: row.parent_id,
            host_name: row.host_name,
            division_code: row.division_code,
            uscc: row.uscc,
            address: row.address,
            phone: row.phone,
            founded_on: row.founded_on,
            approval_document: row.approval_document,
            status: row.status,
            status_changed_on: row.status_changed_on,
            tags: row.tags,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }

    /// The reply to a command on an organization.
    pub async fn reply(tx: &mut Tx, row: Organization) -> ApiResult<Reply> {
        let (call, version) = (tx.call.clone(), row.version);
        Reply::item(&Self::load(&call, tx.conn(), row).await?, version)
    }
}

/// Path of an organization.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OrganizationPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8000-430602000000")]
    pub id: OrganizationId,
}

/// 组织列表 · List organizations
///
/// Organizations of the caller's subtree in the order of their ids, which is the order of their making. `as_of` shows who hung
/// where on a day; it opens nothing that lies outside the caller's subtree of today.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationFilter, Sorting, Paging),
    responses((status = OK, body = OrganizationPage, description = "One page of organizations."))
)]
#[get("/api/v1/organizations")]
pub async fn list_organizations(call: Call, filter: Query<OrganizationFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, &page).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), OrganizationSummaryView::of)
}

text_enum! {
    /// By what organizations are counted.
    OrganizationsBy {
        /// By kind.
        Kind = "kind", "类型", "Kind";
        /// By level.
        Level = "level", "级别", "Level";
        /// By state.
        Status = "status", "状态", "State";
    }
}

/// How to count organizations.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OrganizationCounts {
    /// By what.
    #[param(inline)]
    by: OrganizationsBy,
}

/// 组织计数 · Count organizations
///
/// How many organizations of the caller's subtree there are of each kind, level or state.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationCounts, OrganizationFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/organizations/counts")]
pub async fn count_organizations(
    call: Call,
    counts: Query<OrganizationCounts>,
    filter: Query<OrganizationFilter>,
) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, counts.by).await?)
}

/// 组织详情 · Get an organization
///
/// One organization of the caller's subtree. `as_of` shows the parent, state and successor of a day; `allowed_actions` are what
/// may be done now.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath, AsOf),
    responses((status = OK, body = OrganizationView, description = "The organization."))
)]
#[get("/api/v1/organizations/{id}")]
pub async fn get_organization(call: Call, path: Path<OrganizationPath>, day: Query<AsOf>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let view = OrganizationView::read(&call, &conn, Some(&call.scope()), path.id, day.as_of).await?;
    Reply::item(&view, view.version)
}
