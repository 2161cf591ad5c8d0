//! Writing many rows at once, for the demo data and the command line. What is there already stays as it is.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;

use super::api::people::seal_numbers;
use super::rules::{OrganizationKind, OrganizationLevel, OrganizationStatus};
use super::store;
use crate::ids::OrganizationId;
use crate::vault::Vault;

pub use super::store::contacts::Contact;
pub use super::store::coverage::Unit;
pub use super::store::organizations::Organization;
pub use super::store::people::Person;
pub use super::store::posts::Post;
pub use super::store::sites::Site;
pub use super::store::suggestions::MergeSuggestion;

/// An organization of which only the name is known.
pub fn blank(
    id: OrganizationId,
    kind: OrganizationKind,
    level: OrganizationLevel,
    name: &str,
    now: DateTime<Utc>,
) -> Organization {
    Organization {
        id,
        kind,
        level,
        name: name.to_owned(),
        short_name: None,
        parent_id: None,
        host_name: None,
        division_code: None,
        uscc: None,
        address: None,
        longitude: None,
        latitude: None,
        phone: None,
        founded_on: None,
        approval_document: None,
        status: OrganizationStatus::Active,
        status_changed_on: None,
        successor_id: None,
        tags: vec![],
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// Writes organizations, parents before children, and hangs them into the tree.
pub async fn organizations(conn: &mut AsyncPgConnection, rows: &[Organization], from_on: NaiveDate) -> QueryResult<usize> {
    store::organizations::insert_many(conn, rows, from_on, None).await
}

/// Writes people.
pub async fn people(conn: &mut AsyncPgConnection, rows: &[Person]) -> QueryResult<usize> {
    store::people::insert_many(conn, rows).await
}

/// Writes posts.
pub async fn posts(conn: &mut AsyncPgConnection, rows: &[Post]) -> QueryResult<usize> {
    store::posts::insert_many(conn, rows).await
}

/// Writes assignments of the contact system.
pub async fn contacts(conn: &mut AsyncPgConnection, rows: &[Contact]) -> QueryResult<usize> {
    store::contacts::insert_many(conn, rows).await
}

/// Writes suggestions to merge.
pub async fn merge_suggestions(conn: &mut AsyncPgConnection, rows: &[MergeSuggestion]) -> QueryResult<usize> {
    store::suggestions::insert_many(conn, rows).await
}

/// Writes sites.
pub async fn sites(conn: &mut AsyncPgConnection, rows: &[Site]) -> QueryResult<usize> {
    store::sites::insert_many(conn, rows).await
}

/// Writes units of the coverage.
pub async fn coverage_units(conn: &mut AsyncPgConnection, rows: &[Unit]) -> QueryResult<usize> {
    store::coverage::insert_many(conn, rows).await
}

/// A person with her numbers sealed; none where a number is not valid.
pub fn sealed(vault: &Vault, person: Person, phone: Option<&str>, id_number: Option<&str>, today: NaiveDate) -> Option<Person> {
    let numbers = seal_numbers(vault, phone, id_number, today).ok()?;
    Some(Person {
        phone: numbers.phone,
        phone_hash: numbers.phone_hash,
        phone_masked: numbers.phone_masked,
        id_number: numbers.id_number,
        id_number_hash: numbers.id_number_hash,
        id_number_masked: numbers.id_number_masked,
        ..person
    })
}
