SELECT id::VARCHAR AS id, name, url
FROM (
    SELECT NULL::VARCHAR AS url WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(:folder || '/portals.parquet')
)
