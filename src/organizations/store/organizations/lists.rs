//! Pages and counts of organizations: below a place, by parent, for everybody.

use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::dsl::{Eq, InnerJoinQuerySource, count_star};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::super::{history, tree};
use super::{Organization, Summary};
use crate::access::Scope;
use crate::db::page::{Condition, all_of, holds};
use crate::db::schema::{organization_tree, organizations};
use crate::db::scope::{below, lies_in};
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::OrganizationId;
use crate::organizations::api::directory::DirectoryFilter;
use crate::organizations::api::organizations::{OrganizationFilter, OrganizationsBy};
use crate::organizations::api::tree::ChildrenFilter;
use crate::organizations::rules::OrganizationStatus;
use crate::{count_by, load_page, when};

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
) -> QueryResult<Listed<Summary>> {
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
) -> QueryResult<Listed<Summary>> {
    let rows = || listed!().filter(matching());
    let select = Summary::as_select;
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

/// One page of the children of an organization: of today, or those in a scope that it had on a day.
pub async fn children(
    conn: &AsyncPgConnection,
    scope: &Scope,
    parent: OrganizationId,
    filter: &ChildrenFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Summary>> {
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
    load_page!(conn, page, rows(), Summary::as_select(), by(organizations::id, organizations::updated_at))
}

async fn children_on(
    conn: &AsyncPgConnection,
    scope: &Scope,
    parent: OrganizationId,
    day: NaiveDate,
    filter: &ChildrenFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Summary>> {
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
    let listed: QueryResult<Listed<Summary>> =
        load_page!(conn, page, rows(), Summary::as_select(), by(organization_tree::descendant_id, organizations::updated_at));
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
