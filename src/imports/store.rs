//! The tables of imports.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bytea, Integer, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::api::{ImportFilter, ImportsBy};
use super::rules::{ImportFailure, ImportKind, ImportMode, ImportStatus};
use crate::access::Scope;
use crate::db::locks;
use crate::db::page::{Condition, all_of};
use crate::db::schema::{import_errors, import_rows, imports};
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::{AccountId, FileId, ImportId, OperationId, OrganizationId};
use crate::{count_by, load_page, when};

/// An import.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = imports)]
#[allow(missing_docs)]
pub struct ImportRow {
    pub id: ImportId,
    pub kind: ImportKind,
    pub mode: ImportMode,
    pub status: ImportStatus,
    pub organization_id: OrganizationId,
    pub file_id: Option<FileId>,
    pub file_name: String,
    pub media_type: String,
    pub file_sha256: Vec<u8>,
    pub again: bool,
    pub same_as_id: Option<ImportId>,
    pub operation_id: OperationId,
    pub created_by: AccountId,
    pub applied_by: Option<AccountId>,
    pub sheet: Option<String>,
    pub fields: Vec<String>,
    pub ignored_columns: Vec<String>,
    pub done: i64,
    pub total: Option<i64>,
    pub row_count: i32,
    pub new_count: i32,
    pub changed_count: i32,
    pub unchanged_count: i32,
    pub error_count: i32,
    pub failure: Option<ImportFailure>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A row of a table, sealed.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = import_rows)]
#[allow(missing_docs)]
pub struct SealedRow {
    pub import_id: ImportId,
    pub number: i32,
    pub payload: Vec<u8>,
    pub faulty: bool,
}

/// An error.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = import_errors)]
#[allow(missing_docs)]
pub struct ErrorRow {
    pub import_id: ImportId,
    pub seq: i32,
    pub number: Option<i32>,
    pub field: Option<String>,
    pub code: String,
    pub zh: String,
    pub en: String,
    pub value: Option<String>,
}

/// Whose imports somebody sees: her own, and those at the places that she administers.
pub struct Sees {
    /// Herself.
    pub account_id: AccountId,
    /// What she administers.
    pub administers: Scope,
}

fn seen<'a>(by: &Sees) -> Condition<'a, imports::table> {
    let own = imports::created_by.eq(by.account_id);
    match by.administers.is_empty() {
        true => Box::new(own.nullable()),
        false => Box::new(own.or(imports::organization_id.eq_any(below(by.administers.places()))).nullable()),
    }
}

fn matching<'a>(by: &Sees, filter: &'a ImportFilter) -> Condition<'a, imports::table> {
    let mut all = vec![seen(by)];
    when!(all,
        filter.kind, |kinds| imports::kind.eq_any(kinds);
        filter.status, |statuses| imports::status.eq_any(statuses);
        filter.organization_id, |id| imports::organization_id.eq(id);
        filter.within, |top| imports::organization_id.eq_any(below(&[*top]));
        filter.created_at_gte, |from| imports::created_at.ge(from);
        filter.created_at_lt, |before| imports::created_at.lt(before);
        filter.updated_at_gte, |from| imports::updated_at.ge(from);
        filter.updated_at_lt, |before| imports::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of the imports that somebody sees.
pub async fn list(
    conn: &AsyncPgConnection,
    by: &Sees,
    filter: &ImportFilter,
    page: &PageRequest,
) -> QueryResult<Listed<ImportRow>> {
    let rows = || imports::table.filter(matching(by, filter));
    load_page!(conn, page, rows(), ImportRow::as_select(), by(imports::id, imports::updated_at))
}

/// How many there are of each status, kind or place.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    seen: &Sees,
    filter: &ImportFilter,
    by: ImportsBy,
) -> QueryResult<Vec<Counted>> {
    let rows = imports::table.filter(matching(seen, filter));
    match by {
        ImportsBy::Status => count_by!(conn, rows, imports::status),
        ImportsBy::Kind => count_by!(conn, rows, imports::kind),
        ImportsBy::OrganizationId => count_by!(conn, rows, imports::organization_id, OrganizationId),
    }
}

/// One import that somebody sees.
pub async fn find(mut conn: &AsyncPgConnection, by: &Sees, id: ImportId) -> QueryResult<ImportRow> {
    imports::table.filter(imports::id.eq(id)).filter(seen(by)).select(ImportRow::as_select()).first(&mut conn).await
}

/// Locks one import that somebody sees.
pub async fn lock(conn: &mut AsyncPgConnection, by: &Sees, id: ImportId) -> QueryResult<ImportRow> {
    imports::table.filter(imports::id.eq(id)).filter(seen(by)).select(ImportRow::as_select()).for_update().first(conn).await
}

/// One import, for the job.
pub async fn get(mut conn: &AsyncPgConnection, id: ImportId) -> QueryResult<ImportRow> {
    imports::table.find(id).select(ImportRow::as_select()).first(&mut conn).await
}

/// The other imports of one file, kind and place, the latest first. One transaction at a time looks at them: of two that are to be
/// applied at once the second sees the first.
pub async fn lock_same(conn: &mut AsyncPgConnection, like: &ImportRow) -> QueryResult<Vec<(ImportId, ImportStatus)>> {
    let kind = like.kind.as_str().as_bytes();
    let name = [&like.file_sha256, kind, like.organization_id.0.as_bytes().as_slice()].concat();
    locks::take(conn, locks::number(&name)).await?;
    imports::table
        .filter(imports::file_sha256.eq(&like.file_sha256))
        .filter(imports::kind.eq(like.kind))
        .filter(imports::organization_id.eq(like.organization_id))
        .filter(imports::id.ne(like.id))
        .order(imports::id.desc())
        .select((imports::id, imports::status))
        .load(conn)
        .await
}

/// Writes an import.
pub async fn insert(conn: &mut AsyncPgConnection, row: &ImportRow) -> QueryResult<()> {
    diesel::insert_into(imports::table).values(row).execute(conn).await.map(drop)
}

/// It is applied from now on, by another operation where somebody else asks for it. None: it waits no more.
pub async fn start_applying(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    operation: OperationId,
    by: Option<AccountId>,
    again: bool,
    now: DateTime<Utc>,
) -> QueryResult<Option<ImportRow>> {
    diesel::update(imports::table.find(id).filter(imports::status.eq(ImportStatus::Validated)))
        .set((
            imports::status.eq(ImportStatus::Applying),
            imports::operation_id.eq(operation),
            imports::applied_by.eq(by),
            imports::again.eq(again),
            imports::done.eq(0),
            imports::version.eq(imports::version + 1),
            imports::updated_at.eq(now),
        ))
        .returning(ImportRow::as_returning())
        .get_result(conn)
        .await
        .optional()
}

/// Nobody wants it any more, or it failed: its rows go, what was written does not exist. None: it is over already.
pub async fn end(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    status: ImportStatus,
    failure: Option<ImportFailure>,
    now: DateTime<Utc>,
) -> QueryResult<Option<ImportRow>> {
    let open = [ImportStatus::Validating, ImportStatus::Validated, ImportStatus::Applying];
    let ended = diesel::update(imports::table.find(id).filter(imports::status.eq_any(open)))
        .set((
            imports::status.eq(status),
            imports::failure.eq(failure),
            imports::version.eq(imports::version + 1),
            imports::updated_at.eq(now),
            imports::finished_at.eq(now),
        ))
        .returning(ImportRow::as_returning())
        .get_result(conn)
        .await
        .optional()?;
    if ended.is_some() {
        drop_rows(conn, id).await?;
    }
    Ok(ended)
}

/// Forgets staged rows.
pub async fn drop_rows(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<()> {
    diesel::delete(import_rows::table.filter(import_rows::import_id.eq(id))).execute(conn).await.map(drop)
}

/// Forgets what an attempt before has found.
pub async fn restart(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<()> {
    drop_rows(conn, id).await?;
    diesel::delete(import_errors::table.filter(import_errors::import_id.eq(id))).execute(conn).await?;
    let still = diesel::update(imports::table.find(id).filter(imports::status.eq(ImportStatus::Validating)));
    still.set((imports::done.eq(0), imports::total.eq(None::<i64>), imports::error_count.eq(0))).execute(conn).await.map(drop)
}

/// What was read of the file.
pub async fn read(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    sheet: Option<&str>,
    fields: &[String],
    ignored: &[String],
    rows: i32,
) -> QueryResult<()> {
    diesel::update(imports::table.find(id).filter(imports::status.eq(ImportStatus::Validating)))
        .set((
            imports::sheet.eq(sheet),
            imports::fields.eq(fields),
            imports::ignored_columns.eq(ignored),
            imports::row_count.eq(rows),
            imports::total.eq(i64::from(rows)),
        ))
        .execute(conn)
        .await
        .map(drop)
}

/// Tells how far it is. False: it is no longer in this status.
pub async fn advance(conn: &mut AsyncPgConnection, id: ImportId, status: ImportStatus, done: i64) -> QueryResult<bool> {
    let here = diesel::update(imports::table.find(id).filter(imports::status.eq(status)));
    Ok(here.set(imports::done.eq(done)).execute(conn).await? == 1)
}

/// What was found of the rows, and what follows from it. False: somebody stopped it meanwhile.
pub async fn conclude(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    from: ImportStatus,
    to: ImportStatus,
    counts: [i32; 3],
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let [new, changed, unchanged] = counts;
    let updated = diesel::update(imports::table.find(id).filter(imports::status.eq(from)))
        .set((
            imports::status.eq(to),
            imports::new_count.eq(new),
            imports::changed_count.eq(changed),
            imports::unchanged_count.eq(unchanged),
            imports::done.eq(imports::row_count.cast::<BigInt>()),
            imports::version.eq(imports::version + 1),
            imports::updated_at.eq(now),
            imports::finished_at.eq(to.is_final().then_some(now)),
        ))
        .execute(conn)
        .await?;
    if updated == 1 && to.is_final() {
        drop_rows(conn, id).await?;
    }
    Ok(updated == 1)
}

/// Writes rows.
pub async fn insert_rows(conn: &mut AsyncPgConnection, rows: &[SealedRow]) -> QueryResult<()> {
    diesel::insert_into(import_rows::table).values(rows).execute(conn).await.map(drop)
}

/// Replaces the payloads of rows.
pub async fn replace_payloads(conn: &mut AsyncPgConnection, id: ImportId, rows: &[(i32, Vec<u8>)]) -> QueryResult<()> {
    let (numbers, payloads): (Vec<i32>, Vec<&[u8]>) = rows.iter().map(|(number, payload)| (*number, payload.as_slice())).unzip();
    let replace = diesel::sql_query(
        "UPDATE import_rows AS r SET payload = x.payload FROM unnest($2, $3) AS x (number, payload)
        WHERE r.import_id = $1 AND r.number = x.number",
    );
    let replace = replace.bind::<Uuid, _>(id).bind::<Array<Integer>, _>(numbers).bind::<Array<Bytea>, _>(payloads);
    replace.execute(conn).await.map(drop)
}

/// Replaces the errors of an import; `count` is how many there are in all.
pub async fn put_errors(conn: &mut AsyncPgConnection, id: ImportId, errors: &[ErrorRow], count: i32) -> QueryResult<()> {
    diesel::delete(import_errors::table.filter(import_errors::import_id.eq(id))).execute(conn).await?;
    for part in errors.chunks(2000) {
        diesel::insert_into(import_errors::table).values(part).execute(conn).await?;
    }
    diesel::update(imports::table.find(id)).set(imports::error_count.eq(count)).execute(conn).await.map(drop)
}

/// The rows after a number.
pub async fn rows_after(mut conn: &AsyncPgConnection, id: ImportId, after: i32, limit: i64) -> QueryResult<Vec<SealedRow>> {
    import_rows::table
        .filter(import_rows::import_id.eq(id))
        .filter(import_rows::number.gt(after))
        .order(import_rows::number)
        .limit(limit)
        .select(SealedRow::as_select())
        .load(&mut conn)
        .await
}

/// The rows with these numbers.
pub async fn rows_numbered(mut conn: &AsyncPgConnection, id: ImportId, numbers: &[i32]) -> QueryResult<Vec<SealedRow>> {
    import_rows::table
        .filter(import_rows::import_id.eq(id))
        .filter(import_rows::number.eq_any(numbers))
        .select(SealedRow::as_select())
        .load(&mut conn)
        .await
}

/// One page of the errors of an import.
pub async fn errors(conn: &AsyncPgConnection, id: ImportId, page: &PageRequest) -> QueryResult<Listed<ErrorRow>> {
    let rows = || import_errors::table.filter(import_errors::import_id.eq(id));
    load_page!(conn, page, rows(), ErrorRow::as_select(), by after > page.after_number(), import_errors::seq)
}

/// The first errors of an import.
pub async fn first_errors(mut conn: &AsyncPgConnection, id: ImportId, limit: i64) -> QueryResult<Vec<ErrorRow>> {
    import_errors::table
        .filter(import_errors::import_id.eq(id))
        .order(import_errors::seq)
        .limit(limit)
        .select(ErrorRow::as_select())
        .load(&mut conn)
        .await
}

/// Ends imports that nobody has applied since an instant, and forgets the errors of those that ended before. Returns how many
/// ended.
pub async fn forget(conn: &mut AsyncPgConnection, before: DateTime<Utc>, now: DateTime<Utc>) -> QueryResult<usize> {
    let waiting = imports::table.filter(imports::status.eq(ImportStatus::Validated)).filter(imports::updated_at.lt(before));
    let ids: Vec<ImportId> = waiting.select(imports::id).for_update().load(conn).await?;
    for id in &ids {
        end(conn, *id, ImportStatus::Cancelled, Some(ImportFailure::Expired), now).await?;
    }
    // A job that was cut off between the end of its import and its rows.
    let ended = imports::table.filter(imports::finished_at.is_not_null()).select(imports::id);
    diesel::delete(import_rows::table.filter(import_rows::import_id.eq_any(ended))).execute(conn).await?;
    let over = imports::table.filter(imports::finished_at.lt(before)).select(imports::id);
    diesel::delete(import_errors::table.filter(import_errors::import_id.eq_any(over))).execute(conn).await?;
    Ok(ids.len())
}
