//! Organizations and whom their reminders reach.

mod lists;
mod write;

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;

use super::tree;
use crate::access::{Module, Scope};
use crate::db::page::{Condition, all_of};
use crate::db::schema::{accounts, divisions, organization_liaisons, organization_tree, organizations, people, posts, sites};
use crate::db::scope::{below, lies_below, lies_in};
use crate::ids::{AccountId, OrganizationId};
use crate::organizations::rules::{
    OrganizationKind, OrganizationLevel, OrganizationStatus, PersonStatus, PostPosition, SiteKind,
};

pub use lists::{Source, child_counts, child_counts_on, children, counts, directory, list};
pub use write::{end, insert, insert_many, reactivate, set_division, set_parent, touch, update};

/// An organization as it is stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = organizations)]
#[allow(missing_docs)]
pub struct Organization {
    pub id: OrganizationId,
    pub kind: OrganizationKind,
    pub level: OrganizationLevel,
    pub name: String,
    pub short_name: Option<String>,
    pub parent_id: Option<OrganizationId>,
    pub host_name: Option<String>,
    pub division_code: Option<String>,
    pub uscc: Option<String>,
    pub address: Option<String>,
    pub longitude: Option<Decimal>,
    pub latitude: Option<Decimal>,
    pub phone: Option<String>,
    pub founded_on: Option<NaiveDate>,
    pub approval_document: Option<String>,
    pub status: OrganizationStatus,
    pub status_changed_on: Option<NaiveDate>,
    pub successor_id: Option<OrganizationId>,
    pub tags: Vec<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What lists show of an organization: a page reads no more.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = organizations)]
#[allow(missing_docs)]
pub struct Summary {
    pub id: OrganizationId,
    pub kind: OrganizationKind,
    pub level: OrganizationLevel,
    pub name: String,
    pub short_name: Option<String>,
    pub parent_id: Option<OrganizationId>,
    pub division_code: Option<String>,
    pub status: OrganizationStatus,
    pub tags: Vec<String>,
    pub version: i32,
    pub updated_at: DateTime<Utc>,
}

impl From<Organization> for Summary {
    fn from(row: Organization) -> Self {
        let Organization {
            id, kind, level, name, short_name, parent_id, division_code, status, tags, version, updated_at, ..
        } = row;
        Self { id, kind, level, name, short_name, parent_id, division_code, status, tags, version, updated_at }
    }
}

/// What may be edited of an organization.
#[derive(AsChangeset)]
#[diesel(table_name = organizations, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct OrganizationEdit {
    pub name: String,
    pub short_name: Option<String>,
    pub host_name: Option<String>,
    pub division_code: Option<String>,
    pub uscc: Option<String>,
    pub address: Option<String>,
    pub longitude: Option<Decimal>,
    pub latitude: Option<Decimal>,
    pub phone: Option<String>,
    pub founded_on: Option<NaiveDate>,
    pub approval_document: Option<String>,
    pub tags: Vec<String>,
}

/// What anybody may know of an organization that is named somewhere.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = organizations)]
#[allow(missing_docs)]
pub struct Reference {
    pub id: OrganizationId,
    pub name: String,
    pub kind: OrganizationKind,
    pub level: OrganizationLevel,
}

/// What is in the way of a dissolution.
#[derive(Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Obstacles {
    pub children: i64,
    pub posts: i64,
    pub sites: i64,
}

/// One organization in a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<Organization> {
    organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::id.eq_any(below(scope.places()).filter(organization_tree::descendant_id.eq(id))))
        .select(Organization::as_select())
        .first(&mut conn)
        .await
}

diesel::alias!(organizations as parents: Parent, organizations as successors: Successor);

/// An organization and what its view shows beside it.
#[allow(missing_docs)]
pub struct Whole {
    pub organization: Organization,
    pub parent: Option<Reference>,
    pub successor: Option<Reference>,
    pub liaisons: Vec<(AccountId, String, Vec<Module>)>,
    /// Whether it lies where the caller may write.
    pub writable: bool,
    /// Whether its parent does, too.
    pub writable_above: bool,
}

/// One organization in the scope `reads`, or wherever it is, with what its view shows beside it.
pub async fn whole(
    mut conn: &AsyncPgConnection,
    reads: Option<&Scope>,
    writes: &Scope,
    id: OrganizationId,
) -> QueryResult<Whole> {
    let visible: Condition<'_, _> = match reads {
        Some(scope) => Box::new(lies_in(scope, id).nullable()),
        None => all_of(vec![]),
    };
    let reference = || (organizations::id, organizations::name, organizations::kind, organizations::level);
    let row = organizations::table
        .left_join(parents.on(parents.field(organizations::id).nullable().eq(organizations::parent_id)))
        .left_join(successors.on(successors.field(organizations::id).nullable().eq(organizations::successor_id)))
        .filter(organizations::id.eq(id))
        .filter(visible)
        .select((
            Organization::as_select(),
            parents.fields(reference()).nullable(),
            successors.fields(reference()).nullable(),
            lies_in(writes, id),
            lies_below(writes, id),
        ))
        .first(&mut conn);
    let (row, liaisons) = futures_util::try_join!(row, liaisons(conn, id))?;
    let (organization, parent, successor, writable, writable_above) = row;
    Ok(Whole { organization, parent, successor, liaisons, writable, writable_above })
}

/// Locks one organization in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<Organization> {
    organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::id.eq_any(below(scope.places()).filter(organization_tree::descendant_id.eq(id))))
        .select(Organization::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Holds one organization in a scope as it is until the transaction ends, for what refers to it.
pub async fn hold(conn: &mut AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<Option<Organization>> {
    organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::id.eq_any(below(scope.places()).filter(organization_tree::descendant_id.eq(id))))
        .select(Organization::as_select())
        .for_share()
        .first(conn)
        .await
        .optional()
}

/// Locks another organization in a scope, one that takes something over.
pub async fn lock_other(conn: &mut AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<Option<Organization>> {
    lock(conn, scope, id).await.optional()
}

/// Any organization, for rules about its children.
pub async fn parent_of(mut conn: &AsyncPgConnection, organization: &Organization) -> QueryResult<Option<Organization>> {
    let Some(parent) = organization.parent_id else { return Ok(None) };
    organizations::table.find(parent).select(Organization::as_select()).first(&mut conn).await.optional()
}

/// References to organizations by id.
pub async fn references(
    mut conn: &AsyncPgConnection,
    ids: impl IntoIterator<Item = OrganizationId>,
) -> QueryResult<HashMap<OrganizationId, Reference>> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<Reference> =
        organizations::table.filter(organizations::id.eq_any(ids)).select(Reference::as_select()).load(&mut conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// What lies above an organization on a day, from the top down.
pub async fn ancestors(mut conn: &AsyncPgConnection, id: OrganizationId, day: NaiveDate) -> QueryResult<Vec<Organization>> {
    organization_tree::table
        .inner_join(organizations::table.on(organizations::id.eq(organization_tree::ancestor_id)))
        .filter(organization_tree::descendant_id.eq(id))
        .filter(tree::held_on(day))
        .filter(organization_tree::depth.gt(0))
        .order(organization_tree::depth.desc())
        .select(Organization::as_select())
        .load(&mut conn)
        .await
}

/// How many posts of an organization are filled on a day, by position.
pub async fn filled_posts(
    mut conn: &AsyncPgConnection,
    id: OrganizationId,
    today: NaiveDate,
) -> QueryResult<Vec<(PostPosition, i64)>> {
    posts::table
        .filter(posts::organization_id.eq(id))
        .filter(posts::from_on.le(today))
        .filter(posts::to_on.is_null().or(posts::to_on.ge(today).assume_not_null()))
        .group_by(posts::position)
        .select((posts::position, count_star()))
        .order(posts::position)
        .load(&mut conn)
        .await
}

/// How many active sites an organization runs, by kind.
pub async fn active_sites(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<Vec<(SiteKind, i64)>> {
    sites::table
        .filter(sites::owner_organization_id.eq(id))
        .filter(sites::status.eq("active"))
        .group_by(sites::kind)
        .select((sites::kind, count_star()))
        .order(sites::kind)
        .load(&mut conn)
        .await
}

/// How many people an organization keeps in the address book.
pub async fn kept_people(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<i64> {
    let kept = people::table.filter(people::organization_id.eq(id)).filter(people::status.eq(PersonStatus::Active));
    kept.select(count_star()).first(&mut conn).await
}

/// What is in the way of dissolving an organization.
pub async fn obstacles(mut conn: &AsyncPgConnection, id: OrganizationId, today: NaiveDate) -> QueryResult<Obstacles> {
    let children = organizations::table
        .filter(organizations::parent_id.eq(id))
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .select(count_star())
        .first(&mut conn)
        .await?;
    let posts = posts::table
        .filter(posts::organization_id.eq(id))
        .filter(posts::to_on.is_null().or(posts::to_on.ge(today).assume_not_null()))
        .select(count_star())
        .first(&mut conn)
        .await?;
    let sites = active_sites(conn, id).await?.into_iter().map(|(_, count)| count).sum();
    Ok(Obstacles { children, posts, sites })
}

/// Whether there is such a division.
pub async fn division_exists(mut conn: &AsyncPgConnection, code: &str) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(divisions::table.find(code))).get_result(&mut conn).await
}

/// Whom reminders of an organization reach: account, its name, modules.
pub async fn liaisons(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<Vec<(AccountId, String, Vec<Module>)>> {
    organization_liaisons::table
        .inner_join(accounts::table.on(accounts::id.eq(organization_liaisons::account_id)))
        .filter(organization_liaisons::organization_id.eq(id))
        .order(organization_liaisons::account_id)
        .select((organization_liaisons::account_id, accounts::display_name, organization_liaisons::modules))
        .load(&mut conn)
        .await
}

/// Replaces whom reminders of an organization reach.
pub async fn set_liaisons(
    conn: &mut AsyncPgConnection,
    id: OrganizationId,
    liaisons: &[(AccountId, Vec<Module>)],
) -> QueryResult<()> {
    diesel::delete(organization_liaisons::table.filter(organization_liaisons::organization_id.eq(id))).execute(conn).await?;
    let rows: Vec<_> = liaisons
        .iter()
        .map(|(account, modules)| {
            (
                organization_liaisons::organization_id.eq(id),
                organization_liaisons::account_id.eq(*account),
                organization_liaisons::modules.eq(modules.iter().map(|module| module.as_str()).collect::<Vec<_>>()),
            )
        })
        .collect();
    diesel::insert_into(organization_liaisons::table).values(rows).execute(conn).await.map(drop)
}

/// Which of these accounts are active and kept by an organization in a scope.
pub async fn known_accounts(mut conn: &AsyncPgConnection, scope: &Scope, ids: &[AccountId]) -> QueryResult<Vec<AccountId>> {
    accounts::table
        .filter(accounts::id.eq_any(ids))
        .filter(accounts::status.eq("active"))
        .filter(accounts::organization_id.eq_any(below(scope.places())))
        .select(accounts::id)
        .load(&mut conn)
        .await
}

/// One active organization, as the public sees it.
pub async fn directory_entry(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<Organization> {
    organizations::table
        .find(id)
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .select(Organization::as_select())
        .first(&mut conn)
        .await
}
