DROP INDEX answer_videos_company;
