SELECT u.id AS id,
       u.firstname AS first_name,
       u.lastname AS last_name,
       CONCAT(:wwwroot, '/user/profile.php?id=', u.id) AS profile_url
FROM {prefix}user u
WHERE u.deleted = 0
