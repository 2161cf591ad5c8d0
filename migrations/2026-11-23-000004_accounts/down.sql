ALTER TABLE organization_liaisons DROP CONSTRAINT organization_liaisons_account_fk;
DROP TABLE refresh_tokens, sessions, grants, sign_in_attempts, recovery_codes, accounts;
