-- What every slice stands on: the two database roles, keys, idempotency, audit, jobs, operations, work items.

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- The service role has no DDL and cannot log in; whoever the service logs in as is a member of it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'half_sky_service') THEN
        CREATE ROLE half_sky_service NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
GRANT USAGE ON SCHEMA public TO half_sky_service;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO half_sky_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO half_sky_service;
GRANT SELECT ON __diesel_schema_migrations TO half_sky_service;

CREATE TABLE markers (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE markers IS 'Facts about this database as a whole, such as that it holds demo data.';
COMMENT ON COLUMN markers.name IS 'What is marked: demo, instance.';
COMMENT ON COLUMN markers.value IS 'The value of the mark.';

CREATE TABLE data_versions (
    data_set text NOT NULL CHECK (data_set IN ('reference', 'demo')),
    slice text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    loaded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (data_set, slice)
);
COMMENT ON TABLE data_versions IS 'Which version of the reference and demo data each slice has loaded; loading is skipped when it is current.';
COMMENT ON COLUMN data_versions.data_set IS 'reference: needed everywhere; demo: only in demo mode.';
COMMENT ON COLUMN data_versions.slice IS 'The slice the data belongs to, e.g. divisions.';
COMMENT ON COLUMN data_versions.version IS 'Version of the data compiled into the program that loaded it.';
COMMENT ON COLUMN data_versions.loaded_at IS 'When that version was loaded (wall time).';

CREATE TABLE data_keys (
    id uuid PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('personal', 'replies', 'secrets', 'hash', 'cursor')),
    wrapped bytea NOT NULL,
    master_key_id text NOT NULL,
    is_current boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX data_keys_current ON data_keys (purpose) WHERE is_current;
COMMENT ON TABLE data_keys IS 'Per-purpose keys of encrypted columns and keyed hashes, each wrapped by a master key that never enters the database.';
COMMENT ON COLUMN data_keys.id IS 'Key id; stands at the head of every ciphertext made with it.';
COMMENT ON COLUMN data_keys.purpose IS 'personal: phones and identity numbers; replies: stored idempotent replies; secrets: TOTP and signing keys; hash: keyed hashes; cursor: page cursors.';
COMMENT ON COLUMN data_keys.wrapped IS 'The 32-byte key, sealed with XChaCha20-Poly1305 under the master key.';
COMMENT ON COLUMN data_keys.master_key_id IS 'Which of MASTER_KEYS wraps it.';
COMMENT ON COLUMN data_keys.is_current IS 'New values are sealed with the current key; older ones only open.';
COMMENT ON COLUMN data_keys.created_at IS 'When the key was made (wall time).';

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    algorithm text NOT NULL CHECK (algorithm IN ('EdDSA')),
    public_key bytea NOT NULL,
    private_key bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('next', 'active', 'retiring', 'revoked')),
    created_at timestamptz NOT NULL DEFAULT now(),
    state_changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (state) WHERE state IN ('next', 'active');
COMMENT ON TABLE signing_keys IS 'Keys that sign access tokens; published as JWKS except revoked ones.';
COMMENT ON COLUMN signing_keys.kid IS 'RFC 7638 thumbprint.';
COMMENT ON COLUMN signing_keys.algorithm IS 'Signature algorithm.';
COMMENT ON COLUMN signing_keys.public_key IS 'Raw Ed25519 public key, 32 bytes.';
COMMENT ON COLUMN signing_keys.private_key IS 'PKCS#8 private key, sealed under the purpose secrets.';
COMMENT ON COLUMN signing_keys.state IS 'next: published, not yet used; active: signs; retiring: only verifies; revoked: dead at once.';
COMMENT ON COLUMN signing_keys.created_at IS 'When the key was made (wall time).';
COMMENT ON COLUMN signing_keys.state_changed_at IS 'When it entered its state (wall time).';

CREATE TABLE idempotency_keys (
    principal uuid NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    etag text,
    location text,
    permission text NOT NULL,
    places uuid[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (principal, operation, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
COMMENT ON TABLE idempotency_keys IS 'Stored 2xx replies, written in the transaction of the command they answer.';
COMMENT ON COLUMN idempotency_keys.principal IS 'Account or client that sent the key.';
COMMENT ON COLUMN idempotency_keys.operation IS 'operationId of the OpenAPI document.';
COMMENT ON COLUMN idempotency_keys.key IS 'The Idempotency-Key after unquoting.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 over method, path, query and body.';
COMMENT ON COLUMN idempotency_keys.status IS 'HTTP status of the reply.';
COMMENT ON COLUMN idempotency_keys.body IS 'Reply body, sealed under the purpose replies.';
COMMENT ON COLUMN idempotency_keys.etag IS 'ETag of the reply.';
COMMENT ON COLUMN idempotency_keys.location IS 'Location of the reply.';
COMMENT ON COLUMN idempotency_keys.permission IS 'Permission that was checked; checked again before a replay.';
COMMENT ON COLUMN idempotency_keys.places IS 'Organizations at which it was checked.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When the command committed (wall time).';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'When the purge job forgets it (wall time).';

CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind IN ('account', 'system', 'anonymous')),
    actor_id uuid,
    session_id uuid,
    role text,
    organization_id uuid,
    action text NOT NULL,
    object_type text NOT NULL,
    object_id uuid,
    before jsonb,
    after jsonb,
    reason text,
    outcome text NOT NULL CHECK (outcome IN ('done', 'refused')),
    request_id text
);
CREATE INDEX audit_entries_object ON audit_entries (object_type, object_id, id);
CREATE INDEX audit_entries_organization ON audit_entries (organization_id, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, id);
COMMENT ON TABLE audit_entries IS 'Who did what; written in the transaction of the change; the service may only insert and select.';
COMMENT ON COLUMN audit_entries.id IS 'UUIDv7.';
COMMENT ON COLUMN audit_entries.at IS 'Wall time.';
COMMENT ON COLUMN audit_entries.actor_kind IS 'account: a signed-in person; system: a job or the command line; anonymous: nobody signed in.';
COMMENT ON COLUMN audit_entries.actor_id IS 'Account of the actor.';
COMMENT ON COLUMN audit_entries.session_id IS 'Session of the actor.';
COMMENT ON COLUMN audit_entries.role IS 'Role that allowed it.';
COMMENT ON COLUMN audit_entries.organization_id IS 'Organization the object belongs to; decides who may read the entry.';
COMMENT ON COLUMN audit_entries.action IS 'What was done, e.g. organization.moved.';
COMMENT ON COLUMN audit_entries.object_type IS 'Kind of object.';
COMMENT ON COLUMN audit_entries.object_id IS 'The object.';
COMMENT ON COLUMN audit_entries.before IS 'Fields before the change, personal data masked.';
COMMENT ON COLUMN audit_entries.after IS 'Fields after the change, personal data masked.';
COMMENT ON COLUMN audit_entries.reason IS 'Reason given by the actor.';
COMMENT ON COLUMN audit_entries.outcome IS 'done or refused.';
COMMENT ON COLUMN audit_entries.request_id IS 'X-Request-Id of the request.';
REVOKE UPDATE, DELETE, TRUNCATE ON audit_entries FROM half_sky_service;
CREATE FUNCTION audit_entries_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit entries are final'; END $$;
CREATE TRIGGER audit_entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_final();

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'running', 'done', 'dead')),
    run_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 10 CHECK (max_attempts > 0),
    leased_until timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'queued';
CREATE INDEX jobs_leased ON jobs (leased_until) WHERE state = 'running';
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'done';
COMMENT ON TABLE jobs IS 'Work for later, enqueued in the transaction that needs it; workers of all nodes share it.';
COMMENT ON COLUMN jobs.id IS 'UUIDv7.';
COMMENT ON COLUMN jobs.kind IS 'Which function runs it.';
COMMENT ON COLUMN jobs.payload IS 'Its argument; ids only, no personal data.';
COMMENT ON COLUMN jobs.state IS 'dead: gave up after max_attempts, waits for platform_admin.';
COMMENT ON COLUMN jobs.run_at IS 'Not before (wall time).';
COMMENT ON COLUMN jobs.attempts IS 'How often it was started.';
COMMENT ON COLUMN jobs.max_attempts IS 'After so many failures it is dead.';
COMMENT ON COLUMN jobs.leased_until IS 'A running job whose lease ended is taken over.';
COMMENT ON COLUMN jobs.last_error IS 'Why the last attempt failed.';
COMMENT ON COLUMN jobs.created_at IS 'When it was enqueued (wall time).';
COMMENT ON COLUMN jobs.finished_at IS 'When it was done or given up (wall time).';

CREATE TABLE timetable_runs (
    name text PRIMARY KEY,
    last_due_at timestamptz NOT NULL
);
COMMENT ON TABLE timetable_runs IS 'Up to which due instant each periodic task has run; the guarded update makes it run once across nodes.';
COMMENT ON COLUMN timetable_runs.name IS 'Name in the timetable.';
COMMENT ON COLUMN timetable_runs.last_due_at IS 'Domain time of the last due instant that was run.';

CREATE TABLE operations (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    account_id uuid,
    organization_id uuid,
    status text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    error text,
    cancel_requested boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX operations_account ON operations (account_id, id);
CREATE INDEX operations_finished ON operations (finished_at);
COMMENT ON TABLE operations IS 'Long work and its progress.';
COMMENT ON COLUMN operations.id IS 'UUIDv7.';
COMMENT ON COLUMN operations.kind IS 'What runs.';
COMMENT ON COLUMN operations.account_id IS 'Who started it; null for the command line.';
COMMENT ON COLUMN operations.organization_id IS 'For which organization.';
COMMENT ON COLUMN operations.status IS 'State as in the contract.';
COMMENT ON COLUMN operations.done IS 'Units done.';
COMMENT ON COLUMN operations.total IS 'Units in all, null while unknown.';
COMMENT ON COLUMN operations.error IS 'Why it failed, a code of the problem catalogue.';
COMMENT ON COLUMN operations.cancel_requested IS 'Asked to stop at the next safe point.';
COMMENT ON COLUMN operations.version IS 'Raised by each change by a person.';
COMMENT ON COLUMN operations.created_at IS 'Wall time.';
COMMENT ON COLUMN operations.started_at IS 'Wall time.';
COMMENT ON COLUMN operations.finished_at IS 'Wall time.';

CREATE TABLE work_items (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    title text NOT NULL,
    subject_type text NOT NULL,
    subject_id uuid NOT NULL,
    subject_number text,
    organization_id uuid NOT NULL,
    account_id uuid,
    permission text NOT NULL,
    since timestamptz NOT NULL,
    due_on date,
    done_at timestamptz,
    done_by uuid
);
CREATE UNIQUE INDEX work_items_open ON work_items (subject_type, subject_id, kind) WHERE done_at IS NULL;
CREATE INDEX work_items_organization ON work_items (organization_id, id) WHERE done_at IS NULL;
CREATE INDEX work_items_account ON work_items (account_id, id);
CREATE INDEX work_items_done_by ON work_items (done_by, id);
COMMENT ON TABLE work_items IS 'What awaits whom: one row per step that somebody has to take; feeds awaiting and /me/work-items.';
COMMENT ON COLUMN work_items.id IS 'UUIDv7.';
COMMENT ON COLUMN work_items.kind IS 'Which step, e.g. post_expiring.';
COMMENT ON COLUMN work_items.title IS 'One line for the list, without personal data beyond a name.';
COMMENT ON COLUMN work_items.subject_type IS 'Kind of the object.';
COMMENT ON COLUMN work_items.subject_id IS 'The object.';
COMMENT ON COLUMN work_items.subject_number IS 'Its people-readable number.';
COMMENT ON COLUMN work_items.organization_id IS 'At which organization the step waits.';
COMMENT ON COLUMN work_items.account_id IS 'For one person only; null: whoever holds the permission there.';
COMMENT ON COLUMN work_items.permission IS 'Permission that the step needs.';
COMMENT ON COLUMN work_items.since IS 'Since when it waits (domain time).';
COMMENT ON COLUMN work_items.due_on IS 'By when it should be done.';
COMMENT ON COLUMN work_items.done_at IS 'When it was done (domain time); null: open.';
COMMENT ON COLUMN work_items.done_by IS 'Who did it.';
