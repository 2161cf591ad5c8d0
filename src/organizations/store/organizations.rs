//! Organizations and whom their reminders reach.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{Eq, InnerJoinQuerySource, count_star};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;

use super::{COUNTED, Capped, Condition, all_of, load_page, tree};
use crate::access::{Module, Scope};
use crate::db::schema::{accounts, divisions, organization_liaisons, organization_tree, organizations, people, posts, sites};
use crate::http::PageRequest;
use crate::ids::{AccountId, OrganizationId};
use crate::organizations::api::Sort;
use crate::organizations::api::directory::DirectoryQuery;
use crate::organizations::api::organizations::{OrganizationQuery, OrganizationsBy};
use crate::organizations::api::tree::ChildrenQuery;
use crate::organizations::rules::{OrganizationKind, OrganizationLevel, OrganizationStatus, PostPosition, SiteKind};
use crate::reference::contains;

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

type Source =
    InnerJoinQuerySource<organization_tree::table, organizations::table, Eq<organizations::id, organization_tree::descendant_id>>;

/// The tree joined with its organizations: the order by `descendant_id` is that of the index.
macro_rules! listed {
    () => {
        organization_tree::table.inner_join(organizations::table.on(organizations::id.eq(organization_tree::descendant_id)))
    };
}

fn matching<'a>(roots: &[OrganizationId], query: &'a OrganizationQuery) -> Condition<'a, Source> {
    let mut all: Vec<Condition<'a, Source>> = vec![Box::new(organization_tree::to_on.is_null().nullable())];
    match roots {
        [only] => all.push(Box::new(organization_tree::ancestor_id.eq(*only).nullable())),
        many => all.push(Box::new(organization_tree::ancestor_id.eq_any(many.to_vec()).nullable())),
    }
    if let Some(kinds) = &query.kind {
        all.push(Box::new(organizations::kind.eq_any(kinds).nullable()));
    }
    if let Some(levels) = &query.level {
        all.push(Box::new(organizations::level.eq_any(levels).nullable()));
    }
    if let Some(statuses) = &query.status {
        all.push(Box::new(organizations::status.eq_any(statuses).nullable()));
    }
    if let Some(parent) = &query.parent_id {
        all.push(Box::new(organizations::parent_id.eq(parent)));
    }
    if let Some(code) = &query.division_code {
        all.push(Box::new(organizations::division_code.eq(code)));
    }
    if let Some(tag) = &query.tag {
        all.push(Box::new(organizations::tags.contains(vec![tag]).nullable()));
    }
    if let Some(q) = &query.q {
        all.push(Box::new(organizations::name.like(contains(q)).nullable()));
    }
    if let Some(from) = &query.created_at_gte {
        all.push(Box::new(organizations::created_at.ge(from).nullable()));
    }
    if let Some(before) = &query.created_at_lt {
        all.push(Box::new(organizations::created_at.lt(before).nullable()));
    }
    if let Some(from) = &query.updated_at_gte {
        all.push(Box::new(organizations::updated_at.ge(from).nullable()));
    }
    if let Some(before) = &query.updated_at_lt {
        all.push(Box::new(organizations::updated_at.lt(before).nullable()));
    }
    all_of(all)
}

/// One page of the organizations in a scope.
pub async fn list(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    query: &OrganizationQuery,
    page: &PageRequest,
) -> QueryResult<Vec<Organization>> {
    let roots = tree::roots(conn, scope, query.within).await?;
    let rows = listed!().filter(matching(&roots, query)).select(Organization::as_select());
    load_page!(conn, rows, organization_tree::descendant_id, organizations::updated_at, query.sort, page)
}

/// How many there are, counted up to one beyond the cap.
pub async fn total(mut conn: &AsyncPgConnection, scope: &Scope, query: &OrganizationQuery) -> QueryResult<i64> {
    let roots = tree::roots(conn, scope, query.within).await?;
    let rows = listed!().filter(matching(&roots, query)).select(organization_tree::descendant_id).limit(COUNTED);
    Capped(rows).get_result(&mut conn).await
}

/// How many there are of each kind, level or status.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    query: &OrganizationQuery,
    by: OrganizationsBy,
) -> QueryResult<Vec<(Option<String>, i64)>> {
    let roots = tree::roots(conn, scope, query.within).await?;
    macro_rules! count_by {
        ($column:expr) => {
            listed!()
                .filter(matching(&roots, query))
                .group_by($column)
                .select(($column.nullable(), count_star()))
                .order($column)
                .load(&mut conn)
                .await
        };
    }
    match by {
        OrganizationsBy::Kind => count_by!(organizations::kind),
        OrganizationsBy::Level => count_by!(organizations::level),
        OrganizationsBy::Status => count_by!(organizations::status),
    }
}

/// One organization in a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<Organization> {
    organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::id.eq_any(tree::below(scope.places()).filter(organization_tree::descendant_id.eq(id))))
        .select(Organization::as_select())
        .first(&mut conn)
        .await
}

/// Locks one organization in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<Organization> {
    organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::id.eq_any(tree::below(scope.places()).filter(organization_tree::descendant_id.eq(id))))
        .select(Organization::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Holds one organization in a scope as it is until the transaction ends, for what refers to it.
pub async fn hold(conn: &mut AsyncPgConnection, scope: &Scope, id: OrganizationId) -> QueryResult<Option<Organization>> {
    organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::id.eq_any(tree::below(scope.places()).filter(organization_tree::descendant_id.eq(id))))
        .select(Organization::as_select())
        .for_share()
        .first(conn)
        .await
        .optional()
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

/// One page of the children of an organization, in the order of their ids.
pub async fn children(
    mut conn: &AsyncPgConnection,
    parent: OrganizationId,
    query: &ChildrenQuery,
    page: &PageRequest,
) -> QueryResult<Vec<Organization>> {
    let after = page.after.as_ref().map_or(uuid::Uuid::nil(), |after| after.id);
    let mut rows = organizations::table
        .filter(organizations::parent_id.eq(parent))
        .filter(organizations::id.gt(after))
        .order(organizations::id)
        .limit(page.rows())
        .select(Organization::as_select())
        .into_boxed();
    if let Some(kinds) = &query.kind {
        rows = rows.filter(organizations::kind.eq_any(kinds));
    }
    if let Some(statuses) = &query.status {
        rows = rows.filter(organizations::status.eq_any(statuses));
    }
    rows.load(&mut conn).await
}

/// How many active children each of some organizations has.
pub async fn child_counts(mut conn: &AsyncPgConnection, ids: Vec<OrganizationId>) -> QueryResult<HashMap<OrganizationId, i64>> {
    let rows: Vec<(Option<OrganizationId>, i64)> = organizations::table
        .filter(organizations::parent_id.eq_any(ids))
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .group_by(organizations::parent_id)
        .select((organizations::parent_id, count_star()))
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().filter_map(|(id, count)| Some((id?, count))).collect())
}

/// What lies above an organization, from the top down.
pub async fn ancestors(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<Vec<Organization>> {
    organization_tree::table
        .inner_join(organizations::table.on(organizations::id.eq(organization_tree::ancestor_id)))
        .filter(organization_tree::descendant_id.eq(id))
        .filter(organization_tree::to_on.is_null())
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
    people::table.filter(people::organization_id.eq(id)).select(count_star()).first(&mut conn).await
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

/// Writes a new organization and hangs it into the tree. Call it under [`tree::lock_shared`].
pub async fn insert(conn: &mut AsyncPgConnection, row: &Organization, today: NaiveDate) -> QueryResult<Organization> {
    let stored =
        diesel::insert_into(organizations::table).values(row).returning(Organization::as_returning()).get_result(conn).await?;
    tree::grow(conn, &[row.id], today).await?;
    Ok(stored)
}

/// Writes many organizations, parents before children, and hangs them into the tree. Those that are there stay as they are.
/// Returns how many are new.
pub async fn insert_many(conn: &mut AsyncPgConnection, rows: &[Organization], from_on: NaiveDate) -> QueryResult<usize> {
    tree::lock_shared(conn).await?;
    let mut written = 0;
    for part in rows.chunks(2000) {
        let fresh: Vec<OrganizationId> = diesel::insert_into(organizations::table)
            .values(part)
            .on_conflict_do_nothing()
            .returning(organizations::id)
            .get_results(conn)
            .await?;
        tree::grow(conn, &fresh, from_on).await?;
        written += fresh.len();
    }
    Ok(written)
}

/// Edits an organization.
pub async fn update(
    conn: &mut AsyncPgConnection,
    id: OrganizationId,
    edit: &OrganizationEdit,
    now: DateTime<Utc>,
) -> QueryResult<Organization> {
    diesel::update(organizations::table.find(id))
        .set((edit, organizations::version.eq(organizations::version + 1), organizations::updated_at.eq(now)))
        .returning(Organization::as_returning())
        .get_result(conn)
        .await
}

/// Hangs an organization and all below it under another parent. Call it under [`tree::lock_alone`].
pub async fn set_parent(
    conn: &mut AsyncPgConnection,
    id: OrganizationId,
    parent: OrganizationId,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> QueryResult<Organization> {
    tree::graft(conn, id, parent, today).await?;
    diesel::update(organizations::table.find(id))
        .set((
            organizations::parent_id.eq(parent),
            organizations::version.eq(organizations::version + 1),
            organizations::updated_at.eq(now),
        ))
        .returning(Organization::as_returning())
        .get_result(conn)
        .await
}

/// Dissolves an organization. It stays in the tree, so that whoever saw it can still read what it did.
pub async fn dissolve(
    conn: &mut AsyncPgConnection,
    id: OrganizationId,
    successor: Option<OrganizationId>,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> QueryResult<Organization> {
    diesel::update(organizations::table.find(id))
        .set((
            organizations::status.eq(OrganizationStatus::Dissolved),
            organizations::status_changed_on.eq(today),
            organizations::successor_id.eq(successor),
            organizations::version.eq(organizations::version + 1),
            organizations::updated_at.eq(now),
        ))
        .returning(Organization::as_returning())
        .get_result(conn)
        .await
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
        .filter(accounts::organization_id.eq_any(tree::below(scope.places())))
        .select(accounts::id)
        .load(&mut conn)
        .await
}

/// One page of the public directory, in the order of the ids.
pub async fn directory(
    mut conn: &AsyncPgConnection,
    query: &DirectoryQuery,
    page: &PageRequest,
) -> QueryResult<Vec<Organization>> {
    let after = page.after.as_ref().map_or(uuid::Uuid::nil(), |after| after.id);
    let mut rows = organizations::table
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .filter(organizations::id.gt(after))
        .order(organizations::id)
        .limit(page.rows())
        .select(Organization::as_select())
        .into_boxed::<Pg>();
    if let Some(kinds) = &query.kind {
        rows = rows.filter(organizations::kind.eq_any(kinds));
    }
    if let Some(code) = &query.division_code {
        rows = rows.filter(organizations::division_code.eq(code));
    }
    if let Some(q) = &query.q {
        rows = rows.filter(organizations::name.like(contains(q)));
    }
    rows.load(&mut conn).await
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
