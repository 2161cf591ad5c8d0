//! Running the service: the audit trail, long work and its progress, jobs that gave up, forgetting what is no longer needed,
//! sealing again after a rotation of the data keys. Slices with long work make an operation with [`operations`] and enqueue a
//! job; a slice with sealed columns adds them to the table in [`reseal`].

mod api;
pub mod operations;
mod purge;
mod reseal;
mod rules;
mod store;

use utoipa_actix_web::service_config::ServiceConfig;

pub use api::work::ProgressView;
pub use purge::purge;
pub use reseal::{reseal, start_reseal};
pub use rules::{ActorKind, AuditOutcome, DICTIONARIES, JobState, OperationStatus};

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services
        .service(api::audit_entries::list_audit_entries)
        .service(api::audit_entries::list_audit_checkpoints)
        .service(api::audit_entries::verify_audit_entries)
        .service(api::audit_entries::get_audit_keys)
        .service(api::work::get_operation)
        .service(api::work::cancel_operation)
        .service(api::work::list_dead_jobs)
        .service(api::work::retry_job);
}
