//! Typed ids: a `PersonId` cannot be handed over where an `OrganizationId` is meant.

use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{Output, ToSql};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, AsExpression, FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Uuid)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid, min_length = 36, max_length = 36)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new UUIDv7: later ids sort after earlier ones, which is the default order of every list.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ToSql<diesel::sql_types::Uuid, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> diesel::serialize::Result {
                <Uuid as ToSql<diesel::sql_types::Uuid, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<diesel::sql_types::Uuid, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> diesel::deserialize::Result<Self> {
                <Uuid as FromSql<diesel::sql_types::Uuid, Pg>>::from_sql(value).map(Self)
            }
        }
    )*};
}

ids! {
    /// An account: somebody who signs in.
    AccountId
    /// An entry of the audit trail.
    AuditEntryId
    /// Somebody looks after an area.
    ContactAssignmentId
    /// An export of a list.
    ExportId
    /// A park, school, enterprise or another unit that should have a women's organization.
    CoverageUnitId
    /// An uploaded file.
    FileId
    /// A grant of a role at a place.
    GrantId
    /// A table that was handed in to be imported.
    ImportId
    /// An indicator of a task.
    IndicatorId
    /// A job of the background worker.
    JobId
    /// Two records that look like one person.
    MergeSuggestionId
    /// Long work in progress.
    OperationId
    /// An event in the history of an organization.
    OrganizationEventId
    /// A federation or a body beside it.
    OrganizationId
    /// A person of the address book.
    PersonId
    /// A work plan.
    PlanId
    /// A position that a person holds.
    PostId
    /// A signed-in device.
    SessionId
    /// A place where work happens.
    SiteId
    /// A task of a plan.
    TaskId
    /// A step that awaits somebody.
    WorkItemId
}
