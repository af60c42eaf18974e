SELECT c.id AS id, 'moodle' AS portal_id, c.fullname AS name
FROM {prefix}course c
WHERE c.category <> 0
