DROP TABLE audit_keys;
DROP TABLE audit_checkpoints;
DROP TABLE audit_sealer;
DROP TABLE audit_seals;
REVOKE INSERT (id, at, actor_kind, actor_id, session_id, role, organization_id, action, object_type, object_id, before, after,
    reason, outcome, request_id) ON audit_entries FROM half_sky_service;
GRANT INSERT ON audit_entries TO half_sky_service;
ALTER TABLE audit_entries DROP COLUMN transaction_id;
