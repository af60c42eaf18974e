-- Two databases on one PostgreSQL server, each with an owner of its own: Laurel's and Prefect's.
-- Run once, as the server's administrator, with both passwords in the environment:
--   PASSWORD_OF_LAUREL=... PASSWORD_OF_PREFECT=... psql -v ON_ERROR_STOP=1 -f deploy/databases.sql
\set ON_ERROR_STOP on
\getenv password_of_laurel PASSWORD_OF_LAUREL
\getenv password_of_prefect PASSWORD_OF_PREFECT
CREATE ROLE laurel LOGIN PASSWORD :'password_of_laurel';
CREATE ROLE prefect LOGIN PASSWORD :'password_of_prefect';
CREATE DATABASE laurel OWNER laurel;
CREATE DATABASE prefect OWNER prefect;
REVOKE ALL ON DATABASE laurel, prefect FROM PUBLIC;
