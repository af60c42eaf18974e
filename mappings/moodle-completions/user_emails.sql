SELECT u.id AS id, u.id AS user_id, u.email AS address, TRUE AS is_primary
FROM {prefix}user u
WHERE u.deleted = 0 AND u.email <> ''
