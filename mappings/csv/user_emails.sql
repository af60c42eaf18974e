SELECT id, id AS user_id, email AS address, true AS is_primary
FROM read_csv(:folder || '/users.csv', header = true, all_varchar = true, skip = 0, quote = '"', escape = '"', comment = '')
WHERE email IS NOT NULL
