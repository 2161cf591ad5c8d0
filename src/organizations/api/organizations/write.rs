//! Making and editing organizations.

use actix_web::{post, put};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OrganizationPath, OrganizationView, UNIQUE};
use crate::access::Module;
use crate::http::{ApiError, ApiResult, Command, FieldError, KeyHeader, Path, Reply, Tx, VersionHeader};
use crate::ids::{AccountId, OrganizationId};
use crate::organizations::api::history::{Told, tell};
use crate::organizations::api::{Faults, Location, taken};
use crate::organizations::numbers::is_uscc;
use crate::organizations::rules::{
    OrganizationEventKind, OrganizationKind, OrganizationLevel, OrganizationStatus, OrganizationStep, PlacementFault,
    StepRefusal, check_division, check_placement,
};
use crate::organizations::store::organizations::{self as store, Organization, OrganizationEdit};
use crate::organizations::store::tree;

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
                return Err(ApiError::invalid(vec![FieldError::unknown_reference("/parent_id")]));
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
            let told = Told { kind: OrganizationEventKind::Created, before: None, after: &row, other: None, reason: None };
            tell(tx, told).await?;
            let (id, version, call) = (row.id, row.version, tx.call.clone());
            let view = OrganizationView::load(&call, tx.conn(), row).await?;
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

pub fn check_place(
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
            check_step(&before, OrganizationStep::Update)?;
            let body: EditOrganization = tx.body()?;
            let mut faults = Faults::default();
            let parent = store::parent_of(tx.conn(), &before).await?;
            faults.0.extend(body.division_code.as_deref().and_then(|code| division_fault(before.kind, code, parent.as_ref())));
            check_codes(tx, &mut faults, body.division_code.as_deref(), body.uscc.as_deref()).await?;
            let accounts: Vec<AccountId> = body.liaisons.iter().map(|liaison| liaison.account_id).collect();
            let mut known = store::known_accounts(tx.conn(), &scope, &accounts).await?;
            // What was read can be sent back: whom reminders reach already stays, even disabled or kept elsewhere since.
            known.extend(store::liaisons(tx.conn(), id).await?.into_iter().map(|(account, ..)| account));
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
            let told =
                Told { kind: OrganizationEventKind::Changed, before: Some(&before), after: &after, other: None, reason: None };
            tell(tx, told).await?;
            OrganizationView::reply(tx, after).await
        })
        .await
}

/// The state of an organization allows a step, or 409 with what it allows.
pub fn check_step(organization: &Organization, step: OrganizationStep) -> ApiResult<OrganizationStatus> {
    let (status, is_top) = (organization.status, organization.parent_id.is_none());
    status.after(step, is_top).map_err(|refusal| {
        let zh = match refusal {
            StepRefusal::NotNow => "当前状态不允许此操作",
            StepRefusal::MergedForGood => "合并后的组织不能恢复，其人员、职务和下级已归入承接组织；请改为拆分承接组织",
            StepRefusal::Top => "最上级组织没有同级，不能合并或拆分",
        };
        ApiError::not_now(status.as_str(), &status.actions(is_top)).because(zh, refusal.to_string())
    })
}
