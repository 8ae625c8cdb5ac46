-- A person's own files: the photo and the CV of a candidate, the photo of a staff user. There is one of each kind; file is the name
-- under which the store of media keeps it.
CREATE TABLE attachments (
  candidate_id uuid REFERENCES candidates,
  staff_id uuid REFERENCES staff,
  kind text NOT NULL CHECK (kind IN ('photo', 'cv')),
  file text NOT NULL,
  content_type text NOT NULL,
  size bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (candidate_id, kind),
  UNIQUE (staff_id, kind),
  CHECK (num_nonnulls(candidate_id, staff_id) = 1)
);

-- As with videos, what stops counting is deleted, and what is a person's goes with the person.
CREATE TRIGGER attachments_replaced AFTER UPDATE OF file ON attachments FOR EACH ROW
  WHEN (NEW.file <> OLD.file) EXECUTE FUNCTION list_stray_file();
CREATE TRIGGER attachments_gone AFTER DELETE ON attachments FOR EACH ROW EXECUTE FUNCTION list_stray_file();

CREATE FUNCTION delete_attachments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM attachments WHERE candidate_id = NEW.id OR staff_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER candidates_deleted_attachments AFTER UPDATE OF deleted_at ON candidates FOR EACH ROW
  WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION delete_attachments();
CREATE TRIGGER staff_deleted_attachments AFTER UPDATE OF deleted_at ON staff FOR EACH ROW
  WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION delete_attachments();
