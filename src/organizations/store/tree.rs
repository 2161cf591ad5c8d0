//! The closure of the tree with its validity: the open rows are today, the closed ones history. Every change of it happens under
//! one advisory lock: creations share it, moves and dissolutions hold it alone, so two moves cannot close a cycle between them.

use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::sql_types::{Array, Date, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::access::Scope;
use crate::db::locks;
use crate::db::schema::organization_tree;
use crate::db::scope::{Below, below};
use crate::ids::OrganizationId;
use crate::organizations::rules;

/// The lock of the tree: "tree" in ASCII.
const LOCK: i64 = 0x7472_6565;

/// The tops of the subtrees that are in `scope` and `within` a subtree. One may lie below another.
pub async fn roots(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    within: Option<OrganizationId>,
) -> QueryResult<Vec<OrganizationId>> {
    let places = scope.places();
    let Some(within) = within else { return Ok(places.to_vec()) };
    if places.contains(&within) {
        return Ok(vec![within]);
    }
    let all: Vec<OrganizationId> = places.iter().copied().chain([within]).collect();
    let pairs: Vec<(OrganizationId, OrganizationId)> = organization_tree::table
        .filter(organization_tree::ancestor_id.eq_any(&all))
        .filter(organization_tree::descendant_id.eq_any(&all))
        .filter(organization_tree::to_on.is_null())
        .select((organization_tree::ancestor_id, organization_tree::descendant_id))
        .load(&mut conn)
        .await?;
    Ok(rules::common_roots(places, within, &pairs))
}

/// Whether one organization lies below another, or is it.
pub async fn is_below(mut conn: &AsyncPgConnection, id: OrganizationId, above: OrganizationId) -> QueryResult<bool> {
    let pair = below(&[above]).filter(organization_tree::descendant_id.eq(id));
    diesel::select(diesel::dsl::exists(pair)).get_result(&mut conn).await
}

/// Whether a row of the tree held on a day.
#[diesel::dsl::auto_type]
pub fn held_on(day: NaiveDate) -> _ {
    let open = organization_tree::to_on.is_null();
    let later = organization_tree::to_on.gt(day).assume_not_null();
    organization_tree::from_on.le(day).and(open.or(later))
}

/// Selects the children that an organization had on a day.
pub fn children_on<'a>(parent: OrganizationId, day: NaiveDate) -> Below<'a> {
    let held = organization_tree::table.select(organization_tree::descendant_id).into_boxed().filter(held_on(day));
    held.filter(organization_tree::ancestor_id.eq(parent)).filter(organization_tree::depth.eq(1))
}

/// Whether an organization was there on a day.
pub async fn was_there(mut conn: &AsyncPgConnection, id: OrganizationId, day: NaiveDate) -> QueryResult<bool> {
    let itself = organization_tree::ancestor_id.eq(id).and(organization_tree::descendant_id.eq(id));
    let row = organization_tree::table.filter(itself).filter(organization_tree::from_on.le(day));
    diesel::select(diesel::dsl::exists(row)).get_result(&mut conn).await
}

/// The parents that organizations had on a day.
pub async fn parents_on(
    mut conn: &AsyncPgConnection,
    ids: &[OrganizationId],
    day: NaiveDate,
) -> QueryResult<HashMap<OrganizationId, OrganizationId>> {
    let pairs: Vec<(OrganizationId, OrganizationId)> = organization_tree::table
        .filter(organization_tree::descendant_id.eq_any(ids))
        .filter(organization_tree::depth.eq(1))
        .filter(held_on(day))
        .select((organization_tree::descendant_id, organization_tree::ancestor_id))
        .load(&mut conn)
        .await?;
    Ok(pairs.into_iter().collect())
}

/// Nobody moves or dissolves until the transaction ends.
pub async fn lock_shared(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    locks::share(conn, LOCK).await
}

/// Nobody changes the tree until the transaction ends.
pub async fn lock_alone(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    locks::take(conn, LOCK).await
}

const GROW: &str = "WITH RECURSIVE line AS (
        SELECT id AS descendant_id, id AS ancestor_id, parent_id AS next_id, 0 AS depth FROM organizations WHERE id = ANY($1)
        UNION ALL
        SELECT line.descendant_id, above.id, above.parent_id, line.depth + 1
        FROM line JOIN organizations above ON above.id = line.next_id)
    INSERT INTO organization_tree (ancestor_id, descendant_id, depth, from_on)
    SELECT ancestor_id, descendant_id, depth, $2 FROM line ON CONFLICT DO NOTHING";

/// Adds new organizations to the tree.
pub async fn grow(conn: &mut AsyncPgConnection, ids: &[OrganizationId], from_on: NaiveDate) -> QueryResult<()> {
    let grown = diesel::sql_query(GROW).bind::<Array<SqlUuid>, _>(ids).bind::<Date, _>(from_on);
    grown.execute(conn).await.map(drop)
}

/// Pairs between the subtree of $1 and what was above it.
macro_rules! torn {
    ($start:literal, $condition:literal) => {
        concat!(
            $start,
            " WHERE to_on IS NULL AND ",
            $condition,
            " AND descendant_id IN (SELECT descendant_id FROM organization_tree WHERE ancestor_id = $1 AND to_on IS NULL)
              AND ancestor_id IN (SELECT ancestor_id FROM organization_tree WHERE descendant_id = $1 AND depth > 0 AND to_on IS NULL)"
        )
    };
}
/// A pair that began today leaves no trace: it held on no day.
const FORGET: &str = torn!("DELETE FROM organization_tree", "from_on >= $2");
const CLOSE: &str = torn!("UPDATE organization_tree SET to_on = $2", "from_on < $2");
const JOIN: &str = "INSERT INTO organization_tree (ancestor_id, descendant_id, depth, from_on)
    SELECT above.ancestor_id, below.descendant_id, above.depth + below.depth + 1, $2
    FROM organization_tree above CROSS JOIN organization_tree below
    WHERE above.descendant_id = $3 AND above.to_on IS NULL AND below.ancestor_id = $1 AND below.to_on IS NULL";

/// Hangs a subtree below another parent from `today` on. Call it under [`lock_alone`].
pub async fn graft(
    conn: &mut AsyncPgConnection,
    id: OrganizationId,
    parent: OrganizationId,
    today: NaiveDate,
) -> QueryResult<()> {
    for statement in [FORGET, CLOSE] {
        diesel::sql_query(statement).bind::<SqlUuid, _>(id).bind::<Date, _>(today).execute(conn).await?;
    }
    let joined = diesel::sql_query(JOIN).bind::<SqlUuid, _>(id).bind::<Date, _>(today).bind::<SqlUuid, _>(parent);
    joined.execute(conn).await.map(drop)
}
