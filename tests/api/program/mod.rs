//! The built program, over real sockets and signals: what only shows when a process starts, is talked to rudely and ends.

mod administration;
mod audit;
mod backup;
mod client;
mod configuration;
mod crashes;
mod databases;
#[cfg(target_os = "linux")]
mod development;
mod nodes;
mod process;
mod rude_clients;
mod stopping;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::support::COUNTY;

/// A new site of the county, of a name that no demo site has.
fn new_site(number: usize) -> Value {
    json!({ "owner_organization_id": COUNTY, "kind": "womens_home", "name": format!("新建妇女之家{number}") })
}

/// The one number that a query selects as `number`.
async fn number(conn: &mut AsyncPgConnection, sql: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    diesel::sql_query(sql).get_result::<Row>(conn).await.unwrap_or_else(|fault| panic!("{sql}: {fault}")).number
}

/// Every site of [`new_site`] has one audit entry and one stored reply, and there is none of either without its site.
/// Returns how many sites there are.
async fn count_whole_sites(conn: &mut AsyncPgConnection) -> i64 {
    let sites = number(conn, "SELECT count(*) AS number FROM sites WHERE name LIKE '新建%'").await;
    let whole = "SELECT count(*) AS number FROM sites s WHERE name LIKE '新建%'
        AND 1 = (SELECT count(*) FROM audit_entries WHERE object_id = s.id)
        AND 1 = (SELECT count(*) FROM idempotency_keys WHERE location = '/api/v1/sites/' || s.id)";
    assert_eq!(number(conn, whole).await, sites, "each has one audit entry and one stored reply");
    let entries = "SELECT count(*) AS number FROM audit_entries WHERE action = 'site.created'";
    assert_eq!(number(conn, entries).await, sites, "no audit entry without its site");
    let replies = "SELECT count(*) AS number FROM idempotency_keys WHERE operation = 'create_site'";
    assert_eq!(number(conn, replies).await, sites, "no stored reply without its site");
    sites
}
