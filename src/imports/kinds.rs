//! The register of kinds. A slice whose objects can be imported adds a line.

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;

use super::columns::{Cells, Column};
use super::rules::{ImportKind, MOST_ROWS};
use super::work::{Halt, Work};
use crate::access::Permission;
use crate::accounts::ACCOUNTS;
use crate::http::FieldError;
use crate::http::lists::{self, ListName};
use crate::ids::OrganizationId;
use crate::organizations::bulk;

/// Checks the rows of an import against the database, and writes them where it is to write.
pub type RunFn = for<'a> fn(&'a mut Work) -> BoxFuture<'a, Result<(), Halt>>;
/// What there is below a place, as rows of a template; no more than [`MOST_SHOWN`] objects.
pub type Shown = for<'a> fn(&'a AsyncPgConnection, OrganizationId, NaiveDate) -> BoxFuture<'a, QueryResult<Vec<Cells>>>;

/// So many objects are read at most: one more than a table has rows tells that they are too many.
pub const MOST_SHOWN: i64 = MOST_ROWS as i64 + 1;

/// A kind of objects that can be imported.
pub struct Kind {
    /// Which.
    pub kind: ImportKind,
    /// Path of its list, where exports come from.
    pub list: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// What an import of it needs at its place.
    pub permission: Permission,
    /// It gives access: only who asked for it applies it, and she confirms first who she is.
    pub gives_access: bool,
    /// What it needs to be shown what there is.
    pub reads: Permission,
    /// What is wrong with a row by itself, told at its fields.
    pub check: fn(&Cells, NaiveDate) -> Vec<FieldError>,
    /// The work.
    pub run: RunFn,
    /// For templates.
    pub shown: Shown,
}

impl Kind {
    /// Whether its rows tell of people: where its list does (`access::PERSONAL`).
    pub fn tells_of_people(&self) -> bool {
        lists::list(&ListName(self.list.to_owned())).is_none_or(|list| list.columns.iter().any(|column| column.personal))
    }

    /// Whether values of it are secret; then nothing is shown again that is not known to be harmless.
    pub fn has_secrets(&self) -> bool {
        self.columns.iter().any(|column| column.secret)
    }

    /// Whether what stands below a header is shown again, by the field that the header was read as; empty: none.
    pub fn shows(&self, field: &str) -> bool {
        let known = self.columns.iter().find(|column| column.field == field);
        known.map_or(!self.has_secrets(), |column| !column.secret)
    }
}

/// Every kind.
const KINDS: &[Kind] = &[bulk::ORGANIZATIONS, bulk::PEOPLE, bulk::POSTS, bulk::COVERAGE_UNITS, ACCOUNTS];

/// What an import of a kind is.
pub fn of(kind: ImportKind) -> &'static Kind {
    KINDS.iter().find(|known| known.kind == kind).unwrap_or(&KINDS[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::columns::{Header, header};

    #[test]
    fn people_posts_and_accounts_tell_of_people() {
        let telling: Vec<ImportKind> = ImportKind::ALL.iter().copied().filter(|kind| of(*kind).tells_of_people()).collect();
        assert_eq!(telling, [ImportKind::People, ImportKind::Posts, ImportKind::Accounts]);
    }

    #[test]
    fn every_kind_is_registered_and_every_header_names_one_column() {
        for kind in ImportKind::ALL {
            let found = of(*kind);
            assert_eq!(found.kind, *kind);
            for (index, column) in found.columns.iter().enumerate() {
                for name in [column.zh, column.field] {
                    assert_eq!(header(found.columns, found.list, name), Header::Column(index), "{kind} {name}");
                }
            }
            for name in ["version", "更新时间"] {
                assert_eq!(header(found.columns, found.list, name), Header::ReadOnly, "{kind} {name}");
            }
            assert_eq!(header(found.columns, found.list, "备用"), Header::Unknown);
        }
    }
}
