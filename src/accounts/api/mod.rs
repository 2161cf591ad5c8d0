//! Handlers, by what they are about.

pub mod admin;
pub mod authority;
pub mod grants;
pub mod me;
pub mod session;
pub mod succession;
