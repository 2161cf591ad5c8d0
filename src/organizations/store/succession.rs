//! What an organization has and hands over when it merges, splits or is dissolved. Call all of it under `tree::lock_alone`, with
//! the organization locked: whoever adds something holds it.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::organizations::Organization;
use super::posts::Post;
use super::sites::Site;
use crate::db::schema::{contact_assignments, organizations, people, posts, site_past_owners, sites};
use crate::ids::{ContactAssignmentId, OrganizationId, PersonId, PostId};
use crate::organizations::rules::{OrganizationStatus, SiteKind, SiteStatus};

/// Locks the active children.
pub async fn active_children(conn: &mut AsyncPgConnection, id: OrganizationId) -> QueryResult<Vec<Organization>> {
    organizations::table
        .filter(organizations::parent_id.eq(id))
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .order(organizations::id)
        .select(Organization::as_select())
        .for_update()
        .load(conn)
        .await
}

/// Locks the posts that are held on a day or will be.
pub async fn open_posts(conn: &mut AsyncPgConnection, id: OrganizationId, today: NaiveDate) -> QueryResult<Vec<Post>> {
    posts::table
        .filter(posts::organization_id.eq(id))
        .filter(posts::to_on.is_null().or(posts::to_on.ge(today).assume_not_null()))
        .order(posts::id)
        .select(Post::as_select())
        .for_update()
        .load(conn)
        .await
}

/// A post that has not begun begins in another organization.
pub async fn move_post(conn: &mut AsyncPgConnection, id: PostId, to: OrganizationId, now: DateTime<Utc>) -> QueryResult<Post> {
    diesel::update(posts::table.find(id))
        .set((posts::organization_id.eq(to), posts::version.eq(posts::version + 1), posts::updated_at.eq(now)))
        .returning(Post::as_returning())
        .get_result(conn)
        .await
}

/// Locks the open sites.
pub async fn open_sites(conn: &mut AsyncPgConnection, id: OrganizationId) -> QueryResult<Vec<Site>> {
    sites::table
        .filter(sites::owner_organization_id.eq(id))
        .filter(sites::status.eq(SiteStatus::Active))
        .order(sites::id)
        .select(Site::as_select())
        .for_update()
        .load(conn)
        .await
}

/// Another organization runs a site from today. An owner of which the day began today ran it on no day.
pub async fn move_site(
    conn: &mut AsyncPgConnection,
    site: &Site,
    to: OrganizationId,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> QueryResult<Site> {
    diesel::insert_into(site_past_owners::table)
        .values((
            site_past_owners::site_id.eq(site.id),
            site_past_owners::to_on.eq(today),
            site_past_owners::owner_organization_id.eq(site.owner_organization_id),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    diesel::update(sites::table.find(site.id))
        .set((sites::owner_organization_id.eq(to), sites::version.eq(sites::version + 1), sites::updated_at.eq(now)))
        .returning(Site::as_returning())
        .get_result(conn)
        .await
}

/// Another organization keeps the records of all people of one.
pub async fn move_people(
    conn: &mut AsyncPgConnection,
    from: OrganizationId,
    to: OrganizationId,
    now: DateTime<Utc>,
) -> QueryResult<Vec<PersonId>> {
    diesel::update(people::table.filter(people::organization_id.eq(from)))
        .set((people::organization_id.eq(to), people::version.eq(people::version + 1), people::updated_at.eq(now)))
        .returning(people::id)
        .get_results(conn)
        .await
}

/// Open assignments that are touched when $1 hands over to $2: those by the posts $4, which go on as $5, and where $3 says that
/// everything is handed over, those of its contact system and for its area; how they are to be, and what speaks against it.
const ASSIGNMENTS: &str = "WITH open AS (
        SELECT contact.id, contact.organization_id, contact.area_organization_id, contact.post_id, contact.person_id, contact.area,
            contact.from_on, contact.to_on, next.id IS NOT NULL AS post_over, coalesce(next.id, contact.post_id) AS next_post_id,
            CASE contact.organization_id WHEN $1 THEN $2 ELSE contact.organization_id END AS next_organization_id,
            CASE WHEN $3 AND contact.area_organization_id = $1 THEN $2 ELSE contact.area_organization_id END AS next_area_id
        FROM contact_assignments contact JOIN posts ON posts.id = contact.post_id
            LEFT JOIN unnest($4, $5) AS next (post_id, id) ON next.post_id = contact.post_id
        WHERE (contact.to_on IS NULL OR contact.to_on >= $6) AND (contact.post_id = ANY($4)
            OR ($3 AND (contact.organization_id = $1 OR contact.area_organization_id = $1)
                AND (posts.to_on IS NULL OR posts.to_on >= $6)))
        ORDER BY contact.id FOR UPDATE OF contact)
    SELECT open.*, EXISTS (
            SELECT FROM posts JOIN organization_tree ON ancestor_id = posts.organization_id
            WHERE posts.id = next_post_id AND descendant_id = next_organization_id AND organization_tree.to_on IS NULL
        ) AND (next_area_id IS NULL OR EXISTS (
            SELECT FROM organization_tree
            WHERE ancestor_id = next_organization_id AND descendant_id = next_area_id AND organization_tree.to_on IS NULL
        )) AS fits, EXISTS (
            SELECT FROM contact_assignments other
            WHERE other.person_id = open.person_id AND other.id <> open.id
                AND other.place_id = coalesce(next_area_id, next_organization_id)
                AND coalesce(other.area, '') = coalesce(open.area, '')
                AND daterange(other.from_on, other.to_on, '[]') && daterange(open.from_on, open.to_on, '[]')
        ) AS twice
    FROM open ORDER BY id";

/// A contact assignment of which something goes over to another organization.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct OpenAssignment {
    #[diesel(sql_type = SqlUuid)]
    pub id: ContactAssignmentId,
    #[diesel(sql_type = SqlUuid)]
    pub organization_id: OrganizationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub area_organization_id: Option<OrganizationId>,
    #[diesel(sql_type = SqlUuid)]
    pub post_id: PostId,
    #[diesel(sql_type = Nullable<Date>)]
    pub to_on: Option<NaiveDate>,
    #[diesel(sql_type = SqlUuid)]
    pub next_organization_id: OrganizationId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub next_area_id: Option<OrganizationId>,
    #[diesel(sql_type = SqlUuid)]
    pub next_post_id: PostId,
    #[diesel(sql_type = Bool)]
    pub post_over: bool,
    #[diesel(sql_type = Bool)]
    pub fits: bool,
    #[diesel(sql_type = Bool)]
    pub twice: bool,
}

/// Locks the open assignments of which something goes over from one organization to another: with the posts that are over and
/// those by which they go on, and where `whole`, with the contact system and the area of the organization.
pub async fn assignments(
    conn: &mut AsyncPgConnection,
    (from, to): (OrganizationId, OrganizationId),
    whole: bool,
    (over, next): (&[PostId], &[PostId]),
    today: NaiveDate,
) -> QueryResult<Vec<OpenAssignment>> {
    diesel::sql_query(ASSIGNMENTS)
        .bind::<SqlUuid, _>(from)
        .bind::<SqlUuid, _>(to)
        .bind::<Bool, _>(whole)
        .bind::<Array<SqlUuid>, _>(over)
        .bind::<Array<SqlUuid>, _>(next)
        .bind::<Date, _>(today)
        .load(conn)
        .await
}

const MOVE_ASSIGNMENTS: &str = "UPDATE contact_assignments AS contact SET organization_id = next.organization_id,
        area_organization_id = next.area_id, post_id = next.post_id, version = contact.version + 1, updated_at = $5
    FROM unnest($1, $2, $3, $4) AS next (id, organization_id, area_id, post_id) WHERE contact.id = next.id";

/// Assignments go on by another post, in another contact system, for another area.
pub async fn move_assignments(
    conn: &mut AsyncPgConnection,
    moving: &[&OpenAssignment],
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::sql_query(MOVE_ASSIGNMENTS)
        .bind::<Array<SqlUuid>, _>(moving.iter().map(|one| one.id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(moving.iter().map(|one| one.next_organization_id).collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(moving.iter().map(|one| one.next_area_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(moving.iter().map(|one| one.next_post_id).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .await
}

const END_ASSIGNMENTS: &str =
    "UPDATE contact_assignments SET to_on = greatest($2, from_on), end_reason = $3, version = version + 1,
        updated_at = $4
    WHERE id = ANY($1) RETURNING id, to_on";

/// The last day of an assignment.
#[derive(QueryableByName)]
#[allow(missing_docs)]
pub struct LastDay {
    #[diesel(sql_type = SqlUuid)]
    pub id: ContactAssignmentId,
    #[diesel(sql_type = Date)]
    pub to_on: NaiveDate,
}

/// Ends assignments on a day, those that begin later on the day on which they were to begin.
pub async fn end_assignments(
    conn: &mut AsyncPgConnection,
    ids: &[ContactAssignmentId],
    last_day: NaiveDate,
    reason: &str,
    now: DateTime<Utc>,
) -> QueryResult<Vec<LastDay>> {
    diesel::sql_query(END_ASSIGNMENTS)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Date, _>(last_day)
        .bind::<Text, _>(reason)
        .bind::<Timestamptz, _>(now)
        .load(conn)
        .await
}

/// How many assignments by some posts have not ended.
pub async fn count_assignments(mut conn: &AsyncPgConnection, of: &[PostId], today: NaiveDate) -> QueryResult<i64> {
    contact_assignments::table
        .filter(contact_assignments::post_id.eq_any(of))
        .filter(contact_assignments::to_on.is_null().or(contact_assignments::to_on.ge(today).assume_not_null()))
        .count()
        .get_result(&mut conn)
        .await
}

const SITES_ON: &str = "SELECT kind, count(*) AS count FROM sites
    WHERE id IN (SELECT id FROM sites WHERE owner_organization_id = $1
        UNION SELECT site_id FROM site_past_owners WHERE owner_organization_id = $1)
    AND coalesce((SELECT owner_organization_id FROM site_past_owners WHERE site_id = sites.id AND to_on > $2 ORDER BY to_on LIMIT 1),
        owner_organization_id) = $1
    AND (created_at AT TIME ZONE 'Asia/Shanghai')::date <= $2 AND (closed_on IS NULL OR closed_on > $2)
    GROUP BY kind ORDER BY kind";

#[derive(QueryableByName)]
struct SitesOfKind {
    #[diesel(sql_type = Text)]
    kind: SiteKind,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many open sites an organization ran on a day, by kind.
pub async fn sites_on(mut conn: &AsyncPgConnection, id: OrganizationId, day: NaiveDate) -> QueryResult<Vec<(SiteKind, i64)>> {
    let rows = diesel::sql_query(SITES_ON).bind::<SqlUuid, _>(id).bind::<Date, _>(day);
    let rows: Vec<SitesOfKind> = rows.load(&mut conn).await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.count)).collect())
}
