SELECT c.id AS id, c.org AS portal_id, COALESCE(c.display_name, c.id) AS name
FROM course_overviews_courseoverview c
