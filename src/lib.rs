//! Half the Sky 半边天: the backend on which a city's women's federation runs its year.
//!
//! The map of the house. `routes` lists everything mounted; `access` is the whole policy; `http` is the one path of a request
//! (gate → call → command → reply); `db` reaches PostgreSQL; `audit`, `jobs`, `vault`, `clock` and `sheets` serve every slice. A slice
//! is one noun of the field: `accounts`, `exports`, `files`, `imports`, `organizations`, `plans`, `reference`, `system`, `work_items`. `run` is what the command line does.

pub mod access;
pub mod accounts;
pub mod app;
pub mod audit;
pub mod clock;
pub mod config;
pub mod db;
pub mod demo;
pub mod exports;
pub mod files;
pub mod http;
pub mod ids;
pub mod imports;
pub mod jobs;
pub mod organizations;
pub mod plans;
pub mod reference;
pub mod routes;
pub mod run;
pub mod sheets;
pub mod system;
pub mod vault;
pub mod work_items;
