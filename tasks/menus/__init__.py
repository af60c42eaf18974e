"""The menus of the forms on Prefect's pages.

A menu is a list of values in the parameter schema of a deployment. Deploying again writes the flow's own schema,
without menus; `publish_menus` adds them again.
"""
