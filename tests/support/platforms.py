"""The tables of well-known platforms that the ready-made mappings read, as their own installers make them.

Moodle: public/lib/db/install.xml of 5.1. Open edX: the migrations of its apps, on MySQL. Columns that no mapping reads
are left out.
"""

MOODLE = (
    """CREATE TABLE mdl_course (id BIGINT PRIMARY KEY, category BIGINT NOT NULL DEFAULT 0,
    fullname VARCHAR(1333) NOT NULL, shortname VARCHAR(255) NOT NULL DEFAULT '')""",
    """CREATE TABLE mdl_user (id BIGINT PRIMARY KEY, deleted SMALLINT NOT NULL DEFAULT 0,
    firstname VARCHAR(100) NOT NULL DEFAULT '', lastname VARCHAR(100) NOT NULL DEFAULT '',
    email VARCHAR(100) NOT NULL DEFAULT '')""",
    "CREATE TABLE mdl_badge (id BIGINT PRIMARY KEY, name VARCHAR(255) NOT NULL, status SMALLINT NOT NULL DEFAULT 0)",
    """CREATE TABLE mdl_badge_issued (id BIGINT PRIMARY KEY, badgeid BIGINT NOT NULL DEFAULT 0,
    userid BIGINT NOT NULL DEFAULT 0, uniquehash TEXT NOT NULL, dateissued BIGINT NOT NULL DEFAULT 0,
    dateexpire BIGINT, visible SMALLINT NOT NULL DEFAULT 0)""",
    "CREATE UNIQUE INDEX mdl_badgissu_baduse_uix ON mdl_badge_issued (badgeid, userid)",
    "CREATE INDEX mdl_badgissu_bad_ix ON mdl_badge_issued (badgeid)",
    "CREATE INDEX mdl_badgissu_use_ix ON mdl_badge_issued (userid)",
    """CREATE TABLE mdl_course_completions (id BIGINT PRIMARY KEY, userid BIGINT NOT NULL DEFAULT 0,
    course BIGINT NOT NULL DEFAULT 0, timeenrolled BIGINT NOT NULL DEFAULT 0, timecompleted BIGINT)""",
    "CREATE UNIQUE INDEX mdl_courcomp_usecou_uix ON mdl_course_completions (userid, course)",
    "CREATE INDEX mdl_courcomp_cou_ix ON mdl_course_completions (course)",
    "CREATE INDEX mdl_courcomp_tim_ix ON mdl_course_completions (timecompleted)",
)
OPENEDX = (
    """CREATE TABLE auth_user (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(150) NOT NULL UNIQUE,
    first_name VARCHAR(150) NOT NULL DEFAULT '', last_name VARCHAR(150) NOT NULL DEFAULT '',
    email VARCHAR(254) NOT NULL UNIQUE, is_active TINYINT(1) NOT NULL DEFAULT 1)""",
    """CREATE TABLE auth_userprofile (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT NOT NULL UNIQUE,
    name VARCHAR(255) NOT NULL DEFAULT '')""",
    """CREATE TABLE organizations_organization (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL,
    short_name VARCHAR(255) NOT NULL UNIQUE, active TINYINT(1) NOT NULL DEFAULT 1)""",
    """CREATE TABLE course_overviews_courseoverview (id VARCHAR(255) PRIMARY KEY, org LONGTEXT NOT NULL,
    display_name LONGTEXT)""",
    """CREATE TABLE certificates_generatedcertificate (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT NOT NULL,
    course_id VARCHAR(255) NOT NULL, status VARCHAR(32) NOT NULL, created_date DATETIME(6) NOT NULL,
    modified_date DATETIME(6) NOT NULL, UNIQUE (user_id, course_id))""",
)
