-- Rows of one week are kept for different times: per project, environment and signal. A part that is expired as a whole
-- is dropped as before; one that is expired in part loses those rows in a merge of its own, once a day and not every
-- four hours. Settings of the tables alone: no stored part is rewritten by this file.
ALTER TABLE spans MODIFY SETTING ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400;
ALTER TABLE span_rollups_1m MODIFY SETTING ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400;
ALTER TABLE metric_points MODIFY SETTING ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400;
ALTER TABLE metric_rollups_1m MODIFY SETTING ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400;
ALTER TABLE log_records MODIFY SETTING ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400;
