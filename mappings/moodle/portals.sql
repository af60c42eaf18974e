-- The whole site is one portal. Its name is that of the front page, the only course without a category.
SELECT 'moodle' AS id, c.fullname AS name, :wwwroot AS url
FROM {prefix}course c
WHERE c.category = 0
