//! The address book. Telephones and identity numbers are sealed; they are found by their keyed hashes.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::tree;
use crate::access::Scope;
use crate::db::page::{Condition, all_of};
use crate::db::schema::{people, posts};
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{OrganizationId, PersonId};
use crate::organizations::api::people::{PeopleBy, PersonFilter};
use crate::organizations::rules::Sex;
use crate::organizations::store::posts::Post;
use crate::{count_by, load_page, when};

/// A person as it is stored. Never serialized: it holds sealed numbers.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = people)]
#[allow(missing_docs)]
pub struct Person {
    pub id: PersonId,
    pub organization_id: OrganizationId,
    pub name: String,
    pub sex: Option<Sex>,
    pub birth_year: Option<i16>,
    pub phone: Option<Vec<u8>>,
    pub phone_hash: Option<Vec<u8>>,
    pub phone_masked: Option<String>,
    pub id_number: Option<Vec<u8>>,
    pub id_number_hash: Option<Vec<u8>>,
    pub id_number_masked: Option<String>,
    pub tags: Vec<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What may be edited of a person.
#[derive(AsChangeset)]
#[diesel(table_name = people, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct PersonEdit {
    pub organization_id: OrganizationId,
    pub name: String,
    pub sex: Option<Sex>,
    pub birth_year: Option<i16>,
    pub phone: Option<Vec<u8>>,
    pub phone_hash: Option<Vec<u8>>,
    pub phone_masked: Option<String>,
    pub id_number: Option<Vec<u8>>,
    pub id_number_hash: Option<Vec<u8>>,
    pub id_number_masked: Option<String>,
    pub tags: Vec<String>,
}

/// By what people are searched, exactly.
#[allow(missing_docs)]
pub enum Wanted {
    Name(String),
    PhoneHash(Vec<u8>),
    IdNumberHash(Vec<u8>),
}

fn matching<'a>(roots: &[OrganizationId], filter: &'a PersonFilter) -> Condition<'a, people::table> {
    let mut all: Vec<Condition<'a, people::table>> = vec![Box::new(people::organization_id.eq_any(below(roots)).nullable())];
    when!(all,
        filter.organization_id, |id| people::organization_id.eq(id);
        filter.sex, |sex| people::sex.eq(sex);
        filter.tag, |tag| people::tags.contains(vec![tag]);
        filter.created_at_gte, |from| people::created_at.ge(from);
        filter.created_at_lt, |before| people::created_at.lt(before);
        filter.updated_at_gte, |from| people::updated_at.ge(from);
        filter.updated_at_lt, |before| people::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of the people in a scope.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &PersonFilter,
    page: &PageRequest,
) -> QueryResult<Listed<Person>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = || people::table.filter(matching(&roots, filter));
    load_page!(conn, page, rows(), Person::as_select(), by(people::id, people::updated_at))
}

/// How many there are of each sex or organization.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &PersonFilter,
    by: PeopleBy,
) -> QueryResult<Vec<Counted>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = people::table.filter(matching(&roots, filter));
    match by {
        PeopleBy::Sex => count_by!(conn, rows, people::sex),
        PeopleBy::OrganizationId => count_by!(conn, rows, people::organization_id, OrganizationId),
    }
}

/// One person in a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: PersonId) -> QueryResult<Person> {
    people::table
        .filter(people::id.eq(id))
        .filter(people::organization_id.eq_any(below(scope.places())))
        .select(Person::as_select())
        .first(&mut conn)
        .await
}

/// Whether a person is in a scope.
pub async fn in_scope(mut conn: &AsyncPgConnection, scope: &Scope, id: PersonId) -> QueryResult<bool> {
    let found = people::table.filter(people::id.eq(id)).filter(people::organization_id.eq_any(below(scope.places())));
    diesel::select(diesel::dsl::exists(found)).get_result(&mut conn).await
}

/// Locks one person in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: PersonId) -> QueryResult<Person> {
    people::table
        .filter(people::id.eq(id))
        .filter(people::organization_id.eq_any(below(scope.places())))
        .select(Person::as_select())
        .for_update()
        .first(conn)
        .await
}

/// People in a scope with exactly this name or number.
pub async fn search(mut conn: &AsyncPgConnection, scope: &Scope, wanted: Wanted, limit: i64) -> QueryResult<Vec<Person>> {
    let rows = people::table
        .filter(people::organization_id.eq_any(below(scope.places())))
        .order(people::id)
        .limit(limit)
        .select(Person::as_select());
    match wanted {
        Wanted::Name(name) => rows.filter(people::name.eq(name)).load(&mut conn).await,
        Wanted::PhoneHash(hash) => rows.filter(people::phone_hash.eq(hash)).load(&mut conn).await,
        Wanted::IdNumberHash(hash) => rows.filter(people::id_number_hash.eq(hash)).load(&mut conn).await,
    }
}

/// Names of people by id.
pub async fn names(
    mut conn: &AsyncPgConnection,
    ids: impl IntoIterator<Item = PersonId>,
) -> QueryResult<HashMap<PersonId, String>> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort();
    ids.dedup();
    let rows: Vec<(PersonId, String)> =
        people::table.filter(people::id.eq_any(ids)).select((people::id, people::name)).load(&mut conn).await?;
    Ok(rows.into_iter().collect())
}

/// The posts that people hold on a day or will hold.
pub async fn held_posts(mut conn: &AsyncPgConnection, ids: Vec<PersonId>, today: NaiveDate) -> QueryResult<Vec<Post>> {
    posts::table
        .filter(posts::person_id.eq_any(ids))
        .filter(posts::to_on.is_null().or(posts::to_on.ge(today).assume_not_null()))
        .order(posts::id)
        .select(Post::as_select())
        .load(&mut conn)
        .await
}

/// Writes a new person.
pub async fn insert(conn: &mut AsyncPgConnection, row: &Person) -> QueryResult<Person> {
    diesel::insert_into(people::table).values(row).returning(Person::as_returning()).get_result(conn).await
}

/// Writes many people; those that are there stay as they are. Returns how many are new.
pub async fn insert_many(conn: &mut AsyncPgConnection, rows: &[Person]) -> QueryResult<usize> {
    let mut written = 0;
    for part in rows.chunks(2000) {
        written += diesel::insert_into(people::table).values(part).on_conflict_do_nothing().execute(conn).await?;
    }
    Ok(written)
}

/// Edits a person.
pub async fn update(conn: &mut AsyncPgConnection, id: PersonId, edit: &PersonEdit, now: DateTime<Utc>) -> QueryResult<Person> {
    diesel::update(people::table.find(id))
        .set((edit, people::version.eq(people::version + 1), people::updated_at.eq(now)))
        .returning(Person::as_returning())
        .get_result(conn)
        .await
}
