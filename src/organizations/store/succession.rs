//! What an organization has and hands over when it merges, splits or is dissolved. Call all of it under `tree::lock_alone`, with
//! the organization locked: whoever adds something holds it.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Date, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::organizations::Organization;
use super::posts::Post;
use super::sites::Site;
use crate::db::schema::{organizations, people, posts, site_past_owners, sites};
use crate::ids::{OrganizationId, PersonId, PostId};
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
