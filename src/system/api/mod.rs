//! HTTP of running the service.

pub mod audit_entries;
pub mod work;
