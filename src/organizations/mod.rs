//! The federation tree: organizations and where they hang, the people of the address book and the posts they hold, the sites
//! where work happens. Scope is always a subtree of this tree. Other slices use the enumerations and
//! [`OrganizationReference`]; data is loaded through [`seed`].

mod api;
pub mod bulk;
mod numbers;
mod rules;
pub mod seed;
mod store;

use chrono::{DateTime, Utc};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::AsyncPgConnection;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::access::Scope;
use crate::clock::{Clock, shanghai};
use crate::db::text_enum::Dictionary;
use crate::ids::{OrganizationId, PersonId, SiteId};
use crate::work_items::{self, POST_EXPIRING};

pub use api::OrganizationReference;
pub use rules::{
    AccountStrategy, AccreditationLevel, ChildStrategy, EmploymentMode, IrreversibleFact, OrganizationEventKind,
    OrganizationKind, OrganizationLevel, OrganizationStatus, PostPosition, PostStatus, PostStrategy, Secondment, Sex,
    SiteChecklistItem, SiteKind, SiteStatus, SiteStrategy,
};

/// Labels of this slice's enumerations.
pub const DICTIONARIES: &[Dictionary] = &[
    ("organization_kind", OrganizationKind::LABELS),
    ("organization_level", OrganizationLevel::LABELS),
    ("organization_status", OrganizationStatus::LABELS),
    ("organization_event_kind", OrganizationEventKind::LABELS),
    ("child_strategy", ChildStrategy::LABELS),
    ("post_strategy", PostStrategy::LABELS),
    ("site_strategy", SiteStrategy::LABELS),
    ("account_strategy", AccountStrategy::LABELS),
    ("irreversible_fact", IrreversibleFact::LABELS),
    ("position", PostPosition::LABELS),
    ("employment_mode", EmploymentMode::LABELS),
    ("secondment", Secondment::LABELS),
    ("post_status", PostStatus::LABELS),
    ("site_kind", SiteKind::LABELS),
    ("accreditation_level", AccreditationLevel::LABELS),
    ("site_status", SiteStatus::LABELS),
    ("site_checklist", SiteChecklistItem::LABELS),
    ("sex", Sex::LABELS),
];

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    // Fixed segments before `{id}`: actix takes the first that fits.
    services
        .service(api::organizations::list_organizations)
        .service(api::organizations::count_organizations)
        .service(api::organizations::write::create_organization)
        .service(api::organizations::get_organization)
        .service(api::organizations::write::update_organization)
        .service(api::tree::move_organization)
        .service(api::succession::dissolve::dissolve_organization)
        .service(api::succession::merge::merge_organization)
        .service(api::succession::split::split_organization)
        .service(api::succession::reactivate::reactivate_organization)
        .service(api::tree::list_organization_children)
        .service(api::tree::list_organization_ancestors)
        .service(api::tree::get_organization_summary)
        .service(api::history::list_organization_history)
        .service(api::directory::list_directory)
        .service(api::directory::get_directory_entry)
        .service(api::people::list_people)
        .service(api::people::count_people)
        .service(api::people::search_people)
        .service(api::people::create_person)
        .service(api::people::get_person)
        .service(api::people::update_person)
        .service(api::people::reveal_person)
        .service(api::posts::list_posts)
        .service(api::posts::count_posts)
        .service(api::posts::list_organization_posts)
        .service(api::posts::batch_posts)
        .service(api::posts::create_post)
        .service(api::posts::get_post)
        .service(api::posts::update_post)
        .service(api::posts::end_post)
        .service(api::sites::list_sites)
        .service(api::sites::count_sites)
        .service(api::sites::create_site)
        .service(api::sites::get_site)
        .service(api::sites::update_site)
        .service(api::sites::accredit_site)
        .service(api::sites::close_site);
}

/// Opens a work item for every post whose last day is near, and closes those of posts that are over. The timetable calls it daily.
pub async fn announce_expiring_posts(conn: &mut AsyncPgConnection, due: DateTime<Utc>) -> Result<(), String> {
    let today = due.with_timezone(&shanghai()).date_naive();
    let announced = async {
        work_items::close_overdue(conn, &POST_EXPIRING, today, due).await?;
        let expiring = store::posts::expiring(conn, today).await?;
        work_items::open(conn, &POST_EXPIRING, &expiring, due).await
    };
    announced.await.map_err(|fault: diesel::result::Error| fault.to_string())
}

/// Makes the federation of a city, the top of an empty tree.
pub async fn create_top(conn: &mut AsyncPgConnection, name: &str, clock: &Clock) -> QueryResult<OrganizationId> {
    let id = OrganizationId::generate();
    let top = seed::blank(id, OrganizationKind::CityFederation, OrganizationLevel::City, name, clock.now());
    seed::organizations(conn, &[top], clock.today()).await?;
    Ok(id)
}

/// The organization of an open site in a scope, held as it is until the transaction ends; none: there is no such site.
pub async fn site_to_write(conn: &mut AsyncPgConnection, scope: &Scope, id: SiteId) -> QueryResult<Option<OrganizationId>> {
    let site = store::sites::lock(conn, scope, id).await.optional()?;
    Ok(site.filter(|site| site.status == SiteStatus::Active).map(|site| site.owner_organization_id))
}

/// Whether an organization works.
pub async fn is_active(conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<bool> {
    store::bulk::is_active(conn, id).await
}

/// Whether somebody of the address book is in a scope.
pub async fn person_in_scope(conn: &AsyncPgConnection, scope: &Scope, id: PersonId) -> QueryResult<bool> {
    store::people::in_scope(conn, scope, id).await
}
