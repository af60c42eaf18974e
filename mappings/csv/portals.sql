SELECT id, name, url
FROM (
    SELECT NULL::VARCHAR AS url WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_csv(:folder || '/portals.csv', header = true, all_varchar = true, skip = 0, quote = '"', escape = '"', comment = '')
)
