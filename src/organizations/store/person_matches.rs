//! Who is the same person, and which records look alike: set-based, so that a file of thousands is matched in one statement.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Date, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::access::Scope;
use crate::db::locks;
use crate::ids::{MergeSuggestionId, PersonId};
use crate::organizations::rules::Sex;

/// What is known of somebody who may be in the address book already.
#[derive(Clone, Default)]
pub struct PersonCandidate {
    /// Name.
    pub name: String,
    /// Keyed hash of the telephone.
    pub phone_hash: Option<Vec<u8>>,
    /// Keyed hash of the identity number.
    pub id_number_hash: Option<Vec<u8>>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Year of birth.
    pub birth_year: Option<i16>,
}

/// By what somebody was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchedBy {
    /// Her identity number.
    IdNumber,
    /// Her telephone and name, while nothing known of both contradicts.
    PhoneAndName,
}

/// The record of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonMatch {
    /// The record.
    pub id: PersonId,
    /// By what.
    pub by: MatchedBy,
    /// Whether it is readable in the scope that was asked for: nothing of another's record may be told.
    pub readable: bool,
}

/// Nobody else matches these numbers until the transaction ends: of two that bring the same person at one moment, the second sees
/// the record of the first. Call it before [`find`] where a new record may follow, with at most some hundred candidates at a time.
pub async fn lock(conn: &mut AsyncPgConnection, candidates: &[PersonCandidate]) -> QueryResult<()> {
    let numbers = candidates.iter().flat_map(|candidate| [&candidate.phone_hash, &candidate.id_number_hash]).flatten();
    let mut keys: Vec<i64> = numbers.map(|hash| locks::first_eight(hash)).collect();
    // All take them in the same order, and none waits in a circle.
    keys.sort_unstable();
    keys.dedup();
    // Beside others of a few people each, but not beside a file of thousands.
    let locks = diesel::sql_query(
        "WITH file AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($2))
        SELECT pg_advisory_xact_lock(key) FROM file, unnest($1) AS key",
    );
    locks.bind::<Array<BigInt>, _>(keys).bind::<BigInt, _>(FILES).execute(conn).await.map(drop)
}

/// Key of the lock that a file of people takes for itself: one lock for each of its numbers would be more than the database keeps.
const FILES: i64 = 0x7065_6f70_6c65;

/// Nobody else brings anybody until the transaction ends.
pub async fn lock_all(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    locks::take(conn, FILES).await
}

const FIND: &str = "SELECT DISTINCT ON (candidate.at) candidate.at, found.id, found.rank, EXISTS (
        SELECT FROM person_places JOIN organization_tree ON descendant_id = organization_id AND organization_tree.to_on IS NULL
        WHERE person_id = found.id AND (person_places.to_on IS NULL OR person_places.to_on >= $7) AND ancestor_id = ANY($6)
    ) AS readable
    FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS candidate (id_number_hash, phone_hash, name, birth_year, sex, at)
    CROSS JOIN LATERAL (
        SELECT id, 1::smallint AS rank FROM people WHERE people.id_number_hash = candidate.id_number_hash
        UNION ALL
        SELECT id, 2::smallint FROM people
        WHERE people.phone_hash = candidate.phone_hash AND people.name = candidate.name
            AND (people.id_number_hash = candidate.id_number_hash) IS NOT FALSE
            AND (people.birth_year = candidate.birth_year) IS NOT FALSE AND (people.sex = candidate.sex) IS NOT FALSE
    ) AS found
    ORDER BY candidate.at, found.rank, readable DESC, found.id";

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    at: i64,
    #[diesel(sql_type = SqlUuid)]
    id: PersonId,
    #[diesel(sql_type = SmallInt)]
    rank: i16,
    #[diesel(sql_type = Bool)]
    readable: bool,
}

/// The record of each candidate, wherever it is kept; none: there is none. First by identity number, else by telephone and name
/// where identity number, year of birth and sex, as far as both are known, agree.
pub async fn find(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    today: NaiveDate,
    candidates: &[PersonCandidate],
) -> QueryResult<Vec<Option<PersonMatch>>> {
    let column =
        |hash: fn(&PersonCandidate) -> &Option<Vec<u8>>| candidates.iter().map(|one| hash(one).clone()).collect::<Vec<_>>();
    let rows: Vec<Found> = diesel::sql_query(FIND)
        .bind::<Array<Nullable<Bytea>>, _>(column(|one| &one.id_number_hash))
        .bind::<Array<Nullable<Bytea>>, _>(column(|one| &one.phone_hash))
        .bind::<Array<Text>, _>(candidates.iter().map(|one| one.name.as_str()).collect::<Vec<_>>())
        .bind::<Array<Nullable<SmallInt>>, _>(candidates.iter().map(|one| one.birth_year).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(candidates.iter().map(|one| one.sex.map(Sex::as_str)).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(scope.places())
        .bind::<Date, _>(today)
        .load(&mut conn)
        .await?;
    let mut found = vec![None; candidates.len()];
    for row in rows {
        let by = if row.rank == 1 { MatchedBy::IdNumber } else { MatchedBy::PhoneAndName };
        if let Some(place) = found.get_mut(row.at as usize - 1) {
            *place = Some(PersonMatch { id: row.id, by, readable: row.readable });
        }
    }
    Ok(found)
}

/// Pairs of the records $1 and others that look like them, with what is alike. Two identity numbers are two people. Of a
/// telephone that a whole office shares only a few are looked at, those of her name first.
const ALIKE: &str = "SELECT least(one.id, other.id) AS person_id, greatest(one.id, other.id) AS other_id,
        array_agg(DISTINCT other.reason) AS reasons
    FROM people one CROSS JOIN LATERAL (
        (SELECT id, id_number_hash, CASE WHEN name = one.name THEN 'same_phone_and_name' ELSE 'same_phone' END AS reason
        FROM people WHERE phone_hash = one.phone_hash AND id <> one.id AND status = 'active'
        ORDER BY (name <> one.name), id LIMIT 10)
        UNION ALL
        (SELECT id, id_number_hash, 'same_name_and_birth_year' FROM people
        WHERE name = one.name AND birth_year = one.birth_year AND id <> one.id AND status = 'active' AND EXISTS (
            SELECT FROM organization_tree WHERE to_on IS NULL
            AND ((ancestor_id = people.organization_id AND descendant_id = one.organization_id)
                OR (ancestor_id = one.organization_id AND descendant_id = people.organization_id)))
        ORDER BY id LIMIT 10)
    ) AS other
    WHERE one.id = ANY($1) AND one.status = 'active' AND (one.id_number_hash IS NULL OR other.id_number_hash IS NULL)
    GROUP BY 1, 2";

#[derive(QueryableByName)]
struct Alike {
    #[diesel(sql_type = SqlUuid)]
    person_id: PersonId,
    #[diesel(sql_type = SqlUuid)]
    other_id: PersonId,
    #[diesel(sql_type = Array<Text>)]
    reasons: Vec<String>,
}

/// Writes what was found alike; a pair that somebody has decided about stays decided.
const SUGGEST: &str = "INSERT INTO person_merge_suggestions (id, person_id, other_id, reasons, status, created_at, updated_at)
    SELECT id, person_id, other_id, string_to_array(reasons, ','), 'open', $5, $5
    FROM unnest($1, $2, $3, $4) AS pair (id, person_id, other_id, reasons)
    ORDER BY person_id, other_id
    ON CONFLICT (person_id, other_id) DO UPDATE
        SET reasons = EXCLUDED.reasons, version = person_merge_suggestions.version + 1, updated_at = EXCLUDED.updated_at
    WHERE person_merge_suggestions.status = 'open' AND person_merge_suggestions.reasons <> EXCLUDED.reasons";

/// Forgets open suggestions of the records $1 that are no longer among the pairs.
const FORGET: &str = "DELETE FROM person_merge_suggestions suggestion
    WHERE (person_id = ANY($1) OR other_id = ANY($1)) AND status = 'open' AND NOT EXISTS (
        SELECT FROM unnest($2, $3) AS pair (person_id, other_id)
        WHERE pair.person_id = suggestion.person_id AND pair.other_id = suggestion.other_id)";

/// Looks anew for what is like some records, and keeps it as suggestions. Call it after they were written.
pub async fn suggest(conn: &mut AsyncPgConnection, ids: &[PersonId], now: DateTime<Utc>) -> QueryResult<()> {
    let pairs: Vec<Alike> = diesel::sql_query(ALIKE).bind::<Array<SqlUuid>, _>(ids).load(conn).await?;
    let one: Vec<PersonId> = pairs.iter().map(|pair| pair.person_id).collect();
    let other: Vec<PersonId> = pairs.iter().map(|pair| pair.other_id).collect();
    diesel::sql_query(FORGET)
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<SqlUuid>, _>(&one)
        .bind::<Array<SqlUuid>, _>(&other)
        .execute(conn)
        .await?;
    if pairs.is_empty() {
        return Ok(());
    }
    diesel::sql_query(SUGGEST)
        .bind::<Array<SqlUuid>, _>(pairs.iter().map(|_| MergeSuggestionId::generate()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(&one)
        .bind::<Array<SqlUuid>, _>(&other)
        .bind::<Array<Text>, _>(pairs.iter().map(|pair| pair.reasons.join(",")).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .await
        .map(drop)
}
