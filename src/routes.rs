//! The one list of everything mounted, slice by slice.

use utoipa_actix_web::AppExt;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::health;
use crate::{accounts, exports, files, imports, organizations, plans, reference, system, work_items};

/// Mounts every operation.
pub fn mount(services: &mut ServiceConfig) {
    services.service(health::get_liveness).service(health::get_readiness);
    // Asked for most, and routes are tried in this order.
    organizations::routes(services);
    accounts::routes(services);
    exports::routes(services);
    files::routes(services);
    imports::routes(services);
    plans::routes(services);
    reference::routes(services);
    system::routes(services);
    work_items::routes(services);
}

/// What the handlers declare of themselves.
pub fn openapi() -> utoipa::openapi::OpenApi {
    actix_web::App::new().into_utoipa_app().configure(mount).split_for_parts().1
}
