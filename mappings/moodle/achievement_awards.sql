-- A LEFT JOIN, so that the database begins with the awards, which a look-up names, and not with all users.
SELECT i.id AS id,
       i.badgeid AS achievement_id,
       i.userid AS user_id,
       i.dateissued AS awarded_at,
       NULL AS company_id,
       NULL AS project_id,
       NULL AS withdrawn_at
FROM {prefix}badge_issued i
LEFT JOIN {prefix}user u ON u.id = i.userid
WHERE COALESCE(u.deleted, 1) = 0
