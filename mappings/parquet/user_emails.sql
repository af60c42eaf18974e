SELECT id::VARCHAR AS id, id::VARCHAR AS user_id, email AS address, true AS is_primary
FROM read_parquet(:folder || '/users.parquet')
WHERE email IS NOT NULL
