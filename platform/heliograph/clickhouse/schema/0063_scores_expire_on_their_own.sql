-- Scores of traces under legal hold stay for years beside others of the same week: a part that is over in part loses
-- those rows in a merge of its own, as the tables of 0061 do. A setting of the table alone: no stored part is rewritten.
ALTER TABLE scores MODIFY SETTING ttl_only_drop_parts = 0, merge_with_ttl_timeout = 86400;
