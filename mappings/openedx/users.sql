-- Most accounts have their whole name in the profile only: its last word is then taken for the last name.
SELECT u.id AS id,
       CASE WHEN u.first_name <> '' AND u.last_name <> '' THEN u.first_name
            ELSE TRIM(LEFT(TRIM(p.name), CHAR_LENGTH(TRIM(p.name)) - CHAR_LENGTH(SUBSTRING_INDEX(TRIM(p.name), ' ', -1))))
       END AS first_name,
       CASE WHEN u.first_name <> '' AND u.last_name <> '' THEN u.last_name
            ELSE SUBSTRING_INDEX(TRIM(p.name), ' ', -1)
       END AS last_name,
       CONCAT(:lms, '/u/', u.username) AS profile_url
FROM auth_user u
LEFT JOIN auth_userprofile p ON p.user_id = u.id
WHERE LEFT(u.email, 14) <> 'retired__user_'
