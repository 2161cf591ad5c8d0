//! Organizations and whom their reminders reach.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{Eq, InnerJoinQuerySource, count_star};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;

use super::{history, tree};
use crate::access::{Module, Scope};
use crate::db::page::{Condition, all_of, holds};
use crate::db::schema::{accounts, divisions, organization_liaisons, organization_tree, organizations, people, posts, sites};
use crate::db::scope::{below, lies_below, lies_in};
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{AccountId, OrganizationId};
use crate::organizations::api::directory::DirectoryFilter;
use crate::organizations::api::organizations::{OrganizationFilter, OrganizationsBy};
use crate::organizations::api::tree::ChildrenFilter;
use crate::organizations::rules::{
    OrganizationKind, OrganizationLevel, OrganizationStatus, PersonStatus, PostPosition, SiteKind,
};
use crate::{count_by, load_page, when};

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

/// The tree and its organizations.
pub type Source =
    InnerJoinQuerySource<organization_tree::table, organizations::table, Eq<organizations::id, organization_tree::descendant_id>>;

/// The tree joined with its organizations: the order by `descendant_id` is that of the index.
macro_rules! listed {
    () => {
        organization_tree::table.inner_join(organizations::table.on(organizations::id.eq(organization_tree::descendant_id)))
    };
}

/// The places that a list is looked for below: today's, because access follows today's tree, whatever day is asked about.
async fn places(conn: &AsyncPgConnection, scope: &Scope, filter: &OrganizationFilter) -> QueryResult<Vec<OrganizationId>> {
    match filter.as_of {
        None => tree::roots(conn, scope, filter.within).await,
        Some(_) => Ok(scope.places().to_vec()),
    }
}

/// One row of the tree per organization: a range of the index below one root; else the row of each with itself, so that nothing
/// stands twice although a subtree has moved below another root since the roots were read.
fn placed<'a>(places: &[OrganizationId], filter: &OrganizationFilter) -> Vec<Condition<'a, Source>> {
    use organization_tree::{ancestor_id, descendant_id, to_on};
    match (filter.as_of, places, filter.within) {
        (None, [only], _) => vec![Box::new(to_on.is_null().nullable()), Box::new(ancestor_id.eq(*only).nullable())],
        (None, many, _) => vec![
            Box::new(to_on.is_null().nullable()),
            Box::new(ancestor_id.eq(descendant_id).nullable()),
            Box::new(descendant_id.eq_any(below(many)).nullable()),
        ],
        (Some(day), places, within) => vec![
            Box::new(tree::held_on(day).nullable()),
            match within {
                Some(top) => Box::new(ancestor_id.eq(top).nullable()),
                None => Box::new(ancestor_id.eq(descendant_id).nullable()),
            },
            Box::new(descendant_id.eq_any(below(places)).nullable()),
        ],
    }
}

fn matching<'a>(places: &[OrganizationId], filter: &'a OrganizationFilter) -> Condition<'a, Source> {
    let mut all = placed(places, filter);
    match filter.as_of {
        None => {
            when!(all,
                filter.status, |statuses| organizations::status.eq_any(statuses);
                filter.parent_id, |parent| organizations::parent_id.eq(parent);
            );
        }
        Some(day) => {
            all.extend(filter.status.as_ref().map(|statuses| history::in_status_on(statuses, day)));
            when!(all, filter.parent_id, |parent| organizations::id.eq_any(tree::children_on(*parent, day)););
        }
    }
    when!(all,
        filter.kind, |kinds| organizations::kind.eq_any(kinds);
        filter.level, |levels| organizations::level.eq_any(levels);
        filter.division_code, |code| organizations::division_code.eq(code);
        filter.tag, |tag| organizations::tags.contains(vec![tag]);
        filter.q, |q| holds(organizations::name, q);
        filter.created_at_gte, |from| organizations::created_at.ge(from);
        filter.created_at_lt, |before| organizations::created_at.lt(before);
        filter.updated_at_gte, |from| organizations::updated_at.ge(from);
        filter.updated_at_lt, |before| organizations::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of the organizations in a scope, with the shape they had on the day that is asked about.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &OrganizationFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Organization>> {
    // A place below the caller's is the usual question, and the statement itself can see that it is one.
    if let (Some(top), None) = (filter.within, filter.as_of) {
        let inside = || -> Condition<'_, Source> { Box::new(matching(&[top], filter).and(lies_in(scope, top).nullable())) };
        let listed = list_matching(conn, inside, page).await?;
        if !listed.rows.is_empty() {
            return Ok(listed);
        }
    }
    let places = places(conn, scope, filter).await?;
    let listed = list_matching(conn, || matching(&places, filter), page).await?;
    Ok(Listed { rows: history::shaped(conn, listed.rows, filter.as_of).await?, ..listed })
}

async fn list_matching<'a>(
    conn: &AsyncPgConnection,
    matching: impl Fn() -> Condition<'a, Source>,
    page: &PageRequest,
) -> QueryResult<Listed<Organization>> {
    let rows = || listed!().filter(matching());
    let select = Organization::as_select;
    load_page!(conn, page, rows(), select(), by(organization_tree::descendant_id, organizations::updated_at))
}

/// How many there are of each kind, level or status.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &OrganizationFilter,
    by: OrganizationsBy,
) -> QueryResult<Vec<Counted>> {
    let places = places(conn, scope, filter).await?;
    let rows = || listed!().filter(matching(&places, filter));
    match (by, filter.as_of) {
        (OrganizationsBy::Kind, _) => count_by!(conn, rows(), organizations::kind),
        (OrganizationsBy::Level, _) => count_by!(conn, rows(), organizations::level),
        (OrganizationsBy::Status, None) => count_by!(conn, rows(), organizations::status),
        (OrganizationsBy::Status, Some(day)) => {
            let mut counts = Vec::new();
            for status in OrganizationStatus::ALL {
                let rows = rows().filter(history::in_status_on(&[*status], day));
                let count: i64 = rows.select(count_star()).first(&mut conn).await?;
                counts.push((Some(status.to_string()), count));
            }
            counts.retain(|(_, count)| *count > 0);
            Ok(counts)
        }
    }
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

/// One page of the children of an organization: of today, or those in a scope that it had on a day.
pub async fn children(
    conn: &AsyncPgConnection,
    scope: &Scope,
    parent: OrganizationId,
    filter: &ChildrenFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Organization>> {
    if let Some(day) = filter.as_of {
        return children_on(conn, scope, parent, day, filter, page).await;
    }
    let matching = || {
        let mut all: Vec<Condition<'_, organizations::table>> = vec![Box::new(organizations::parent_id.eq(parent))];
        when!(all,
            filter.kind, |kinds| organizations::kind.eq_any(kinds);
            filter.status, |statuses| organizations::status.eq_any(statuses);
        );
        all_of(all)
    };
    let rows = || organizations::table.filter(matching());
    load_page!(conn, page, rows(), Organization::as_select(), by(organizations::id, organizations::updated_at))
}

async fn children_on(
    conn: &AsyncPgConnection,
    scope: &Scope,
    parent: OrganizationId,
    day: NaiveDate,
    filter: &ChildrenFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Organization>> {
    let matching = || {
        let mut all: Vec<Condition<'_, Source>> = vec![
            Box::new(tree::held_on(day).nullable()),
            Box::new(organization_tree::ancestor_id.eq(parent).nullable()),
            Box::new(organization_tree::depth.eq(1).nullable()),
            Box::new(organization_tree::descendant_id.eq_any(below(scope.places())).nullable()),
        ];
        when!(all, filter.kind, |kinds| organizations::kind.eq_any(kinds););
        all.extend(filter.status.as_ref().map(|statuses| history::in_status_on(statuses, day)));
        all_of(all)
    };
    let rows = || listed!().filter(matching());
    let listed: QueryResult<Listed<Organization>> = load_page!(
        conn,
        page,
        rows(),
        Organization::as_select(),
        by(organization_tree::descendant_id, organizations::updated_at)
    );
    let listed = listed?;
    Ok(Listed { rows: history::shaped(conn, listed.rows, Some(day)).await?, ..listed })
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

/// How many active children in a scope each of some organizations had on a day.
pub async fn child_counts_on(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    ids: Vec<OrganizationId>,
    day: NaiveDate,
) -> QueryResult<HashMap<OrganizationId, i64>> {
    let rows: Vec<(OrganizationId, i64)> = listed!()
        .filter(organization_tree::ancestor_id.eq_any(ids))
        .filter(organization_tree::depth.eq(1))
        .filter(tree::held_on(day))
        .filter(organization_tree::descendant_id.eq_any(below(scope.places())))
        .filter(history::in_status_on(&[OrganizationStatus::Active], day))
        .group_by(organization_tree::ancestor_id)
        .select((organization_tree::ancestor_id, count_star()))
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().collect())
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

/// Writes a new organization and hangs it into the tree. Call it under [`tree::lock_shared`].
pub async fn insert(conn: &mut AsyncPgConnection, row: &Organization, today: NaiveDate) -> QueryResult<Organization> {
    let stored =
        diesel::insert_into(organizations::table).values(row).returning(Organization::as_returning()).get_result(conn).await?;
    tree::grow(conn, &[row.id], today).await?;
    Ok(stored)
}

/// Writes many organizations, parents before children, and hangs them into the tree. Those that are there stay as they are.
/// Returns how many are new.
pub async fn insert_many(
    conn: &mut AsyncPgConnection,
    rows: &[Organization],
    from_on: NaiveDate,
    actor: Option<AccountId>,
) -> QueryResult<usize> {
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
        let made: Vec<_> = part.iter().filter(|row| fresh.contains(&row.id)).collect();
        history::record_made(conn, &made, from_on, actor).await?;
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

/// Hangs an organization and all below it under another parent, with the code it has there. Call it under [`tree::lock_alone`].
pub async fn set_parent(
    conn: &mut AsyncPgConnection,
    id: OrganizationId,
    parent: OrganizationId,
    division_code: Option<&str>,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> QueryResult<Organization> {
    tree::graft(conn, id, parent, today).await?;
    diesel::update(organizations::table.find(id))
        .set((
            organizations::parent_id.eq(parent),
            organizations::division_code.eq(division_code),
            organizations::version.eq(organizations::version + 1),
            organizations::updated_at.eq(now),
        ))
        .returning(Organization::as_returning())
        .get_result(conn)
        .await
}

/// Ends an organization. It stays in the tree, so that whoever saw it can still read what it did.
pub async fn end(
    conn: &mut AsyncPgConnection,
    before: &Organization,
    status: OrganizationStatus,
    successor: Option<OrganizationId>,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> QueryResult<Organization> {
    history::keep_status(conn, before, today).await?;
    diesel::update(organizations::table.find(before.id))
        .set((
            organizations::status.eq(status),
            organizations::status_changed_on.eq(today),
            organizations::successor_id.eq(successor),
            organizations::version.eq(organizations::version + 1),
            organizations::updated_at.eq(now),
        ))
        .returning(Organization::as_returning())
        .get_result(conn)
        .await
}

/// Lets a dissolved organization work again, below this parent and with this code. Call it under [`tree::lock_alone`].
pub async fn reactivate(
    conn: &mut AsyncPgConnection,
    before: &Organization,
    parent: Option<OrganizationId>,
    division_code: Option<&str>,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> QueryResult<Organization> {
    history::keep_status(conn, before, today).await?;
    if let Some(parent) = parent.filter(|parent| before.parent_id != Some(*parent)) {
        tree::graft(conn, before.id, parent, today).await?;
    }
    diesel::update(organizations::table.find(before.id))
        .set((
            organizations::status.eq(OrganizationStatus::Active),
            organizations::status_changed_on.eq(today),
            organizations::successor_id.eq(None::<OrganizationId>),
            organizations::parent_id.eq(parent),
            organizations::division_code.eq(division_code),
            organizations::version.eq(organizations::version + 1),
            organizations::updated_at.eq(now),
        ))
        .returning(Organization::as_returning())
        .get_result(conn)
        .await
}

/// Raises the version of an organization that has given something away.
pub async fn touch(conn: &mut AsyncPgConnection, id: OrganizationId, now: DateTime<Utc>) -> QueryResult<Organization> {
    diesel::update(organizations::table.find(id))
        .set((organizations::version.eq(organizations::version + 1), organizations::updated_at.eq(now)))
        .returning(Organization::as_returning())
        .get_result(conn)
        .await
}

/// Gives an organization another division code.
pub async fn set_division(
    conn: &mut AsyncPgConnection,
    id: OrganizationId,
    division_code: &str,
    now: DateTime<Utc>,
) -> QueryResult<Organization> {
    diesel::update(organizations::table.find(id))
        .set((
            organizations::division_code.eq(division_code),
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
        .filter(accounts::organization_id.eq_any(below(scope.places())))
        .select(accounts::id)
        .load(&mut conn)
        .await
}

/// One page of the public directory.
pub async fn directory(
    conn: &AsyncPgConnection,
    filter: &DirectoryFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Organization>> {
    let matching = || {
        let active = organizations::status.eq(OrganizationStatus::Active);
        let mut all: Vec<Condition<'_, organizations::table>> = vec![Box::new(active.nullable())];
        when!(all,
            filter.kind, |kinds| organizations::kind.eq_any(kinds);
            filter.division_code, |code| organizations::division_code.eq(code);
            filter.q, |q| holds(organizations::name, q);
        );
        all_of(all)
    };
    let rows = || organizations::table.filter(matching());
    load_page!(conn, page, rows(), Organization::as_select(), by(organizations::id, organizations::updated_at))
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
