//! Work plans and their tasks: what the year holds, who leads it, what it is measured by. A plan that has been issued is read
//! by everyone below its organization; what a task names outside the reader's scope she sees as a reference. Plans come in as
//! documents, through `import`.

mod api;
pub mod import;
mod rules;
mod store;
mod work_plan;

use utoipa_actix_web::service_config::ServiceConfig;

pub use rules::{
    Comparator, DICTIONARIES, IndicatorFrequency, IndicatorSource, PlanKind, PlanStatus, RecordKind, TaskFrequency, TaskPart,
    ValueKind,
};

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services
        .service(api::list_plans)
        .service(api::count_plans)
        .service(api::get_plan)
        .service(api::list_plan_tasks)
        .service(api::get_task)
        .service(api::list_task_indicators)
        .service(api::get_indicator);
}
