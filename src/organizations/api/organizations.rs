//! Organizations: list, count, create, read, edit.

use actix_web::{get, post, put};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Faults, Location, OrganizationReference, owned, taken};
use crate::access::{Module, Permission, Scope};
use crate::audit::Change;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiResult, Call, Command, FieldError, KeyHeader, PageRequest, Path, Query, Reply, Tx, VersionHeader};
use crate::ids::{AccountId, OrganizationId};
use crate::organizations::numbers::is_uscc;
use crate::organizations::rules::{
    OrganizationKind, OrganizationLevel, OrganizationStatus, PlacementFault, check_division, check_placement,
};
use crate::organizations::store::organizations::{self as store, Organization, OrganizationEdit, Whole};
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
    pub fn of(row: Organization) -> Self {
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
    /// Reads an organization, in a scope or wherever it is, and makes the caller's view of it.
    pub async fn load(
        call: &Call,
        conn: &diesel_async::AsyncPgConnection,
        scope: Option<&Scope>,
        id: OrganizationId,
    ) -> ApiResult<Self> {
        let writes = call.scope_for(Permission::OrganizationWrite);
        Ok(Self::of(store::whole(conn, scope, &writes, id).await?))
    }

    fn of(whole: Whole) -> Self {
        let row = whole.organization;
        Self {
            parent: whole.parent.as_ref().map(OrganizationReference::from),
            successor: whole.successor.as_ref().map(OrganizationReference::from),
            liaisons: whole
                .liaisons
                .into_iter()
                .map(|(account_id, display_name, modules)| LiaisonView { account_id, display_name, modules })
                .collect(),
            allowed_actions: if whole.writable { owned(row.status.actions()) } else { vec![] },
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
        let call = tx.call.clone();
        Reply::item(&Self::load(&call, tx.conn(), None, row.id).await?, row.version)
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
/// Organizations of the caller's subtree in the order of their ids, which is the order of their making.
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
/// One organization of the caller's subtree.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath),
    responses((status = OK, body = OrganizationView, description = "The organization."))
)]
#[get("/api/v1/organizations/{id}")]
pub async fn get_organization(call: Call, path: Path<OrganizationPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let view = OrganizationView::load(&call, &conn, Some(&call.scope()), path.id).await?;
    Reply::item(&view, view.version)
}

/// A new organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "kind": "new_field_federation",
    "level": "township",
    "name": "岳阳楼区电商产业园妇联",
    "parent_id": "0168028c-2f00-7000-8000-430602000000",
    "host_name": "电商产业园",
    "tags": ["园区"]
})))]
pub struct NewOrganization {
    /// What kind of body it is.
    pub kind: OrganizationKind,
    /// Its level; a federation's follows from its kind, other bodies have one of their own.
    pub level: Option<OrganizationLevel>,
    /// Official name.
    #[schema(examples("岳阳楼区电商产业园妇联"), min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Short name.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^\\x00-\\x1f]+$")]
    pub short_name: Option<String>,
    /// Guidance parent.
    #[schema(examples("0168028c-2f00-7000-8000-430602000000"))]
    pub parent_id: OrganizationId,
    /// Party committee or unit it belongs to.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub host_name: Option<String>,
    /// Its division.
    #[schema(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: Option<String>,
    /// Unified social credit code.
    #[schema(min_length = 18, max_length = 18, pattern = "^[0-9A-Z]+$")]
    pub uscc: Option<String>,
    /// Office address.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// Where the office is.
    pub location: Option<Location>,
    /// Office telephone.
    #[schema(min_length = 3, max_length = 40, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// Founding date.
    pub founded_on: Option<NaiveDate>,
    /// Document that approved it.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub approval_document: Option<String>,
    /// Groupings across the tree.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub tags: Vec<Tag>,
}

/// A grouping.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, examples("园区"), min_length = 1, max_length = 32, pattern = "^[^\\x00-\\x1f,]+$")]
pub struct Tag(pub String);

/// 新建组织 · Create an organization
///
/// Makes an organization below another one. A federation's parent is of a strictly higher level; other bodies hang below a federation of the same or a higher level.
#[utoipa::path(
    tag = "organizations",
    params(KeyHeader),
    request_body = NewOrganization,
    responses((status = CREATED, body = OrganizationView, description = "The organization."))
)]
#[post("/api/v1/organizations")]
pub async fn create_organization(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tree::lock_shared(tx.conn()).await?;
            tx.require_at("parent_id").await?;
            let body: NewOrganization = tx.body()?;
            let scope = tx.scope();
            let parent = store::hold(tx.conn(), &scope, body.parent_id).await?;
            let parent = parent.filter(|parent| parent.status == OrganizationStatus::Active);
            let Some(parent) = parent else {
                return Err(crate::http::ApiError::invalid(vec![FieldError::unknown_reference("/parent_id")]));
            };
            let level = body.kind.level().or(body.level);
            let mut faults = Faults::default();
            faults.check(level.is_some() && (body.level.is_none() || body.level == level), || {
                FieldError::at("/level", "level", "级别与组织类型不符，或缺少级别", "does not fit the kind, or is missing")
            });
            let level = level.unwrap_or(parent.level);
            check_place(&mut faults, body.kind, level, &parent, body.division_code.as_deref());
            check_codes(tx, &mut faults, body.division_code.as_deref(), body.uscc.as_deref()).await?;
            faults.done()?;
            let (now, today) = (tx.now(), tx.today());
            let (longitude, latitude) = Location::parts(body.location);
            let row = Organization {
                short_name: body.short_name,
                parent_id: Some(parent.id),
                host_name: body.host_name,
                division_code: body.division_code,
                uscc: body.uscc,
                address: body.address,
                longitude,
                latitude,
                phone: body.phone,
                founded_on: body.founded_on,
                approval_document: body.approval_document,
                tags: body.tags.into_iter().map(|tag| tag.0).collect(),
                ..crate::organizations::seed::blank(OrganizationId::generate(), body.kind, level, &body.name, now)
            };
            let row = store::insert(tx.conn(), &row, today).await.map_err(|error| taken(error, UNIQUE))?;
            let (id, version, call) = (row.id, row.version, tx.call.clone());
            let view = OrganizationView::load(&call, tx.conn(), None, id).await?;
            tx.record(Change::of("organization.created", "organization", id, id).after(&view)).await?;
            Reply::created(format!("/api/v1/organizations/{id}"), &view, version)
        })
        .await
}

/// Where a body may hang, told at the parent.
pub fn check_parent(kind: OrganizationKind, level: OrganizationLevel, parent: &Organization) -> Option<FieldError> {
    let fault = check_placement(kind, level, Some((parent.kind, parent.level))).err()?;
    let zh = match fault {
        PlacementFault::NeedsParent => "缺少上级组织",
        PlacementFault::ParentIsNoFederation => "上级必须是妇联组织",
        PlacementFault::ParentNotHigher => "上级妇联的级别必须更高",
        PlacementFault::ParentLower => "上级的级别不能更低",
    };
    Some(FieldError::at("/parent_id", "placement", zh, fault.to_string()))
}

fn check_place(
    faults: &mut Faults,
    kind: OrganizationKind,
    level: OrganizationLevel,
    parent: &Organization,
    division: Option<&str>,
) {
    faults.0.extend(check_parent(kind, level, parent));
    faults.0.extend(division.and_then(|code| division_fault(kind, code, Some(parent))));
}

/// Whether a division fits, told at the code.
pub fn division_fault(kind: OrganizationKind, code: &str, parent: Option<&Organization>) -> Option<FieldError> {
    let parent = parent.map(|parent| (parent.kind, parent.division_code.as_deref()));
    let fault = check_division(kind, code, parent).err()?;
    Some(FieldError::at("/division_code", "division", "区划代码与组织类型或上级区划不符", fault.to_string()))
}

/// The division exists and the credit code is well-formed, told at the codes.
pub async fn check_codes(tx: &mut Tx, faults: &mut Faults, division: Option<&str>, uscc: Option<&str>) -> ApiResult<()> {
    if let Some(code) = division {
        let exists = store::division_exists(tx.conn(), code).await?;
        faults
            .check(exists, || FieldError::at("/division_code", "unknown_reference", "没有这个区划", "there is no such division"));
    }
    faults.check(uscc.is_none_or(is_uscc), || {
        FieldError::at(
            "/uscc",
            "check_character",
            "统一社会信用代码校验不通过",
            "the check characters do not fit (GB 32100-2015)",
        )
    });
    Ok(())
}

/// The editable fields of an organization: all of them, null clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "name": "岳阳楼区妇联",
    "short_name": "楼区妇联",
    "host_name": "中共岳阳楼区委",
    "division_code": "430602",
    "uscc": null,
    "address": "岳阳市岳阳楼区",
    "location": { "longitude": 113.1289, "latitude": 29.3572 },
    "phone": "0730-8888888",
    "founded_on": null,
    "approval_document": null,
    "tags": [],
    "liaisons": [{ "account_id": "0168028c-2f00-7000-8004-000000000009", "modules": ["plans"] }]
})))]
pub struct EditOrganization {
    /// Official name.
    #[schema(min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Short name.
    #[schema(required = true, min_length = 1, max_length = 50, pattern = "^[^\\x00-\\x1f]+$")]
    pub short_name: Option<String>,
    /// Party committee or unit it belongs to.
    #[schema(required = true, min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub host_name: Option<String>,
    /// Its division.
    #[schema(required = true, min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: Option<String>,
    /// Unified social credit code.
    #[schema(required = true, min_length = 18, max_length = 18, pattern = "^[0-9A-Z]+$")]
    pub uscc: Option<String>,
    /// Office address.
    #[schema(required = true, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// Where the office is.
    #[schema(required = true)]
    pub location: Option<Location>,
    /// Office telephone.
    #[schema(required = true, min_length = 3, max_length = 40, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// Founding date.
    #[schema(required = true)]
    pub founded_on: Option<NaiveDate>,
    /// Document that approved it.
    #[schema(required = true, min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub approval_document: Option<String>,
    /// Groupings across the tree.
    #[schema(max_items = 20)]
    pub tags: Vec<Tag>,
    /// Whom reminders reach.
    #[schema(max_items = 50)]
    pub liaisons: Vec<EditLiaison>,
}

/// Whom reminders are to reach.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditLiaison {
    /// An active account in the caller's subtree.
    pub account_id: AccountId,
    /// About which modules.
    #[schema(min_items = 1, max_items = 20)]
    pub modules: Vec<Module>,
}

/// 修改组织 · Change an organization
///
/// Changes what is known of an organization. Its place in the tree changes by moving, its state by dissolving.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath, VersionHeader),
    request_body = EditOrganization,
    responses((status = OK, body = OrganizationView, description = "The organization."))
)]
#[put("/api/v1/organizations/{id}")]
pub async fn update_organization(command: Command, path: Path<OrganizationPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let scope = tx.scope();
            let before = store::lock(tx.conn(), &scope, id).await?;
            tx.require(id).await?;
            tx.check_version(before.version)?;
            in_status(&before)?;
            let body: EditOrganization = tx.body()?;
            let mut faults = Faults::default();
            let parent = store::parent_of(tx.conn(), &before).await?;
            faults.0.extend(body.division_code.as_deref().and_then(|code| division_fault(before.kind, code, parent.as_ref())));
            check_codes(tx, &mut faults, body.division_code.as_deref(), body.uscc.as_deref()).await?;
            let accounts: Vec<AccountId> = body.liaisons.iter().map(|liaison| liaison.account_id).collect();
            let known = store::known_accounts(tx.conn(), &scope, &accounts).await?;
            for (index, account) in accounts.iter().enumerate() {
                let once = !accounts[..index].contains(account);
                faults.check(once && known.contains(account), || {
                    FieldError::unknown_reference(&format!("/liaisons/{index}/account_id"))
                });
            }
            faults.done()?;
            let (longitude, latitude) = Location::parts(body.location);
            let edit = OrganizationEdit {
                name: body.name,
                short_name: body.short_name,
                host_name: body.host_name,
                division_code: body.division_code,
                uscc: body.uscc,
                address: body.address,
                longitude,
                latitude,
                phone: body.phone,
                founded_on: body.founded_on,
                approval_document: body.approval_document,
                tags: body.tags.into_iter().map(|tag| tag.0).collect(),
            };
            let liaisons: Vec<_> = body.liaisons.into_iter().map(|liaison| (liaison.account_id, liaison.modules)).collect();
            let now = tx.now();
            let after = store::update(tx.conn(), id, &edit, now).await.map_err(|error| taken(error, UNIQUE))?;
            store::set_liaisons(tx.conn(), id, &liaisons).await?;
            record(tx, "organization.changed", before, &after, None).await?;
            OrganizationView::reply(tx, after).await
        })
        .await
}

/// Only active organizations change.
pub fn in_status(organization: &Organization) -> ApiResult<()> {
    if organization.status == OrganizationStatus::Active {
        return Ok(());
    }
    Err(crate::http::ApiError::not_now(organization.status.as_str(), organization.status.actions()))
}

/// Writes the audit entry of a change.
pub async fn record(
    tx: &mut Tx,
    action: &'static str,
    before: Organization,
    after: &Organization,
    reason: Option<&str>,
) -> ApiResult<()> {
    let change = Change::of(action, "organization", after.id, after.id);
    let change = change.before(&OrganizationSummaryView::of(before)).after(&OrganizationSummaryView::of(after.clone()));
    tx.record(match reason {
        Some(reason) => change.because(reason),
        None => change,
    })
    .await
}
