//! The database: connections, locks, migrations, the generated schema and the enumerations that are text in it.

pub mod connect;
pub mod locks;
pub mod migrate;
pub mod page;
pub mod private_postgres;
pub mod schema;
pub mod scope;
pub mod text_enum;

pub use connect::{Address, Db, Reader};
pub use page::contains;
