-- Videos with which a company welcomes its candidates. file is the name under which the store of media keeps the video.
CREATE TABLE welcome_videos (
  id uuid PRIMARY KEY,
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  company_id uuid NOT NULL REFERENCES companies,
  file text NOT NULL,
  content_type text NOT NULL,
  size bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX welcome_videos_company ON welcome_videos (company_id, id) WHERE deleted_at IS NULL;

CREATE INDEX answer_videos_candidate ON answer_videos (candidate_id) WHERE deleted_at IS NULL;
CREATE INDEX ratings_question ON ratings (question_id) WHERE deleted_at IS NULL AND question_id IS NOT NULL;

-- Files that no row counts on: uploads under way, which nothing may come of, and what was replaced or deleted. Whoever keeps
-- the files deletes those that are due.
CREATE TABLE stray_files (
  file text PRIMARY KEY,
  due_at timestamptz NOT NULL
);
CREATE INDEX stray_files_due ON stray_files (due_at);

-- A file joins them in the transaction in which its row stops counting on it, whatever statement that is: a person's video
-- must not outlive the person's data because one way of deleting had been forgotten.
CREATE FUNCTION list_stray_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO stray_files (file, due_at) VALUES (OLD.file, now()) ON CONFLICT (file) DO UPDATE SET due_at = now();
  RETURN NULL;
END $$;
CREATE TRIGGER answer_videos_replaced AFTER UPDATE OF file, deleted_at ON answer_videos FOR EACH ROW
  WHEN (OLD.deleted_at IS NULL AND (NEW.deleted_at IS NOT NULL OR NEW.file <> OLD.file)) EXECUTE FUNCTION list_stray_file();
CREATE TRIGGER answer_videos_gone AFTER DELETE ON answer_videos FOR EACH ROW EXECUTE FUNCTION list_stray_file();
CREATE TRIGGER welcome_videos_replaced AFTER UPDATE OF file, deleted_at ON welcome_videos FOR EACH ROW
  WHEN (OLD.deleted_at IS NULL AND (NEW.deleted_at IS NOT NULL OR NEW.file <> OLD.file)) EXECUTE FUNCTION list_stray_file();
CREATE TRIGGER welcome_videos_gone AFTER DELETE ON welcome_videos FOR EACH ROW EXECUTE FUNCTION list_stray_file();

-- A deleted candidate takes the videos along.
CREATE FUNCTION delete_answer_videos() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE answer_videos SET deleted_at = now(), updated_at = now() WHERE candidate_id = NEW.id AND deleted_at IS NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER candidates_deleted AFTER UPDATE OF deleted_at ON candidates FOR EACH ROW
  WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION delete_answer_videos();
