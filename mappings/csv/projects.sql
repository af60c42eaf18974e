-- The file may be missing: there are none then.
SELECT id, name, url
FROM (
    SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS name, NULL::VARCHAR AS url WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_csv(:folder || '/projects.csv', header = true, all_varchar = true, skip = 0, quote = '"', escape = '"', comment = '', allow_empty = true)
)
