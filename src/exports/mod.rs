//! Exports: any list of the document as an xlsx or CSV file. A command writes down what is wanted; a job walks the pages of the
//! list on behalf of whoever asked, by the list's own handler and her rights of that moment ([`walk`]), and writes them row by row;
//! the file is hers alone, for a day. Columns with personal data need a reason and a step-up, and all of it stands in the audit trail.

mod api;
mod cells;
mod expire;
mod plan;
mod rules;
mod store;
mod walk;

use utoipa_actix_web::service_config::ServiceConfig;

use crate::db::text_enum::Dictionary;
use crate::sheets::SheetFormat;

pub use expire::{expire, schedule_expiry};
pub use rules::{CellValues, ExportStatus};
pub use store::{NewExportRow, Produced, insert, put_produced};
pub use walk::{given_up, run};

/// Labels of this slice's enumerations.
pub const DICTIONARIES: &[Dictionary] =
    &[("export_status", ExportStatus::LABELS), ("cell_values", CellValues::LABELS), ("sheet_format", SheetFormat::LABELS)];

/// Mounts the slice.
pub fn routes(services: &mut ServiceConfig) {
    services
        .service(api::list_exports)
        .service(api::create_export)
        .service(api::get_export)
        .service(api::cancel_export)
        .service(api::download_export);
}
