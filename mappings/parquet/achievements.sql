SELECT id::VARCHAR AS id, portal_id, name
FROM read_parquet(:folder || '/achievements.parquet')
