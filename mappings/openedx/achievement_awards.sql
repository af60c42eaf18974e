-- Certificates show modified_date as the day of issue; created_date may be that of a row before the course was passed.
SELECT g.id AS id,
       g.course_id AS achievement_id,
       g.user_id AS user_id,
       g.modified_date AS awarded_at,
       NULL AS company_id,
       NULL AS project_id,
       CASE WHEN g.status <> 'downloadable' THEN g.modified_date END AS withdrawn_at
FROM certificates_generatedcertificate g
JOIN auth_user u ON u.id = g.user_id AND LEFT(u.email, 14) <> 'retired__user_'
