-- The size of a company's files is summed up before each upload.
CREATE INDEX answer_videos_company ON answer_videos (company_id) INCLUDE (size) WHERE deleted_at IS NULL;
