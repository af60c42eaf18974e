-- Two databases on one PostgreSQL server, each with an owner of its own: Laurel's and Prefect's. The account that reads
-- the platform is none of these: docs/how-to/mappings.md.
-- Run once, as the server's administrator, with both passwords in the environment; psql 10 or newer will do:
--   PASSWORD_OF_LAUREL=... PASSWORD_OF_PREFECT=... psql -f deploy/databases.sql
\set ON_ERROR_STOP on
-- \getenv would need psql 15.
\set password_of_laurel `printf %s "$PASSWORD_OF_LAUREL"`
\set password_of_prefect `printf %s "$PASSWORD_OF_PREFECT"`
SELECT '' IN (:'password_of_laurel', :'password_of_prefect') AS missing \gset
\if :missing
DO $$ BEGIN RAISE 'Set PASSWORD_OF_LAUREL and PASSWORD_OF_PREFECT in the environment.'; END $$;
\endif
CREATE ROLE laurel LOGIN PASSWORD :'password_of_laurel';
CREATE ROLE prefect LOGIN PASSWORD :'password_of_prefect';
CREATE DATABASE laurel OWNER laurel;
CREATE DATABASE prefect OWNER prefect;
REVOKE ALL ON DATABASE laurel, prefect FROM PUBLIC;
