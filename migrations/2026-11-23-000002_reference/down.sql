DROP TABLE working_calendar, dictionary_entries, divisions;
