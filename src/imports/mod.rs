//! Imports: a table of organizations, people, posts, coverage units or accounts is uploaded, read, checked row by row, and written
//! whole or not at all. What a kind is — its columns, its rules, how it is written — its own slice knows ([`Kind`]); here stand
//! reading, staging, progress, errors and templates. Checking is writing without the writes ([`Work`]): the two cannot differ.

mod api;
mod books;
mod columns;
mod kinds;
mod rules;
mod stage;
mod store;
mod work;

use chrono::TimeDelta;
use diesel_async::AsyncPgConnection;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::app::App;
use crate::db::text_enum::Dictionary;

pub use books::BOOKS;
pub use columns::{Cells, Column, Labels, Shape, body_faults};
pub use kinds::{Kind, MOST_SHOWN, RunFn, Shown};
pub use rules::{ImportFailure, ImportKind, ImportMode, ImportStatus};
pub use store::{ErrorRow, ImportRow, SealedRow, insert, insert_rows, put_errors};
pub use work::{Halt, PAYLOAD, Row, Work, given_up, run};

/// Labels of this slice's enumerations.
pub const DICTIONARIES: &[Dictionary] = &[
    ("import_kind", ImportKind::LABELS),
    ("import_mode", ImportMode::LABELS),
    ("import_status", ImportStatus::LABELS),
    ("import_failure", ImportFailure::LABELS),
];

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services
        .service(api::list_imports)
        .service(api::count_imports)
        .service(api::start_import)
        .service(books::get_import_template)
        .service(api::get_import)
        .service(api::list_import_errors)
        .service(books::download_import_errors)
        .service(api::apply_import)
        .service(api::cancel_import);
}

/// How long a validated import waits to be applied, and how long the errors of one that ended are kept.
const KEPT: TimeDelta = TimeDelta::days(7);

/// Ends what nobody has applied and forgets errors, in the caller's transaction. The files themselves are loose, and go with all
/// loose files.
pub async fn forget(app: &App, conn: &mut AsyncPgConnection) -> Result<(), String> {
    let wall = app.clock.wall();
    let expired = store::forget(conn, wall - KEPT, wall).await.map_err(|fault| fault.to_string())?;
    log::info!(expired = expired; "imports forgotten");
    Ok(())
}
