//! HTTP, once, for all slices: the server, the gate every request passes, the document that validates it, commands and pages.

mod address;
pub mod arrivals;
pub mod batch;
pub mod call;
pub mod command;
pub mod document;
pub mod form;
pub mod gate;
pub mod health;
pub mod inside;
pub mod json;
pub mod lists;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod problem;
pub mod rate;
pub mod reply;
pub mod room;
pub mod server;
pub mod swagger;

pub use call::{Call, Caller, Path, Query, Upload};
pub use command::{Command, CommandHeaders, KeyHeader, Tx, VersionHeader};
pub use page::PageRequest;
pub use problem::{ApiError, ApiResult, Bilingual, Code, FieldError, Language};
pub use reply::Reply;
pub use room::Room;
