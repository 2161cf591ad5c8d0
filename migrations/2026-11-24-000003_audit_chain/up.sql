-- The chain over the audit trail: which transaction wrote an entry, seals that number and hash the entries, signed checkpoints.

-- Which entries have committed since the last look is a question about transactions, not about ids, which are made before the
-- commit. A constant first, so that the table is not rewritten; entries of before count as written long ago.
ALTER TABLE audit_entries ADD COLUMN transaction_id bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_entries ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id()::text::bigint;
CREATE INDEX audit_entries_transaction ON audit_entries (transaction_id, id);
COMMENT ON COLUMN audit_entries.transaction_id IS 'Transaction that wrote it, for the sealer; the service cannot choose it. 0: before there were seals.';
-- Column by column, without transaction_id: an entry with a made-up transaction would never be looked at.
REVOKE INSERT ON audit_entries FROM half_sky_service;
GRANT INSERT (id, at, actor_kind, actor_id, session_id, role, organization_id, action, object_type, object_id, before, after,
    reason, outcome, request_id) ON audit_entries TO half_sky_service;

CREATE TABLE audit_seals (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    entry_id uuid NOT NULL UNIQUE,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit_seals IS 'One row per sealed audit entry, without gaps; written by one sealer at a time; the service may only insert and select. No foreign key: it would lock, and so rewrite, every entry.';
COMMENT ON COLUMN audit_seals.seq IS 'Place in the chain, from 1.';
COMMENT ON COLUMN audit_seals.entry_id IS 'The entry.';
COMMENT ON COLUMN audit_seals.hash IS 'SHA-256 over the hash before (32 zero bytes before the first) and the RFC 8785 JSON of the entry with its seq.';
REVOKE UPDATE, DELETE, TRUNCATE ON audit_seals FROM half_sky_service;
CREATE TRIGGER audit_seals_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_final();

CREATE TABLE audit_sealer (
    one boolean PRIMARY KEY CHECK (one),
    cluster bigint NOT NULL,
    sealed_up_to text NOT NULL
);
COMMENT ON TABLE audit_sealer IS 'One row: how far the sealer has looked. Without it, or in another cluster, it looks at every entry again.';
COMMENT ON COLUMN audit_sealer.one IS 'True: there is one row.';
COMMENT ON COLUMN audit_sealer.cluster IS 'pg_control_system().system_identifier; transaction numbers of another cluster mean nothing.';
COMMENT ON COLUMN audit_sealer.sealed_up_to IS 'A pg_snapshot; every entry it sees has its seal.';

CREATE TABLE audit_checkpoints (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    at timestamptz NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    kid text NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64)
);
COMMENT ON TABLE audit_checkpoints IS 'Signed statements of how far the chain had come and with which hash; the same stand in a file outside the database. The service may only insert and select.';
COMMENT ON COLUMN audit_checkpoints.seq IS 'Last seal at that time.';
COMMENT ON COLUMN audit_checkpoints.hash IS 'Its hash.';
COMMENT ON COLUMN audit_checkpoints.at IS 'When it was made (wall time).';
COMMENT ON COLUMN audit_checkpoints.count IS 'Entries sealed since the checkpoint before.';
COMMENT ON COLUMN audit_checkpoints.kid IS 'Key that signed it.';
COMMENT ON COLUMN audit_checkpoints.signature IS 'Ed25519 over the RFC 8785 JSON of the other members.';
REVOKE UPDATE, DELETE, TRUNCATE ON audit_checkpoints FROM half_sky_service;
CREATE TRIGGER audit_checkpoints_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_final();

CREATE TABLE audit_keys (
    kid text PRIMARY KEY,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE audit_keys IS 'Keys that sign checkpoints; the newest signs, all verify. They sign nothing else.';
COMMENT ON COLUMN audit_keys.kid IS 'RFC 7638 thumbprint.';
COMMENT ON COLUMN audit_keys.public_key IS 'Raw Ed25519 public key, 32 bytes.';
COMMENT ON COLUMN audit_keys.private_key IS 'Raw private key, sealed under the purpose secrets.';
COMMENT ON COLUMN audit_keys.created_at IS 'When the key was made (wall time).';
REVOKE DELETE, TRUNCATE ON audit_keys FROM half_sky_service;
