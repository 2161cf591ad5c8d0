DROP TABLE import_errors, import_rows, imports;
