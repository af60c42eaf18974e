SELECT c.id AS id,
       c.course AS achievement_id,
       c.userid AS user_id,
       c.timecompleted AS awarded_at,
       NULL AS company_id,
       NULL AS project_id,
       NULL AS withdrawn_at
FROM {prefix}course_completions c
JOIN {prefix}user u ON u.id = c.userid AND u.deleted = 0
WHERE c.timecompleted > 0
