//! Imports a work plan: the document is parsed and checked, its bodies are found in the tree below the plan's owner, its rows
//! are written. A document that was imported already changes nothing (handbook ).

use std::collections::HashMap;

use diesel::result::Error as DieselError;
use diesel_async::AsyncPgConnection;
use uuid::Uuid;

use super::rules::{PlanKind, PlanStatus, TaskPart};
use super::store::{self, NewIndicator, NewPlan, NewTask, NewTaskOrganization};
pub use super::work_plan::{Body, Fault, Faults, PlannedTask, TaskNumber, WORK_PLAN_2019, WorkPlan};
use crate::audit::{self, Actor, Change};
use crate::clock::Clock;
use crate::ids::{IndicatorId, OrganizationId, PlanId, TaskId};
use crate::organizations::OrganizationKind;

/// Why a plan was not imported. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is no such active organization.
    #[error("organization {0} does not exist or is not active")]
    UnknownOwner(OrganizationId),
    /// A task names an association that the city does not have.
    #[error("task {task}: there is no active member association {name:?} below the city of the plan's organization")]
    UnknownAssociation {
        /// Its number in the plan.
        task: TaskNumber,
        /// The name as the document has it.
        name: String,
    },
    /// A task names an association, and several have the name.
    #[error("task {task}: several active member associations are called {name:?}")]
    AmbiguousAssociation {
        /// Its number in the plan.
        task: TaskNumber,
        /// The name as the document has it.
        name: String,
    },
    /// The organization has a plan under this document number, with other tasks.
    #[error("{0:?} was imported already and had other tasks; a later plan is a new document")]
    OtherTasks(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DieselError),
}

/// Where the ids of an imported plan come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// New ones.
    Generated,
    /// The fixed literals of the demo data: the plan by its year, tasks and indicators by their numbers.
    Demo,
}

/// Head of every fixed id; they sort by the day on which the demo data begins.
const DEMO_PREFIX: u128 = 0x0168_028c_2f00_7000_0000_0000_0000_0000;

impl Ids {
    fn plan(self, year: i16) -> PlanId {
        match self {
            Self::Generated => PlanId::generate(),
            Self::Demo => PlanId(demo_id(0x8010, year.unsigned_abs().into())),
        }
    }

    fn task(self, number: TaskNumber) -> TaskId {
        match self {
            Self::Generated => TaskId::generate(),
            Self::Demo => TaskId(demo_id(0x8011, node(number))),
        }
    }

    fn indicator(self, number: TaskNumber, position: i32) -> IndicatorId {
        match self {
            Self::Generated => IndicatorId::generate(),
            Self::Demo => IndicatorId(demo_id(0x8012, node(number) * 100 + u64::from(position.unsigned_abs()))),
        }
    }
}

fn node(number: TaskNumber) -> u64 {
    u64::from(number.point.unsigned_abs()) * 100 + u64::from(number.task.unsigned_abs())
}

/// The decimal digits of `number` become the last digits of the id.
fn demo_id(group: u128, number: u64) -> Uuid {
    let digits = u128::from_str_radix(&number.to_string(), 16).unwrap_or_default();
    Uuid::from_u128(DEMO_PREFIX | group << 48 | digits)
}

/// Imports a plan of an organization; call it inside a transaction. A kind of which there is exactly one below the owner becomes
/// that organization; a named association is found by its name in the city. A document with an issue date is issued, else it is a draft.
/// Answers the plan that was imported before where there is one.
pub async fn import_plan(
    conn: &mut AsyncPgConnection,
    document: &WorkPlan,
    owner: OrganizationId,
    ids: Ids,
    clock: &Clock,
) -> Result<PlanId, ImportError> {
    if !store::lock_owner(conn, owner).await? {
        return Err(ImportError::UnknownOwner(owner));
    }
    let page = &document.document;
    if let Some((plan_id, codes)) =
        store::find_imported(conn, owner, page.plan_year, &page.title_zh, page.doc_no.as_deref()).await?
    {
        let same = document.tasks().map(|(_, _, task)| Some(task.code.as_str())).eq(codes.iter().map(Option::as_deref));
        return if same { Ok(plan_id) } else { Err(ImportError::OtherTasks(page.title_zh.clone())) };
    }
    let bodies = Bodies::find(conn, document, owner).await?;
    let now = clock.now();
    let plan = NewPlan {
        id: ids.plan(page.plan_year),
        organization_id: owner,
        kind: PlanKind::Annual,
        year: page.plan_year,
        title: &page.title_zh,
        document_number: page.doc_no.as_deref(),
        status: if page.issued_on.is_some() { PlanStatus::Issued } else { PlanStatus::Draft },
        issued_on: page.issued_on,
        created_at: now,
        updated_at: now,
    };
    let (mut tasks, mut parts, mut indicators) = (Vec::new(), Vec::new(), Vec::new());
    for (position, (chapter, point, task)) in (1..).zip(document.tasks()) {
        let id = ids.task(task.number);
        let lead = bodies.resolve(task, &task.lead_organization_kind)?;
        let mut kinds = Vec::new();
        for body in &task.responsible_organization_kinds {
            match bodies.resolve(task, body)? {
                Resolved::One(organization_id) => {
                    parts.push(NewTaskOrganization { task_id: id, organization_id, part: TaskPart::Responsible });
                }
                Resolved::Kind(kind) => kinds.push(kind),
            }
        }
        tasks.push(NewTask {
            id,
            plan_id: plan.id,
            position,
            number: task.number.to_string(),
            code: &task.code,
            chapter_number: chapter.number,
            chapter: &chapter.title,
            point_number: point.number,
            point: &point.title,
            title: &task.title,
            title_en: given(task.title_en.as_deref()),
            lead_organization_id: lead.one(),
            lead_organization_kind: lead.kind(),
            responsible_organization_kinds: kinds,
            outside_partners: &task.outside_partners,
            due_on: task.due_on,
            frequency: task.frequency,
            record_kinds: &task.record_kinds,
            notes: given(task.notes.as_deref()),
            created_at: now,
            updated_at: now,
        });
        for (position, indicator) in (1..).zip(&task.indicators) {
            indicators.push(NewIndicator {
                id: ids.indicator(task.number, position),
                task_id: id,
                position,
                code: &indicator.code,
                name: &indicator.name,
                name_en: given(indicator.name_en.as_deref()),
                unit: &indicator.unit,
                comparator: indicator.comparator,
                target: indicator.target,
                value_kind: indicator.value_kind,
                source: indicator.source,
                derivation: indicator.derivation.as_deref(),
                frequency: indicator.frequency,
                starts_on: indicator.starts_on,
                due_on: indicator.due_on,
                weight: indicator.weight,
                counting_rule: given(indicator.counting_rule.as_deref()),
                note: given(indicator.note.as_deref()),
                created_at: now,
                updated_at: now,
            });
        }
    }
    store::insert_plan(conn, &plan, &tasks, &parts, &indicators).await?;
    let change = Change::of("plan.imported", "plan", plan.id, owner).after(&serde_json::json!({
        "title": plan.title, "document_number": plan.document_number, "status": plan.status,
        "tasks": tasks.len(), "indicators": indicators.len(),
    }));
    audit::record(conn, clock.wall(), &Actor::system(), change).await?;
    Ok(plan.id)
}

/// An empty text says nothing.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Who a task means.
enum Resolved {
    /// One organization.
    One(OrganizationId),
    /// Every unit of a kind.
    Kind(OrganizationKind),
}

impl Resolved {
    fn one(&self) -> Option<OrganizationId> {
        if let Self::One(id) = self { Some(*id) } else { None }
    }

    fn kind(&self) -> Option<OrganizationKind> {
        if let Self::Kind(kind) = self { Some(*kind) } else { None }
    }
}

/// The organizations below the owner that the tasks can mean.
struct Bodies {
    /// Kinds of which there is exactly one.
    single: HashMap<OrganizationKind, OrganizationId>,
    /// Associations by name.
    associations: HashMap<String, Vec<OrganizationId>>,
}

impl Bodies {
    async fn find(conn: &mut AsyncPgConnection, document: &WorkPlan, owner: OrganizationId) -> Result<Self, DieselError> {
        let (mut kinds, mut names) = (Vec::new(), Vec::new());
        for (_, _, task) in document.tasks() {
            for body in std::iter::once(&task.lead_organization_kind).chain(&task.responsible_organization_kinds) {
                match body {
                    Body::Kind(kind) => kinds.push(*kind),
                    Body::Association(name) => names.push(name.as_str()),
                }
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        names.sort_unstable();
        names.dedup();
        let mut associations: HashMap<String, Vec<OrganizationId>> = HashMap::new();
        // Associations are the city's: a county's plan names them, too.
        let city = store::city_of(conn, owner).await?.unwrap_or(owner);
        for (name, id) in store::associations_below(conn, city, &names).await? {
            associations.entry(name).or_default().push(id);
        }
        Ok(Self { single: store::single_kinds_below(conn, owner, &kinds).await?, associations })
    }

    fn resolve(&self, task: &PlannedTask, body: &Body) -> Result<Resolved, ImportError> {
        let (task, name) = match body {
            Body::Kind(kind) => return Ok(self.single.get(kind).map_or(Resolved::Kind(*kind), |id| Resolved::One(*id))),
            Body::Association(name) => (task.number, name),
        };
        match self.associations.get(name).map(Vec::as_slice).unwrap_or_default() {
            [one] => Ok(Resolved::One(*one)),
            [] => Err(ImportError::UnknownAssociation { task, name: name.clone() }),
            _ => Err(ImportError::AmbiguousAssociation { task, name: name.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_ids_are_read_off_the_plan() {
        let number = TaskNumber { point: 5, task: 3 };
        assert_eq!(Ids::Demo.plan(2019).to_string(), "0168028c-2f00-7000-8010-000000002019");
        assert_eq!(Ids::Demo.task(number).to_string(), "0168028c-2f00-7000-8011-000000000503");
        assert_eq!(Ids::Demo.indicator(number, 1).to_string(), "0168028c-2f00-7000-8012-000000050301");
        assert_eq!(Ids::Demo.task(TaskNumber { point: 13, task: 10 }).to_string(), "0168028c-2f00-7000-8011-000000001310");
    }
}
