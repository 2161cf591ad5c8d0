DROP TABLE work_items, operations, timetable_runs, jobs, audit_entries, idempotency_keys, signing_keys, data_keys, data_versions, markers;
DROP FUNCTION audit_entries_are_final();
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT, INSERT, UPDATE, DELETE ON TABLES FROM half_sky_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE USAGE, SELECT ON SEQUENCES FROM half_sky_service;
REVOKE SELECT ON __diesel_schema_migrations FROM half_sky_service;
REVOKE USAGE ON SCHEMA public FROM half_sky_service;
DROP EXTENSION btree_gist;
DROP EXTENSION pg_trgm;
