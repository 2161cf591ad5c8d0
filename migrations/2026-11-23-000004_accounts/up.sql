-- Accounts, their grants and sessions.

CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    username text NOT NULL UNIQUE CHECK (username = lower(username)),
    display_name text NOT NULL,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    person_id uuid REFERENCES people (id),
    status text NOT NULL CHECK (status IN ('active', 'disabled')),
    password_hash text NOT NULL,
    password_is_initial boolean NOT NULL,
    password_changed_at timestamptz NOT NULL,
    totp_secret bytea,
    totp_confirmed boolean NOT NULL DEFAULT false,
    totp_last_step bigint,
    last_login_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX accounts_organization ON accounts (organization_id, id);
CREATE INDEX accounts_person ON accounts (person_id);
COMMENT ON TABLE accounts IS 'People who sign in with a password.';
COMMENT ON COLUMN accounts.id IS 'UUIDv7; sub of her tokens.';
COMMENT ON COLUMN accounts.username IS 'Sign-in name, lower case.';
COMMENT ON COLUMN accounts.display_name IS 'Name shown to colleagues.';
COMMENT ON COLUMN accounts.organization_id IS 'Organization that keeps the account; who administers that subtree administers the account.';
COMMENT ON COLUMN accounts.person_id IS 'Her record in people.';
COMMENT ON COLUMN accounts.status IS 'active or disabled.';
COMMENT ON COLUMN accounts.password_hash IS 'argon2id in PHC form.';
COMMENT ON COLUMN accounts.password_is_initial IS 'Set by somebody else: must be changed before anything else.';
COMMENT ON COLUMN accounts.password_changed_at IS 'Wall time.';
COMMENT ON COLUMN accounts.totp_secret IS 'TOTP secret, sealed under the purpose secrets.';
COMMENT ON COLUMN accounts.totp_confirmed IS 'Whether the second factor is on.';
COMMENT ON COLUMN accounts.totp_last_step IS 'Last accepted 30-second step; a code works once.';
COMMENT ON COLUMN accounts.last_login_at IS 'Wall time.';
COMMENT ON COLUMN accounts.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN accounts.created_at IS 'Wall time.';
COMMENT ON COLUMN accounts.updated_at IS 'Wall time.';

CREATE TABLE recovery_codes (
    account_id uuid NOT NULL REFERENCES accounts (id),
    code_hash bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (account_id, code_hash)
);
COMMENT ON TABLE recovery_codes IS 'One-use codes for a lost second factor.';
COMMENT ON COLUMN recovery_codes.account_id IS 'Whose.';
COMMENT ON COLUMN recovery_codes.code_hash IS 'SHA-256 of the code (80 random bits).';
COMMENT ON COLUMN recovery_codes.used_at IS 'When it was used (wall time).';

CREATE TABLE sign_in_attempts (
    account_id uuid NOT NULL REFERENCES accounts (id),
    address_hash bytea NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    last_failure_at timestamptz,
    last_success_at timestamptz,
    PRIMARY KEY (account_id, address_hash)
);
COMMENT ON TABLE sign_in_attempts IS 'Wrong and right passwords per account and network, so that an attacker locks out only his own network.';
COMMENT ON COLUMN sign_in_attempts.account_id IS 'The account.';
COMMENT ON COLUMN sign_in_attempts.address_hash IS 'Keyed hash of the network (/24 or /48) the attempts came from.';
COMMENT ON COLUMN sign_in_attempts.failures IS 'Wrong passwords since the last right one.';
COMMENT ON COLUMN sign_in_attempts.last_failure_at IS 'Wall time.';
COMMENT ON COLUMN sign_in_attempts.last_success_at IS 'Wall time.';

CREATE TABLE grants (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    role text NOT NULL CHECK (role IN ('platform_admin', 'org_admin', 'manager', 'officer', 'reviewer', 'auditor', 'viewer',
        'agency_reviewer', 'agency_admin', 'scanner', 'citizen')),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    modules text[] NOT NULL,
    from_on date NOT NULL,
    to_on date CHECK (to_on >= from_on),
    granted_by uuid REFERENCES accounts (id),
    created_at timestamptz NOT NULL
);
CREATE INDEX grants_account ON grants (account_id, id);
CREATE INDEX grants_organization ON grants (organization_id);
CREATE INDEX grants_granted_by ON grants (granted_by);
COMMENT ON TABLE grants IS 'Who may do what where: role, place, modules, validity. A grant covers the subtree of its organization.';
COMMENT ON COLUMN grants.id IS 'UUIDv7.';
COMMENT ON COLUMN grants.account_id IS 'To whom.';
COMMENT ON COLUMN grants.role IS 'Which role.';
COMMENT ON COLUMN grants.organization_id IS 'The place.';
COMMENT ON COLUMN grants.modules IS 'For which modules.';
COMMENT ON COLUMN grants.from_on IS 'First day of validity.';
COMMENT ON COLUMN grants.to_on IS 'Last day of validity; null: open.';
COMMENT ON COLUMN grants.granted_by IS 'Who granted it; null: the command line.';
COMMENT ON COLUMN grants.created_at IS 'Wall time.';

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    authenticated_at timestamptz NOT NULL,
    strong boolean NOT NULL,
    user_agent text,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text CHECK (end_reason IN ('logout', 'ended', 'reuse', 'password', 'disabled', 'expired', 'replaced'))
);
CREATE INDEX sessions_account ON sessions (account_id, id) WHERE ended_at IS NULL;
CREATE INDEX sessions_account_all ON sessions (account_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);
COMMENT ON TABLE sessions IS 'Signed-in devices; each access token names its session.';
COMMENT ON COLUMN sessions.id IS 'UUIDv7; sid of the tokens.';
COMMENT ON COLUMN sessions.account_id IS 'Whose.';
COMMENT ON COLUMN sessions.authenticated_at IS 'Last time a password or code was shown (wall time); step-up refreshes it.';
COMMENT ON COLUMN sessions.strong IS 'A second factor was shown.';
COMMENT ON COLUMN sessions.user_agent IS 'What the device calls itself, shortened.';
COMMENT ON COLUMN sessions.created_at IS 'Wall time.';
COMMENT ON COLUMN sessions.last_used_at IS 'Last refresh (wall time).';
COMMENT ON COLUMN sessions.expires_at IS 'Absolute end (wall time).';
COMMENT ON COLUMN sessions.ended_at IS 'When it was ended (wall time).';
COMMENT ON COLUMN sessions.end_reason IS 'Why it was ended.';

CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
COMMENT ON TABLE refresh_tokens IS 'Rotating refresh tokens; a second use of one ends the session.';
COMMENT ON COLUMN refresh_tokens.hash IS 'SHA-256 of the 256-bit token.';
COMMENT ON COLUMN refresh_tokens.session_id IS 'Session it continues.';
COMMENT ON COLUMN refresh_tokens.created_at IS 'Wall time.';
COMMENT ON COLUMN refresh_tokens.expires_at IS 'Idle end (wall time).';
COMMENT ON COLUMN refresh_tokens.used_at IS 'When it was exchanged (wall time).';

ALTER TABLE organization_liaisons ADD CONSTRAINT organization_liaisons_account_fk FOREIGN KEY (account_id) REFERENCES accounts (id);
