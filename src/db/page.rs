//! Reading a page of a list, its total and its counts: what the stores of all slices share.

use diesel::expression::ValidGrouping;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};

use crate::http::page::TOTAL_CAP;

/// One beyond what a total shows.
pub const COUNTED: i64 = TOTAL_CAP + 1;

/// What a list is narrowed by, over the tables `QS`.
pub type Condition<'a, QS> = Box<dyn BoxableExpression<QS, Pg, SqlType = Nullable<Bool>> + 'a>;

/// All of the conditions together; true where there are none.
pub fn all_of<'a, QS: 'a>(conditions: Vec<Condition<'a, QS>>) -> Condition<'a, QS> {
    // A bound value, not a fragment of SQL: fragments keep a statement from being prepared once.
    let none: Condition<'a, QS> = Box::new(Some(true).into_sql::<Nullable<Bool>>());
    conditions.into_iter().fold(none, |all, condition| Box::new(all.and(condition)))
}

/// Adds conditions for the filters that are given: `when!(conditions, filter.kind, |kinds| posts::kind.eq_any(kinds))`.
#[macro_export]
macro_rules! when {
    ($conditions:ident, $($given:expr, |$value:ident| $condition:expr;)*) => {
        $(if let Some($value) = &$given {
            $conditions.push(Box::new(($condition).nullable()));
        })*
    };
}

/// Loads one page of the rows that `$rows` makes, and their total where the page asks; both travel together. `by (id,
/// updated_at)` knows the four orders of [`crate::http::page::Sort`]; `by key > start` is one order by a unique key, `by key < start` its reverse. The
/// predicates are ranges of an index, and the same text for all pages.
#[macro_export]
macro_rules! load_page {
    ($conn:ident, $page:expr, $rows:expr, $select:expr, by ($id:expr, $updated_at:expr)) => {{
        use $crate::http::page::Sort;
        let (at, id) = $page.start();
        let mut reads = $conn;
        let rows = async {
            let rows = $rows.select($select).limit($page.rows());
            match $page.sort {
                Sort::Id => rows.filter($id.gt(id)).order($id.asc()).load(&mut reads).await,
                Sort::IdDescending => rows.filter($id.lt(id)).order($id.desc()).load(&mut reads).await,
                Sort::UpdatedAt => {
                    let after = $updated_at.ge(at).and($updated_at.gt(at).or($id.gt(id)));
                    rows.filter(after).order(($updated_at.asc(), $id.asc())).load(&mut reads).await
                }
                Sort::UpdatedAtDescending => {
                    let after = $updated_at.le(at).and($updated_at.lt(at).or($id.lt(id)));
                    rows.filter(after).order(($updated_at.desc(), $id.desc())).load(&mut reads).await
                }
            }
        };
        $crate::load_page!(@ $conn, $page, $rows, $id, rows)
    }};
    ($conn:ident, $page:expr, $rows:expr, $select:expr, by $key:ident > $start:expr, $column:expr) => {{
        let $key = $start;
        let mut reads = $conn;
        let rows = async {
            $rows.select($select).filter($column.gt($key)).order($column.asc()).limit($page.rows()).load(&mut reads).await
        };
        $crate::load_page!(@ $conn, $page, $rows, $column, rows)
    }};
    ($conn:ident, $page:expr, $rows:expr, $select:expr, by $key:ident < $start:expr, $column:expr) => {{
        let $key = $start;
        let mut reads = $conn;
        let rows = async {
            $rows.select($select).filter($column.lt($key)).order($column.desc()).limit($page.rows()).load(&mut reads).await
        };
        $crate::load_page!(@ $conn, $page, $rows, $column, rows)
    }};
    (@ $conn:ident, $page:expr, $rows:expr, $counted:expr, $page_of_rows:ident) => {{
        let mut counts = $conn;
        let total = async {
            if !$page.with_total {
                return Ok(None);
            }
            let counted = $crate::db::page::Capped($rows.select($counted).limit($crate::db::page::COUNTED));
            counted.get_result(&mut counts).await.map(Some)
        };
        let (rows, total) = futures_util::try_join!($page_of_rows, total)?;
        Ok($crate::http::page::Listed { rows, total })
    }};
}

/// Counts the rows that `$rows` makes by a column.
#[macro_export]
macro_rules! count_by {
    ($conn:ident, $rows:expr, $column:expr) => {
        $crate::count_by!($conn, $rows, $column, String)
    };
    ($conn:ident, $rows:expr, $column:expr, $key:ty) => {{
        let counts: Vec<(Option<$key>, i64)> = $rows
            .group_by($column)
            .select(($column.nullable(), diesel::dsl::count_star()))
            .order($column)
            .load(&mut $conn)
            .await?;
        Ok(counts.into_iter().map(|(key, count)| (key.map(|key| key.to_string()), count)).collect())
    }};
}

/// Counts the rows of a query that has a limit.
#[derive(QueryId)]
pub struct Capped<Q>(pub Q);

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

/// Escapes a text for LIKE and looks for it anywhere.
pub fn contains(text: &str) -> String {
    format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

/// Rows whose name holds a text, from one character on.
///
/// Some texts are in every name and some in three: walking the subtree is right for the ones, the index over the parts of names
/// for the others. The database knows how frequent a part is, so such a statement is planned each time for its own text.
#[derive(Debug, Clone, QueryId, ValidGrouping)]
pub struct Holds<C> {
    name: C,
    text: String,
    parts: Vec<String>,
}

/// Whether the column `name` holds `text`.
pub fn holds<C>(name: C, text: &str) -> Holds<C> {
    Holds { name, text: text.to_owned(), parts: parts(text) }
}

/// What the index `name_parts` is asked for: the character, or the first and the last pair of neighbours. More pairs find hardly
/// fewer names, and the database, which takes them for independent, would think the text rarer than it is.
fn parts(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut pairs = letters.windows(2).map(String::from_iter);
    match (pairs.next(), pairs.next_back()) {
        (Some(first), Some(last)) => vec![first, last],
        (Some(only), None) => vec![only],
        _ => vec![text.to_owned()],
    }
}

impl<C> Expression for Holds<C> {
    type SqlType = Bool;
}

impl<C: AppearsOnTable<QS>, QS> AppearsOnTable<QS> for Holds<C> {}

impl<C: SelectableExpression<QS>, QS> SelectableExpression<QS> for Holds<C> {}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Holds<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        // Unlike LIKE, this says nothing of how many rows there are: the parts have said it already.
        out.push_sql("(strpos(");
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.text)?;
        out.push_sql(") <> 0 AND name_parts(");
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(") @> ");
        out.push_bind_param::<Array<Text>, _>(&self.parts)?;
        out.push_sql(")");
        Ok(())
    }
}

/// A condition that is planned each time for its own values. Of a scope the database then knows whether it is everything, where a
/// page is found by walking the list, or next to nothing, where it is found from the scope; a plan for any scope is wrong for one.
#[derive(Debug, Clone, QueryId, ValidGrouping)]
pub struct Anew<C>(C);

/// Plans a statement with this condition each time.
pub fn anew<C>(condition: C) -> Anew<C> {
    Anew(condition)
}

impl<C: Expression> Expression for Anew<C> {
    type SqlType = C::SqlType;
}

impl<C: AppearsOnTable<QS>, QS> AppearsOnTable<QS> for Anew<C> {}

impl<C: SelectableExpression<QS>, QS> SelectableExpression<QS> for Anew<C> {}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for Anew<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        self.0.walk_ast(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_looked_for_by_its_character_or_its_outer_pairs() {
        assert_eq!(parts("湖"), ["湖"]);
        assert_eq!(parts("洞庭"), ["洞庭"]);
        assert_eq!(parts("岳阳楼"), ["岳阳", "阳楼"]);
        assert_eq!(parts("洞庭湖社区"), ["洞庭", "社区"]);
    }
}
