//! Tables of the plans.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{Eq, InnerJoinQuerySource, LeftJoinQuerySource, Nullable, exists};
use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;

use super::api::{PlanFilter, PlansBy, TaskFilter};
use super::rules::{
    Comparator, IndicatorFrequency, IndicatorSource, PlanKind, PlanStatus, RecordKind, TaskFrequency, TaskPart, ValueKind,
};
use crate::access::Scope;
use crate::db::contains;
use crate::db::page::{Condition, all_of};
use crate::db::schema::{indicators, organization_tree, organizations, plans, task_organizations, tasks};
use crate::db::scope::below;
use crate::http::page::{Counted, Listed, PageRequest};
use crate::ids::{IndicatorId, OrganizationId, PlanId, TaskId};
use crate::organizations::{OrganizationKind, OrganizationLevel};
use crate::{count_by, load_page, when};

/// A plan and whose it is.
#[derive(Queryable, Selectable)]
#[diesel(table_name = plans)]
pub struct PlanRow {
    pub id: PlanId,
    pub kind: PlanKind,
    pub year: i16,
    pub title: String,
    pub document_number: Option<String>,
    pub status: PlanStatus,
    pub revision: i32,
    pub issued_on: Option<NaiveDate>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[diesel(embed)]
    pub organization: OrganizationRow,
}

/// An organization that a plan or task names.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = organizations)]
pub struct OrganizationRow {
    pub id: OrganizationId,
    pub name: String,
    pub kind: OrganizationKind,
    pub level: OrganizationLevel,
}

/// A task and who leads it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = tasks)]
pub struct TaskRow {
    pub id: TaskId,
    pub plan_id: PlanId,
    pub position: i32,
    pub number: String,
    pub code: Option<String>,
    pub chapter_number: i16,
    pub chapter: String,
    pub point_number: i16,
    pub point: String,
    pub title: String,
    pub title_en: Option<String>,
    pub lead_organization_kind: Option<OrganizationKind>,
    pub responsible_organization_kinds: Vec<OrganizationKind>,
    pub outside_partners: Vec<String>,
    pub due_on: NaiveDate,
    pub frequency: TaskFrequency,
    pub record_kinds: Vec<RecordKind>,
    pub notes: Option<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[diesel(embed)]
    pub lead: Option<OrganizationRow>,
}

/// An organization named in a task.
#[derive(Queryable, Selectable)]
#[diesel(table_name = task_organizations)]
pub struct TaskOrganizationRow {
    pub task_id: TaskId,
    pub part: TaskPart,
    #[diesel(embed)]
    pub organization: OrganizationRow,
}

/// An indicator.
#[derive(Queryable, Selectable)]
#[diesel(table_name = indicators)]
pub struct IndicatorRow {
    pub id: IndicatorId,
    pub task_id: TaskId,
    pub position: i32,
    pub code: Option<String>,
    pub name: String,
    pub name_en: Option<String>,
    pub unit: String,
    pub comparator: Comparator,
    pub target: Option<Decimal>,
    pub value_kind: ValueKind,
    pub source: IndicatorSource,
    pub derivation: Option<String>,
    pub frequency: IndicatorFrequency,
    pub starts_on: NaiveDate,
    pub due_on: NaiveDate,
    pub weight: Decimal,
    pub counting_rule: Option<String>,
    pub note: Option<String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// One work point of a plan with the number of its tasks.
#[derive(Queryable)]
pub struct OutlineRow {
    pub chapter_number: i16,
    pub chapter: String,
    pub point_number: i16,
    pub point: String,
    pub tasks: i64,
}

/// Which plans exist for a scope: those of an organization in it, and those of an organization above it that have left the
/// draft. Every read of plans, tasks and indicators passes here.
#[diesel::dsl::auto_type]
fn visible_to<'a>(scope: &'a Scope) -> _ {
    let places: &'a [OrganizationId] = scope.places();
    let readable: &'static [PlanStatus] = PlanStatus::READABLE_BELOW;
    let own = organization_tree::table
        .filter(organization_tree::descendant_id.eq(plans::organization_id))
        .filter(organization_tree::ancestor_id.eq_any(places))
        .filter(organization_tree::to_on.is_null());
    let from_above = organization_tree::table
        .filter(organization_tree::ancestor_id.eq(plans::organization_id))
        .filter(organization_tree::descendant_id.eq_any(places))
        .filter(organization_tree::to_on.is_null());
    exists(own).or(plans::status.eq_any(readable).and(exists(from_above)))
}

type PlanSource = InnerJoinQuerySource<plans::table, organizations::table, Eq<organizations::id, plans::organization_id>>;

fn matching_plans<'a>(scope: &'a Scope, filter: &'a PlanFilter) -> Condition<'a, PlanSource> {
    let mut all: Vec<Condition<'a, PlanSource>> = vec![Box::new(visible_to(scope).nullable())];
    when!(all,
        filter.status, |statuses| plans::status.eq_any(statuses);
        filter.kind, |kinds| plans::kind.eq_any(kinds);
        filter.year, |year| plans::year.eq(year);
        filter.organization_id, |id| plans::organization_id.eq(id);
        filter.within, |top| plans::organization_id.eq_any(below(&[*top]));
        filter.q, |q| plans::title.ilike(contains(q)).or(plans::document_number.ilike(contains(q)).assume_not_null());
        filter.created_at_gte, |from| plans::created_at.ge(from);
        filter.created_at_lt, |before| plans::created_at.lt(before);
        filter.updated_at_gte, |from| plans::updated_at.ge(from);
        filter.updated_at_lt, |before| plans::updated_at.lt(before);
    );
    all_of(all)
}

/// One page of plans.
pub async fn list_plans(
    conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &PlanFilter,
    page: &PageRequest,
) -> QueryResult<Listed<PlanRow>> {
    let rows = || {
        plans::table
            .inner_join(organizations::table.on(organizations::id.eq(plans::organization_id)))
            .filter(matching_plans(scope, filter))
    };
    load_page!(conn, page, rows(), PlanRow::as_select(), by(plans::id, plans::updated_at))
}

/// How many plans of each kind, state or year.
pub async fn count_plans(
    mut conn: &AsyncPgConnection,
    scope: &Scope,
    filter: &PlanFilter,
    by: PlansBy,
) -> QueryResult<Vec<Counted>> {
    let rows = plans::table
        .inner_join(organizations::table.on(organizations::id.eq(plans::organization_id)))
        .filter(matching_plans(scope, filter));
    match by {
        PlansBy::Status => count_by!(conn, rows, plans::status),
        PlansBy::Kind => count_by!(conn, rows, plans::kind),
        PlansBy::Year => count_by!(conn, rows, plans::year, i16),
        PlansBy::OrganizationId => count_by!(conn, rows, plans::organization_id, OrganizationId),
    }
}

/// One plan.
pub async fn find_plan(mut conn: &AsyncPgConnection, scope: &Scope, id: PlanId) -> QueryResult<PlanRow> {
    plans::table
        .inner_join(organizations::table.on(organizations::id.eq(plans::organization_id)))
        .filter(plans::id.eq(id))
        .filter(visible_to(scope))
        .select(PlanRow::as_select())
        .first(&mut conn)
        .await
}

/// Whether a plan exists for a scope, or `NotFound`.
pub async fn see_plan(mut conn: &AsyncPgConnection, scope: &Scope, id: PlanId) -> QueryResult<PlanId> {
    plans::table.filter(plans::id.eq(id)).filter(visible_to(scope)).select(plans::id).first(&mut conn).await
}

/// The work points of a plan with the number of their tasks, in order.
pub async fn outline(mut conn: &AsyncPgConnection, id: PlanId) -> QueryResult<Vec<OutlineRow>> {
    let points = (tasks::chapter_number, tasks::chapter, tasks::point_number, tasks::point);
    tasks::table
        .filter(tasks::plan_id.eq(id))
        .group_by(points)
        .select((tasks::chapter_number, tasks::chapter, tasks::point_number, tasks::point, diesel::dsl::count_star()))
        .order((tasks::chapter_number, tasks::point_number))
        .load(&mut conn)
        .await
}

type TaskSource =
    LeftJoinQuerySource<tasks::table, organizations::table, Eq<Nullable<organizations::id>, tasks::lead_organization_id>>;

fn matching_tasks<'a>(plan_id: PlanId, filter: &'a TaskFilter) -> Condition<'a, TaskSource> {
    let mut all: Vec<Condition<'a, TaskSource>> = vec![Box::new(tasks::plan_id.eq(plan_id).nullable())];
    when!(all,
        filter.chapter, |chapter| tasks::chapter_number.eq(chapter);
        filter.point, |point| tasks::point_number.eq(point);
        filter.q, |q| tasks::title.ilike(contains(q)).or(tasks::number.eq(q));
        filter.lead_organization_id, |lead| tasks::lead_organization_id.eq(lead);
        filter.lead_organization_kind, |kinds| tasks::lead_organization_kind.eq_any(kinds);
        filter.frequency, |frequencies| tasks::frequency.eq_any(frequencies);
        filter.due_on_gte, |from| tasks::due_on.ge(from);
        filter.due_on_lt, |before| tasks::due_on.lt(before);
    );
    all_of(all)
}

/// One page of the tasks of a plan, in the plan's order.
pub async fn list_tasks(
    conn: &AsyncPgConnection,
    plan_id: PlanId,
    filter: &TaskFilter,
    page: &PageRequest,
) -> QueryResult<Listed<TaskRow>> {
    let rows = || {
        tasks::table
            .left_join(organizations::table.on(organizations::id.nullable().eq(tasks::lead_organization_id)))
            .filter(matching_tasks(plan_id, filter))
    };
    load_page!(conn, page, rows(), TaskRow::as_select(), by position > page.after_number(), tasks::position)
}

/// One task.
pub async fn find_task(mut conn: &AsyncPgConnection, scope: &Scope, id: TaskId) -> QueryResult<TaskRow> {
    tasks::table
        .inner_join(plans::table.on(plans::id.eq(tasks::plan_id)))
        .left_join(organizations::table.on(organizations::id.nullable().eq(tasks::lead_organization_id)))
        .filter(tasks::id.eq(id))
        .filter(visible_to(scope))
        .select(TaskRow::as_select())
        .first(&mut conn)
        .await
}

/// Whether a task exists for a scope, or `NotFound`.
pub async fn see_task(mut conn: &AsyncPgConnection, scope: &Scope, id: TaskId) -> QueryResult<TaskId> {
    tasks::table
        .inner_join(plans::table.on(plans::id.eq(tasks::plan_id)))
        .filter(tasks::id.eq(id))
        .filter(visible_to(scope))
        .select(tasks::id)
        .first(&mut conn)
        .await
}

/// The organizations that tasks name one by one.
pub async fn organizations_of(mut conn: &AsyncPgConnection, ids: &[TaskId]) -> QueryResult<Vec<TaskOrganizationRow>> {
    task_organizations::table
        .inner_join(organizations::table.on(organizations::id.eq(task_organizations::organization_id)))
        .filter(task_organizations::task_id.eq_any(ids))
        .select(TaskOrganizationRow::as_select())
        .order((task_organizations::task_id, task_organizations::organization_id))
        .load(&mut conn)
        .await
}

/// How many indicators tasks have; tasks without one are not in the answer.
pub async fn indicator_counts(mut conn: &AsyncPgConnection, ids: &[TaskId]) -> QueryResult<Vec<(TaskId, i64)>> {
    indicators::table
        .filter(indicators::task_id.eq_any(ids))
        .group_by(indicators::task_id)
        .select((indicators::task_id, diesel::dsl::count_star()))
        .load(&mut conn)
        .await
}

/// One page of the indicators of a task, in order.
pub async fn list_indicators(conn: &AsyncPgConnection, task_id: TaskId, page: &PageRequest) -> QueryResult<Listed<IndicatorRow>> {
    let rows = || indicators::table.filter(indicators::task_id.eq(task_id));
    load_page!(conn, page, rows(), IndicatorRow::as_select(), by position > page.after_number(), indicators::position)
}

/// One indicator.
pub async fn find_indicator(mut conn: &AsyncPgConnection, scope: &Scope, id: IndicatorId) -> QueryResult<IndicatorRow> {
    indicators::table
        .inner_join(tasks::table.on(tasks::id.eq(indicators::task_id)))
        .inner_join(plans::table.on(plans::id.eq(tasks::plan_id)))
        .filter(indicators::id.eq(id))
        .filter(visible_to(scope))
        .select(IndicatorRow::as_select())
        .first(&mut conn)
        .await
}

/// A plan as it is imported.
#[derive(Insertable)]
#[diesel(table_name = plans)]
pub struct NewPlan<'a> {
    pub id: PlanId,
    pub organization_id: OrganizationId,
    pub kind: PlanKind,
    pub year: i16,
    pub title: &'a str,
    pub document_number: Option<&'a str>,
    pub status: PlanStatus,
    pub issued_on: Option<NaiveDate>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A task as it is imported.
#[derive(Insertable)]
#[diesel(table_name = tasks)]
pub struct NewTask<'a> {
    pub id: TaskId,
    pub plan_id: PlanId,
    pub position: i32,
    pub number: String,
    pub code: &'a str,
    pub chapter_number: i16,
    pub chapter: &'a str,
    pub point_number: i16,
    pub point: &'a str,
    pub title: &'a str,
    pub title_en: Option<&'a str>,
    pub lead_organization_id: Option<OrganizationId>,
    pub lead_organization_kind: Option<OrganizationKind>,
    pub responsible_organization_kinds: Vec<OrganizationKind>,
    pub outside_partners: &'a [String],
    pub due_on: NaiveDate,
    pub frequency: TaskFrequency,
    pub record_kinds: &'a [RecordKind],
    pub notes: Option<&'a str>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// An organization named in a task, as it is imported.
#[derive(Insertable)]
#[diesel(table_name = task_organizations)]
pub struct NewTaskOrganization {
    pub task_id: TaskId,
    pub organization_id: OrganizationId,
    pub part: TaskPart,
}

/// An indicator as it is imported.
#[derive(Insertable)]
#[diesel(table_name = indicators)]
pub struct NewIndicator<'a> {
    pub id: IndicatorId,
    pub task_id: TaskId,
    pub position: i32,
    pub code: &'a str,
    pub name: &'a str,
    pub name_en: Option<&'a str>,
    pub unit: &'a str,
    pub comparator: Comparator,
    pub target: Option<Decimal>,
    pub value_kind: ValueKind,
    pub source: IndicatorSource,
    pub derivation: Option<&'a str>,
    pub frequency: IndicatorFrequency,
    pub starts_on: NaiveDate,
    pub due_on: NaiveDate,
    pub weight: Decimal,
    pub counting_rule: Option<&'a str>,
    pub note: Option<&'a str>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Locks an active organization, so that its plans are imported one after the other. False: there is none.
pub async fn lock_owner(conn: &mut AsyncPgConnection, id: OrganizationId) -> QueryResult<bool> {
    let found: Option<OrganizationId> = organizations::table
        .filter(organizations::id.eq(id))
        .filter(organizations::status.eq("active"))
        .select(organizations::id)
        .for_no_key_update()
        .first(conn)
        .await
        .optional()?;
    Ok(found.is_some())
}

/// The plan of an organization with the same document number, or without one the same year and title, and its tasks' codes.
pub async fn find_imported(
    conn: &mut AsyncPgConnection,
    owner: OrganizationId,
    year: i16,
    title: &str,
    document_number: Option<&str>,
) -> QueryResult<Option<(PlanId, Vec<Option<String>>)>> {
    let plans = plans::table.filter(plans::organization_id.eq(owner)).select(plans::id);
    let found: Option<PlanId> = match document_number {
        Some(number) => plans.filter(plans::document_number.eq(number)).first(conn).await,
        None => plans.filter(plans::year.eq(year)).filter(plans::title.eq(title)).first(conn).await,
    }
    .optional()?;
    let Some(id) = found else { return Ok(None) };
    let codes = tasks::table.filter(tasks::plan_id.eq(id)).order(tasks::position).select(tasks::code).load(conn).await?;
    Ok(Some((id, codes)))
}

#[derive(QueryableByName)]
struct KindRow {
    #[diesel(sql_type = Text)]
    kind: OrganizationKind,
    #[diesel(sql_type = SqlUuid)]
    id: OrganizationId,
}

/// At most two of each kind, to see of which there is exactly one without reading a tree of many.
const TWO_OF_EACH_KIND: &str = "SELECT wanted.kind, found.id FROM unnest($2) AS wanted (kind) CROSS JOIN LATERAL (
    SELECT o.id FROM organization_tree t JOIN organizations o ON o.id = t.descendant_id
    WHERE t.ancestor_id = $1 AND t.to_on IS NULL AND o.kind = wanted.kind AND o.status = 'active' LIMIT 2) found";

/// The organization of each kind of which there is exactly one active below `top`, itself included.
pub async fn single_kinds_below(
    conn: &mut AsyncPgConnection,
    top: OrganizationId,
    kinds: &[OrganizationKind],
) -> QueryResult<HashMap<OrganizationKind, OrganizationId>> {
    let found: Vec<KindRow> =
        diesel::sql_query(TWO_OF_EACH_KIND).bind::<SqlUuid, _>(top).bind::<Array<Text>, _>(kinds).load(conn).await?;
    let mut single = HashMap::new();
    for row in &found {
        if found.iter().filter(|other| other.kind == row.kind).count() == 1 {
            single.insert(row.kind, row.id);
        }
    }
    Ok(single)
}

/// The city federation that an organization lies under, or is; none where there is no city above it.
pub async fn city_of(mut conn: &AsyncPgConnection, id: OrganizationId) -> QueryResult<Option<OrganizationId>> {
    organization_tree::table
        .inner_join(organizations::table.on(organizations::id.eq(organization_tree::ancestor_id)))
        .filter(organization_tree::descendant_id.eq(id))
        .filter(organization_tree::to_on.is_null())
        .filter(organizations::kind.eq(OrganizationKind::CityFederation))
        .select(organizations::id)
        .first(&mut conn)
        .await
        .optional()
}

/// The active member associations below `top` that have one of these names.
pub async fn associations_below(
    conn: &mut AsyncPgConnection,
    top: OrganizationId,
    names: &[&str],
) -> QueryResult<Vec<(String, OrganizationId)>> {
    organization_tree::table
        .inner_join(organizations::table.on(organizations::id.eq(organization_tree::descendant_id)))
        .filter(organization_tree::ancestor_id.eq(top))
        .filter(organization_tree::to_on.is_null())
        .filter(organizations::kind.eq(OrganizationKind::MemberAssociation))
        .filter(organizations::status.eq("active"))
        .filter(organizations::name.eq_any(names))
        .select((organizations::name, organizations::id))
        .load(conn)
        .await
}

/// Writes a plan with everything in it.
pub async fn insert_plan(
    conn: &mut AsyncPgConnection,
    plan: &NewPlan<'_>,
    new_tasks: &[NewTask<'_>],
    parts: &[NewTaskOrganization],
    new_indicators: &[NewIndicator<'_>],
) -> QueryResult<()> {
    diesel::insert_into(plans::table).values(plan).execute(conn).await?;
    diesel::insert_into(tasks::table).values(new_tasks).execute(conn).await?;
    // PostgreSQL takes 65,535 parameters in one statement. Two names of one organization make one row.
    for part in parts.chunks(10_000) {
        diesel::insert_into(task_organizations::table).values(part).on_conflict_do_nothing().execute(conn).await?;
    }
    for part in new_indicators.chunks(2_000) {
        diesel::insert_into(indicators::table).values(part).execute(conn).await?;
    }
    Ok(())
}
