SELECT i.id AS id,
       i.badgeid AS achievement_id,
       i.userid AS user_id,
       i.dateissued AS awarded_at,
       NULL AS company_id,
       NULL AS project_id,
       NULL AS withdrawn_at
FROM {prefix}badge_issued i
JOIN {prefix}user u ON u.id = i.userid AND u.deleted = 0
