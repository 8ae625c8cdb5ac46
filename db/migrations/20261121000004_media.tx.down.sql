DROP TRIGGER candidates_deleted ON candidates;
DROP FUNCTION delete_answer_videos();
DROP TRIGGER answer_videos_gone ON answer_videos;
DROP TRIGGER answer_videos_replaced ON answer_videos;
DROP TABLE welcome_videos;
DROP FUNCTION list_stray_file();
DROP TABLE stray_files;
DROP INDEX ratings_question;
DROP INDEX answer_videos_candidate;
