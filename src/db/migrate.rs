//! Migrations: embedded in the program, run by the owner of the tables under a lock, never by `serve`.

use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::Address;

/// Every migration, in order.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Two programs that migrate at once take turns on this advisory lock.
const LOCK: &str = "SELECT pg_advisory_lock(hashtext('half-sky migrate'))";

/// Runs what is pending; returns the names of what ran. Needs a multi-threaded runtime: the harness blocks in place.
pub async fn run(owner: &Address) -> Result<Vec<String>, String> {
    let mut connection = owner.connect().await?;
    diesel::sql_query(LOCK).execute(&mut connection).await.map_err(|fault| fault.to_string())?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let ran = harness.run_pending_migrations(MIGRATIONS).map_err(|fault| fault.to_string())?;
    Ok(ran.iter().map(ToString::to_string).collect())
}

/// Undoes every migration, for the schema test.
pub async fn revert_all(owner: &Address) -> Result<(), String> {
    let connection = owner.connect().await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    harness.revert_all_migrations(MIGRATIONS).map_err(|fault| fault.to_string())?;
    Ok(())
}

/// How many embedded migrations the database lacks. It may hold more: a newer program has migrated already.
pub async fn pending(connection: &mut AsyncPgConnection) -> Result<usize, String> {
    use diesel::migration::MigrationSource;
    #[derive(diesel::QueryableByName)]
    struct Version {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
    }
    let run: Vec<Version> = diesel::sql_query("SELECT version FROM __diesel_schema_migrations")
        .load(connection)
        .await
        .map_err(|fault| fault.to_string())?;
    let embedded = MigrationSource::<diesel::pg::Pg>::migrations(&MIGRATIONS).map_err(|fault| fault.to_string())?;
    Ok(embedded.iter().filter(|migration| run.iter().all(|run| migration.name().version().to_string() != run.version)).count())
}
