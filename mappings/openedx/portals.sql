-- Each organization that has a course run is a portal. Grouped by the exact name: edX and EDX are two.
SELECT MIN(c.org) AS id, COALESCE(MAX(o.name), MIN(c.org)) AS name, :lms AS url
FROM course_overviews_courseoverview c
LEFT JOIN organizations_organization o ON CAST(o.short_name AS BINARY) = CAST(c.org AS BINARY)
GROUP BY CAST(c.org AS BINARY)
