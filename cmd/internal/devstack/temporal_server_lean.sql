-- Fewer indexes for Temporal's visibility database on PostgreSQL (Temporal server 1.31): optional, for installations where
-- Temporal serves Greenroom alone.
--
-- The table executions_visibility has 74 indexes, most of them for search attributes that an installation might define. Each
-- workflow updates all of them several times. Without the indexes below, PostgreSQL spends about a third less time on each
-- workflow. Queries over these attributes still work, but scan the table.
--
-- Run it in the visibility database. Temporal may be running, and the script may be repeated:
--   psql -d temporal_visibility -f lean_visibility.sql
-- An upgrade of Temporal's schema may add indexes; it does not need the dropped ones.
--
-- Kept: the primary key, what the Temporal UI lists, filters and sorts by (status, type, id, times, task queue, parent and
-- root), schedules, worker versions, two custom attributes of type KeywordList, Greenroom's WebhookId and CompanyId, and three
-- of type Keyword, its JobId, EventType and DeliveryStatus. Temporal gives each namespace its columns (KeywordList01 to 03,
-- Keyword01 to 10) in no fixed order: `temporal operator namespace describe default -o json` shows yours under
-- customSearchAttributeAliases. Where they are not the first ones, change the lines below "keywords" first.

DROP INDEX IF EXISTS
  -- sizes and durations: not used to find workflows
  by_history_length, by_history_size_bytes, by_execution_duration, by_state_transition_count,
  by_temporal_external_payload_size_bytes, by_temporal_external_payload_count,
  -- runs of parents and roots: their workflow ids are indexed
  by_parent_run_id, by_root_run_id,
  -- features that Greenroom's workflows do not use
  by_temporal_change_version, by_binary_checksums, by_batcher_user, by_temporal_pause_info, by_temporal_reported_problems,
  -- custom attributes of types that Greenroom does not use
  by_bool_01, by_bool_02, by_bool_03,
  by_datetime_01, by_datetime_02, by_datetime_03,
  by_double_01, by_double_02, by_double_03,
  by_int_01, by_int_02, by_int_03,
  by_text_01, by_text_02, by_text_03,
  -- keywords
  by_keyword_list_03,
  by_keyword_04, by_keyword_05, by_keyword_06, by_keyword_07, by_keyword_08, by_keyword_09, by_keyword_10,
  -- attributes of Temporal's own components, which keep few rows
  by_temporal_bool_01, by_temporal_bool_02, by_temporal_datetime_01, by_temporal_datetime_02,
  by_temporal_double_01, by_temporal_double_02, by_temporal_int_01, by_temporal_int_02,
  by_temporal_keyword_01, by_temporal_keyword_02, by_temporal_keyword_03, by_temporal_keyword_04,
  by_temporal_low_cardinality_keyword_01, by_temporal_keyword_list_01, by_temporal_keyword_list_02;
