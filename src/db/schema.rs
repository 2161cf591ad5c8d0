// Generated from the migrated database; tests/api/schema.rs compares and refreshes it.

diesel::table! {
    accounts (id) {
        id -> Uuid,
        username -> Text,
        display_name -> Text,
        organization_id -> Uuid,
        person_id -> Nullable<Uuid>,
        status -> Text,
        password_hash -> Text,
        password_is_initial -> Bool,
        password_changed_at -> Timestamptz,
        totp_secret -> Nullable<Bytea>,
        totp_confirmed -> Bool,
        totp_last_step -> Nullable<BigInt>,
        last_login_at -> Nullable<Timestamptz>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    audit_checkpoints (seq) {
        seq -> BigInt,
        hash -> Bytea,
        at -> Timestamptz,
        count -> BigInt,
        kid -> Text,
        signature -> Bytea,
    }
}

diesel::table! {
    audit_entries (id) {
        id -> Uuid,
        at -> Timestamptz,
        actor_kind -> Text,
        actor_id -> Nullable<Uuid>,
        session_id -> Nullable<Uuid>,
        role -> Nullable<Text>,
        organization_id -> Nullable<Uuid>,
        action -> Text,
        object_type -> Text,
        object_id -> Nullable<Uuid>,
        before -> Nullable<Jsonb>,
        after -> Nullable<Jsonb>,
        reason -> Nullable<Text>,
        outcome -> Text,
        request_id -> Nullable<Text>,
        transaction_id -> BigInt,
    }
}

diesel::table! {
    audit_keys (kid) {
        kid -> Text,
        public_key -> Bytea,
        private_key -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    audit_sealer (one) {
        one -> Bool,
        cluster -> BigInt,
        sealed_up_to -> Text,
    }
}

diesel::table! {
    audit_seals (seq) {
        seq -> BigInt,
        entry_id -> Uuid,
        hash -> Bytea,
    }
}

diesel::table! {
    contact_assignments (id) {
        id -> Uuid,
        organization_id -> Uuid,
        post_id -> Uuid,
        person_id -> Uuid,
        area_organization_id -> Nullable<Uuid>,
        area -> Nullable<Text>,
        place_id -> Uuid,
        households_count -> Nullable<Integer>,
        women_count -> Nullable<Integer>,
        from_on -> Date,
        to_on -> Nullable<Date>,
        end_reason -> Nullable<Text>,
        remark -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    coverage_units (id) {
        id -> Uuid,
        kind -> Text,
        name -> Text,
        organization_id -> Uuid,
        division_code -> Text,
        uscc -> Nullable<Text>,
        address -> Nullable<Text>,
        employees_count -> Nullable<Integer>,
        women_count -> Nullable<Integer>,
        covered_by_organization_id -> Nullable<Uuid>,
        covered_by_site_id -> Nullable<Uuid>,
        external_id -> Nullable<Text>,
        status -> Text,
        closed_on -> Nullable<Date>,
        close_reason -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    data_keys (id) {
        id -> Uuid,
        purpose -> Text,
        wrapped -> Bytea,
        master_key_id -> Text,
        is_current -> Bool,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    data_versions (data_set, slice) {
        data_set -> Text,
        slice -> Text,
        version -> Integer,
        loaded_at -> Timestamptz,
    }
}

diesel::table! {
    dictionary_entries (dictionary, code) {
        dictionary -> Text,
        code -> Text,
        position -> Integer,
        label_zh -> Text,
        label_en -> Text,
        edited -> Bool,
    }
}

diesel::table! {
    divisions (code) {
        code -> Text,
        name -> Text,
        full_name -> Text,
        level -> Text,
        parent_code -> Nullable<Text>,
        code_system -> Text,
        edited -> Bool,
    }
}

diesel::table! {
    exports (id) {
        id -> Uuid,
        operation_id -> Uuid,
        account_id -> Uuid,
        session_id -> Uuid,
        organization_id -> Uuid,
        source -> Text,
        parameters -> Jsonb,
        filters -> Jsonb,
        column_names -> Array<Text>,
        format -> Text,
        cell_values -> Text,
        english -> Bool,
        personal -> Bool,
        reason -> Nullable<Text>,
        file_name -> Text,
        attempts -> Integer,
        row_count -> Nullable<BigInt>,
        object_id -> Nullable<Uuid>,
        size -> Nullable<BigInt>,
        sha256 -> Nullable<Bytea>,
        content_key -> Nullable<Bytea>,
        places -> Array<Uuid>,
        expires_at -> Nullable<Timestamptz>,
        removed_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    files (id) {
        id -> Uuid,
        organization_id -> Uuid,
        uploaded_by -> Uuid,
        purpose -> Text,
        name -> Text,
        media_type -> Text,
        size -> BigInt,
        sha256 -> Bytea,
        content_key -> Bytea,
        width -> Nullable<Integer>,
        height -> Nullable<Integer>,
        attached_type -> Nullable<Text>,
        attached_id -> Nullable<Uuid>,
        attached_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    grants (id) {
        id -> Uuid,
        account_id -> Uuid,
        role -> Text,
        organization_id -> Uuid,
        modules -> Array<Text>,
        from_on -> Date,
        to_on -> Nullable<Date>,
        granted_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    idempotency_keys (principal, operation, key) {
        principal -> Uuid,
        operation -> Text,
        key -> Text,
        fingerprint -> Bytea,
        status -> SmallInt,
        body -> Bytea,
        etag -> Nullable<Text>,
        location -> Nullable<Text>,
        permission -> Text,
        places -> Array<Uuid>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    import_errors (import_id, seq) {
        import_id -> Uuid,
        seq -> Integer,
        number -> Nullable<Integer>,
        field -> Nullable<Text>,
        code -> Text,
        zh -> Text,
        en -> Text,
        value -> Nullable<Text>,
    }
}

diesel::table! {
    import_rows (import_id, number) {
        import_id -> Uuid,
        number -> Integer,
        payload -> Bytea,
        faulty -> Bool,
    }
}

diesel::table! {
    imports (id) {
        id -> Uuid,
        kind -> Text,
        mode -> Text,
        status -> Text,
        organization_id -> Uuid,
        file_id -> Nullable<Uuid>,
        file_name -> Text,
        media_type -> Text,
        file_sha256 -> Bytea,
        again -> Bool,
        same_as_id -> Nullable<Uuid>,
        operation_id -> Uuid,
        created_by -> Uuid,
        applied_by -> Nullable<Uuid>,
        sheet -> Nullable<Text>,
        fields -> Array<Text>,
        ignored_columns -> Array<Text>,
        done -> BigInt,
        total -> Nullable<BigInt>,
        row_count -> Integer,
        new_count -> Integer,
        changed_count -> Integer,
        unchanged_count -> Integer,
        error_count -> Integer,
        failure -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    indicators (id) {
        id -> Uuid,
        task_id -> Uuid,
        position -> Integer,
        code -> Nullable<Text>,
        name -> Text,
        name_en -> Nullable<Text>,
        unit -> Text,
        comparator -> Text,
        target -> Nullable<Numeric>,
        value_kind -> Text,
        source -> Text,
        derivation -> Nullable<Text>,
        frequency -> Text,
        starts_on -> Date,
        due_on -> Date,
        weight -> Numeric,
        counting_rule -> Nullable<Text>,
        note -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    jobs (id) {
        id -> Uuid,
        kind -> Text,
        payload -> Jsonb,
        state -> Text,
        run_at -> Timestamptz,
        attempts -> Integer,
        max_attempts -> Integer,
        leased_until -> Nullable<Timestamptz>,
        last_error -> Nullable<Text>,
        created_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    markers (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    operations (id) {
        id -> Uuid,
        kind -> Text,
        account_id -> Nullable<Uuid>,
        organization_id -> Nullable<Uuid>,
        status -> Text,
        done -> BigInt,
        total -> Nullable<BigInt>,
        error -> Nullable<Text>,
        cancel_requested -> Bool,
        version -> Integer,
        created_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    organization_events (id) {
        id -> Uuid,
        organization_id -> Uuid,
        kind -> Text,
        occurred_on -> Date,
        from_id -> Nullable<Uuid>,
        to_id -> Nullable<Uuid>,
        changes -> Jsonb,
        reason -> Nullable<Text>,
        actor_id -> Nullable<Uuid>,
        recorded_at -> Timestamptz,
    }
}

diesel::table! {
    organization_liaisons (organization_id, account_id) {
        organization_id -> Uuid,
        account_id -> Uuid,
        modules -> Array<Text>,
    }
}

diesel::table! {
    organization_past_statuses (organization_id, to_on) {
        organization_id -> Uuid,
        from_on -> Nullable<Date>,
        to_on -> Date,
        status -> Text,
        successor_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    organization_tree (ancestor_id, descendant_id) {
        ancestor_id -> Uuid,
        descendant_id -> Uuid,
        depth -> SmallInt,
        from_on -> Date,
        to_on -> Nullable<Date>,
    }
}

diesel::table! {
    organizations (id) {
        id -> Uuid,
        kind -> Text,
        level -> Text,
        name -> Text,
        short_name -> Nullable<Text>,
        parent_id -> Nullable<Uuid>,
        host_name -> Nullable<Text>,
        division_code -> Nullable<Text>,
        uscc -> Nullable<Text>,
        address -> Nullable<Text>,
        longitude -> Nullable<Numeric>,
        latitude -> Nullable<Numeric>,
        phone -> Nullable<Text>,
        founded_on -> Nullable<Date>,
        approval_document -> Nullable<Text>,
        status -> Text,
        status_changed_on -> Nullable<Date>,
        successor_id -> Nullable<Uuid>,
        tags -> Array<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    people (id) {
        id -> Uuid,
        organization_id -> Uuid,
        name -> Text,
        sex -> Nullable<Text>,
        birth_year -> Nullable<SmallInt>,
        phone -> Nullable<Bytea>,
        phone_hash -> Nullable<Bytea>,
        phone_masked -> Nullable<Text>,
        id_number -> Nullable<Bytea>,
        id_number_hash -> Nullable<Bytea>,
        id_number_masked -> Nullable<Text>,
        tags -> Array<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        status -> Text,
        merged_into_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    person_merge_suggestions (id) {
        id -> Uuid,
        person_id -> Uuid,
        other_id -> Uuid,
        reasons -> Array<Text>,
        status -> Text,
        dismiss_reason -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    person_places (source_id) {
        source_id -> Uuid,
        person_id -> Uuid,
        organization_id -> Uuid,
        to_on -> Nullable<Date>,
    }
}

diesel::table! {
    plans (id) {
        id -> Uuid,
        organization_id -> Uuid,
        kind -> Text,
        year -> SmallInt,
        title -> Text,
        document_number -> Nullable<Text>,
        status -> Text,
        revision -> Integer,
        issued_on -> Nullable<Date>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    post_minimums (kind, rank) {
        kind -> Text,
        rank -> SmallInt,
        position -> Text,
        counted -> Array<Text>,
        minimum -> Nullable<Integer>,
        source -> Nullable<Text>,
    }
}

diesel::table! {
    posts (id) {
        id -> Uuid,
        organization_id -> Uuid,
        person_id -> Uuid,
        position -> Text,
        employment_mode -> Text,
        secondment -> Nullable<Text>,
        from_on -> Date,
        to_on -> Nullable<Date>,
        appointed_by -> Nullable<Text>,
        end_reason -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    recovery_codes (account_id, code_hash) {
        account_id -> Uuid,
        code_hash -> Bytea,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    refresh_tokens (hash) {
        hash -> Bytea,
        session_id -> Uuid,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        account_id -> Uuid,
        authenticated_at -> Timestamptz,
        strong -> Bool,
        user_agent -> Nullable<Text>,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
        expires_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        end_reason -> Nullable<Text>,
    }
}

diesel::table! {
    sign_in_attempts (account_id, address_hash) {
        account_id -> Uuid,
        address_hash -> Bytea,
        failures -> Integer,
        last_failure_at -> Nullable<Timestamptz>,
        last_success_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        algorithm -> Text,
        public_key -> Bytea,
        private_key -> Bytea,
        state -> Text,
        created_at -> Timestamptz,
        state_changed_at -> Timestamptz,
    }
}

diesel::table! {
    site_past_owners (site_id, to_on) {
        site_id -> Uuid,
        to_on -> Date,
        owner_organization_id -> Uuid,
    }
}

diesel::table! {
    sites (id) {
        id -> Uuid,
        owner_organization_id -> Uuid,
        kind -> Text,
        name -> Text,
        feature -> Nullable<Text>,
        enterprise_id -> Nullable<Uuid>,
        address -> Nullable<Text>,
        longitude -> Nullable<Numeric>,
        latitude -> Nullable<Numeric>,
        phone -> Nullable<Text>,
        checklist -> Jsonb,
        accreditation -> Nullable<Text>,
        accredited_on -> Nullable<Date>,
        accreditation_document -> Nullable<Text>,
        status -> Text,
        closed_on -> Nullable<Date>,
        close_reason -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    task_organizations (task_id, organization_id) {
        task_id -> Uuid,
        organization_id -> Uuid,
        part -> Text,
    }
}

diesel::table! {
    tasks (id) {
        id -> Uuid,
        plan_id -> Uuid,
        position -> Integer,
        number -> Text,
        code -> Nullable<Text>,
        chapter_number -> SmallInt,
        chapter -> Text,
        point_number -> SmallInt,
        point -> Text,
        title -> Text,
        title_en -> Nullable<Text>,
        lead_organization_id -> Nullable<Uuid>,
        lead_organization_kind -> Nullable<Text>,
        responsible_organization_kinds -> Array<Text>,
        outside_partners -> Array<Text>,
        due_on -> Date,
        frequency -> Text,
        record_kinds -> Array<Text>,
        notes -> Nullable<Text>,
        version -> Integer,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    timetable_runs (name) {
        name -> Text,
        last_due_at -> Timestamptz,
    }
}

diesel::table! {
    work_items (id) {
        id -> Uuid,
        kind -> Text,
        title -> Text,
        subject_type -> Text,
        subject_id -> Uuid,
        subject_number -> Nullable<Text>,
        organization_id -> Uuid,
        account_id -> Nullable<Uuid>,
        permission -> Text,
        since -> Timestamptz,
        due_on -> Nullable<Date>,
        done_at -> Nullable<Timestamptz>,
        done_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    working_calendar (day) {
        day -> Date,
        kind -> Text,
        name -> Text,
        edited -> Bool,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    accounts,
    audit_checkpoints,
    audit_entries,
    audit_keys,
    audit_sealer,
    audit_seals,
    contact_assignments,
    coverage_units,
    data_keys,
    data_versions,
    dictionary_entries,
    divisions,
    exports,
    files,
    grants,
    idempotency_keys,
    import_errors,
    import_rows,
    imports,
    indicators,
    jobs,
    markers,
    operations,
    organization_events,
    organization_liaisons,
    organization_past_statuses,
    organization_tree,
    organizations,
    people,
    person_merge_suggestions,
    person_places,
    plans,
    post_minimums,
    posts,
    recovery_codes,
    refresh_tokens,
    sessions,
    sign_in_attempts,
    signing_keys,
    site_past_owners,
    sites,
    task_organizations,
    tasks,
    timetable_runs,
    work_items,
    working_calendar
);
