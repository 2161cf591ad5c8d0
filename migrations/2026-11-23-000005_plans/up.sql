-- The year's plan as it is read: plans, tasks, indicators.

CREATE TABLE plans (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    kind text NOT NULL CHECK (kind IN ('annual', 'special', 'ad_hoc')),
    year smallint NOT NULL CHECK (year BETWEEN 2000 AND 2100),
    title text NOT NULL,
    document_number text,
    status text NOT NULL CHECK (status IN ('draft', 'issued', 'closed', 'archived')),
    revision integer NOT NULL DEFAULT 1,
    issued_on date,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX plans_organization ON plans (organization_id, id);
COMMENT ON TABLE plans IS 'Work plans of organizations.';
COMMENT ON COLUMN plans.id IS 'UUIDv7.';
COMMENT ON COLUMN plans.organization_id IS 'Whose plan.';
COMMENT ON COLUMN plans.kind IS 'annual, special or ad_hoc.';
COMMENT ON COLUMN plans.year IS 'Plan year.';
COMMENT ON COLUMN plans.title IS 'Title.';
COMMENT ON COLUMN plans.document_number IS 'Number of the issuing document, e.g. 岳妇发〔2019〕1号.';
COMMENT ON COLUMN plans.status IS 'draft, issued, closed or archived.';
COMMENT ON COLUMN plans.revision IS 'Raised by each revision after issue.';
COMMENT ON COLUMN plans.issued_on IS 'Date of the issuing document.';
COMMENT ON COLUMN plans.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN plans.created_at IS 'Domain time.';
COMMENT ON COLUMN plans.updated_at IS 'Domain time.';

CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    plan_id uuid NOT NULL REFERENCES plans (id),
    position integer NOT NULL,
    number text NOT NULL,
    code text,
    chapter_number smallint NOT NULL,
    chapter text NOT NULL,
    point_number smallint NOT NULL,
    point text NOT NULL,
    title text NOT NULL,
    title_en text,
    lead_organization_id uuid REFERENCES organizations (id),
    lead_organization_kind text,
    responsible_organization_kinds text[] NOT NULL,
    outside_partners text[] NOT NULL,
    due_on date NOT NULL,
    frequency text NOT NULL CHECK (frequency IN ('once', 'week', 'month', 'quarter', 'half_year', 'year')),
    record_kinds text[] NOT NULL,
    notes text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (plan_id, number),
    UNIQUE (plan_id, position)
);
CREATE INDEX tasks_lead ON tasks (lead_organization_id);
COMMENT ON TABLE tasks IS 'Tasks of a plan.';
COMMENT ON COLUMN tasks.id IS 'UUIDv7.';
COMMENT ON COLUMN tasks.plan_id IS 'Their plan.';
COMMENT ON COLUMN tasks.position IS 'Order in the plan.';
COMMENT ON COLUMN tasks.number IS 'Number in the plan, e.g. 5.3.';
COMMENT ON COLUMN tasks.code IS 'Code of the imported structure, e.g. YY2019-05-03.';
COMMENT ON COLUMN tasks.chapter_number IS 'Number of the chapter.';
COMMENT ON COLUMN tasks.chapter IS 'Title of the chapter.';
COMMENT ON COLUMN tasks.point_number IS 'Number of the work point.';
COMMENT ON COLUMN tasks.point IS 'Title of the work point.';
COMMENT ON COLUMN tasks.title IS 'Title, verbatim.';
COMMENT ON COLUMN tasks.title_en IS 'Title in English.';
COMMENT ON COLUMN tasks.lead_organization_id IS 'Organization that leads.';
COMMENT ON COLUMN tasks.lead_organization_kind IS 'Where every unit of a kind leads its own share.';
COMMENT ON COLUMN tasks.responsible_organization_kinds IS 'Kinds of organizations that carry it out.';
COMMENT ON COLUMN tasks.outside_partners IS 'Partners outside the federation, by name.';
COMMENT ON COLUMN tasks.due_on IS 'Due date.';
COMMENT ON COLUMN tasks.frequency IS 'How often it is reported.';
COMMENT ON COLUMN tasks.record_kinds IS 'Kinds of work records that prove it.';
COMMENT ON COLUMN tasks.notes IS 'Remarks.';
COMMENT ON COLUMN tasks.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN tasks.created_at IS 'Domain time.';
COMMENT ON COLUMN tasks.updated_at IS 'Domain time.';

CREATE TABLE task_organizations (
    task_id uuid NOT NULL REFERENCES tasks (id),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    part text NOT NULL CHECK (part IN ('responsible', 'cooperating')),
    PRIMARY KEY (task_id, organization_id)
);
CREATE INDEX task_organizations_organization ON task_organizations (organization_id);
COMMENT ON TABLE task_organizations IS 'Organizations named one by one in a task.';
COMMENT ON COLUMN task_organizations.task_id IS 'The task.';
COMMENT ON COLUMN task_organizations.organization_id IS 'The organization.';
COMMENT ON COLUMN task_organizations.part IS 'responsible 责任单位 or cooperating 配合单位.';

CREATE TABLE indicators (
    id uuid PRIMARY KEY,
    task_id uuid NOT NULL REFERENCES tasks (id),
    position integer NOT NULL,
    code text,
    name text NOT NULL,
    name_en text,
    unit text NOT NULL,
    comparator text NOT NULL CHECK (comparator IN ('gte', 'lte', 'eq', 'none')),
    target numeric(18, 4),
    value_kind text NOT NULL CHECK (value_kind IN ('increment', 'cumulative', 'rate', 'boolean', 'distinct_count')),
    source text NOT NULL CHECK (source IN ('declared', 'derived')),
    derivation text,
    frequency text NOT NULL CHECK (frequency IN ('once', 'monthly', 'yearly')),
    starts_on date NOT NULL,
    due_on date NOT NULL,
    weight numeric(18, 4) NOT NULL,
    counting_rule text,
    note text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (task_id, position),
    CHECK ((comparator = 'none') = (target IS NULL))
);
COMMENT ON TABLE indicators IS 'What a task is measured by.';
COMMENT ON COLUMN indicators.id IS 'UUIDv7.';
COMMENT ON COLUMN indicators.task_id IS 'Their task.';
COMMENT ON COLUMN indicators.position IS 'Order in the task.';
COMMENT ON COLUMN indicators.code IS 'Code of the imported structure.';
COMMENT ON COLUMN indicators.name IS 'Name.';
COMMENT ON COLUMN indicators.name_en IS 'Name in English.';
COMMENT ON COLUMN indicators.unit IS 'Unit, verbatim.';
COMMENT ON COLUMN indicators.comparator IS 'gte, lte, eq; none: no number was set.';
COMMENT ON COLUMN indicators.target IS 'Target in the unit; null where there is none.';
COMMENT ON COLUMN indicators.value_kind IS 'How values add up.';
COMMENT ON COLUMN indicators.source IS 'declared by report or derived from records.';
COMMENT ON COLUMN indicators.derivation IS 'Name of the registered query that derives it.';
COMMENT ON COLUMN indicators.frequency IS 'How often the target applies.';
COMMENT ON COLUMN indicators.starts_on IS 'First day that counts.';
COMMENT ON COLUMN indicators.due_on IS 'Last day that counts.';
COMMENT ON COLUMN indicators.weight IS 'Weight within the task.';
COMMENT ON COLUMN indicators.counting_rule IS 'What counts, in words.';
COMMENT ON COLUMN indicators.note IS 'Remarks.';
COMMENT ON COLUMN indicators.version IS 'Raised by every change; the ETag.';
COMMENT ON COLUMN indicators.created_at IS 'Domain time.';
COMMENT ON COLUMN indicators.updated_at IS 'Domain time.';
