//! Many rows at once: what imports look up and write, a statement per part of a file and none per row.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Jsonb, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::organizations::Organization;
use super::people::Person;
use super::posts::Post;
use crate::db::schema::{divisions, organization_tree, organizations, people, posts};
use crate::db::scope::below;
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::imports::MOST_SHOWN;
use crate::organizations::rules::{OrganizationKind, OrganizationLevel, OrganizationStatus, PostPosition};
use crate::vault;

/// An organization as far as its place is told by it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = organizations)]
#[allow(missing_docs)]
pub struct Node {
    pub id: OrganizationId,
    pub parent_id: Option<OrganizationId>,
    pub name: String,
    pub kind: OrganizationKind,
    pub level: OrganizationLevel,
    pub division_code: Option<String>,
    pub status: OrganizationStatus,
}

/// Everything below a place, itself included, from the top down.
pub async fn nodes(mut conn: &AsyncPgConnection, place: OrganizationId) -> QueryResult<Vec<Node>> {
    organization_tree::table
        .inner_join(organizations::table.on(organizations::id.eq(organization_tree::descendant_id)))
        .filter(organization_tree::ancestor_id.eq(place))
        .filter(organization_tree::to_on.is_null())
        .order((organization_tree::depth, organizations::id))
        .select(Node::as_select())
        .load(&mut conn)
        .await
}

/// Whether more than so many lie below a place, itself included.
pub async fn has_more_below(mut conn: &AsyncPgConnection, place: OrganizationId, most: i64) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(below(&[place]).offset(most))).get_result(&mut conn).await
}

/// All that is known of the organizations below a place that work, from the top down.
pub async fn whole(mut conn: &AsyncPgConnection, place: OrganizationId) -> QueryResult<Vec<Organization>> {
    organization_tree::table
        .inner_join(organizations::table.on(organizations::id.eq(organization_tree::descendant_id)))
        .filter(organization_tree::ancestor_id.eq(place))
        .filter(organization_tree::to_on.is_null())
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .order((organization_tree::depth, organizations::id))
        .select(Organization::as_select())
        .load(&mut conn)
        .await
}

/// Names of what lies above a place, from the top down.
pub async fn names_above(mut conn: &AsyncPgConnection, place: OrganizationId) -> QueryResult<Vec<String>> {
    organization_tree::table
        .inner_join(organizations::table.on(organizations::id.eq(organization_tree::ancestor_id)))
        .filter(organization_tree::descendant_id.eq(place))
        .filter(organization_tree::to_on.is_null())
        .filter(organization_tree::depth.gt(0i16))
        .order(organization_tree::depth.desc())
        .select(organizations::name)
        .load(&mut conn)
        .await
}

/// Whether an organization works.
pub async fn is_active(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<bool> {
    let active = organizations::table.find(id).filter(organizations::status.eq(OrganizationStatus::Active));
    diesel::select(diesel::dsl::exists(active)).get_result(&mut conn).await
}

/// Organizations by id, locked until the transaction ends.
pub async fn lock_organizations(conn: &mut AsyncPgConnection, ids: &[OrganizationId]) -> QueryResult<Vec<Organization>> {
    let rows = organizations::table.filter(organizations::id.eq_any(ids)).order(organizations::id);
    rows.select(Organization::as_select()).for_update().load(conn).await
}

/// Organizations by id.
pub async fn organizations_by_id(mut conn: &AsyncPgConnection, ids: &[OrganizationId]) -> QueryResult<Vec<Organization>> {
    organizations::table.filter(organizations::id.eq_any(ids)).select(Organization::as_select()).load(&mut conn).await
}

/// Which of these divisions there are.
pub async fn divisions_of(mut conn: &AsyncPgConnection, codes: &[&str]) -> QueryResult<Vec<String>> {
    divisions::table.filter(divisions::code.eq_any(codes)).select(divisions::code).load(&mut conn).await
}

/// Who has one of these codes, anywhere, and works: id, division code, credit code.
pub async fn holders(
    mut conn: &AsyncPgConnection,
    divisions: &[&str],
    usccs: &[&str],
) -> QueryResult<Vec<(OrganizationId, Option<String>, Option<String>)>> {
    let by_code = organizations::division_code.eq_any(divisions).or(organizations::uscc.eq_any(usccs));
    organizations::table
        .filter(organizations::status.eq(OrganizationStatus::Active))
        .filter(by_code.assume_not_null())
        .select((organizations::id, organizations::division_code, organizations::uscc))
        .load(&mut conn)
        .await
}

const UPDATE_ORGANIZATIONS: &str =
    "UPDATE organizations AS o SET name = x.name, short_name = x.short_name, host_name = x.host_name,
        division_code = x.division_code, uscc = x.uscc, address = x.address, longitude = x.longitude, latitude = x.latitude,
        phone = x.phone, founded_on = x.founded_on, approval_document = x.approval_document, tags = x.tags,
        version = o.version + 1, updated_at = $2
    FROM jsonb_to_recordset($1) AS x (id uuid, name text, short_name text, host_name text, division_code text, uscc text,
        address text, longitude numeric, latitude numeric, phone text, founded_on date, approval_document text, tags text[])
    WHERE o.id = x.id";

/// Edits many organizations: all that can be edited.
pub async fn update_organizations(conn: &mut AsyncPgConnection, rows: &[Organization], now: DateTime<Utc>) -> QueryResult<()> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "id": row.id, "name": row.name, "short_name": row.short_name, "host_name": row.host_name,
                "division_code": row.division_code, "uscc": row.uscc, "address": row.address,
                "longitude": row.longitude.map(|part| part.to_string()), "latitude": row.latitude.map(|part| part.to_string()),
                "phone": row.phone, "founded_on": row.founded_on, "approval_document": row.approval_document, "tags": row.tags,
            })
        })
        .collect();
    let update = diesel::sql_query(UPDATE_ORGANIZATIONS).bind::<Jsonb, _>(Value::from(rows)).bind::<Timestamptz, _>(now);
    update.execute(conn).await.map(drop)
}

/// People by id, by one of their numbers, wherever they are kept.
pub async fn people_like(
    mut conn: &AsyncPgConnection,
    ids: &[PersonId],
    id_numbers: &[Vec<u8>],
    phones: &[Vec<u8>],
) -> QueryResult<Vec<Person>> {
    let by_number = people::id_number_hash.eq_any(id_numbers).or(people::phone_hash.eq_any(phones)).assume_not_null();
    people::table.filter(people::id.eq_any(ids).or(by_number)).order(people::id).select(Person::as_select()).load(&mut conn).await
}

/// People by id, wherever they are kept.
pub async fn people_by_id(mut conn: &AsyncPgConnection, ids: &[PersonId]) -> QueryResult<Vec<Person>> {
    people::table.filter(people::id.eq_any(ids)).order(people::id).select(Person::as_select()).load(&mut conn).await
}

/// People by id, locked until the transaction ends.
pub async fn lock_people(conn: &mut AsyncPgConnection, ids: &[PersonId]) -> QueryResult<Vec<Person>> {
    let rows = people::table.filter(people::id.eq_any(ids)).order(people::id);
    rows.select(Person::as_select()).for_update().load(conn).await
}

const UPDATE_PEOPLE: &str = "UPDATE people AS p SET organization_id = x.organization_id, name = x.name, sex = x.sex,
        birth_year = x.birth_year, phone = decode(x.phone, 'hex'), phone_hash = decode(x.phone_hash, 'hex'),
        phone_masked = x.phone_masked, id_number = decode(x.id_number, 'hex'), id_number_hash = decode(x.id_number_hash, 'hex'),
        id_number_masked = x.id_number_masked, tags = x.tags, version = p.version + 1, updated_at = $2
    FROM jsonb_to_recordset($1) AS x (id uuid, organization_id uuid, name text, sex text, birth_year smallint, phone text,
        phone_hash text, phone_masked text, id_number text, id_number_hash text, id_number_masked text, tags text[])
    WHERE p.id = x.id";

/// Edits many people: all that can be edited.
pub async fn update_people(conn: &mut AsyncPgConnection, rows: &[Person], now: DateTime<Utc>) -> QueryResult<()> {
    let hex = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(vault::hex);
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "id": row.id, "organization_id": row.organization_id, "name": row.name, "sex": row.sex, "birth_year": row.birth_year,
                "phone": hex(&row.phone), "phone_hash": hex(&row.phone_hash), "phone_masked": row.phone_masked,
                "id_number": hex(&row.id_number), "id_number_hash": hex(&row.id_number_hash),
                "id_number_masked": row.id_number_masked, "tags": row.tags,
            })
        })
        .collect();
    let update = diesel::sql_query(UPDATE_PEOPLE).bind::<Jsonb, _>(Value::from(rows)).bind::<Timestamptz, _>(now);
    update.execute(conn).await.map(drop)
}

/// The people kept below a place, as far as a template shows.
pub async fn people_below(mut conn: &AsyncPgConnection, place: OrganizationId) -> QueryResult<Vec<Person>> {
    let kept = people::table.filter(people::organization_id.eq_any(below(&[place]))).order(people::id).limit(MOST_SHOWN);
    kept.select(Person::as_select()).load(&mut conn).await
}

/// Posts by id.
pub async fn posts_by_id(mut conn: &AsyncPgConnection, ids: &[PostId]) -> QueryResult<Vec<Post>> {
    posts::table.filter(posts::id.eq_any(ids)).order(posts::id).select(Post::as_select()).load(&mut conn).await
}

/// The posts of some people, and the chairs of some organizations.
pub async fn posts_like(
    mut conn: &AsyncPgConnection,
    ids: &[PostId],
    people: &[PersonId],
    organizations: &[OrganizationId],
) -> QueryResult<Vec<Post>> {
    let chairs = posts::organization_id.eq_any(organizations).and(posts::position.eq(PostPosition::Chair));
    posts::table
        .filter(posts::id.eq_any(ids).or(posts::person_id.eq_any(people)).or(chairs))
        .order(posts::id)
        .select(Post::as_select())
        .load(&mut conn)
        .await
}

/// Posts by id, locked until the transaction ends.
pub async fn lock_posts(conn: &mut AsyncPgConnection, ids: &[PostId]) -> QueryResult<Vec<Post>> {
    let rows = posts::table.filter(posts::id.eq_any(ids)).order(posts::id);
    rows.select(Post::as_select()).for_update().load(conn).await
}

const UPDATE_POSTS: &str = "UPDATE posts AS p SET employment_mode = x.employment_mode, secondment = x.secondment,
        from_on = x.from_on, to_on = x.to_on, appointed_by = x.appointed_by, end_reason = x.end_reason, version = p.version + 1, updated_at = $2
    FROM jsonb_to_recordset($1) AS x (id uuid, employment_mode text, secondment text, from_on date, to_on date,
        appointed_by text, end_reason text)
    WHERE p.id = x.id";

/// Edits many posts: all that can be edited.
pub async fn update_posts(conn: &mut AsyncPgConnection, rows: &[Post], now: DateTime<Utc>) -> QueryResult<()> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "id": row.id, "employment_mode": row.employment_mode, "secondment": row.secondment, "from_on": row.from_on,
                "to_on": row.to_on, "appointed_by": row.appointed_by, "end_reason": row.end_reason,
            })
        })
        .collect();
    let update = diesel::sql_query(UPDATE_POSTS).bind::<Jsonb, _>(Value::from(rows)).bind::<Timestamptz, _>(now);
    update.execute(conn).await.map(drop)
}

/// The posts below a place that are held on a day or later, with the names of their holders, as far as a template shows.
pub async fn posts_below(
    mut conn: &AsyncPgConnection,
    place: OrganizationId,
    today: NaiveDate,
) -> QueryResult<Vec<(Post, String)>> {
    posts::table
        .inner_join(people::table.on(people::id.eq(posts::person_id)))
        .filter(posts::organization_id.eq_any(below(&[place])))
        .filter(posts::to_on.is_null().or(posts::to_on.ge(today).assume_not_null()))
        .order(posts::id)
        .limit(MOST_SHOWN)
        .select((Post::as_select(), people::name))
        .load(&mut conn)
        .await
}
