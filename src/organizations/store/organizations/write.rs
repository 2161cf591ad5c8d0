//! What is written of organizations.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::super::{history, tree};
use super::{Organization, OrganizationEdit};
use crate::db::schema::organizations;
use crate::ids::{AccountId, OrganizationId};
use crate::organizations::rules::OrganizationStatus;

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
