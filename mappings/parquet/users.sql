SELECT id::VARCHAR AS id, first_name, last_name, profile_url
FROM (
    SELECT NULL::VARCHAR AS first_name, NULL::VARCHAR AS last_name, NULL::VARCHAR AS profile_url WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(:folder || '/users.parquet')
)
