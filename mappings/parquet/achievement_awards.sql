SELECT COALESCE(id, md5(concat_ws(chr(10), achievement_id, user_id, awarded_at))) AS id,
       achievement_id,
       user_id,
       TRY_CAST(awarded_at AS TIMESTAMPTZ) AS awarded_at,
       company_id,
       project_id,
       TRY_CAST(withdrawn_at AS TIMESTAMPTZ) AS withdrawn_at
FROM (
    SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS company_id, NULL::VARCHAR AS project_id,
           NULL::VARCHAR AS withdrawn_at WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(:folder || '/awards.parquet')
)
