//! The history of an organization, and the day that a reader asks about.

use actix_web::get;
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OrganizationReference;
use super::organizations::{OrganizationPath, OrganizationSummaryView};
use crate::access::Permission;
use crate::audit::Change;
use crate::db::scope;
use crate::http::page::{Paging, Sorting};
use crate::http::{ApiError, ApiResult, Call, Code, PageRequest, Path, Query, Reply, Tx};
use crate::ids::{AccountId, OrganizationEventId, OrganizationId};
use crate::organizations::rules::OrganizationEventKind;
use crate::organizations::store::history::{self as store, Event};
use crate::organizations::store::organizations::{self, Organization};
use crate::organizations::store::tree;
use crate::{filters, page_schema};

filters! {
    /// The day that is asked about.
    AsOf {
        /// Show the shape of the tree on this day: parent, state, successor. Names, codes and everything else are today's, and
        /// so is what the caller may see. A day to come shows today.
        #[param(example = "2019-03-31")]
        as_of: NaiveDate,
    }
}

/// An organization as it hung in the tree on the day that is asked about; 404 if it was not there yet.
pub async fn on_day(
    conn: &diesel_async::AsyncPgConnection,
    row: Organization,
    day: Option<NaiveDate>,
) -> ApiResult<Organization> {
    if let Some(day) = day
        && !tree::was_there(conn, row.id, day).await?
    {
        return Err(ApiError::from(Code::NotFound).because("该日尚无此组织", "there was no such organization on that day yet"));
    }
    store::shaped(conn, vec![row], day).await?.pop().ok_or_else(|| Code::NotFound.into())
}

filters! {
    /// Filters of a history.
    EventFilter {
        /// Only these kinds.
        kind: Vec<OrganizationEventKind>,
        /// On or after this day.
        occurred_on_gte: NaiveDate,
        /// Before this day.
        occurred_on_lt: NaiveDate,
    }
}

/// What happened to an organization.
#[derive(Serialize, ToSchema)]
pub struct OrganizationEventView {
    /// Its id; the order of the history.
    pub id: OrganizationEventId,
    /// What happened.
    pub kind: OrganizationEventKind,
    /// On which day.
    pub occurred_on: NaiveDate,
    /// moved: the parent before; absorbed, split_off, took_over: out of which organization; else null.
    #[schema(required = true)]
    pub from: Option<OrganizationReference>,
    /// created, moved, reactivated: the parent since; merged, dissolved: who took over; split: the new organization; else null.
    #[schema(required = true)]
    pub to: Option<OrganizationReference>,
    /// Fields that changed.
    #[schema(max_items = 50)]
    pub changes: Vec<FieldChangeView>,
    /// Why, in the words of who did it.
    #[schema(required = true, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: Option<String>,
    /// Who did it; null where the caller may not read the audit trail, or nobody in person did it.
    #[schema(required = true)]
    pub actor: Option<ActorView>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

page_schema!(OrganizationHistoryPage, OrganizationEventView);

/// A field that changed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldChangeView {
    /// Which field.
    #[schema(examples("name"), max_length = 64, pattern = "^[a-z_]+$")]
    pub field: String,
    /// What it was; lists as comma lists, a location as longitude and latitude.
    #[schema(required = true, examples("郭亮村妇联"), max_length = 1000, pattern = "^[^\\x00-\\x1f]*$")]
    pub before: Option<String>,
    /// What it is since.
    #[schema(required = true, examples("郭亮社区妇联"), max_length = 1000, pattern = "^[^\\x00-\\x1f]*$")]
    pub after: Option<String>,
}

/// Who did something.
#[derive(Serialize, ToSchema)]
pub struct ActorView {
    /// The account.
    pub id: AccountId,
    /// Its name.
    #[schema(required = true, examples("李梅"), max_length = 64, pattern = "^[^\\x00-\\x1f]+$")]
    pub display_name: Option<String>,
}

type Field = (&'static str, fn(&Organization) -> Option<String>);

/// What a history tells of the fields of an organization.
const FIELDS: &[Field] = &[
    ("name", |row| Some(row.name.clone())),
    ("short_name", |row| row.short_name.clone()),
    ("host_name", |row| row.host_name.clone()),
    ("division_code", |row| row.division_code.clone()),
    ("uscc", |row| row.uscc.clone()),
    ("address", |row| row.address.clone()),
    ("location", |row| place(row.longitude, row.latitude)),
    ("phone", |row| row.phone.clone()),
    ("founded_on", |row| row.founded_on.map(|day| day.to_string())),
    ("approval_document", |row| row.approval_document.clone()),
    ("tags", |row| (!row.tags.is_empty()).then(|| row.tags.join(","))),
];

fn place(longitude: Option<Decimal>, latitude: Option<Decimal>) -> Option<String> {
    Some(format!("{},{}", longitude?.normalize(), latitude?.normalize()))
}

/// The fields that differ.
pub fn changes(before: &Organization, after: &Organization) -> Vec<FieldChangeView> {
    let change = |(field, of): &Field| FieldChangeView { field: (*field).to_owned(), before: of(before), after: of(after) };
    FIELDS.iter().map(change).filter(|change| change.before != change.after).collect()
}

const fn action(kind: OrganizationEventKind) -> &'static str {
    match kind {
        OrganizationEventKind::Created => "organization.created",
        OrganizationEventKind::Changed => "organization.changed",
        OrganizationEventKind::Moved => "organization.moved",
        OrganizationEventKind::Merged => "organization.merged",
        OrganizationEventKind::Absorbed => "organization.absorbed",
        OrganizationEventKind::Split => "organization.split",
        OrganizationEventKind::SplitOff => "organization.split_off",
        OrganizationEventKind::Dissolved => "organization.dissolved",
        OrganizationEventKind::TookOver => "organization.took_over",
        OrganizationEventKind::Reactivated => "organization.reactivated",
    }
}

/// What is to be told of an organization.
pub struct Told<'a> {
    /// What happened.
    pub kind: OrganizationEventKind,
    /// How it was; none: it is new.
    pub before: Option<&'a Organization>,
    /// How it is.
    pub after: &'a Organization,
    /// The other organization of a merger, split or takeover.
    pub other: Option<OrganizationId>,
    /// Why.
    pub reason: Option<&'a str>,
}

/// Tells the history and the audit trail what happened to an organization, in the transaction in which it happens. Every handler
/// that writes an organization ends here.
pub async fn tell(tx: &mut Tx, told: Told<'_>) -> ApiResult<()> {
    let Told { kind, before, after, other, reason } = told;
    use OrganizationEventKind::{Absorbed, Created, Dissolved, Merged, Moved, Reactivated, Split, SplitOff, TookOver};
    let from_id = match kind {
        Moved => before.and_then(|before| before.parent_id),
        Absorbed | SplitOff | TookOver => other,
        _ => None,
    };
    let to_id = match kind {
        Created | Moved | Reactivated => after.parent_id,
        Merged | Dissolved => after.successor_id,
        Split => other,
        _ => None,
    };
    let changes = before.map_or(vec![], |before| changes(before, after));
    let event = Event {
        id: OrganizationEventId::generate(),
        organization_id: after.id,
        kind,
        occurred_on: tx.today(),
        from_id,
        to_id,
        changes: serde_json::to_value(&changes).map_err(ApiError::internal)?,
        reason: reason.map(str::to_owned),
        actor_id: Some(tx.caller()?.account_id),
        recorded_at: tx.now(),
    };
    // An edit of nothing but whom reminders reach is no event of the organization.
    if kind != OrganizationEventKind::Changed || !changes.is_empty() {
        store::record(tx.conn(), &[event]).await?;
    }
    let mut change = Change::of(action(kind), "organization", after.id, after.id);
    if let Some(before) = before {
        change = change.before(&OrganizationSummaryView::of(before.clone().into()));
    }
    change = change.after(&OrganizationSummaryView::of(after.clone().into()));
    tx.record(match reason {
        Some(reason) => change.because(reason),
        None => change,
    })
    .await
}

/// 组织沿革 · History of an organization
///
/// What happened to an organization, in the order in which it was recorded: made, renamed and changed, moved, merged, split,
/// dissolved, reactivated. Other organizations are named by reference only.
#[utoipa::path(
    tag = "organizations",
    params(OrganizationPath, EventFilter, Sorting, Paging),
    responses((status = OK, body = OrganizationHistoryPage, description = "One page of the history."))
)]
#[get("/api/v1/organizations/{id}/history")]
pub async fn list_organization_history(
    call: Call,
    path: Path<OrganizationPath>,
    filter: Query<EventFilter>,
    page: PageRequest,
) -> ApiResult<Reply> {
    let conn = call.connection().await?;
    let organization = organizations::find(&conn, &call.scope(), path.id).await?;
    let listed = store::page(&conn, organization.id, &filter, &page).await?;
    let audits = call.scope_for(Permission::AuditRead);
    let audited = !scope::covered(&conn, &audits, &[organization.id]).await?.is_empty();
    let others = listed.rows.iter().flat_map(|row| [row.from_id, row.to_id]).flatten();
    let names = organizations::references(&conn, others).await?;
    let actors = listed.rows.iter().filter_map(|row| row.actor_id).filter(|_| audited);
    let actors = store::actors(&conn, actors).await?;
    let name = |id: Option<OrganizationId>| id.and_then(|id| names.get(&id)).map(OrganizationReference::from);
    let view = |row: Event| OrganizationEventView {
        id: row.id,
        kind: row.kind,
        occurred_on: row.occurred_on,
        from: name(row.from_id),
        to: name(row.to_id),
        changes: serde_json::from_value(row.changes).unwrap_or_default(),
        reason: row.reason,
        actor: row.actor_id.filter(|_| audited).map(|id| ActorView { id, display_name: actors.get(&id).cloned() }),
        recorded_at: row.recorded_at,
    };
    page.reply(listed, |row| page.position(row.id, row.recorded_at), view)
}
