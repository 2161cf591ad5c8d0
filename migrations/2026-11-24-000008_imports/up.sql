-- Imports of tables: what was asked, what was found, and for as long as they are needed the rows themselves, sealed.

CREATE TABLE imports (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('organizations', 'people', 'posts', 'coverage_units', 'accounts')),
    mode text NOT NULL CHECK (mode IN ('validate', 'apply')),
    status text NOT NULL CHECK (status IN ('validating', 'validated', 'failed', 'applying', 'applied', 'cancelled')),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    file_id uuid REFERENCES files (id) ON DELETE SET NULL,
    file_name text NOT NULL,
    media_type text NOT NULL,
    file_sha256 bytea NOT NULL CHECK (octet_length(file_sha256) = 32),
    again boolean NOT NULL,
    same_as_id uuid REFERENCES imports (id),
    operation_id uuid NOT NULL,
    created_by uuid NOT NULL REFERENCES accounts (id),
    applied_by uuid REFERENCES accounts (id),
    sheet text,
    fields text[] NOT NULL DEFAULT '{}',
    ignored_columns text[] NOT NULL DEFAULT '{}',
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    row_count integer NOT NULL DEFAULT 0,
    new_count integer NOT NULL DEFAULT 0,
    changed_count integer NOT NULL DEFAULT 0,
    unchanged_count integer NOT NULL DEFAULT 0,
    error_count integer NOT NULL DEFAULT 0,
    failure text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX imports_organization ON imports (organization_id, id);
CREATE INDEX imports_created_by ON imports (created_by, id);
CREATE INDEX imports_applied_by ON imports (applied_by);
CREATE INDEX imports_file ON imports (file_id);
CREATE INDEX imports_same_as ON imports (same_as_id);
CREATE INDEX imports_same_file ON imports (file_sha256, kind, organization_id, id);
CREATE INDEX imports_ended ON imports (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX imports_waiting ON imports (updated_at) WHERE status = 'validated';
COMMENT ON TABLE imports IS 'Tables that were handed in to be imported; the row stays, the rows of the table and what was wrong with them are forgotten.';
COMMENT ON COLUMN imports.id IS 'UUIDv7.';
COMMENT ON COLUMN imports.kind IS 'What its rows are.';
COMMENT ON COLUMN imports.mode IS 'validate: it waits for somebody to apply it; apply: it is applied at once where nothing is wrong.';
COMMENT ON COLUMN imports.status IS 'State as in the contract; failed: refused as a whole or by errors of rows, nothing was written.';
COMMENT ON COLUMN imports.organization_id IS 'The place below which it applies: scope, of the import itself too.';
COMMENT ON COLUMN imports.file_id IS 'The uploaded file; null once it has been cleaned away.';
COMMENT ON COLUMN imports.file_name IS 'Its name.';
COMMENT ON COLUMN imports.media_type IS 'Its type, by content.';
COMMENT ON COLUMN imports.file_sha256 IS 'SHA-256 of its bytes: the same file twice is recognised.';
COMMENT ON COLUMN imports.again IS 'Apply it although the same file was applied before.';
COMMENT ON COLUMN imports.same_as_id IS 'The latest earlier import of the same file, kind and place.';
COMMENT ON COLUMN imports.operation_id IS 'The long work that does it; operations are forgotten earlier.';
COMMENT ON COLUMN imports.created_by IS 'Account that asked for it; its rights at the time of the work decide.';
COMMENT ON COLUMN imports.applied_by IS 'Who had it applied, where that was a command of its own.';
COMMENT ON COLUMN imports.sheet IS 'Sheet that was read; null for CSV.';
COMMENT ON COLUMN imports.fields IS 'Field of each column of the file, empty where the column is ignored.';
COMMENT ON COLUMN imports.ignored_columns IS 'Titles of columns that are known and cannot be written.';
COMMENT ON COLUMN imports.done IS 'Rows that the present step has worked on.';
COMMENT ON COLUMN imports.total IS 'Rows in all; null while they are being read.';
COMMENT ON COLUMN imports.row_count IS 'Rows with content.';
COMMENT ON COLUMN imports.new_count IS 'Rows of objects that are new.';
COMMENT ON COLUMN imports.changed_count IS 'Rows of objects that change.';
COMMENT ON COLUMN imports.unchanged_count IS 'Rows of objects that are so already.';
COMMENT ON COLUMN imports.error_count IS 'Errors that were found; of many only the first are kept.';
COMMENT ON COLUMN imports.failure IS 'Why it failed as a whole: a code of import_failure.';
COMMENT ON COLUMN imports.version IS 'Raised by each change of state; the ETag.';
COMMENT ON COLUMN imports.created_at IS 'Wall time.';
COMMENT ON COLUMN imports.updated_at IS 'Wall time.';
COMMENT ON COLUMN imports.finished_at IS 'When it came to its end (wall time).';

CREATE TABLE import_rows (
    import_id uuid NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    number integer NOT NULL,
    payload bytea NOT NULL,
    faulty boolean NOT NULL,
    PRIMARY KEY (import_id, number)
);
COMMENT ON TABLE import_rows IS 'Rows of imports that have not come to their end; deleted when they have.';
COMMENT ON COLUMN import_rows.import_id IS 'The import.';
COMMENT ON COLUMN import_rows.number IS 'Number of the row in the file, from 1.';
COMMENT ON COLUMN import_rows.payload IS 'Its cells by field as JSON, sealed under the purpose personal; forgotten too soon to be sealed again. Passwords become hashes when it is validated.';
COMMENT ON COLUMN import_rows.faulty IS 'Something is wrong with the row by itself.';

CREATE TABLE import_errors (
    import_id uuid NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    seq integer NOT NULL,
    number integer,
    field text,
    code text NOT NULL,
    zh text NOT NULL,
    en text NOT NULL,
    value text,
    PRIMARY KEY (import_id, seq)
);
COMMENT ON TABLE import_errors IS 'What is wrong with the rows of an import: the first ten thousand, deleted a week after its end.';
COMMENT ON COLUMN import_errors.import_id IS 'The import.';
COMMENT ON COLUMN import_errors.seq IS 'Order in which they are told: by row, then column.';
COMMENT ON COLUMN import_errors.number IS 'Number of the row in the file; null: the file as a whole.';
COMMENT ON COLUMN import_errors.field IS 'Field of the column; null: the row as a whole.';
COMMENT ON COLUMN import_errors.code IS 'Stable code of the rule.';
COMMENT ON COLUMN import_errors.zh IS 'What to change, in Chinese.';
COMMENT ON COLUMN import_errors.en IS 'What to change, in English.';
COMMENT ON COLUMN import_errors.value IS 'What stands there, shortened, personal numbers masked; never a secret.';
