//! How far the contacts reach.

use actix_web::get;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::OrganizationReference;
use crate::http::page::{Paging, Position};
use crate::http::{ApiResult, Call, PageRequest, Query, Reply};
use crate::ids::OrganizationId;
use crate::organizations::rules::OrganizationLevel;
use crate::organizations::store::contacts::{self as store, Coverage};
use crate::{filters, page_schema};

filters! {
    /// Filters of the coverage.
    CoverageFilter {
        /// Only federations in the subtree of this organization.
        within: OrganizationId,
        /// Federations of this level; counties and zones where it is not given.
        level: OrganizationLevel,
    }
}

/// How far the contacts of a federation and of all below it reach today.
#[derive(Serialize, ToSchema)]
pub struct ContactCoverageView {
    /// The federation.
    pub organization: OrganizationReference,
    /// Members of executive committees; who holds several posts is one.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub executives: i64,
    /// Of these, how many look after an area.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub executives_assigned: i64,
    /// Village and community federations.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub villages: i64,
    /// Of these, how many somebody looks after, as a whole or in part.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub villages_covered: i64,
    /// And how many nobody looks after.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub villages_uncovered: i64,
    /// Households of all assignments.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub households_count: i64,
    /// Women of all assignments.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub women_count: i64,
}

page_schema!(ContactCoveragePage, ContactCoverageView);

impl From<Coverage> for ContactCoverageView {
    fn from(row: Coverage) -> Self {
        Self {
            organization: OrganizationReference::from(&row.organization.reference()),
            executives: row.executives,
            executives_assigned: row.executives_assigned,
            villages: row.villages,
            villages_covered: row.villages_covered,
            villages_uncovered: row.villages - row.villages_covered,
            households_count: row.households,
            women_count: row.women,
        }
    }
}

/// 联系覆盖情况 · Coverage of the contact system
///
/// Of each county and zone of the caller's subtree, or each federation of another level: how many executive members look after somebody, which part of the villages is looked after, how many households and women that reaches. Assignments by a post that is over do not count.
#[utoipa::path(
    tag = "people",
    params(CoverageFilter, Paging),
    responses((status = OK, body = ContactCoveragePage, description = "One page of federations."))
)]
#[get("/api/v1/contact-assignments/coverage")]
pub async fn list_contact_coverage(call: Call, filter: Query<CoverageFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::coverage(&conn, &scope, &filter, call.today(), &page).await?;
    page.reply(listed, |row| Position::id(row.organization.id), ContactCoverageView::from)
}
