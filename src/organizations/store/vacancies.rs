//! How many hold a position and how many should: the minimum of each kind of organization is data (`post_minimums`).

use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::organizations::Reference;
use super::tree;
use crate::access::Scope;
use crate::http::PageRequest;
use crate::http::page::{Counted, Listed};
use crate::ids::OrganizationId;
use crate::organizations::api::posts::{VacanciesBy, VacancyFilter};
use crate::organizations::rules::{OrganizationKind, OrganizationLevel, PostPosition};

/// A position of an organization.
#[derive(Debug, QueryableByName)]
#[allow(missing_docs)]
pub struct Vacancy {
    #[diesel(sql_type = SqlUuid)]
    pub organization_id: OrganizationId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub kind: OrganizationKind,
    #[diesel(sql_type = Text)]
    pub level: OrganizationLevel,
    /// Order of the positions of an organization.
    #[diesel(sql_type = SmallInt)]
    pub rank: i16,
    #[diesel(sql_type = Text)]
    pub position: PostPosition,
    /// Positions whose holders count.
    #[diesel(sql_type = Array<Text>)]
    pub counted: Vec<PostPosition>,
    #[diesel(sql_type = BigInt)]
    pub held: i64,
    #[diesel(sql_type = Nullable<Integer>)]
    pub minimum: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub source: Option<String>,
}

impl Vacancy {
    /// The organization, as it is named anywhere.
    pub fn reference(&self) -> Reference {
        Reference { id: self.organization_id, name: self.name.clone(), kind: self.kind, level: self.level }
    }

    /// How many are missing; none: no rule is known.
    pub fn missing(&self) -> Option<i64> {
        self.minimum.map(|minimum| (i64::from(minimum) - self.held).max(0))
    }
}

/// How many people hold a position of an organization on the day $2: whoever holds two of those that count is one.
macro_rules! held {
    () => {
        "(SELECT count(DISTINCT person_id) AS held FROM posts WHERE posts.organization_id = organizations.id
            AND posts.position = ANY(post_minimums.counted)
            AND posts.from_on <= $2 AND (posts.to_on IS NULL OR posts.to_on >= $2)) AS holders"
    };
}

/// The positions of the active organizations below the roots $1 that fit the filters $3 to $7.
macro_rules! positions {
    () => {
        concat!(
            "FROM organizations JOIN post_minimums ON post_minimums.kind = organizations.kind CROSS JOIN LATERAL ",
            held!(),
            " WHERE organizations.id IN (SELECT descendant_id FROM organization_tree WHERE ancestor_id = ANY($1) AND to_on IS NULL)
                AND organizations.status = 'active'
                AND ($3 IS NULL OR organizations.id = $3)
                AND ($4 IS NULL OR organizations.kind = ANY($4))
                AND ($5 IS NULL OR organizations.level = ANY($5))
                AND ($6 IS NULL OR post_minimums.position = ANY($6))
                AND ($7 IS NULL OR $7 = coalesce(held < minimum, false))"
        )
    };
}

macro_rules! columns {
    () => {
        "organizations.id AS organization_id, organizations.name, organizations.kind, organizations.level, rank,
            post_minimums.position, counted, held, minimum, source"
    };
}

const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " ",
    positions!(),
    " AND organizations.id >= $8 AND (organizations.id > $8 OR rank > $9) ORDER BY organizations.id, rank LIMIT $10"
);
const TOTAL: &str = concat!("SELECT count(*) AS count FROM (SELECT 1 ", positions!(), " LIMIT $8) AS capped");

/// Counts by an expression over the positions.
macro_rules! counted {
    ($by:literal) => {
        concat!("SELECT ", $by, " AS key, count(*) AS count ", positions!(), " GROUP BY 1 ORDER BY 1")
    };
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Counts {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Binds what `positions!` needs.
macro_rules! bound {
    ($sql:expr, $roots:expr, $filter:expr, $today:expr) => {
        diesel::sql_query($sql)
            .bind::<Array<SqlUuid>, _>($roots)
            .bind::<Date, _>($today)
            .bind::<Nullable<SqlUuid>, _>($filter.organization_id)
            .bind::<Nullable<Array<Text>>, _>($filter.kind.as_ref())
            .bind::<Nullable<Array<Text>>, _>($filter.level.as_ref())
            .bind::<Nullable<Array<Text>>, _>($filter.position.as_ref())
            .bind::<Nullable<Bool>, _>($filter.missing)
    };
}

/// One page of the positions of the organizations in a scope, organization by organization.
pub async fn list(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &VacancyFilter,
    today: NaiveDate,
    page: &PageRequest,
) -> QueryResult<Listed<Vacancy>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let (mut reads, mut counts) = (conn, conn);
    // Before the first page there is no organization, and rank 0 stands before every position of the next.
    let rank = if page.after.is_some() { page.after_number() } else { 0 };
    let rows = bound!(PAGE, &roots, filter, today)
        .bind::<SqlUuid, _>(page.start().1)
        .bind::<Integer, _>(rank)
        .bind::<BigInt, _>(page.rows())
        .load(&mut reads);
    let total = async {
        if !page.with_total {
            return Ok(None);
        }
        let capped = bound!(TOTAL, &roots, filter, today).bind::<BigInt, _>(crate::db::page::COUNTED);
        capped.get_result::<Total>(&mut counts).await.map(|total| Some(total.count))
    };
    let (rows, total) = futures_util::try_join!(rows, total)?;
    Ok(Listed { rows, total })
}

/// How many such positions there are of each kind, level or organization.
pub async fn counts(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &VacancyFilter,
    today: NaiveDate,
    by: VacanciesBy,
) -> QueryResult<Vec<Counted>> {
    let roots = tree::roots(conn, scope, filter.within).await?;
    let sql = match by {
        VacanciesBy::Position => counted!("post_minimums.position"),
        VacanciesBy::Kind => counted!("organizations.kind"),
        VacanciesBy::Level => counted!("organizations.level"),
        VacanciesBy::OrganizationId => counted!("organizations.id::text"),
    };
    let rows: Vec<Counts> = bound!(sql, &roots, filter, today).load(&mut conn).await?;
    Ok(rows.into_iter().map(|row| (Some(row.key), row.count)).collect())
}

const OF_ONE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM organizations JOIN post_minimums ON post_minimums.kind = organizations.kind CROSS JOIN LATERAL ",
    held!(),
    " WHERE organizations.id = $1 ORDER BY rank"
);

/// The positions of one organization on a day.
pub async fn of_organization(mut conn: &AsyncPgConnection, id: OrganizationId, day: NaiveDate) -> QueryResult<Vec<Vacancy>> {
    diesel::sql_query(OF_ONE).bind::<SqlUuid, _>(id).bind::<Date, _>(day).load(&mut conn).await
}

/// A position that falls under its minimum.
#[derive(Debug, QueryableByName)]
#[allow(missing_docs)]
pub struct Shortfall {
    /// Which of the questions.
    #[diesel(sql_type = BigInt)]
    pub at: i64,
    #[diesel(sql_type = Text)]
    pub position: PostPosition,
    #[diesel(sql_type = BigInt)]
    pub held: i64,
    #[diesel(sql_type = Integer)]
    pub minimum: i32,
}

const SHORTFALLS: &str = "SELECT question.at, post_minimums.position, held, minimum
    FROM unnest($1, $2, $3) WITH ORDINALITY AS question (organization_id, position, day, at)
    JOIN organizations ON organizations.id = question.organization_id
    JOIN post_minimums ON post_minimums.kind = organizations.kind AND question.position = ANY(counted)
    CROSS JOIN LATERAL (SELECT count(DISTINCT person_id) AS held FROM posts
        WHERE posts.organization_id = question.organization_id AND posts.position = ANY(counted)
            AND posts.from_on <= question.day AND (posts.to_on IS NULL OR posts.to_on >= question.day)) AS holders
    WHERE organizations.status = 'active' AND held < minimum ORDER BY question.at, rank";

/// Which positions an organization lacks people for on a day, of those for which the holders of a position count.
pub async fn shortfalls(
    mut conn: &AsyncPgConnection,
    questions: &[(OrganizationId, PostPosition, NaiveDate)],
) -> QueryResult<Vec<Shortfall>> {
    if questions.is_empty() {
        return Ok(vec![]);
    }
    diesel::sql_query(SHORTFALLS)
        .bind::<Array<SqlUuid>, _>(questions.iter().map(|(organization, ..)| *organization).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(questions.iter().map(|(_, position, _)| *position).collect::<Vec<_>>())
        .bind::<Array<Date>, _>(questions.iter().map(|(.., day)| *day).collect::<Vec<_>>())
        .load(&mut conn)
        .await
}
