-- A LEFT JOIN, so that the database begins with the awards, which a look-up names, and not with all users.
SELECT c.id AS id,
       c.course AS achievement_id,
       c.userid AS user_id,
       c.timecompleted AS awarded_at,
       NULL AS company_id,
       NULL AS project_id,
       NULL AS withdrawn_at
FROM {prefix}course_completions c
LEFT JOIN {prefix}user u ON u.id = c.userid
WHERE c.timecompleted > 0 AND COALESCE(u.deleted, 1) = 0
