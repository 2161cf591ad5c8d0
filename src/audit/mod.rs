//! Who did what: one entry per change, written in the transaction of the change; sign-ins and refusals in one of their own
//! ([`refusals`]). The service may insert and select, no more. A [`sealer`] numbers committed entries and chains them by hash
//! ([`chain`]), signs [`checkpoints`] that also stand outside the database, and [`verify`] finds the first entry that is not as
//! it was.
//!
//! **Rows in large numbers** (scans at a gate, votes) are records of their own: insert-only tables whose rows say who, when and
//! what. Their slice writes one *summary entry* per batch or period into the trail instead of an entry per row, in the
//! transaction that closes the batch: `Change::of("check_ins.closed", "event", event, organization).after(&json!({ "rows": n,
//! "first_id": …, "last_id": …, "sha256": … }))`, with SHA-256 over the RFC 8785 JSON of the rows in the order of their ids
//! ([`chain::digest`]). The chain then covers the rows through that digest, and the trail stays readable.

pub mod chain;
pub mod checkpoints;
pub mod refusals;
pub mod sealer;
pub mod verify;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::db::schema::audit_entries;
use crate::ids::{AuditEntryId, OrganizationId};

/// A change, told by the handler that makes it.
#[derive(Debug)]
pub struct Change {
    action: &'static str,
    object_type: &'static str,
    object_id: Option<Uuid>,
    organization_id: Option<OrganizationId>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
    outcome: &'static str,
}

impl Change {
    /// `action` happened to an object of an organization, e.g. `Change::of("organization.moved", "organization", id, id)`.
    pub fn of(
        action: &'static str,
        object_type: &'static str,
        object_id: impl Into<Uuid>,
        organization_id: impl Into<Option<OrganizationId>>,
    ) -> Self {
        Self {
            action,
            object_type,
            object_id: Some(object_id.into()),
            organization_id: organization_id.into(),
            before: None,
            after: None,
            reason: None,
            outcome: "done",
        }
    }

    /// `action` was refused; the object may be unknown.
    pub fn refused(
        action: &'static str,
        object_type: &'static str,
        object_id: Option<Uuid>,
        organization_id: Option<OrganizationId>,
    ) -> Self {
        Self { object_id, outcome: "refused", ..Self::of(action, object_type, Uuid::nil(), organization_id) }
    }

    /// How it was; pass masked values only.
    pub fn before(self, view: &impl Serialize) -> Self {
        Self { before: serde_json::to_value(view).ok(), ..self }
    }

    /// How it is; pass masked values only.
    pub fn after(self, view: &impl Serialize) -> Self {
        Self { after: serde_json::to_value(view).ok(), ..self }
    }

    /// Why, in the actor's words.
    pub fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }
}

/// Who makes a change.
#[derive(Debug, Default, Clone)]
pub struct Actor {
    /// Account; none: nobody is signed in, or the system itself acts.
    pub account_id: Option<Uuid>,
    /// Session.
    pub session_id: Option<Uuid>,
    /// Role that allows it.
    pub role: Option<&'static str>,
    /// X-Request-Id.
    pub request_id: Option<String>,
    /// A job or the command line.
    pub system: bool,
}

impl Actor {
    /// A job or the command line.
    pub fn system() -> Self {
        Self { system: true, ..Self::default() }
    }
}

#[derive(Insertable)]
#[diesel(table_name = audit_entries)]
struct NewEntry<'a> {
    id: AuditEntryId,
    at: DateTime<Utc>,
    actor_kind: &'static str,
    actor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    role: Option<&'static str>,
    organization_id: Option<OrganizationId>,
    action: &'static str,
    object_type: &'static str,
    object_id: Option<Uuid>,
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<String>,
    outcome: &'static str,
    request_id: Option<&'a str>,
}

/// Writes an entry; call it inside the transaction of the change. `at` is wall time.
pub async fn record(conn: &mut AsyncPgConnection, at: DateTime<Utc>, actor: &Actor, change: Change) -> QueryResult<()> {
    record_all(conn, at, actor, vec![change]).await
}

/// Writes an entry for each of many changes that somebody makes at once.
pub async fn record_all(conn: &mut AsyncPgConnection, at: DateTime<Utc>, actor: &Actor, changes: Vec<Change>) -> QueryResult<()> {
    let entries: Vec<NewEntry<'_>> = changes.into_iter().map(|change| NewEntry::of(at, actor, change)).collect();
    for part in entries.chunks(1000) {
        diesel::insert_into(audit_entries::table).values(part).execute(conn).await?;
    }
    Ok(())
}

impl<'a> NewEntry<'a> {
    fn of(at: DateTime<Utc>, actor: &'a Actor, change: Change) -> Self {
        Self {
            id: AuditEntryId::generate(),
            at,
            actor_kind: match actor {
                Actor { system: true, .. } => "system",
                Actor { account_id: Some(_), .. } => "account",
                _ => "anonymous",
            },
            actor_id: actor.account_id,
            session_id: actor.session_id,
            role: actor.role,
            organization_id: change.organization_id,
            action: change.action,
            object_type: change.object_type,
            object_id: change.object_id,
            before: change.before,
            after: change.after,
            reason: change.reason,
            outcome: change.outcome,
            request_id: actor.request_id.as_deref(),
        }
    }
}
