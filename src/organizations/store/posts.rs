//! Posts that people hold, and the work items that tell of terms about to end.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::tree;
use crate::access::Scope;
use crate::db::page::{Condition, all_of};
use crate::db::schema::{organizations, people, posts};
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::organizations::api::posts::{ExpiringFilter, PostFilter, PostsBy};
use crate::organizations::rules::{EmploymentMode, PostPosition, Secondment};
use crate::work_items::{self, Awaited, Waiting, Worker};
use crate::{count_by, load_page, when};

/// A post as it is stored.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = posts)]
#[allow(missing_docs)]
pub struct Post {
    pub id: PostId,
    pub organization_id: OrganizationId,
    pub person_id: PersonId,
    pub position: PostPosition,
    pub employment_mode: EmploymentMode,
    pub secondment: Option<Secondment>,
    pub from_on: NaiveDate,
    pub to_on: Option<NaiveDate>,
    pub appointed_by: Option<String>,
    pub end_reason: Option<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What may be edited of a post.
#[derive(AsChangeset)]
#[diesel(table_name = posts, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct PostEdit {
    pub employment_mode: EmploymentMode,
    pub secondment: Option<Secondment>,
    pub from_on: NaiveDate,
    pub to_on: Option<NaiveDate>,
    pub appointed_by: Option<String>,
    pub end_reason: Option<String>,
}

fn matching<'a>(roots: &[OrganizationId], filter: &'a PostFilter, me: &Worker, today: NaiveDate) -> Condition<'a, posts::table> {
    let mut all: Vec<Condition<'a, posts::table>> = vec![Box::new(posts::organization_id.eq_any(below(roots)).nullable())];
    when!(all,
        filter.organization_id, |id| posts::organization_id.eq(id);
        filter.person_id, |id| posts::person_id.eq(id);
        filter.position, |positions| posts::position.eq_any(positions);
        filter.employment_mode, |modes| posts::employment_mode.eq_any(modes);
        filter.to_on_gte, |day| posts::to_on.ge(day);
        filter.to_on_lt, |day| posts::to_on.lt(day);
        filter.created_at_gte, |from| posts::created_at.ge(from);
        filter.created_at_lt, |before| posts::created_at.lt(before);
        filter.updated_at_gte, |from| posts::updated_at.ge(from);
        filter.updated_at_lt, |before| posts::updated_at.lt(before);
    );
    if filter.awaiting == Some(Awaited::Me) {
        all.push(Box::new(posts::id.eq_any(work_items::subjects_awaiting(me, "post")).nullable()));
    }
    match filter.current {
        Some(true) => {
            all.push(Box::new(posts::from_on.le(today).nullable()));
            all.push(Box::new(posts::to_on.is_null().nullable().or(posts::to_on.ge(today))));
        }
        Some(false) => all.push(Box::new(posts::from_on.gt(today).nullable().or(posts::to_on.lt(today)))),
        None => {}
    }
    all_of(all)
}

/// One page of the posts in a scope.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &PostFilter,
    me: &Worker,
    today: NaiveDate,
    page: &PageRequest,
) -> QueryResult<Listed<Post>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = || posts::table.filter(matching(&roots, filter, me, today));
    load_page!(conn, page, rows(), Post::as_select(), by(posts::id, posts::updated_at))
}

/// How many there are of each position, mode or organization.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &PostFilter,
    me: &Worker,
    today: NaiveDate,
    by: PostsBy,
) -> QueryResult<Vec<Counted>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = posts::table.filter(matching(&roots, filter, me, today));
    match by {
        PostsBy::Position => count_by!(conn, rows, posts::position),
        PostsBy::EmploymentMode => count_by!(conn, rows, posts::employment_mode),
        PostsBy::OrganizationId => count_by!(conn, rows, posts::organization_id, OrganizationId),
    }
}

/// One page of the posts in a scope whose last day lies between two days, both included: the nearest first.
pub async fn list_expiring(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &ExpiringFilter,
    (first, last): (NaiveDate, NaiveDate),
    page: &PageRequest,
) -> QueryResult<Listed<Post>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let matching = || {
        let mut all: Vec<Condition<'_, posts::table>> = vec![
            Box::new(posts::organization_id.eq_any(below(&roots)).nullable()),
            Box::new(posts::to_on.ge(first)),
            Box::new(posts::to_on.le(last)),
        ];
        when!(all,
            filter.organization_id, |id| posts::organization_id.eq(id);
            filter.position, |positions| posts::position.eq_any(positions);
        );
        all_of(all)
    };
    let rows = || posts::table.filter(matching());
    let (day, id) = (page.after_code().parse().unwrap_or(first), page.start().1);
    let after = posts::to_on.ge(day).and(posts::to_on.gt(day).or(posts::id.nullable().gt(id)));
    let mut reads = conn;
    let listed = async {
        let rows = rows().filter(after).order((posts::to_on.asc(), posts::id.asc())).limit(page.rows());
        rows.select(Post::as_select()).load(&mut reads).await
    };
    load_page!(@ conn, page, rows(), posts::id, listed)
}

/// One post in a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: PostId) -> QueryResult<Post> {
    posts::table
        .filter(posts::id.eq(id))
        .filter(posts::organization_id.eq_any(below(scope.places())))
        .select(Post::as_select())
        .first(&mut conn)
        .await
}

/// Locks one post in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: PostId) -> QueryResult<Post> {
    posts::table
        .filter(posts::id.eq(id))
        .filter(posts::organization_id.eq_any(below(scope.places())))
        .select(Post::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Writes a new post.
pub async fn insert(conn: &mut AsyncPgConnection, row: &Post) -> QueryResult<Post> {
    diesel::insert_into(posts::table).values(row).returning(Post::as_returning()).get_result(conn).await
}

/// Writes many posts; those that are there stay as they are. Returns how many are new.
pub async fn insert_many(conn: &mut AsyncPgConnection, rows: &[Post]) -> QueryResult<usize> {
    let mut written = 0;
    for part in rows.chunks(2000) {
        written += diesel::insert_into(posts::table).values(part).on_conflict_do_nothing().execute(conn).await?;
    }
    Ok(written)
}

/// Edits a post.
pub async fn update(conn: &mut AsyncPgConnection, id: PostId, edit: &PostEdit, now: DateTime<Utc>) -> QueryResult<Post> {
    diesel::update(posts::table.find(id))
        .set((edit, posts::version.eq(posts::version + 1), posts::updated_at.eq(now)))
        .returning(Post::as_returning())
        .get_result(conn)
        .await
}

/// Ends a post on a day.
pub async fn end(
    conn: &mut AsyncPgConnection,
    id: PostId,
    last_day: NaiveDate,
    reason: &str,
    now: DateTime<Utc>,
) -> QueryResult<Post> {
    diesel::update(posts::table.find(id))
        .set((
            posts::to_on.eq(last_day),
            posts::end_reason.eq(reason),
            posts::version.eq(posts::version + 1),
            posts::updated_at.eq(now),
        ))
        .returning(Post::as_returning())
        .get_result(conn)
        .await
}

/// Locks all posts of some people, in the order of their ids, until the transaction ends.
pub async fn lock_of(conn: &mut AsyncPgConnection, people: &[PersonId]) -> QueryResult<Vec<Post>> {
    posts::table.filter(posts::person_id.eq_any(people)).order(posts::id).select(Post::as_select()).for_update().load(conn).await
}

/// Another record of the same person holds a post from the beginning.
pub async fn give(conn: &mut AsyncPgConnection, id: PostId, person: PersonId, now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::update(posts::table.find(id))
        .set((posts::person_id.eq(person), posts::version.eq(posts::version + 1), posts::updated_at.eq(now)))
        .execute(conn)
        .await
}

/// Holds one post in a scope as it is until the transaction ends, for what refers to it.
pub async fn hold(conn: &mut AsyncPgConnection, scope: &Scope, id: PostId) -> QueryResult<Option<Post>> {
    posts::table
        .filter(posts::id.eq(id))
        .filter(posts::organization_id.eq_any(below(scope.places())))
        .select(Post::as_select())
        .for_share()
        .first(conn)
        .await
        .optional()
}

/// Who holds a post in a scope.
pub async fn holder(mut conn: &AsyncPgConnection, scope: &Scope, id: PostId) -> QueryResult<Option<PersonId>> {
    posts::table
        .filter(posts::id.eq(id))
        .filter(posts::organization_id.eq_any(below(scope.places())))
        .select(posts::person_id)
        .first(&mut conn)
        .await
        .optional()
}

/// First and last day of a post, wherever it is.
pub async fn days(mut conn: &AsyncPgConnection, id: PostId) -> QueryResult<(NaiveDate, Option<NaiveDate>)> {
    posts::table.find(id).select((posts::from_on, posts::to_on)).first(&mut conn).await
}

/// Positions and last days of posts by their id.
pub async fn terms(
    mut conn: &AsyncPgConnection,
    ids: Vec<PostId>,
) -> QueryResult<HashMap<PostId, (PostPosition, Option<NaiveDate>)>> {
    let rows: Vec<(PostId, PostPosition, Option<NaiveDate>)> =
        posts::table.filter(posts::id.eq_any(ids)).select((posts::id, posts::position, posts::to_on)).load(&mut conn).await?;
    Ok(rows.into_iter().map(|(id, position, to_on)| (id, (position, to_on))).collect())
}

/// How long before the last day it is announced.
const NOTICE: TimeDelta = TimeDelta::days(30);

/// How many of them are looked at together.
const AT_ONCE: i64 = 1000;

/// Of the posts whose last day is near the next few after the last day and id of those before, for the work item that tells of it;
/// none: those were all. Of one that somebody has ended nothing is left to decide.
pub async fn expiring(
    conn: &mut AsyncPgConnection,
    today: NaiveDate,
    (day, id): (NaiveDate, PostId),
) -> QueryResult<Vec<Waiting>> {
    type Row = (PostId, PostPosition, Option<NaiveDate>, OrganizationId, String, String);
    let rows: Vec<Row> = posts::table
        .inner_join(organizations::table.on(organizations::id.eq(posts::organization_id)))
        .inner_join(people::table.on(people::id.eq(posts::person_id)))
        .filter(posts::to_on.between(day, today + NOTICE))
        .filter(posts::to_on.gt(day).or(posts::id.nullable().gt(id)))
        .filter(posts::end_reason.is_null())
        .order((posts::to_on, posts::id))
        .limit(AT_ONCE)
        .select((posts::id, posts::position, posts::to_on, organizations::id, organizations::name, people::name))
        .load(conn)
        .await?;
    let label = |position: PostPosition| {
        PostPosition::LABELS.iter().find(|(code, ..)| *code == position.as_str()).map_or("", |(_, zh, _)| zh)
    };
    let waiting = |(id, position, to_on, organization_id, organization, person): Row| Waiting {
        title: format!("{organization}{person}{}任期将于{}届满", label(position), to_on.unwrap_or(today)),
        subject_id: id.0,
        subject_number: None,
        organization_id,
        account_id: None,
        due_on: to_on,
    };
    Ok(rows.into_iter().map(waiting).collect())
}
