//! The public directory of active organizations.

use actix_web::get;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::page::{Paging, Sorting};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::OrganizationKind;
use crate::organizations::store::organizations::{self as store, Organization};
use crate::{filters, page_schema};

filters! {
    /// Filters of the directory.
    DirectoryFilter {
        /// Part of the name.
        #[param(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f]+$", example = "岳阳楼")]
        q: String,
        /// Only these kinds.
        kind: Vec<OrganizationKind>,
        /// Only the organization of this division.
        #[param(min_length = 6, max_length = 12, pattern = "^[0-9]+$", example = "430602")]
        division_code: String,
    }
}

/// An organization as anybody may see it.
#[derive(Serialize, ToSchema)]
pub struct DirectoryEntryView {
    /// Its id.
    pub id: OrganizationId,
    /// What kind of body it is.
    pub kind: OrganizationKind,
    /// Official name.
    #[schema(examples("岳阳楼区妇联"), max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Its division.
    #[schema(required = true, examples("430602"), max_length = 12, pattern = "^[0-9]+$")]
    pub division_code: Option<String>,
    /// Office address.
    #[schema(required = true, max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub address: Option<String>,
    /// Office telephone.
    #[schema(required = true, examples("0730-8888888"), max_length = 40, pattern = "^[^\\x00-\\x1f]+$")]
    pub phone: Option<String>,
}

page_schema!(DirectoryPage, DirectoryEntryView);

impl DirectoryEntryView {
    fn of(row: Organization) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            name: row.name,
            division_code: row.division_code,
            address: row.address,
            phone: row.phone,
        }
    }
}

/// 公开通讯录 · Public directory
///
/// Active organizations with office address and telephone, for anybody.
#[utoipa::path(
    tag = "organizations",
    params(DirectoryFilter, Sorting, Paging),
    responses((status = OK, body = DirectoryPage, description = "One page of the directory."))
)]
#[get("/api/v1/directory")]
pub async fn list_directory(call: Call, filter: Query<DirectoryFilter>, page: PageRequest) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let listed = store::directory(&conn, &filter, &page).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), DirectoryEntryView::of)
}

/// Path of an entry.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DirectoryPath {
    /// Id of the organization.
    #[param(example = "0168028c-2f00-7000-8000-430602000000")]
    pub id: OrganizationId,
}

/// 公开通讯录条目 · Get a directory entry
///
/// One active organization, as anybody may see it.
#[utoipa::path(
    tag = "organizations",
    params(DirectoryPath),
    responses((status = OK, body = DirectoryEntryView, description = "The entry."))
)]
#[get("/api/v1/directory/{id}")]
pub async fn get_directory_entry(call: Call, path: Path<DirectoryPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    Reply::unversioned(&DirectoryEntryView::of(store::directory_entry(&conn, path.id).await?))
}
