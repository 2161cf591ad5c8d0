//! Everything the service promises, tried through its API. One binary, one private PostgreSQL, one database per test.

mod accounts;
mod audit;
mod commands;
mod contract;
mod coverage;
mod exports;
mod files;
mod floor;
mod history;
mod house;
mod imports;
mod matrix;
mod organizations;
mod people;
mod plans;
mod private_postgres;
mod program;
mod reference;
mod schema;
mod support;
mod system;
mod work_items;
