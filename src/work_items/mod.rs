//! What awaits whom. Slices open an item when a step waits for somebody and close it when the step is taken; from here come
//! `awaiting` of every object in a flow and the caller's list `/me/work-items`.

mod api;
mod rules;
mod store;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::db::text_enum::Dictionary;

pub use api::{Awaited, Awaiting};
pub use rules::{POST_EXPIRING, Step};
pub use store::{Waiting, Worker, awaiting, close, close_many, close_overdue, open, subjects_awaiting};

/// Labels of this slice's enumerations.
pub const DICTIONARIES: &[Dictionary] = &[("work_item_state", api::WorkItemState::LABELS)];

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services.service(api::list_work_items).service(api::count_work_items);
}
