//! Who of the executive members looks after which women, and how far that reaches.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Date, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::organizations::Reference;
use super::tree;
use crate::access::Scope;
use crate::db::page::{Condition, all_of, anew};
use crate::db::schema::{contact_assignments as contacts, posts};
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{ContactAssignmentId, OrganizationId, PersonId, PostId};
use crate::organizations::api::contacts::{ContactFilter, ContactsBy, CoverageFilter};
use crate::organizations::rules::{ContactStatus, EXECUTIVES, OrganizationKind, OrganizationLevel};
use crate::{count_by, load_page, when};

/// An assignment as it is stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = contacts)]
#[allow(missing_docs)]
pub struct Contact {
    pub id: ContactAssignmentId,
    pub organization_id: OrganizationId,
    pub post_id: PostId,
    pub person_id: PersonId,
    pub area_organization_id: Option<OrganizationId>,
    pub area: Option<String>,
    pub households_count: Option<i32>,
    pub women_count: Option<i32>,
    pub from_on: NaiveDate,
    pub to_on: Option<NaiveDate>,
    pub end_reason: Option<String>,
    pub remark: Option<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What may be edited of an assignment.
#[derive(AsChangeset)]
#[diesel(table_name = contacts, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct ContactEdit {
    pub area_organization_id: Option<OrganizationId>,
    pub area: Option<String>,
    pub households_count: Option<i32>,
    pub women_count: Option<i32>,
    pub from_on: NaiveDate,
    pub to_on: Option<NaiveDate>,
    pub end_reason: Option<String>,
    pub remark: Option<String>,
}

/// Whether the post of an assignment is over on a day. Asked of each assignment, by the key of posts: a list of the posts that are
/// over would be that of the whole country.
#[diesel::dsl::auto_type]
fn post_over(day: NaiveDate) -> _ {
    let over = posts::to_on.lt(day).assume_not_null();
    exists(posts::table.filter(posts::id.eq(contacts::post_id)).filter(over))
}

/// Assignments that stand so today, by the rule of [`ContactStatus::on`].
fn standing<'a>(status: ContactStatus, today: NaiveDate) -> Condition<'a, contacts::table> {
    let open = contacts::to_on.is_null().or(contacts::to_on.ge(today).assume_not_null());
    match status {
        ContactStatus::Ended => Box::new(contacts::to_on.lt(today)),
        ContactStatus::Lapsed => Box::new(open.and(post_over(today)).nullable()),
        ContactStatus::Upcoming => Box::new(open.and(contacts::from_on.gt(today)).and(not(post_over(today))).nullable()),
        ContactStatus::Current => Box::new(open.and(contacts::from_on.le(today)).and(not(post_over(today))).nullable()),
    }
}

fn matching<'a>(roots: &[OrganizationId], filter: &'a ContactFilter, today: NaiveDate) -> Condition<'a, contacts::table> {
    let mut all: Vec<Condition<'a, contacts::table>> = vec![Box::new(anew(contacts::place_id.eq_any(below(roots))).nullable())];
    when!(all,
        filter.organization_id, |id| contacts::organization_id.eq(id);
        filter.person_id, |id| contacts::person_id.eq(id);
        filter.post_id, |id| contacts::post_id.eq(id);
        filter.area_organization_id, |id| contacts::area_organization_id.eq(id);
        filter.created_at_gte, |from| contacts::created_at.ge(from);
        filter.created_at_lt, |before| contacts::created_at.lt(before);
        filter.updated_at_gte, |from| contacts::updated_at.ge(from);
        filter.updated_at_lt, |before| contacts::updated_at.lt(before);
    );
    if let Some(statuses) = &filter.status {
        let either = |any: Condition<'a, contacts::table>, other| -> Condition<'a, contacts::table> { Box::new(any.or(other)) };
        // One alone is no part of an OR: then the database may join with posts.
        all.extend(statuses.iter().map(|status| standing(*status, today)).reduce(either));
    }
    all_of(all)
}

/// One page of the assignments in a scope.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &ContactFilter,
    today: NaiveDate,
    page: &PageRequest,
) -> QueryResult<Listed<Contact>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = || contacts::table.filter(matching(&roots, filter, today));
    load_page!(conn, page, rows(), Contact::as_select(), by(contacts::id, contacts::updated_at))
}

/// How many there are of each organization, person or area.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &ContactFilter,
    today: NaiveDate,
    by: ContactsBy,
) -> QueryResult<Vec<Counted>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = contacts::table.filter(matching(&roots, filter, today));
    match by {
        ContactsBy::Organization => count_by!(conn, rows, contacts::organization_id, OrganizationId),
        ContactsBy::Person => count_by!(conn, rows, contacts::person_id, PersonId),
        ContactsBy::Area => count_by!(conn, rows, contacts::area_organization_id, OrganizationId),
    }
}

/// One assignment in a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: ContactAssignmentId) -> QueryResult<Contact> {
    contacts::table
        .find(id)
        .filter(contacts::place_id.eq_any(below(scope.places())))
        .select(Contact::as_select())
        .first(&mut conn)
        .await
}

/// Locks one assignment in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: ContactAssignmentId) -> QueryResult<Contact> {
    contacts::table
        .find(id)
        .filter(contacts::place_id.eq_any(below(scope.places())))
        .select(Contact::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Locks the assignments of some people.
pub async fn lock_of(conn: &mut AsyncPgConnection, people: &[PersonId]) -> QueryResult<Vec<Contact>> {
    contacts::table
        .filter(contacts::person_id.eq_any(people))
        .order(contacts::id)
        .select(Contact::as_select())
        .for_update()
        .load(conn)
        .await
}

/// Writes a new assignment.
pub async fn insert(conn: &mut AsyncPgConnection, row: &Contact) -> QueryResult<Contact> {
    diesel::insert_into(contacts::table).values(row).returning(Contact::as_returning()).get_result(conn).await
}

/// Writes many assignments; those that are there stay as they are. Returns how many are new.
pub async fn insert_many(conn: &mut AsyncPgConnection, rows: &[Contact]) -> QueryResult<usize> {
    diesel::insert_into(contacts::table).values(rows).on_conflict_do_nothing().execute(conn).await
}

/// Edits an assignment.
pub async fn update(
    conn: &mut AsyncPgConnection,
    id: ContactAssignmentId,
    edit: &ContactEdit,
    now: DateTime<Utc>,
) -> QueryResult<Contact> {
    diesel::update(contacts::table.find(id))
        .set((edit, contacts::version.eq(contacts::version + 1), contacts::updated_at.eq(now)))
        .returning(Contact::as_returning())
        .get_result(conn)
        .await
}

/// Ends an assignment on a day.
pub async fn end(
    conn: &mut AsyncPgConnection,
    id: ContactAssignmentId,
    last_day: NaiveDate,
    reason: &str,
    now: DateTime<Utc>,
) -> QueryResult<Contact> {
    diesel::update(contacts::table.find(id))
        .set((
            contacts::to_on.eq(last_day),
            contacts::end_reason.eq(reason),
            contacts::version.eq(contacts::version + 1),
            contacts::updated_at.eq(now),
        ))
        .returning(Contact::as_returning())
        .get_result(conn)
        .await
}

/// Another record of the same person has an assignment from now on, by this post.
pub async fn give(
    conn: &mut AsyncPgConnection,
    id: ContactAssignmentId,
    person: PersonId,
    post: PostId,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::update(contacts::table.find(id))
        .set((
            contacts::person_id.eq(person),
            contacts::post_id.eq(post),
            contacts::version.eq(contacts::version + 1),
            contacts::updated_at.eq(now),
        ))
        .execute(conn)
        .await
}

/// How far the contacts of a federation reach, with those of all below it.
#[derive(Debug, QueryableByName)]
#[allow(missing_docs)]
pub struct Coverage {
    #[diesel(embed)]
    pub organization: Unit,
    #[diesel(sql_type = BigInt)]
    pub executives: i64,
    #[diesel(sql_type = BigInt)]
    pub executives_assigned: i64,
    #[diesel(sql_type = BigInt)]
    pub villages: i64,
    #[diesel(sql_type = BigInt)]
    pub villages_covered: i64,
    #[diesel(sql_type = BigInt)]
    pub households: i64,
    #[diesel(sql_type = BigInt)]
    pub women: i64,
}

/// The federation of a row.
#[derive(Debug, QueryableByName)]
#[allow(missing_docs)]
pub struct Unit {
    #[diesel(sql_type = SqlUuid)]
    pub id: OrganizationId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub kind: OrganizationKind,
    #[diesel(sql_type = Text)]
    pub level: OrganizationLevel,
}

impl Unit {
    /// As it is named anywhere.
    pub fn reference(self) -> Reference {
        Reference { id: self.id, name: self.name, kind: self.kind, level: self.level }
    }
}

/// The federations of a level in a scope: $1 its roots, $2 the level, $3 their kinds.
macro_rules! units {
    () => {
        "FROM organizations WHERE id IN (SELECT descendant_id FROM organization_tree WHERE ancestor_id = ANY($1) AND to_on IS NULL)
            AND level = $2 AND kind = ANY($3) AND status = 'active'"
    };
}

/// Of a page of federations everything below them is read once. A person counts once per federation, whatever she holds.
const COVERAGE: &str = concat!(
    "WITH unit AS MATERIALIZED (SELECT id, name, kind, level ",
    units!(),
    " AND id > $4 ORDER BY id LIMIT $5),
    place AS MATERIALIZED (SELECT unit.id AS unit_id, descendant_id AS id FROM unit
        JOIN organization_tree ON ancestor_id = unit.id AND to_on IS NULL),
    contact AS MATERIALIZED (SELECT place.unit_id, area_organization_id, households_count, women_count
        FROM place JOIN contact_assignments ON place_id = place.id JOIN posts ON posts.id = post_id
        WHERE contact_assignments.from_on <= $6 AND (contact_assignments.to_on IS NULL OR contact_assignments.to_on >= $6)
            AND (posts.to_on IS NULL OR posts.to_on >= $6)),
    reach AS (SELECT unit_id, sum(households_count)::bigint AS households, sum(women_count)::bigint AS women
        FROM contact GROUP BY unit_id),
    held AS MATERIALIZED (SELECT DISTINCT place.unit_id, person_id FROM place JOIN posts ON organization_id = place.id
        WHERE position = ANY($7) AND from_on <= $6 AND (to_on IS NULL OR to_on >= $6)),
    assigned AS (SELECT DISTINCT held.person_id FROM held JOIN contact_assignments ON contact_assignments.person_id = held.person_id
        JOIN posts ON posts.id = post_id
        WHERE contact_assignments.from_on <= $6 AND (contact_assignments.to_on IS NULL OR contact_assignments.to_on >= $6)
            AND (posts.to_on IS NULL OR posts.to_on >= $6)),
    executive AS (SELECT unit_id, count(*) AS executives, count(assigned.person_id) AS executives_assigned
        FROM held LEFT JOIN assigned USING (person_id) GROUP BY unit_id),
    village AS (SELECT place.unit_id, count(*) AS villages, count(covered.id) AS villages_covered
        FROM place JOIN organizations ON organizations.id = place.id
        LEFT JOIN (SELECT DISTINCT unit_id, area_organization_id AS id FROM contact) AS covered
            ON covered.unit_id = place.unit_id AND covered.id = place.id
        WHERE kind = 'village_federation' AND status = 'active' GROUP BY place.unit_id)
    SELECT unit.id, unit.name, unit.kind, unit.level, coalesce(executives, 0) AS executives,
        coalesce(executives_assigned, 0) AS executives_assigned, coalesce(villages, 0) AS villages,
        coalesce(villages_covered, 0) AS villages_covered, coalesce(households, 0) AS households, coalesce(women, 0) AS women
    FROM unit LEFT JOIN executive ON executive.unit_id = unit.id LEFT JOIN village ON village.unit_id = unit.id
        LEFT JOIN reach ON reach.unit_id = unit.id
    ORDER BY unit.id"
);

const UNITS: &str = concat!("SELECT count(*) AS count FROM (SELECT 1 ", units!(), " LIMIT $4) AS capped");

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// One page of the federations of a level in a scope, with how far their contacts reach on a day.
pub async fn coverage(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &CoverageFilter,
    today: NaiveDate,
    page: &PageRequest,
) -> QueryResult<Listed<Coverage>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let level = filter.level.unwrap_or(OrganizationLevel::County);
    let federations: Vec<&str> =
        OrganizationKind::ALL.iter().filter(|kind| kind.is_federation()).map(|kind| kind.as_str()).collect();
    let (mut reads, mut counts) = (conn, conn);
    let rows = diesel::sql_query(COVERAGE)
        .bind::<Array<SqlUuid>, _>(&roots)
        .bind::<Text, _>(level)
        .bind::<Array<Text>, _>(&federations)
        .bind::<SqlUuid, _>(page.start().1)
        .bind::<BigInt, _>(page.rows())
        .bind::<Date, _>(today)
        .bind::<Array<Text>, _>(EXECUTIVES.map(|position| position.as_str()).to_vec())
        .load(&mut reads);
    let total = async {
        if !page.with_total {
            return Ok(None);
        }
        let capped = diesel::sql_query(UNITS)
            .bind::<Array<SqlUuid>, _>(&roots)
            .bind::<Text, _>(level)
            .bind::<Array<Text>, _>(&federations)
            .bind::<BigInt, _>(crate::db::page::COUNTED);
        capped.get_result::<Total>(&mut counts).await.map(|total| Some(total.count))
    };
    let (rows, total) = futures_util::try_join!(rows, total)?;
    Ok(Listed { rows, total })
}
