-- Files: what they are and whose; their bytes are in the object store under the same id.

CREATE TABLE files (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    uploaded_by uuid NOT NULL REFERENCES accounts (id),
    purpose text NOT NULL CHECK (purpose IN ('site_photo', 'work_record', 'evidence', 'event', 'loan_document', 'nomination',
        'consent', 'import', 'other')),
    name text NOT NULL,
    media_type text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    content_key bytea NOT NULL,
    width integer,
    height integer,
    attached_type text CHECK (attached_type IN ('site')),
    attached_id uuid,
    attached_at timestamptz,
    created_at timestamptz NOT NULL,
    CHECK ((attached_type IS NULL) = (attached_id IS NULL)),
    CHECK ((width IS NULL) = (height IS NULL))
);
CREATE INDEX files_organization ON files (organization_id, id);
CREATE INDEX files_uploaded_by ON files (uploaded_by, id);
CREATE INDEX files_attached ON files (attached_type, attached_id, id) WHERE attached_id IS NOT NULL;
CREATE INDEX files_loose ON files (created_at) WHERE attached_id IS NULL;

COMMENT ON TABLE files IS 'What was uploaded. Rows never change but for being attached once; the bytes lie in the object store under the id';
COMMENT ON COLUMN files.id IS 'UUIDv7, the key in the object store too';
COMMENT ON COLUMN files.organization_id IS 'Whose it is: scope; of an attached file the organization of the object';
COMMENT ON COLUMN files.uploaded_by IS 'Account that uploaded it; may always read it and delete it while it is not attached';
COMMENT ON COLUMN files.purpose IS 'What it is for; decides which module of a grant may read it';
COMMENT ON COLUMN files.name IS 'Name as the client gave it, without folders';
COMMENT ON COLUMN files.media_type IS 'By content, never by name';
COMMENT ON COLUMN files.size IS 'Bytes';
COMMENT ON COLUMN files.sha256 IS 'SHA-256 of the bytes';
COMMENT ON COLUMN files.content_key IS 'Key of the object''s bytes, sealed by the data key for personal data';
COMMENT ON COLUMN files.width IS 'Pixels, of images';
COMMENT ON COLUMN files.height IS 'Pixels, of images';
COMMENT ON COLUMN files.attached_type IS 'Kind of the object it belongs to';
COMMENT ON COLUMN files.attached_id IS 'The object it belongs to; null: loose, cleaned away after some days';
COMMENT ON COLUMN files.attached_at IS 'When it was attached (domain time)';
COMMENT ON COLUMN files.created_at IS 'When it was uploaded (wall time)';
