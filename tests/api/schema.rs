//! The migrations against themselves, the generated schema and the enumerations.

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use half_sky::db::{Address, migrate};

use crate::support::{Database, assert_snapshot};

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

async fn lines(conn: &mut AsyncPgConnection, sql: &str) -> Vec<String> {
    diesel::sql_query(sql).load::<Line>(conn).await.unwrap().into_iter().map(|line| line.text).collect()
}

/// Tables, columns, constraints, indexes and rights, one per line.
const DUMP: &str = "SELECT line AS text FROM (
    SELECT format('column %s.%s %s %s %s', table_name, column_name, udt_name, is_nullable, column_default) AS line
        FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT format('right %s %s %s', grantee, table_name, privilege_type)
        FROM information_schema.role_table_grants WHERE table_schema = 'public'
    UNION ALL SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    ) AS lines WHERE line NOT LIKE '%__diesel_schema_migrations%' ORDER BY line";

#[actix_web::test]
async fn up_down_up_leaves_the_same_tables() {
    let database = Database::empty().await;
    let owner = database.owner_address();
    let dump = async || lines(&mut database.owner().await, DUMP).await;
    let empty = dump().await;
    in_a_runtime(owner.clone(), |owner| async move { migrate::run(&owner).await.map(drop) });
    let first = dump().await;
    in_a_runtime(owner.clone(), |owner| async move { migrate::revert_all(&owner).await });
    assert_eq!(dump().await, empty, "every migration undoes all it did");
    in_a_runtime(owner, |owner| async move { migrate::run(&owner).await.map(drop) });
    assert_eq!(dump().await, first);
}

/// The migration harness blocks in place, which needs a multi-threaded runtime.
fn in_a_runtime<F: Future<Output = Result<(), String>>>(owner: Address, work: impl FnOnce(Address) -> F + Send + 'static) {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let done = std::thread::spawn(move || runtime().block_on(work(owner)));
    done.join().unwrap_or_else(|_| panic!("the migration panicked")).unwrap();
}

#[actix_web::test]
async fn the_generated_schema_is_current() {
    let database = Database::create().await;
    let generated = lines(&mut database.owner().await, include_str!("schema_rs.sql")).await.join("\n") + "\n";
    let mut formatted = std::process::Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path", env!("CARGO_MANIFEST_DIR")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut formatted.stdin.take().unwrap(), generated.as_bytes()).unwrap();
    let output = formatted.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_snapshot("src/db/schema.rs", &String::from_utf8(output.stdout).unwrap());
}

#[actix_web::test]
async fn every_foreign_key_has_an_index() {
    let database = Database::create().await;
    let without = lines(
        &mut database.owner().await,
        "SELECT format('%s (%s)', conrelid::regclass, string_agg(attname, ', ')) AS text
         FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
         WHERE c.contype = 'f' AND NOT EXISTS (
             SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])
         GROUP BY c.oid, conrelid",
    )
    .await;
    assert!(without.is_empty(), "{without:?}");
}

#[actix_web::test]
async fn every_table_and_column_has_a_comment() {
    let database = Database::create().await;
    let without = lines(
        &mut database.owner().await,
        "SELECT format('%s.%s', c.relname, coalesce(a.attname, '')) AS text FROM pg_class c
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> '__diesel_schema_migrations'
           AND (obj_description(c.oid) IS NULL OR col_description(c.oid, a.attnum) IS NULL)",
    )
    .await;
    assert!(without.is_empty(), "{without:?}");
}

#[actix_web::test]
async fn the_service_may_not_change_tables_nor_the_audit_trail() {
    let database = Database::create().await;
    let mut service = database.login().await;
    for refused in [
        "CREATE TABLE mine (id int)",
        "DROP TABLE posts",
        "ALTER TABLE posts ADD COLUMN more int",
        "UPDATE audit_entries SET reason = 'other'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "UPDATE organization_events SET reason = 'other'",
        "DELETE FROM organization_events",
    ] {
        let answer = diesel::sql_query(refused).execute(&mut service).await;
        let fault = answer.expect_err(refused).to_string();
        assert!(fault.contains("permission denied") || fault.contains("must be owner"), "{refused}: {fault}");
    }
    let mut owner = database.owner().await;
    let fault = diesel::sql_query("DELETE FROM audit_entries").execute(&mut owner).await.expect_err("even the owner").to_string();
    assert!(fault.contains("final"), "{fault}");
}

#[actix_web::test]
async fn each_check_of_a_column_equals_its_enumeration() {
    use half_sky::access::{Module, Role};
    use half_sky::accounts::AccountStatus;
    use half_sky::organizations as o;
    use half_sky::plans as p;
    use half_sky::reference as r;
    use half_sky::system as y;
    let database = Database::create().await;
    let mut conn = database.owner().await;
    type Labels = &'static [(&'static str, &'static str, &'static str)];
    let table: &[(&str, &str, Labels)] = &[
        ("grants", "role", Role::LABELS),
        ("accounts", "status", AccountStatus::LABELS),
        ("divisions", "level", r::DivisionLevel::LABELS),
        ("divisions", "code_system", r::CodeSystem::LABELS),
        ("working_calendar", "kind", r::CalendarKind::LABELS),
        ("organizations", "kind", o::OrganizationKind::LABELS),
        ("organizations", "level", o::OrganizationLevel::LABELS),
        ("organizations", "status", o::OrganizationStatus::LABELS),
        ("organization_past_statuses", "status", o::OrganizationStatus::LABELS),
        ("organization_events", "kind", o::OrganizationEventKind::LABELS),
        ("people", "sex", o::Sex::LABELS),
        ("people", "status", o::PersonStatus::LABELS),
        ("person_merge_suggestions", "reasons", o::MergeReason::LABELS),
        ("person_merge_suggestions", "status", o::SuggestionStatus::LABELS),
        ("post_minimums", "kind", o::OrganizationKind::LABELS),
        ("post_minimums", "position", o::PostPosition::LABELS),
        ("posts", "position", o::PostPosition::LABELS),
        ("posts", "employment_mode", o::EmploymentMode::LABELS),
        ("posts", "secondment", o::Secondment::LABELS),
        ("sites", "kind", o::SiteKind::LABELS),
        ("sites", "accreditation", o::AccreditationLevel::LABELS),
        ("sites", "status", o::SiteStatus::LABELS),
        ("coverage_units", "kind", o::CoverageUnitKind::LABELS),
        ("coverage_units", "status", o::CoverageUnitStatus::LABELS),
        ("plans", "kind", p::PlanKind::LABELS),
        ("plans", "status", p::PlanStatus::LABELS),
        ("tasks", "frequency", p::TaskFrequency::LABELS),
        ("indicators", "comparator", p::Comparator::LABELS),
        ("indicators", "value_kind", p::ValueKind::LABELS),
        ("indicators", "source", p::IndicatorSource::LABELS),
        ("indicators", "frequency", p::IndicatorFrequency::LABELS),
        ("task_organizations", "part", p::TaskPart::LABELS),
        ("files", "purpose", half_sky::files::FilePurpose::LABELS),
        ("files", "attached_type", half_sky::files::AttachableType::LABELS),
        ("exports", "format", half_sky::sheets::SheetFormat::LABELS),
        ("exports", "cell_values", half_sky::exports::CellValues::LABELS),
        ("audit_entries", "actor_kind", y::ActorKind::LABELS),
        ("audit_entries", "outcome", y::AuditOutcome::LABELS),
        ("jobs", "state", y::JobState::LABELS),
        ("operations", "status", y::OperationStatus::LABELS),
        ("imports", "kind", half_sky::imports::ImportKind::LABELS),
        ("imports", "mode", half_sky::imports::ImportMode::LABELS),
        ("imports", "status", half_sky::imports::ImportStatus::LABELS),
    ];
    // What never leaves the service has no dictionary; the constants that are written there are tried by the tests of their slices.
    let internal = [
        ("data_versions", "data_set"),
        ("data_keys", "purpose"),
        ("signing_keys", "algorithm"),
        ("signing_keys", "state"),
        ("sessions", "end_reason"),
    ];
    let checked = lines(
        &mut conn,
        "SELECT conrelid::regclass || '.' || attname AS text FROM pg_constraint
         JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum]
         WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND pg_get_constraintdef(pg_constraint.oid) LIKE '%''::text%'
             AND pg_get_constraintdef(pg_constraint.oid) LIKE '%ARRAY[%' ORDER BY 1",
    )
    .await;
    let known = |name: &String| {
        let in_table = table.iter().any(|(table, column, _)| *name == format!("{table}.{column}"));
        in_table || internal.iter().any(|(table, column)| *name == format!("{table}.{column}"))
    };
    let unknown: Vec<_> = checked.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "these columns are checked against a list that nobody compares: {unknown:?}");
    assert!(checked.len() >= table.len(), "{checked:?}");
    for (table, column, labels) in table {
        let found = lines(
            &mut conn,
            &format!(
                "SELECT m[1] AS text FROM pg_constraint c, regexp_matches(pg_get_constraintdef(c.oid), '''([a-z0-9_]+)''::text', 'g') m
                 WHERE conrelid = '{table}'::regclass AND contype = 'c' AND conkey = ARRAY[(
                     SELECT attnum FROM pg_attribute WHERE attrelid = conrelid AND attname = '{column}')]"
            ),
        )
        .await;
        let values: Vec<&str> = labels.iter().map(|(value, ..)| *value).collect();
        assert_eq!(found, values, "{table}.{column}");
    }
    assert!(!Module::ALL.is_empty());
}
