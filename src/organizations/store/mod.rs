//! Rows and queries, a file per noun. Reads take a shared connection, writes the transaction's.

pub mod bulk;
pub mod history;
pub mod organizations;
pub mod people;
pub mod posts;
pub mod sites;
pub mod succession;
pub mod tree;
