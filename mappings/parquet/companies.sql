-- The file may be missing: there are none then.
SELECT id::VARCHAR AS id, name, url
FROM (
    SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS name, NULL::VARCHAR AS url WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(:folder || '/companies.parquet', allow_empty = true)
)
