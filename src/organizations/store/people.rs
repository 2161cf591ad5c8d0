//! The address book. Telephones and identity numbers are sealed; they are found by their keyed hashes.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{IntoBoxed, Select, exists, not};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::tree;
use crate::access::Scope;
use crate::db::page::{Condition, all_of, anew};
use crate::db::schema::{organizations, people, person_places, posts};
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{OrganizationId, PersonId};
use crate::organizations::api::people::{PeopleBy, PersonFilter};
use crate::organizations::rules::{PersonStatus, Sex};
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
    pub status: PersonStatus,
    pub merged_into_id: Option<PersonId>,
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

/// People by their id.
pub type People<'a> = IntoBoxed<'a, Select<person_places::table, person_places::person_id>, Pg>;

/// Selects who is readable below some places: whose record is kept there, or who holds a post there now or later.
pub fn readable<'a>(places: &[OrganizationId], today: NaiveDate) -> People<'a> {
    let there = person_places::table.select(person_places::person_id).into_boxed();
    there
        .filter(person_places::organization_id.eq_any(below(places)))
        .filter(person_places::to_on.is_null().or(person_places::to_on.ge(today).assume_not_null()))
}

/// Holders of posts by their id.
type Holders<'a> = IntoBoxed<'a, Select<posts::table, posts::person_id>, Pg>;

/// Selects who holds a post on a day.
fn held_on<'a>(day: NaiveDate) -> Holders<'a> {
    let held = posts::table.select(posts::person_id).into_boxed();
    held.filter(posts::from_on.le(day)).filter(posts::to_on.is_null().or(posts::to_on.ge(day).assume_not_null()))
}

/// Whether a person holds a post on a day. Asked of each person, by the index of her posts: a list of all holders would be that of
/// the whole country.
#[diesel::dsl::auto_type]
fn holds_a_post(day: NaiveDate) -> _ {
    let open = posts::to_on.is_null();
    let later = posts::to_on.ge(day).assume_not_null();
    let hers = posts::table.filter(posts::person_id.eq(people::id)).filter(posts::from_on.le(day)).filter(open.or(later));
    exists(hers)
}

/// Selects who holds a post today, below some places, that fits the filters of posts; none: no such filter was given.
fn holding<'a>(roots: &[OrganizationId], filter: &'a PersonFilter, today: NaiveDate) -> Option<Holders<'a>> {
    let mut places = organizations::table.select(organizations::id).into_boxed();
    if let Some(kinds) = &filter.kind {
        places = places.filter(organizations::kind.eq_any(kinds));
    }
    if let Some(levels) = &filter.level {
        places = places.filter(organizations::level.eq_any(levels));
    }
    let placed = filter.kind.is_some() || filter.level.is_some();
    let mut held = held_on(today).filter(posts::organization_id.eq_any(below(roots)));
    if placed {
        held = held.filter(posts::organization_id.eq_any(places));
    }
    if let Some(positions) = &filter.position {
        held = held.filter(posts::position.eq_any(positions));
    }
    if let Some(modes) = &filter.employment_mode {
        held = held.filter(posts::employment_mode.eq_any(modes));
    }
    (placed || filter.position.is_some() || filter.employment_mode.is_some()).then_some(held)
}

fn matching<'a>(roots: &[OrganizationId], filter: &'a PersonFilter, today: NaiveDate) -> Condition<'a, people::table> {
    let mut all: Vec<Condition<'a, people::table>> = vec![Box::new(anew(people::id.eq_any(readable(roots, today))).nullable())];
    match &filter.status {
        Some(statuses) => all.push(Box::new(people::status.eq_any(statuses).nullable())),
        None => all.push(Box::new(people::status.eq(PersonStatus::Active).nullable())),
    }
    if let Some(held) = holding(roots, filter, today) {
        all.push(Box::new(people::id.eq_any(held).nullable()));
    }
    match filter.has_posts {
        Some(true) => all.push(Box::new(people::id.eq_any(held_on(today)).nullable())),
        Some(false) => all.push(Box::new(not(holds_a_post(today)).nullable())),
        None => {}
    }
    when!(all,
        filter.organization_id, |id| people::organization_id.eq(id);
        filter.sex, |sex| people::sex.eq(sex);
        filter.birth_year_gte, |year| people::birth_year.ge(year);
        filter.birth_year_lt, |year| people::birth_year.lt(year);
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
    today: NaiveDate,
    page: &PageRequest,
) -> QueryResult<Listed<Person>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = || people::table.filter(matching(&roots, filter, today));
    load_page!(conn, page, rows(), Person::as_select(), by(people::id, people::updated_at))
}

/// How many there are of each sex or organization.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &PersonFilter,
    today: NaiveDate,
    by: PeopleBy,
) -> QueryResult<Vec<Counted>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let rows = people::table.filter(matching(&roots, filter, today));
    match by {
        PeopleBy::Sex => count_by!(conn, rows, people::sex),
        PeopleBy::OrganizationId => count_by!(conn, rows, people::organization_id, OrganizationId),
    }
}

/// One person in a scope.
pub async fn find(mut conn: &AsyncPgConnection, scope: &Scope, id: PersonId, today: NaiveDate) -> QueryResult<Person> {
    people::table
        .filter(people::id.eq(id))
        .filter(people::id.eq_any(readable(scope.places(), today).filter(person_places::person_id.eq(id))))
        .select(Person::as_select())
        .first(&mut conn)
        .await
}

/// Holds an active person in a scope as she is until the transaction ends, for what refers to her. False: there is none.
pub async fn hold(conn: &mut AsyncPgConnection, scope: &Scope, id: PersonId, today: NaiveDate) -> QueryResult<bool> {
    let held: Option<PersonId> = people::table
        .filter(people::id.eq(id))
        .filter(people::status.eq(PersonStatus::Active))
        .filter(people::id.eq_any(readable(scope.places(), today).filter(person_places::person_id.eq(id))))
        .select(people::id)
        .for_share()
        .first(conn)
        .await
        .optional()?;
    Ok(held.is_some())
}

/// The same for many, in the order of their ids: those that there are.
pub async fn hold_all(
    conn: &mut AsyncPgConnection,
    scope: &Scope,
    ids: &[PersonId],
    today: NaiveDate,
) -> QueryResult<Vec<PersonId>> {
    people::table
        .filter(people::id.eq_any(ids))
        .filter(people::status.eq(PersonStatus::Active))
        .filter(people::id.eq_any(readable(scope.places(), today).filter(person_places::person_id.eq_any(ids.to_vec()))))
        .order(people::id)
        .select(people::id)
        .for_share()
        .load(conn)
        .await
}

/// Locks one person in a scope until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection, scope: &Scope, id: PersonId, today: NaiveDate) -> QueryResult<Person> {
    people::table
        .filter(people::id.eq(id))
        .filter(people::id.eq_any(readable(scope.places(), today).filter(person_places::person_id.eq(id))))
        .select(Person::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Locks some people in a scope, in the order of their ids, until the transaction ends.
pub async fn lock_all(
    conn: &mut AsyncPgConnection,
    scope: &Scope,
    ids: &[PersonId],
    today: NaiveDate,
) -> QueryResult<Vec<Person>> {
    people::table
        .filter(people::id.eq_any(ids))
        .filter(people::id.eq_any(readable(scope.places(), today).filter(person_places::person_id.eq_any(ids))))
        .order(people::id)
        .select(Person::as_select())
        .for_update()
        .load(conn)
        .await
}

/// People by their ids, wherever they are kept.
pub async fn by_ids(mut conn: &AsyncPgConnection, ids: &[PersonId]) -> QueryResult<Vec<Person>> {
    people::table.filter(people::id.eq_any(ids)).select(Person::as_select()).load(&mut conn).await
}

/// Active people in a scope with exactly this name or number.
pub async fn search(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    wanted: Wanted,
    today: NaiveDate,
    limit: i64,
) -> QueryResult<Vec<Person>> {
    let rows = people::table
        .filter(anew(people::id.eq_any(readable(scope.places(), today))))
        .filter(people::status.eq(PersonStatus::Active))
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

/// Edits the record into which another is merged.
pub async fn absorb(conn: &mut AsyncPgConnection, row: &Person, now: DateTime<Utc>) -> QueryResult<Person> {
    let edit = PersonEdit {
        organization_id: row.organization_id,
        name: row.name.clone(),
        sex: row.sex,
        birth_year: row.birth_year,
        phone: row.phone.clone(),
        phone_hash: row.phone_hash.clone(),
        phone_masked: row.phone_masked.clone(),
        id_number: row.id_number.clone(),
        id_number_hash: row.id_number_hash.clone(),
        id_number_masked: row.id_number_masked.clone(),
        tags: row.tags.clone(),
    };
    update(conn, row.id, &edit, now).await
}

/// A record has gone into another: it keeps no numbers.
pub async fn end_merged(conn: &mut AsyncPgConnection, id: PersonId, into: PersonId, now: DateTime<Utc>) -> QueryResult<Person> {
    let none = None::<Vec<u8>>;
    diesel::update(people::table.find(id))
        .set((
            people::status.eq(PersonStatus::Merged),
            people::merged_into_id.eq(into),
            people::phone.eq(&none),
            people::phone_hash.eq(&none),
            people::phone_masked.eq(None::<String>),
            people::id_number.eq(&none),
            people::id_number_hash.eq(&none),
            people::id_number_masked.eq(None::<String>),
            people::version.eq(people::version + 1),
            people::updated_at.eq(now),
        ))
        .returning(Person::as_returning())
        .get_result(conn)
        .await
}

/// Records that had gone into a merged one have gone into the one that it went into: nobody follows a chain.
pub async fn follow(conn: &mut AsyncPgConnection, merged: PersonId, into: PersonId, now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::update(people::table.filter(people::merged_into_id.eq(merged)))
        .set((people::merged_into_id.eq(into), people::version.eq(people::version + 1), people::updated_at.eq(now)))
        .execute(conn)
        .await
}
