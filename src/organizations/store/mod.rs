//! Rows and queries, a file per noun. Reads take a shared connection, writes the transaction's.

pub mod organizations;
pub mod people;
pub mod posts;
pub mod sites;
pub mod tree;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable};
use uuid::Uuid;

use super::api::Sort;
use crate::http::PageRequest;
use crate::http::page::TOTAL_CAP;

/// What a list is narrowed by, over the tables `QS`.
pub type Condition<'a, QS> = Box<dyn BoxableExpression<QS, Pg, SqlType = Nullable<Bool>> + 'a>;

/// All of the conditions together; null where there are none.
fn all_of<'a, QS: 'a>(conditions: Vec<Condition<'a, QS>>) -> Condition<'a, QS> {
    // A bound value, not a fragment of SQL: fragments keep a statement from being prepared once.
    let none: Condition<'a, QS> = Box::new(Some(true).into_sql::<Nullable<Bool>>());
    conditions.into_iter().fold(none, |all, condition| Box::new(all.and(condition)))
}

/// The key after which a page starts. The first page starts before everything, so that all pages are one prepared statement.
pub fn start(page: &PageRequest, sort: Sort) -> (DateTime<Utc>, Uuid) {
    let end_of_time = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default();
    let first = if sort.descending() { (end_of_time, Uuid::max()) } else { (DateTime::UNIX_EPOCH, Uuid::nil()) };
    page.after.as_ref().map_or(first, |after| (after.at.unwrap_or(first.0), after.id))
}

/// Loads one page of a query in one of the four orders. The predicates are ranges of an index (stack.md, section 3).
macro_rules! load_page {
    ($conn:ident, $rows:expr, $id:expr, $updated_at:expr, $sort:expr, $page:expr) => {{
        let sort = $sort.unwrap_or_default();
        let (at, id) = $crate::organizations::store::start($page, sort);
        let rows = $rows.limit($page.rows());
        match sort {
            Sort::Id => rows.filter($id.gt(id)).order($id.asc()).load(&mut $conn).await,
            Sort::IdDescending => rows.filter($id.lt(id)).order($id.desc()).load(&mut $conn).await,
            Sort::UpdatedAt => {
                let after = $updated_at.ge(at).and($updated_at.gt(at).or($id.gt(id)));
                rows.filter(after).order(($updated_at.asc(), $id.asc())).load(&mut $conn).await
            }
            Sort::UpdatedAtDescending => {
                let after = $updated_at.le(at).and($updated_at.lt(at).or($id.lt(id)));
                rows.filter(after).order(($updated_at.desc(), $id.desc())).load(&mut $conn).await
            }
        }
    }};
}
use load_page;

/// Counts the rows of a query that has a limit.
#[derive(QueryId)]
pub struct Capped<Q>(Q);

impl<Q> Query for Capped<Q> {
    type SqlType = BigInt;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Capped<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS capped");
        Ok(())
    }
}

/// One beyond what a total shows.
const COUNTED: i64 = TOTAL_CAP + 1;
