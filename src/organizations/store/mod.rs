//! Rows and queries, a file per noun. Reads take a shared connection, writes the transaction's.

pub mod bulk;
pub mod contacts;
pub mod coverage;
pub mod history;
pub mod organizations;
pub mod people;
pub mod person_matches;
pub mod posts;
pub mod sites;
pub mod succession;
pub mod suggestions;
pub mod tree;
pub mod vacancies;
