//! Tables of the reference data.

use chrono::NaiveDate;
use diesel::dsl::{And, Eq, LeftJoinQuerySource, Nullable};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::api::DivisionFilter;
use super::{CalendarKind, CodeSystem, DivisionLevel};
use crate::db::page::{Condition, all_of, holds};
use crate::db::schema::{data_versions, dictionary_entries, divisions, organizations, working_calendar};
use crate::http::page::{Listed, PageRequest};
use crate::ids::OrganizationId;
use crate::{load_page, when};

/// A division with the federation that looks after it.
#[derive(Queryable)]
pub struct DivisionRow {
    pub code: String,
    pub name: String,
    pub full_name: String,
    pub level: DivisionLevel,
    pub parent_code: Option<String>,
    pub code_system: CodeSystem,
    pub federation: Option<(OrganizationId, String, Option<String>)>,
}

/// A division as it is loaded.
#[derive(Insertable)]
#[diesel(table_name = divisions)]
pub struct NewDivision {
    pub code: String,
    pub name: String,
    pub full_name: String,
    pub level: DivisionLevel,
    pub parent_code: Option<String>,
    pub code_system: CodeSystem,
}

/// A label of an enumerated value.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = dictionary_entries)]
pub struct DictionaryRow {
    pub dictionary: String,
    pub code: String,
    pub position: i32,
    pub label_zh: String,
    pub label_en: String,
}

/// A day that differs from its weekday.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = working_calendar)]
pub struct CalendarRow {
    pub day: NaiveDate,
    pub kind: CalendarKind,
    pub name: String,
}

type DivisionSource = LeftJoinQuerySource<
    divisions::table,
    organizations::table,
    And<Eq<organizations::division_code, Nullable<divisions::code>>, Eq<organizations::status, &'static str>>,
>;

/// Divisions, each joined with its active federation.
macro_rules! divisions_with_federation {
    () => {
        divisions::table.left_join(
            organizations::table
                .on(organizations::division_code.eq(divisions::code.nullable()).and(organizations::status.eq("active"))),
        )
    };
}

/// The columns of a [`DivisionRow`].
#[diesel::dsl::auto_type]
fn division_columns() -> _ {
    (
        divisions::code,
        divisions::name,
        divisions::full_name,
        divisions::level,
        divisions::parent_code,
        divisions::code_system,
        (organizations::id, organizations::name, organizations::phone).nullable(),
    )
}

/// One page of divisions, ordered by code.
pub async fn list_divisions(
    conn: &AsyncPgConnection,
    filter: &DivisionFilter,
    page: &PageRequest,
) -> QueryResult<Listed<DivisionRow>> {
    let rows = || {
        let mut all: Vec<Condition<'_, DivisionSource>> = vec![];
        when!(all,
            filter.parent_code, |parent| divisions::parent_code.eq(parent);
            filter.level, |levels| divisions::level.eq_any(levels);
            filter.q, |q| holds(divisions::name, q);
        );
        divisions_with_federation!().filter(all_of(all))
    };
    load_page!(conn, page, rows(), division_columns(), by code > page.after_code(), divisions::code)
}

/// One division.
pub async fn find_division(mut conn: &AsyncPgConnection, code: &str) -> QueryResult<DivisionRow> {
    divisions_with_federation!().filter(divisions::code.eq(code)).select(division_columns()).first(&mut conn).await
}

/// Labels of some dictionaries, or of all.
pub async fn dictionaries(mut conn: &AsyncPgConnection, names: Option<&[String]>) -> QueryResult<Vec<DictionaryRow>> {
    let mut rows = dictionary_entries::table
        .select(DictionaryRow::as_select())
        .order((dictionary_entries::dictionary, dictionary_entries::position))
        .into_boxed();
    if let Some(names) = names {
        rows = rows.filter(dictionary_entries::dictionary.eq_any(names));
    }
    rows.load(&mut conn).await
}

/// The special days of a year.
pub async fn calendar(mut conn: &AsyncPgConnection, from: NaiveDate, to: NaiveDate) -> QueryResult<Vec<CalendarRow>> {
    working_calendar::table
        .filter(working_calendar::day.between(from, to))
        .select(CalendarRow::as_select())
        .order(working_calendar::day)
        .load(&mut conn)
        .await
}

/// Which version of a set of data a slice has loaded.
pub async fn loaded_version(conn: &mut AsyncPgConnection, set: &str, slice: &str) -> QueryResult<Option<i32>> {
    data_versions::table.find((set, slice)).select(data_versions::version).first(conn).await.optional()
}

/// Remembers that a version was loaded.
pub async fn set_loaded_version(conn: &mut AsyncPgConnection, set: &str, slice: &str, version: i32) -> QueryResult<()> {
    diesel::insert_into(data_versions::table)
        .values((data_versions::data_set.eq(set), data_versions::slice.eq(slice), data_versions::version.eq(version)))
        .on_conflict((data_versions::data_set, data_versions::slice))
        .do_update()
        .set((data_versions::version.eq(version), data_versions::loaded_at.eq(diesel::dsl::now)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes divisions; those that an administrator edited stay as they are.
pub async fn put_divisions(conn: &mut AsyncPgConnection, rows: &[NewDivision]) -> QueryResult<()> {
    use diesel::upsert::excluded;
    for part in rows.chunks(1000) {
        let upsert = diesel::insert_into(divisions::table).values(part).on_conflict(divisions::code).do_update().set((
            divisions::name.eq(excluded(divisions::name)),
            divisions::full_name.eq(excluded(divisions::full_name)),
            divisions::level.eq(excluded(divisions::level)),
            divisions::parent_code.eq(excluded(divisions::parent_code)),
            divisions::code_system.eq(excluded(divisions::code_system)),
        ));
        diesel::query_dsl::methods::FilterDsl::filter(upsert, divisions::edited.eq(false)).execute(conn).await?;
    }
    Ok(())
}

/// Writes labels; those that an administrator edited stay as they are.
pub async fn put_dictionaries(conn: &mut AsyncPgConnection, rows: &[DictionaryRow]) -> QueryResult<()> {
    use diesel::upsert::excluded;
    let upsert = diesel::insert_into(dictionary_entries::table)
        .values(rows)
        .on_conflict((dictionary_entries::dictionary, dictionary_entries::code))
        .do_update()
        .set((
            dictionary_entries::position.eq(excluded(dictionary_entries::position)),
            dictionary_entries::label_zh.eq(excluded(dictionary_entries::label_zh)),
            dictionary_entries::label_en.eq(excluded(dictionary_entries::label_en)),
        ));
    diesel::query_dsl::methods::FilterDsl::filter(upsert, dictionary_entries::edited.eq(false)).execute(conn).await?;
    Ok(())
}

/// Writes special days; those that an administrator edited stay as they are.
pub async fn put_calendar(conn: &mut AsyncPgConnection, rows: &[CalendarRow]) -> QueryResult<()> {
    use diesel::upsert::excluded;
    let upsert = diesel::insert_into(working_calendar::table).values(rows).on_conflict(working_calendar::day).do_update().set((
        working_calendar::kind.eq(excluded(working_calendar::kind)),
        working_calendar::name.eq(excluded(working_calendar::name)),
    ));
    diesel::query_dsl::methods::FilterDsl::filter(upsert, working_calendar::edited.eq(false)).execute(conn).await?;
    Ok(())
}
