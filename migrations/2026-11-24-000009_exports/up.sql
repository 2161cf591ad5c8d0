-- Exports: a list as a file, made in the background on behalf of whoever asked, kept for a day.

CREATE TABLE exports (
    id uuid PRIMARY KEY,
    operation_id uuid NOT NULL UNIQUE REFERENCES operations (id) ON DELETE CASCADE,
    account_id uuid NOT NULL REFERENCES accounts (id),
    session_id uuid NOT NULL,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    source text NOT NULL,
    parameters jsonb NOT NULL,
    filters jsonb NOT NULL,
    column_names text[] NOT NULL,
    format text NOT NULL CHECK (format IN ('xlsx', 'csv')),
    cell_values text NOT NULL CHECK (cell_values IN ('codes', 'labels')),
    english boolean NOT NULL,
    personal boolean NOT NULL,
    reason text,
    file_name text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    row_count bigint CHECK (row_count >= 0),
    object_id uuid,
    size bigint CHECK (size > 0),
    sha256 bytea CHECK (octet_length(sha256) = 32),
    content_key bytea,
    places uuid[] NOT NULL DEFAULT '{}',
    expires_at timestamptz,
    removed_at timestamptz,
    created_at timestamptz NOT NULL,
    CHECK (NOT personal OR reason IS NOT NULL),
    CHECK (num_nonnulls(row_count, object_id, size, sha256, content_key, expires_at) IN (0, 6))
);
CREATE INDEX exports_account ON exports (account_id, id);
CREATE INDEX exports_organization ON exports (organization_id);
CREATE INDEX exports_expiring ON exports (expires_at) WHERE removed_at IS NULL;
CREATE INDEX exports_object ON exports (object_id) WHERE object_id IS NOT NULL;

COMMENT ON TABLE exports IS 'Lists that were asked for as a file. How far one is stands in its operation, and it is forgotten with it';
COMMENT ON COLUMN exports.id IS 'UUIDv7';
COMMENT ON COLUMN exports.operation_id IS 'Its work in the background: status, progress, cancelling';
COMMENT ON COLUMN exports.account_id IS 'Who asked; nobody else sees it or its file';
COMMENT ON COLUMN exports.session_id IS 'Session in which she asked; not a reference: it may be forgotten earlier';
COMMENT ON COLUMN exports.organization_id IS 'Organization that kept her account when she asked, for the audit trail';
COMMENT ON COLUMN exports.source IS 'Which list: its path without the base';
COMMENT ON COLUMN exports.parameters IS 'Parameters of the path, by name';
COMMENT ON COLUMN exports.filters IS 'Query parameters of the list, by name, checked when it was asked for';
COMMENT ON COLUMN exports.column_names IS 'Which columns in which order, dotted names of the item';
COMMENT ON COLUMN exports.format IS 'Format of the file';
COMMENT ON COLUMN exports.cell_values IS 'Whether enumerated values are written as codes or as labels';
COMMENT ON COLUMN exports.english IS 'Headers and labels in English; otherwise in Chinese';
COMMENT ON COLUMN exports.personal IS 'One of the columns holds personal data';
COMMENT ON COLUMN exports.reason IS 'Why, in her words; demanded for personal data';
COMMENT ON COLUMN exports.file_name IS 'Name under which the file is downloaded';
COMMENT ON COLUMN exports.attempts IS 'How often a worker has begun it';
COMMENT ON COLUMN exports.row_count IS 'Rows in the file; null until it is there, as all that describes the file';
COMMENT ON COLUMN exports.object_id IS 'The file in the object store, another one for each attempt';
COMMENT ON COLUMN exports.size IS 'Bytes of the file';
COMMENT ON COLUMN exports.sha256 IS 'SHA-256 of the file';
COMMENT ON COLUMN exports.content_key IS 'Key of the file''s bytes, sealed by the data key for personal data';
COMMENT ON COLUMN exports.places IS 'Roots of the subtrees in which she could read the list; without them she does not get the file';
COMMENT ON COLUMN exports.expires_at IS 'The file is not given out after this (wall time)';
COMMENT ON COLUMN exports.removed_at IS 'When the file was removed (wall time)';
COMMENT ON COLUMN exports.created_at IS 'When it was asked for (wall time)';
