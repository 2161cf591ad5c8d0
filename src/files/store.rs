//! The table of files.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::api::FileFilter;
use super::rules::{AttachableType, FilePurpose};
use crate::access::{Module, Scope};
use crate::db::page::{Condition, all_of};
use crate::db::schema::files;
use crate::db::scope::below;
use crate::http::PageRequest;
use crate::http::page::Listed;
use crate::ids::{AccountId, FileId, OrganizationId};
use crate::{load_page, when};

/// A file.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = files)]
#[allow(missing_docs)]
pub struct FileRow {
    pub id: FileId,
    pub organization_id: OrganizationId,
    pub uploaded_by: AccountId,
    pub purpose: FilePurpose,
    pub name: String,
    pub media_type: String,
    pub size: i64,
    pub sha256: Vec<u8>,
    pub content_key: Vec<u8>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub attached_type: Option<AttachableType>,
    pub attached_id: Option<Uuid>,
    pub attached_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// Which files somebody reads: her own, and by the module of their purpose those below her places.
pub struct Readable {
    /// Herself.
    pub account_id: AccountId,
    /// For each module, and for none: where she reads.
    pub places: Vec<(Option<Module>, Scope)>,
}

fn readable<'a>(by: &'a Readable) -> Condition<'a, files::table> {
    let own: Condition<'a, files::table> = Box::new(files::uploaded_by.eq(by.account_id).nullable());
    by.places.iter().filter(|(_, scope)| !scope.is_empty()).fold(own, |any, (module, scope)| {
        let read = |purpose: &FilePurpose| purpose.module() == *module && !purpose.is_private();
        let purposes: Vec<FilePurpose> = FilePurpose::ALL.iter().copied().filter(read).collect();
        let here = files::purpose.eq_any(purposes).and(files::organization_id.eq_any(below(scope.places())));
        Box::new(any.or(here.nullable()))
    })
}

/// One page of the files that somebody reads.
pub async fn list(
    conn: &AsyncPgConnection,
    by: &Readable,
    filter: &FileFilter,
    page: &PageRequest,
) -> QueryResult<Listed<FileRow>> {
    let rows = || {
        let mut all: Vec<Condition<'_, files::table>> = vec![readable(by)];
        when!(all,
            filter.purpose, |purposes| files::purpose.eq_any(purposes);
            filter.organization_id, |id| files::organization_id.eq(id);
            filter.within, |top| files::organization_id.eq_any(below(&[*top]));
            filter.attached_type, |kind| files::attached_type.eq(kind);
            filter.attached_id, |id| files::attached_id.eq(id);
            filter.created_at_gte, |from| files::created_at.ge(from);
            filter.created_at_lt, |before| files::created_at.lt(before);
        );
        files::table.filter(all_of(all))
    };
    load_page!(conn, page, rows(), FileRow::as_select(), by id > page.start().1, files::id)
}

/// One file that somebody reads.
pub async fn find(mut conn: &AsyncPgConnection, by: &Readable, id: FileId) -> QueryResult<FileRow> {
    files::table.filter(files::id.eq(id)).filter(readable(by)).select(FileRow::as_select()).first(&mut conn).await
}

/// Locks one file of an account until the transaction ends.
pub async fn lock_own(conn: &mut AsyncPgConnection, account: AccountId, id: FileId) -> QueryResult<FileRow> {
    files::table
        .filter(files::id.eq(id))
        .filter(files::uploaded_by.eq(account))
        .select(FileRow::as_select())
        .for_update()
        .first(conn)
        .await
}

/// One file, for work that may read it.
pub async fn get(mut conn: &AsyncPgConnection, id: FileId) -> QueryResult<Option<FileRow>> {
    files::table.find(id).select(FileRow::as_select()).first(&mut conn).await.optional()
}

/// One file that an account uploaded for a purpose.
pub async fn find_own(
    mut conn: &AsyncPgConnection,
    account: AccountId,
    purpose: FilePurpose,
    id: FileId,
) -> QueryResult<Option<FileRow>> {
    files::table
        .find(id)
        .filter(files::uploaded_by.eq(account))
        .filter(files::purpose.eq(purpose))
        .select(FileRow::as_select())
        .first(&mut conn)
        .await
        .optional()
}

/// Writes a file; one that is there stays as it is. Returns whether it is new.
pub async fn insert(conn: &mut AsyncPgConnection, row: &FileRow) -> QueryResult<bool> {
    diesel::insert_into(files::table).values(row).on_conflict_do_nothing().execute(conn).await.map(|written| written > 0)
}

/// Forgets a file.
pub async fn delete(conn: &mut AsyncPgConnection, id: FileId) -> QueryResult<()> {
    diesel::delete(files::table.find(id)).execute(conn).await.map(drop)
}

/// The files of some objects of a kind, oldest first.
pub async fn attached_to(mut conn: &AsyncPgConnection, kind: AttachableType, ids: Vec<Uuid>) -> QueryResult<Vec<FileRow>> {
    files::table
        .filter(files::attached_type.eq(kind))
        .filter(files::attached_id.eq_any(ids))
        .order(files::id)
        .select(FileRow::as_select())
        .load(&mut conn)
        .await
}

/// How many files an object has; it is locked by whoever adds one.
pub async fn count_attached(conn: &mut AsyncPgConnection, kind: AttachableType, id: Uuid) -> QueryResult<i64> {
    files::table.filter(files::attached_type.eq(kind)).filter(files::attached_id.eq(id)).count().get_result(conn).await
}

/// Forgets loose files that were uploaded before an instant. Returns how many.
pub async fn forget_loose(conn: &mut AsyncPgConnection, before: DateTime<Utc>) -> QueryResult<usize> {
    diesel::delete(files::table.filter(files::attached_id.is_null()).filter(files::created_at.lt(before))).execute(conn).await
}

/// Which of these objects have a row.
pub async fn known(conn: &mut AsyncPgConnection, ids: &[FileId]) -> QueryResult<Vec<FileId>> {
    files::table.filter(files::id.eq_any(ids)).select(files::id).load(conn).await
}
