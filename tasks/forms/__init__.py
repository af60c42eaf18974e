"""The work behind the forms on Prefect's pages: connect, enable, issue by hand, retry, explain, erase."""
