SELECT id, portal_id, name
FROM read_csv(:folder || '/achievements.csv', header = true, all_varchar = true, skip = 0, quote = '"', escape = '"', comment = '')
