"""A task in a browser: the audit's read model followed live, as JSON for views, as a page, and as one HTML file.

chronicle.py keeps, follower.py follows, views.py shapes, server.py serves, report.py writes; pictures.py and home.py
add what a store and a node's own folder know. Nothing here decides or sends anything.
"""
