//! Sites: the places where work happens. Anybody may read them.

use actix_web::{get, post, put};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Faults, Location, OrganizationReference, owned};
use crate::access::Permission;
use crate::audit::Change;
use crate::db::scope;
use crate::files::{self, AttachableType, FileReference};
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{
    ApiError, ApiResult, Call, Command, CommandHeaders, FieldError, KeyHeader, PageRequest, Path, Query, Reply, Tx, VersionHeader,
};
use crate::ids::{OrganizationId, SiteId};
use crate::organizations::rules::{AccreditationLevel, OrganizationStatus, SiteChecklistItem, SiteKind, SiteStatus};
use crate::organizations::store::organizations;
use crate::organizations::store::sites::{self as store, Site, SiteEdit};
use crate::{filters, page_schema, text_enum};

filters! {
    /// Filters of sites.
    SiteFilter {
        /// Part of the name.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "妇女之家")]
        q: String,
        /// Only these kinds.
        kind: Vec<SiteKind>,
        /// Only these states.
        status: Vec<SiteStatus>,
        /// Only these demonstration grades.
        accreditation: Vec<AccreditationLevel>,
        /// Only sites of this organization.
        organization_id: OrganizationId,
        /// Only sites in the subtree of this organization.
        within: OrganizationId,
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

/// One item of a site's checklist.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChecklistEntry {
    /// Which item.
    pub item: SiteChecklistItem,
    /// Whether the site meets it.
    pub met: bool,
    /// A remark; null in the public view.
    #[schema(required = true, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub remark: Option<String>,
}

/// A site.
#[derive(Serialize, ToSchema)]
pub struct SiteView {
    /// Its id.
    pub id: SiteId,
    /// Organization that runs it.
    pub owner_organization_id: OrganizationId,
    /// The same, by name.
    #[schema(required = true)]
    pub owner: Option<OrganizationReference>,
    /// What kind of site.
    pub kind: SiteKind,
    /// Name on the door.
    #[schema(examples("岳阳楼区妇女之家"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Its own feature (一村一特色).
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub feature: Option<String>,
    /// Enterprise behind a base or farm stay.
    #[schema(required = true)]
    pub enterprise_id: Option<uuid::Uuid>,
    /// Address.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// Where it is.
    #[schema(required = true)]
    pub location: Option<Location>,
    /// Telephone of the site.
    #[schema(required = true, max_length = 40, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// What it has and lacks.
    #[schema(max_items = 50)]
    pub checklist: Vec<ChecklistEntry>,
    /// Photographs; none in the public view.
    #[schema(max_items = 100)]
    pub photos: Vec<FileReference>,
    /// Demonstration grade.
    #[schema(required = true)]
    pub accreditation: Option<AccreditationLevel>,
    /// When it got its grade.
    #[schema(required = true)]
    pub accredited_on: Option<NaiveDate>,
    /// Document that gave it.
    #[schema(required = true, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub accreditation_document: Option<String>,
    /// Open or closed.
    pub status: SiteStatus,
    /// When it was closed.
    #[schema(required = true)]
    pub closed_on: Option<NaiveDate>,
    /// Why it was closed; null in the public view.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub close_reason: Option<String>,
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

page_schema!(SitePage, SiteView);

/// What the views of some sites need beside their rows.
struct Around {
    owners: std::collections::HashMap<OrganizationId, organizations::Reference>,
    photos: std::collections::HashMap<uuid::Uuid, Vec<FileReference>>,
    readable: Vec<OrganizationId>,
    writable: Vec<OrganizationId>,
    accreditable: Vec<OrganizationId>,
}

impl Around {
    async fn load(call: &Call, conn: &diesel_async::AsyncPgConnection, rows: &[Site]) -> ApiResult<Self> {
        let places: Vec<_> = rows.iter().map(|row| row.owner_organization_id).collect();
        let scopes = [Permission::OrganizationRead, Permission::SiteWrite, Permission::SiteAccredit];
        let [reads, writes, accredits] = scopes.map(|permission| call.scope_for(permission));
        let ids = rows.iter().map(|row| row.id.0).collect();
        let (owners, photos, readable, writable, accreditable) = futures_util::try_join!(
            organizations::references(conn, places.iter().copied()),
            files::attached_to(conn, AttachableType::Site, ids),
            scope::covered(conn, &reads, &places),
            scope::covered(conn, &writes, &places),
            scope::covered(conn, &accredits, &places),
        )?;
        Ok(Self { owners, photos, readable, writable, accreditable })
    }

    /// The view of a row. Remarks and reasons are for the federation's own; everybody else gets the public view.
    fn view(&self, row: Site) -> SiteView {
        let within = |places: &[OrganizationId]| places.contains(&row.owner_organization_id);
        let (inside, write, accredit) = (within(&self.readable), within(&self.writable), within(&self.accreditable));
        let mut checklist: Vec<ChecklistEntry> = serde_json::from_value(row.checklist).unwrap_or_default();
        if !inside {
            checklist.iter_mut().for_each(|entry| entry.remark = None);
        }
        SiteView {
            owner: self.owners.get(&row.owner_organization_id).map(OrganizationReference::from),
            allowed_actions: owned(&row.status.actions(write, accredit)),
            location: Location::of(row.longitude, row.latitude),
            checklist,
            photos: self.photos.get(&row.id.0).filter(|_| inside).cloned().unwrap_or_default(),
            id: row.id,
            owner_organization_id: row.owner_organization_id,
            kind: row.kind,
            name: row.name,
            feature: row.feature,
            enterprise_id: row.enterprise_id,
            address: row.address,
            phone: row.phone,
            accreditation: row.accreditation,
            accredited_on: row.accredited_on,
            accreditation_document: row.accreditation_document,
            status: row.status,
            closed_on: row.closed_on,
            close_reason: row.close_reason.filter(|_| inside),
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Path of a site.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SitePath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8003-000000000001")]
    pub id: SiteId,
}

/// 阵地列表 · List sites
///
/// Women's Homes and the other places where work happens, for anybody.
#[utoipa::path(
    tag = "sites",
    params(SiteFilter, Sorting, Paging),
    responses((status = OK, body = SitePage, description = "One page of sites."))
)]
#[get("/api/v1/sites")]
pub async fn list_sites(call: Call, filter: Query<SiteFilter>, page: PageRequest) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let listed = store::list(&conn, &filter, &page).await?;
    let around = Around::load(&call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| around.view(row))
}

text_enum! {
    /// By what sites are counted.
    SitesBy {
        /// By kind.
        Kind = "kind", "类型", "Kind";
        /// By state.
        Status = "status", "状态", "State";
        /// By demonstration grade.
        Accreditation = "accreditation", "示范等级", "Demonstration grade";
    }
}

/// How to count sites.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SiteCounts {
    /// By what.
    #[param(inline)]
    by: SitesBy,
}

/// 阵地计数 · Count sites
///
/// How many sites there are of each kind, state or grade.
#[utoipa::path(
    tag = "sites",
    params(SiteCounts, SiteFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/sites/counts")]
pub async fn count_sites(call: Call, counts: Query<SiteCounts>, filter: Query<SiteFilter>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &filter, counts.by).await?)
}

/// 阵地详情 · Get a site
///
/// One site, for anybody; signed-in callers also see what they may do with it.
#[utoipa::path(
    tag = "sites",
    params(SitePath),
    responses((status = OK, body = SiteView, description = "The site."))
)]
#[get("/api/v1/sites/{id}")]
pub async fn get_site(call: Call, path: Path<SitePath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, path.id).await?;
    let version = row.version;
    let around = Around::load(&call, &conn, std::slice::from_ref(&row)).await?;
    Reply::item(&around.view(row), version)
}

/// A new site.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "owner_organization_id": "0168028c-2f00-7000-8000-430602000000",
    "kind": "womens_micro_home",
    "name": "步行街妇女微家",
    "feature": "巾帼调解",
    "address": "岳阳市岳阳楼区步行街",
    "location": { "longitude": 113.1289, "latitude": 29.3572 },
    "phone": "0730-8888888",
    "checklist": [{ "item": "place", "met": true, "remark": null }]
})))]
pub struct NewSite {
    /// Organization that runs it.
    pub owner_organization_id: OrganizationId,
    /// What kind of site.
    pub kind: SiteKind,
    /// Name on the door.
    #[schema(min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Its own feature.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub feature: Option<String>,
    /// Address.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// Where it is.
    pub location: Option<Location>,
    /// Telephone of the site.
    #[schema(min_length = 3, max_length = 40, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// What it has and lacks.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub checklist: Vec<ChecklistEntry>,
}

/// 新建阵地 · Create a site
///
/// Opens a site of an organization of the caller's subtree.
#[utoipa::path(
    tag = "sites",
    params(KeyHeader),
    request_body = NewSite,
    responses((status = CREATED, body = SiteView, description = "The site."))
)]
#[post("/api/v1/sites")]
pub async fn create_site(command: Command) -> ApiResult<Reply> {
    command
        .run(async |tx| {
            tx.require_at("owner_organization_id").await?;
            let body: NewSite = tx.body()?;
            let scope = tx.scope();
            let owner = organizations::hold(tx.conn(), &scope, body.owner_organization_id).await?;
            let active = owner.is_some_and(|found| found.status == OrganizationStatus::Active);
            let mut faults = Faults::default();
            faults.check(active, || FieldError::unknown_reference("/owner_organization_id"));
            check_checklist(&mut faults, &body.checklist);
            faults.done()?;
            let now = tx.now();
            let (longitude, latitude) = Location::parts(body.location);
            let row = Site {
                id: SiteId::generate(),
                owner_organization_id: body.owner_organization_id,
                kind: body.kind,
                name: body.name,
                feature: body.feature,
                enterprise_id: None,
                address: body.address,
                longitude,
                latitude,
                phone: body.phone,
                checklist: serde_json::to_value(&body.checklist).map_err(ApiError::internal)?,
                accreditation: None,
                accredited_on: None,
                accreditation_document: None,
                status: SiteStatus::Active,
                closed_on: None,
                close_reason: None,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            let row = store::insert(tx.conn(), &row).await?;
            let (id, version) = (row.id, row.version);
            let view = view_of(tx, row).await?;
            tx.record(Change::of("site.created", "site", id, view.owner_organization_id).after(&view)).await?;
            Reply::created(format!("/api/v1/sites/{id}"), &view, version)
        })
        .await
}

/// Each item stands once.
fn check_checklist(faults: &mut Faults, checklist: &[ChecklistEntry]) {
    for (index, entry) in checklist.iter().enumerate() {
        let once = !checklist[..index].iter().any(|before| before.item == entry.item);
        faults.check(once, || FieldError::at(format!("/checklist/{index}/item"), "repeated", "检查项重复", "stands twice"));
    }
}

async fn view_of(tx: &mut Tx, row: Site) -> ApiResult<SiteView> {
    let call = tx.call.clone();
    let around = Around::load(&call, tx.conn(), std::slice::from_ref(&row)).await?;
    Ok(around.view(row))
}

/// Loads a site for a change: in scope, permitted, of the version read, open.
async fn changing(tx: &mut Tx, id: SiteId) -> ApiResult<Site> {
    let scope = tx.scope();
    let site = store::lock(tx.conn(), &scope, id).await?;
    tx.require(site.owner_organization_id).await?;
    tx.check_version(site.version)?;
    if site.status != SiteStatus::Active {
        return Err(ApiError::not_now(site.status.as_str(), &[]));
    }
    Ok(site)
}

async fn changed(tx: &mut Tx, action: &'static str, before: Site, after: Site, reason: Option<&str>) -> ApiResult<Reply> {
    let (old, new) = (view_of(tx, before).await?, view_of(tx, after).await?);
    let change = Change::of(action, "site", new.id, new.owner_organization_id).before(&old).after(&new);
    tx.record(match reason {
        Some(reason) => change.because(reason),
        None => change,
    })
    .await?;
    Reply::item(&new, new.version)
}

/// The editable fields of a site: all of them, null clears.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "kind": "womens_home",
    "name": "岳阳楼区妇女之家",
    "feature": "巾帼宣讲",
    "address": "岳阳市岳阳楼区",
    "location": null,
    "phone": null,
    "checklist": [{ "item": "place", "met": true, "remark": null }, { "item": "rules", "met": false, "remark": "正在制定" }]
})))]
pub struct EditSite {
    /// What kind of site.
    pub kind: SiteKind,
    /// Name on the door.
    #[schema(min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Its own feature.
    #[schema(required = true, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub feature: Option<String>,
    /// Address.
    #[schema(required = true, min_length = 1, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// Where it is.
    #[schema(required = true)]
    pub location: Option<Location>,
    /// Telephone of the site.
    #[schema(required = true, min_length = 3, max_length = 40, pattern = "^[0-9 +-]+$")]
    pub phone: Option<String>,
    /// What it has and lacks.
    #[schema(max_items = 50)]
    pub checklist: Vec<ChecklistEntry>,
}

/// 修改阵地 · Change a site
///
/// Changes what is known of an open site.
#[utoipa::path(
    tag = "sites",
    params(SitePath, VersionHeader),
    request_body = EditSite,
    responses((status = OK, body = SiteView, description = "The site."))
)]
#[put("/api/v1/sites/{id}")]
pub async fn update_site(command: Command, path: Path<SitePath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = changing(tx, id).await?;
            let body: EditSite = tx.body()?;
            let mut faults = Faults::default();
            check_checklist(&mut faults, &body.checklist);
            faults.done()?;
            let (longitude, latitude) = Location::parts(body.location);
            let edit = SiteEdit {
                kind: body.kind,
                name: body.name,
                feature: body.feature,
                address: body.address,
                longitude,
                latitude,
                phone: body.phone,
                checklist: serde_json::to_value(&body.checklist).map_err(ApiError::internal)?,
            };
            let now = tx.now();
            let after = store::update(tx.conn(), id, &edit, now).await?;
            changed(tx, "site.changed", before, after, None).await
        })
        .await
}

/// A demonstration grade.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "level": "city", "accredited_on": "2019-04-01", "document": "岳妇发〔2019〕3号" })))]
pub struct AccreditSite {
    /// Which grade.
    pub level: AccreditationLevel,
    /// Since when.
    pub accredited_on: NaiveDate,
    /// Document that gives it.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub document: Option<String>,
}

/// 授予示范等级 · Accredit a site
///
/// Gives an open site its demonstration grade.
#[utoipa::path(
    tag = "sites",
    params(SitePath, CommandHeaders),
    request_body = AccreditSite,
    responses((status = OK, body = SiteView, description = "The site."))
)]
#[post("/api/v1/sites/{id}/accredit")]
pub async fn accredit_site(command: Command, path: Path<SitePath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = changing(tx, id).await?;
            let body: AccreditSite = tx.body()?;
            let mut faults = Faults::default();
            let today = tx.today();
            faults.check(body.accredited_on <= today, || {
                FieldError::at("/accredited_on", "in_the_future", "不能晚于今天", "must not lie in the future")
            });
            faults.done()?;
            let now = tx.now();
            let after = store::accredit(tx.conn(), id, body.level, body.accredited_on, body.document.as_deref(), now).await?;
            changed(tx, "site.accredited", before, after, None).await
        })
        .await
}

/// Why a site closes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "reason": "场所拆迁" })))]
pub struct CloseSite {
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
}

/// 关闭阵地 · Close a site
///
/// Closes a site today; it stays readable with what it did.
#[utoipa::path(
    tag = "sites",
    params(SitePath, CommandHeaders),
    request_body = CloseSite,
    responses((status = OK, body = SiteView, description = "The site."))
)]
#[post("/api/v1/sites/{id}/close")]
pub async fn close_site(command: Command, path: Path<SitePath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = changing(tx, id).await?;
            let body: CloseSite = tx.body()?;
            let (now, today) = (tx.now(), tx.today());
            let after = store::close(tx.conn(), id, today, &body.reason, now).await?;
            changed(tx, "site.closed", before, after, Some(&body.reason)).await
        })
        .await
}
