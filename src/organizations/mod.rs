//! The federation tree: organizations and where they hang, the people of the address book and the posts they hold, the sites
//! where work happens. Scope is always a subtree of this tree. Other slices use the enumerations and
//! [`OrganizationReference`]; data is loaded through [`seed`]. Whoever brings people asks [`match_people`] first: one record per person.

mod api;
pub mod bulk;
mod numbers;
mod rules;
pub mod seed;
mod store;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::AsyncPgConnection;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::access::Scope;
use crate::clock::{Clock, shanghai};
use crate::db::text_enum::Dictionary;
use crate::ids::{OrganizationId, PersonId, PostId, SiteId};
use crate::work_items::{self, POST_EXPIRING};

pub use api::OrganizationReference;
pub use rules::{
    AccountStrategy, AccreditationLevel, ChildStrategy, ContactStatus, CoverageGap, CoverageGapKind, CoverageUnitKind,
    CoverageUnitStatus, EmploymentMode, IrreversibleFact, MergeField, MergeReason, OrganizationEventKind, OrganizationKind,
    OrganizationLevel, OrganizationStatus, PersonStatus, PostPosition, PostStatus, PostStrategy, PostWarning, Secondment, Sex,
    SiteChecklistItem, SiteKind, SiteStatus, SiteStrategy, SuggestionStatus, UnitFacts, UnitFault, may_cover, unit_faults,
};
pub use store::person_matches::{MatchedBy, PersonCandidate, PersonMatch};

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
    ("person_status", PersonStatus::LABELS),
    ("merge_reason", MergeReason::LABELS),
    ("merge_suggestion_status", SuggestionStatus::LABELS),
    ("merge_field", MergeField::LABELS),
    ("post_warning", PostWarning::LABELS),
    ("contact_status", ContactStatus::LABELS),
    ("coverage_unit_kind", CoverageUnitKind::LABELS),
    ("coverage_unit_status", CoverageUnitStatus::LABELS),
    ("coverage_gap_kind", CoverageGapKind::LABELS),
    ("coverage_gap", CoverageGap::LABELS),
];

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    // Fixed segments before `{id}`: actix takes the first that fits.
    services
        .service(api::organizations::list_organizations)
        .service(api::organizations::count_organizations)
        .service(api::coverage::figures::get_organization_coverage)
        .service(api::coverage::gaps::list_coverage_gaps)
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
        .service(api::people::write::create_person)
        .service(api::people::list_merge_suggestions)
        .service(api::people::count_merge_suggestions)
        .service(api::people::get_merge_suggestion)
        .service(api::people::dismiss_merge_suggestion)
        .service(api::people::get_person)
        .service(api::people::write::update_person)
        .service(api::people::reveal_person)
        .service(api::people::merge_person)
        .service(api::posts::list_posts)
        .service(api::posts::count_posts)
        .service(api::posts::list_vacancies)
        .service(api::posts::count_vacancies)
        .service(api::posts::list_expiring_posts)
        .service(api::posts::list_organization_posts)
        .service(api::posts::batch_posts)
        .service(api::posts::create_post)
        .service(api::posts::get_post)
        .service(api::posts::update_post)
        .service(api::posts::end_post)
        .service(api::contacts::list_contact_assignments)
        .service(api::contacts::count_contact_assignments)
        .service(api::contacts::list_contact_coverage)
        .service(api::contacts::create_contact_assignment)
        .service(api::contacts::get_contact_assignment)
        .service(api::contacts::update_contact_assignment)
        .service(api::contacts::end_contact_assignment)
        .service(api::sites::list_sites)
        .service(api::sites::count_sites)
        .service(api::sites::create_site)
        .service(api::sites::get_site)
        .service(api::sites::update_site)
        .service(api::sites::accredit_site)
        .service(api::sites::close_site)
        .service(api::coverage::list_coverage_units)
        .service(api::coverage::count_coverage_units)
        .service(api::coverage::write::create_coverage_unit)
        .service(api::coverage::get_coverage_unit)
        .service(api::coverage::write::update_coverage_unit)
        .service(api::coverage::write::close_coverage_unit)
        .service(api::coverage::write::reopen_coverage_unit);
}

/// Opens a work item for every post whose last day is near, and closes those of posts that are over. The timetable calls it daily.
pub async fn announce_expiring_posts(conn: &mut AsyncPgConnection, due: DateTime<Utc>) -> Result<(), String> {
    announce(conn, due).await.map_err(|fault| fault.to_string())
}

async fn announce(conn: &mut AsyncPgConnection, due: DateTime<Utc>) -> QueryResult<()> {
    let today = due.with_timezone(&shanghai()).date_naive();
    work_items::close_overdue(conn, &POST_EXPIRING, today, due).await?;
    let mut after = (today, PostId(Uuid::nil()));
    loop {
        let expiring = store::posts::expiring(conn, today, after).await?;
        let Some(last) = expiring.last() else { return Ok(()) };
        after = (last.due_on.unwrap_or(today), PostId(last.subject_id));
        work_items::open(conn, &POST_EXPIRING, &expiring, due).await?;
    }
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

/// Whether more than so many organizations lie below a place, itself included.
pub async fn has_more_below(conn: &AsyncPgConnection, place: OrganizationId, most: i64) -> QueryResult<bool> {
    store::bulk::has_more_below(conn, place, most).await
}

/// Whether an organization works.
pub async fn is_active(conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<bool> {
    store::bulk::is_active(conn, id).await
}

/// Holds somebody of the address book who is readable in a scope as she is until the transaction ends, for what refers to her.
/// False: there is nobody, or the record has gone into another.
pub async fn hold_person(conn: &mut AsyncPgConnection, scope: &Scope, id: PersonId, today: NaiveDate) -> QueryResult<bool> {
    store::people::hold(conn, scope, id, today).await
}

/// The same for many: who of them there is.
pub async fn hold_people(
    conn: &mut AsyncPgConnection,
    scope: &Scope,
    ids: &[PersonId],
    today: NaiveDate,
) -> QueryResult<Vec<PersonId>> {
    store::people::hold_all(conn, scope, ids, today).await
}

/// Who these candidates are, wherever their records are kept, in one statement; see [`PersonMatch`]. Where new records may follow,
/// take the numbers first ([`lock_candidates`]), and write suggestions afterwards ([`suggest_merges`]).
pub async fn match_people(
    conn: &AsyncPgConnection,
    scope: &Scope,
    today: NaiveDate,
    candidates: &[PersonCandidate],
) -> QueryResult<Vec<Option<PersonMatch>>> {
    store::person_matches::find(conn, scope, today, candidates).await
}

/// Nobody else brings these people until the transaction ends; some hundred at a time.
pub async fn lock_candidates(conn: &mut AsyncPgConnection, candidates: &[PersonCandidate]) -> QueryResult<()> {
    store::person_matches::lock(conn, candidates).await
}

/// Looks for records that are like these and keeps them as suggestions to merge.
pub async fn suggest_merges(conn: &mut AsyncPgConnection, ids: &[PersonId], now: DateTime<Utc>) -> QueryResult<()> {
    store::person_matches::suggest(conn, ids, now).await
}
