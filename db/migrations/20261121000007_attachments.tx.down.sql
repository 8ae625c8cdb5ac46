DROP TRIGGER staff_deleted_attachments ON staff;
DROP TRIGGER candidates_deleted_attachments ON candidates;
DROP FUNCTION delete_attachments();
DROP TABLE attachments;
