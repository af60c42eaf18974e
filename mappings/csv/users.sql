SELECT id, first_name, last_name, profile_url
FROM (
    SELECT NULL::VARCHAR AS first_name, NULL::VARCHAR AS last_name, NULL::VARCHAR AS profile_url WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_csv(:folder || '/users.csv', header = true, all_varchar = true, skip = 0, quote = '"', escape = '"', comment = '')
)
