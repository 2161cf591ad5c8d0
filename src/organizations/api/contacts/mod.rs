//! Who of the executive members looks after which women (联系制度, handbook 8.6). An assignment lies where its area lies: whoever
//! reads there reads it; whoever writes where it is organized changes it.

mod coverage;
mod write;

use std::collections::HashMap;

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{OrganizationReference, owned};
use crate::access::Permission;
use crate::db::scope;
use crate::http::page::{Counts, Paging, Sorting};
use crate::http::{ApiResult, Call, PageRequest, Path, Query, Reply, Tx};
use crate::ids::{ContactAssignmentId, OrganizationId, PersonId, PostId};
use crate::organizations::rules::{ContactStatus, PostPosition};
use crate::organizations::store::contacts::{self as store, Contact};
use crate::organizations::store::organizations::{self, Reference};
use crate::organizations::store::{people, posts};
use crate::{filters, page_schema, text_enum};

pub use coverage::{CoverageFilter, list_contact_coverage};
pub use write::{create_contact_assignment, end_contact_assignment, update_contact_assignment};

filters! {
    /// Filters of assignments.
    ContactFilter {
        /// Only those of the contact system of this organization.
        organization_id: OrganizationId,
        /// Only those that lie in the subtree of this organization.
        within: OrganizationId,
        /// Only those of this person.
        person_id: PersonId,
        /// Only those by this post.
        post_id: PostId,
        /// Only those for this organization and parts of it.
        area_organization_id: OrganizationId,
        /// Only those that stand so today.
        status: Vec<ContactStatus>,
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

/// An assignment: somebody of an executive committee looks after the women of an area.
#[derive(Serialize, ToSchema)]
pub struct ContactAssignmentView {
    /// Its id.
    pub id: ContactAssignmentId,
    /// Whose contact system it belongs to.
    pub organization_id: OrganizationId,
    /// The same, by name.
    #[schema(required = true)]
    pub organization: Option<OrganizationReference>,
    /// The post by which she is assigned.
    pub post_id: PostId,
    /// Her position by that post.
    #[schema(required = true)]
    pub position: Option<PostPosition>,
    /// Who it is.
    pub person_id: PersonId,
    /// Her name.
    #[schema(required = true, examples("李梅"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub person_name: Option<String>,
    /// The village, township or other body she looks after; null: an area in words.
    #[schema(required = true)]
    pub area_organization_id: Option<OrganizationId>,
    /// The same, by name.
    #[schema(required = true)]
    pub area_organization: Option<OrganizationReference>,
    /// A part of it, or an area that is no organization.
    #[schema(required = true, examples("洞庭北路一组"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
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
    /// Where it stands today; `lapsed`: the post is over, and the assignment waits to be ended.
    pub status: ContactStatus,
    /// Why it ended.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub end_reason: Option<String>,
    /// A remark.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub remark: Option<String>,
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

page_schema!(ContactAssignmentPage, ContactAssignmentView);

/// What the views of some assignments need beside their rows.
struct Around {
    organizations: HashMap<OrganizationId, Reference>,
    people: HashMap<PersonId, String>,
    posts: HashMap<PostId, (PostPosition, Option<NaiveDate>)>,
    writable: Vec<OrganizationId>,
    today: NaiveDate,
}

impl Around {
    async fn load(call: &Call, conn: &AsyncPgConnection, rows: &[Contact]) -> ApiResult<Self> {
        let places: Vec<_> = rows.iter().map(|row| row.organization_id).collect();
        let named = places.iter().copied().chain(rows.iter().filter_map(|row| row.area_organization_id));
        let writes = call.scope_for(Permission::ContactWrite);
        let (organizations, people, posts, writable) = futures_util::try_join!(
            organizations::references(conn, named),
            people::names(conn, rows.iter().map(|row| row.person_id)),
            posts::terms(conn, rows.iter().map(|row| row.post_id).collect()),
            scope::covered(conn, &writes, &places),
        )?;
        Ok(Self { organizations, people, posts, writable, today: call.today() })
    }

    fn view(&self, row: Contact) -> ContactAssignmentView {
        let reference = |id: OrganizationId| self.organizations.get(&id).map(OrganizationReference::from);
        let (position, post_to_on) =
            self.posts.get(&row.post_id).map_or((None, None), |(position, last)| (Some(*position), *last));
        let status = ContactStatus::on(self.today, row.from_on, row.to_on, post_to_on);
        ContactAssignmentView {
            organization: reference(row.organization_id),
            position,
            person_name: self.people.get(&row.person_id).cloned(),
            area_organization: row.area_organization_id.and_then(reference),
            status,
            allowed_actions: if self.writable.contains(&row.organization_id) { owned(status.actions()) } else { vec![] },
            id: row.id,
            organization_id: row.organization_id,
            post_id: row.post_id,
            person_id: row.person_id,
            area_organization_id: row.area_organization_id,
            area: row.area,
            households_count: row.households_count,
            women_count: row.women_count,
            from_on: row.from_on,
            to_on: row.to_on,
            end_reason: row.end_reason,
            remark: row.remark,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

async fn view_of(tx: &mut Tx, row: Contact) -> ApiResult<ContactAssignmentView> {
    let call = tx.call.clone();
    let around = Around::load(&call, tx.conn(), std::slice::from_ref(&row)).await?;
    Ok(around.view(row))
}

/// Path of an assignment.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ContactAssignmentPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8012-000000000001")]
    pub id: ContactAssignmentId,
}

/// 联系安排列表 · List contact assignments
///
/// Who of the executive members looks after which area of the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(ContactFilter, Sorting, Paging),
    responses((status = OK, body = ContactAssignmentPage, description = "One page of assignments."))
)]
#[get("/api/v1/contact-assignments")]
pub async fn list_contact_assignments(call: Call, filter: Query<ContactFilter>, page: PageRequest) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    let listed = store::list(&conn, &scope, &filter, call.today(), &page).await?;
    let around = Around::load(&call, &conn, &listed.rows).await?;
    page.reply(listed, |row| page.position(row.id, row.updated_at), |row| around.view(row))
}

text_enum! {
    /// By what assignments are counted.
    ContactsBy {
        /// By whose contact system.
        Organization = "organization_id", "组织", "Organization";
        /// By person.
        Person = "person_id", "联系人", "Person";
        /// By the organization that is looked after.
        Area = "area_organization_id", "联系区域", "Area";
    }
}

/// How to count assignments.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ContactCounts {
    /// By what.
    #[param(inline)]
    by: ContactsBy,
}

/// 联系安排计数 · Count contact assignments
///
/// How many assignments of the caller's subtree there are of each organization, person or area.
#[utoipa::path(
    tag = "people",
    params(ContactCounts, ContactFilter),
    responses((status = OK, body = Counts, description = "The counts."))
)]
#[get("/api/v1/contact-assignments/counts")]
pub async fn count_contact_assignments(
    call: Call,
    counts: Query<ContactCounts>,
    filter: Query<ContactFilter>,
) -> ApiResult<Reply> {
    let scope = call.list_scope()?;
    let conn = call.connection().await?;
    Counts::reply(counts.by, store::counts(&conn, &scope, &filter, call.today(), counts.by).await?)
}

/// 联系安排详情 · Get a contact assignment
///
/// One assignment in the caller's subtree.
#[utoipa::path(
    tag = "people",
    params(ContactAssignmentPath),
    responses((status = OK, body = ContactAssignmentView, description = "The assignment."))
)]
#[get("/api/v1/contact-assignments/{id}")]
pub async fn get_contact_assignment(call: Call, path: Path<ContactAssignmentPath>) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let row = store::find(&conn, &call.scope(), path.id).await?;
    let version = row.version;
    let around = Around::load(&call, &conn, std::slice::from_ref(&row)).await?;
    Reply::item(&around.view(row), version)
}
