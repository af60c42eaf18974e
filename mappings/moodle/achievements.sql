SELECT b.id AS id, 'moodle' AS portal_id, b.name AS name
FROM {prefix}badge b
