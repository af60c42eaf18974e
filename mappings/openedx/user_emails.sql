SELECT u.id AS id, u.id AS user_id, u.email AS address, TRUE AS is_primary
FROM auth_user u
WHERE u.email <> '' AND LEFT(u.email, 14) <> 'retired__user_'
